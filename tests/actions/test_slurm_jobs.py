"""Are the jobs on this node, and no others, signalled and requeued, and only if a rule says so?"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from hpcdoctor.actions.perform import perform
from hpcdoctor.actions.programs import Finished, Programs
from hpcdoctor.actions.schedulers import Scheduler, connect
from hpcdoctor.actions.slurm_commands import Commands
from hpcdoctor.actions.slurm_jobs import parse_jobs, requeue_jobs, signal_jobs, why_not_allowed
from hpcdoctor.definitions.settings import Slurm
from hpcdoctor.helper.requests import LINE_MAXIMUM, why_not_asked_so
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


class Paper(Programs):
    """squeue, scancel and scontrol for jobs on paper: "id: state batch requeue"."""

    def __init__(self, jobs: dict[str, str]) -> None:
        super().__init__()
        self.jobs = jobs
        self.asked: list[Sequence[str]] = []
        self.ends: dict[str, str] = {}  # jobs that end just when they are to be requeued

    def run(
        self, argv: Sequence[str], *, deadline_seconds: float, environment: Mapping[str, str]
    ) -> Finished:
        if argv[0] == "squeue":
            if any(word.startswith("--Format=") for word in argv):
                lines = [f"{job:<14}{line}\n" for job, line in self.jobs.items()]
            else:
                lines = [f"{job}|{line.split()[0]}\n" for job, line in self.jobs.items()]
            return Finished(0, "".join(lines), "")
        self.asked.append(argv)
        if argv[:2] == ["scontrol", "requeue"] and not self.jobs[argv[2]].endswith("1 1"):
            if argv[2] in self.ends:
                self.jobs[argv[2]] = self.ends[argv[2]]
            return Finished(1, "", "Requested operation is presently disabled\n")
        return Finished(0, "", "")


def paper(jobs: dict[str, str]) -> tuple[Paper, Commands]:
    programs = Paper(jobs)
    return programs, Commands(Slurm(node_name="n1"), programs)


def test_only_jobs_that_come_back_are_asked_to_checkpoint() -> None:
    jobs = {"1": "RUNNING 1 1", "2": "RUNNING 1 0", "3": "RUNNING 0 1", "4": "SUSPENDED 1 1"}
    programs, commands = paper({**jobs, "5": "RUNNING ? ?"})
    done = signal_jobs(commands, "TERM")
    assert done.jobs == ["1", "4"]
    assert [argv[-1] for argv in programs.asked] == ["1", "4"]
    assert done.message == (
        "sent SIGTERM to job 1, 4; "
        "job 2, 3, 5 go on: not to be requeued, so not asked to checkpoint"
    )


def test_every_job_is_asked_and_what_is_left_is_said() -> None:
    programs, commands = paper({str(number): "RUNNING 1 1" for number in range(1, 301)})
    assert len(signal_jobs(commands, "TERM").jobs) == 300
    done = requeue_jobs(commands, [])
    assert len(done.jobs) == 300
    assert done.message.endswith("30 and 270 more")
    programs.asked.clear()
    ticks = iter(range(0, 100_000, 10))
    done = signal_jobs(commands, "TERM", clock=lambda: next(ticks))
    assert len(done.jobs) == len(programs.asked) == 7
    assert done.message.endswith("293 more were not asked to checkpoint: no time was left")
    ticks = iter(range(0, 100_000, 10))
    done = requeue_jobs(commands, [], clock=lambda: next(ticks))
    assert (len(done.jobs), done.left) == (7, 293)
    assert done.message.endswith("293 more are to be requeued: no time was left")


def test_as_many_are_signalled_as_a_requeue_can_name() -> None:
    _, commands = paper({str(number): "RUNNING 1 1" for number in range(1, 2001)})
    done = signal_jobs(commands, "TERM")
    assert (len(done.jobs), done.left) == (1024, 976)
    action = Action("k3f9.1.2", Operation.REQUEUE, mark=MARK, jobs=[f"{j:0>10}" for j in done.jobs])
    assert why_not_asked_so(action) is None
    full = msgspec.structs.replace(action, reasons=["x" * 199] * 8)
    assert len(msgspec.json.encode(full)) < LINE_MAXIMUM


def test_a_job_that_has_ended_meanwhile_is_not_said_to_go_on() -> None:
    programs, commands = paper({"1": "RUNNING 1 0", "2": "RUNNING 1 0"})
    programs.ends["2"] = "COMPLETED 1 0"
    said = requeue_jobs(commands, []).message
    assert "1 goes on: " in said
    assert "2 has ended (COMPLETED) and was not requeued: " in said


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
    told = do(scheduler, Operation.SIGNAL)
    assert (told.result, told.jobs) == (Result.DONE, [])
    assert f"job {job} goes on: not to be requeued" in told.message
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
