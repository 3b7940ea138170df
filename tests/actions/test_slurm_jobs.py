"""Are the jobs on this node, and no others, signalled and requeued, and only if a rule says so?"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdoctor.actions.perform import perform
from hpcdoctor.actions.programs import Programs
from hpcdoctor.actions.schedulers import Scheduler, connect
from hpcdoctor.actions.slurm_jobs import parse_jobs, why_not_allowed
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

MARK = "hd:k3f9.1"
REASON = "hd:k3f9.1 GPU3 Xid79 off bus; rule send-back"


def test_squeues_lines_are_read_and_nothing_else() -> None:
    text = "12|RUNNING\n13|COMPLETING\n12|RUNNING\nslurm_load_jobs error\n1_4|PENDING\n|\n"
    assert [(job.id, job.state) for job in parse_jobs(text)] == [
        ("12", "RUNNING"),
        ("13", "COMPLETING"),
    ]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("alice: disk swap", "the drain is not ours"),
        ("hd:zzzz.1 GPU3; rule send-back", "the drain is not ours"),
        ("hd:k3f9.1 GPU3 lost; rule gpu-lost", "rule gpu-lost leaves jobs alone"),
        ("", "the drain is not ours"),
    ],
)
def test_jobs_are_left_alone_unless_our_drain_names_a_rule_that_touches_them(
    reason: str, words: str
) -> None:
    why = why_not_allowed(reason, MARK, ["send-back"])
    assert why is not None
    assert words in why
    assert why_not_allowed(REASON, MARK, ["send-back"]) is None


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=2) as cluster:
        yield cluster


@pytest.fixture
def scheduler(cluster: SlurmCluster) -> Iterator[Scheduler]:
    cluster.drain("n1", REASON)
    cluster.resume("n1")
    cluster.wait_for_node("n1", "idle")
    yield connect(cluster.settings("n1"), Programs(), lambda: {"send-back"})
    cluster.run(["scancel", "--user=root"])
    if cluster.node("n1").state.startswith("drain"):
        cluster.resume("n1")
    cluster.wait_for_node("n1", "idle")


def do(scheduler: Scheduler, operation: Operation, jobs: list[str] | None = None) -> ActionResult:
    return perform(Action("k3f9.1.2", operation, mark=MARK, jobs=jobs or []), scheduler)


def restarts(cluster: SlurmCluster, job: int) -> int:
    shown = cluster.run(["scontrol", "-o", "show", "job", str(job)])
    return int(shown.partition("Restarts=")[2].split()[0])


def wait_until_sent_back(cluster: SlurmCluster, job: int) -> None:
    wait_for(f"job {job} to be sent back", lambda: restarts(cluster, job) == 1, 30)


def started(cluster: SlurmCluster, script: str, node: str = "n1", options: str = "") -> int:
    """Submit it, and wait until it really runs: a job that is ended while it starts takes long."""
    jobs = cluster.folder / "jobs"
    mark = 'echo >"started-$SLURM_JOB_ID"'
    job = cluster.submit(f"#!/bin/sh\n#SBATCH {options}\n{mark}\n{script}\n", node=node)
    wait_for("the job to run", (jobs / f"started-{job}").exists, 30)
    return job


@pytest.mark.real
def test_requeue_takes_the_jobs_of_this_node_and_leaves_the_others(
    cluster: SlurmCluster, scheduler: Scheduler
) -> None:
    here = started(cluster, "exec sleep 300")
    there = started(cluster, "exec sleep 300", node="n2")
    cluster.drain("n1", REASON)
    done = do(scheduler, Operation.REQUEUE)
    assert (done.result, done.message) == (Result.DONE, f"requeued job {here}")
    wait_until_sent_back(cluster, here)
    assert cluster.job_state(there) == "RUNNING"
    assert restarts(cluster, there) == 0


@pytest.mark.real
def test_without_our_drain_or_without_such_a_rule_no_job_is_touched(
    cluster: SlurmCluster, scheduler: Scheduler
) -> None:
    job = started(cluster, "exec sleep 300")
    assert do(scheduler, Operation.REQUEUE).result is Result.REFUSED
    cluster.drain("n1", "alice: disk swap")
    assert do(scheduler, Operation.SIGNAL).result is Result.REFUSED
    cluster.drain("n1", f"{MARK} GPU3 Xid79 off bus; rule gpu-lost")
    refused = do(scheduler, Operation.REQUEUE)
    assert refused.result is Result.REFUSED
    assert "rule gpu-lost leaves jobs alone" in refused.message
    assert cluster.job_state(job) == "RUNNING"


@pytest.mark.real
def test_a_job_that_may_not_be_requeued_goes_on_and_that_is_said(
    cluster: SlurmCluster, scheduler: Scheduler
) -> None:
    job = started(cluster, "exec sleep 300", options="--no-requeue")
    cluster.drain("n1", REASON)
    done = do(scheduler, Operation.REQUEUE)
    assert done.result is Result.DONE
    assert f"{job} goes on: " in done.message
    assert cluster.job_state(job) == "RUNNING"


@pytest.mark.real
def test_a_job_checkpoints_when_it_is_asked_and_is_requeued_afterwards(
    cluster: SlurmCluster, scheduler: Scheduler
) -> None:
    saved = Path(cluster.folder) / "jobs" / "checkpoint"
    job = started(cluster, f"trap 'echo saved >{saved}' TERM\nwhile :; do sleep 0.2; done")
    dies = started(cluster, "exec sleep 300")
    cluster.drain("n1", REASON)
    told = do(scheduler, Operation.SIGNAL)
    assert (told.result, sorted(told.jobs)) == (Result.DONE, sorted([str(job), str(dies)]))
    wait_for("the checkpoint", saved.exists, 20)
    assert cluster.job_state(job) == "RUNNING"
    wait_for("the other to die of it", lambda: cluster.job_state(dies) == "FAILED", 30)
    # One that was never asked, and failed by itself, is not sent back.
    done = do(scheduler, Operation.REQUEUE, told.jobs)
    assert done.result is Result.DONE
    for each in (job, dies):
        wait_until_sent_back(cluster, each)
