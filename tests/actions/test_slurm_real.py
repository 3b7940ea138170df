"""Does the adapter hold its promises against a real slurmctld and real slurmd's?

What it does when one of them is broken: tests/end_to_end/test_fault_matrix.py.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hpcdoctor.actions.perform import perform
from hpcdoctor.actions.programs import Programs
from hpcdoctor.actions.schedulers import Scheduler, connect
from hpcdoctor.definitions.settings import Limit, SchedulerName, Settings, Slurm
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from tests.doubles.slurm_cluster import SlurmCluster

pytestmark = pytest.mark.real

MARK = "hd:k3f9.1"
REASON = "hd:k3f9.1 GPU3 Xid79 off bus; rule gpu-lost"


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=3) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """Give the cluster with all nodes in service, and leave it so."""
    yield shared_cluster
    shared_cluster.run(["scancel", "--user=root"])
    for name, seen in shared_cluster.all_nodes().items():
        if seen.state.startswith("drain"):
            shared_cluster.resume(name)
    for name in shared_cluster.nodes:
        shared_cluster.wait_for_node(name, "idle")


def on(cluster: SlurmCluster, node: str, programs: Programs | None = None) -> Scheduler:
    return connect(cluster.settings(node), programs or Programs())


def drain(scheduler: Scheduler, mark: str = MARK) -> ActionResult:
    reason = f"{mark} GPU3 Xid79 off bus; rule gpu-lost"
    return perform(Action("k3f9.1.1", Operation.DRAIN, reason, mark), scheduler)


def look(scheduler: Scheduler, mark: str = MARK) -> ActionResult:
    return perform(Action("look", Operation.READ, mark=mark), scheduler)


def resume(scheduler: Scheduler, drained: ActionResult, mark: str = MARK) -> ActionResult:
    assert drained.view is not None
    by, at = drained.view.reason_by, drained.view.reason_at
    return perform(
        Action("k3f9.1.2", Operation.RESUME, mark=mark, claimed_by=by, claimed_at=at), scheduler
    )


def test_drain_and_resume_while_a_job_runs(cluster: SlurmCluster) -> None:
    job = cluster.submit("sleep 300", node="n1")
    cluster.wait_for_job(job, "RUNNING")
    scheduler = on(cluster, "n1")
    done = drain(scheduler)
    assert done.result is Result.DONE
    assert done.view is not None
    assert done.view.in_use
    assert cluster.node("n1").state == "draining"
    assert cluster.node("n1").reason == REASON
    assert cluster.job_state(job) == "RUNNING"
    assert resume(scheduler, done).result is Result.DONE
    assert cluster.job_state(job) == "RUNNING"
    cluster.wait_for_node("n1", "mixed", "allocated")  # and no longer "mixed*"


def test_a_persons_drain_is_never_touched(cluster: SlurmCluster) -> None:
    cluster.drain("n1", "disk swap [ann@2026-01-01T00:00:00] later")
    before = cluster.node("n1")
    scheduler = on(cluster, "n1")
    answer = drain(scheduler)
    assert answer.result is Result.FOREIGN
    assert resume(scheduler, answer).result is Result.NOT_OURS
    assert look(scheduler).result is Result.DONE
    assert cluster.node("n1") == before


def test_a_person_who_changes_the_reason_has_taken_the_node_over(cluster: SlurmCluster) -> None:
    scheduler = on(cluster, "n1")
    done = drain(scheduler)
    cluster.run(["scontrol", "update", "nodename=n1", "reason=I look at it"])
    answer = resume(scheduler, done)
    assert answer.result is Result.NOT_OURS
    assert answer.view is not None
    assert answer.view.reason == "I look at it"
    assert cluster.node("n1").state == "drained"


def test_a_drain_of_the_same_words_at_another_time_is_not_ours(cluster: SlurmCluster) -> None:
    scheduler = on(cluster, "n1")
    done = drain(scheduler)
    cluster.resume("n1")
    time.sleep(1.1)  # the resolution of Slurm's times
    cluster.drain("n1", REASON)
    assert resume(scheduler, done).result is Result.NOT_OURS
    assert cluster.node("n1").state == "drained"


def test_a_node_that_a_person_has_resumed_is_left_in_service(cluster: SlurmCluster) -> None:
    scheduler = on(cluster, "n1")
    done = drain(scheduler)
    cluster.resume("n1")
    cluster.wait_for_node("n1", "idle")
    answer = resume(scheduler, done)
    assert answer.result is Result.NOT_OURS
    assert "already in service" in answer.message
    assert cluster.node("n1").state == "idle"


def test_one_of_three_is_the_limit(cluster: SlurmCluster) -> None:
    assert drain(on(cluster, "n1")).result is Result.DONE
    answer = drain(on(cluster, "n2"), "hd:aaaa.1")
    assert answer.result is Result.OVER_LIMIT
    assert "1 of 3 nodes of partition main is out" in answer.message
    assert cluster.node("n2").state == "idle"
    assert cluster.out() == ["n1"]


def test_several_slurmds_on_this_host_need_the_setting(cluster: SlurmCluster) -> None:
    settings = Settings(scheduler=SchedulerName.SLURM, slurm=Slurm(conf=str(cluster.conf)))
    answer = look(connect(settings, Programs()))
    assert answer.result is Result.REFUSED
    assert "several nodes" in answer.message


def test_a_single_slurmd_on_this_host_is_found_by_the_hosts_name() -> None:
    with SlurmCluster(nodes=1) as cluster:
        settings = Settings(scheduler=SchedulerName.SLURM, slurm=Slurm(conf=str(cluster.conf)))
        assert drain(connect(settings, Programs())).result is Result.DONE
        assert cluster.out() == ["n1"]


def test_a_missing_program_folder_is_a_wrong_setting(cluster: SlurmCluster) -> None:
    slurm = Slurm(node_name="n1", conf=str(cluster.conf), programs="/nonexistent/slurm/bin")
    answer = look(connect(Settings(scheduler=SchedulerName.SLURM, slurm=slurm), Programs()))
    assert answer.result is Result.REFUSED
    assert "slurm.programs" in answer.message


def test_twenty_nodes_that_drain_at_once_end_within_the_limit_of_two() -> None:
    with SlurmCluster(nodes=20) as cluster, ThreadPoolExecutor(20) as at_once:
        settings = {name: cluster.settings(name, limit=Limit(nodes=2)) for name in cluster.nodes}
        marks = {name: f"hd:{number:04}.1" for number, name in enumerate(cluster.nodes)}
        schedulers = {name: connect(settings[name], Programs()) for name in cluster.nodes}
        answers = dict(
            zip(
                cluster.nodes,
                at_once.map(lambda name: drain(schedulers[name], marks[name]), cluster.nodes),
                strict=True,
            )
        )
        assert {answer.result for answer in answers.values()} == {Result.DONE, Result.OVER_LIMIT}
        time.sleep(1.1)  # the second of the last claim is over
        for name in cluster.nodes:
            look(schedulers[name], marks[name])
        out = cluster.out()
        assert len(out) == 2, answers
        assert all(answers[name].result is Result.DONE for name in out)
        for name in set(cluster.nodes) - set(out):
            cluster.wait_for_node(name, "idle")
