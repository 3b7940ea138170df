"""Does a reboot through Slurm keep the node out until its own daemon has drained it anew?"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdoctor.actions.perform import perform
from hpcdoctor.actions.programs import Programs
from hpcdoctor.actions.schedulers import Scheduler, SchedulerRefused, connect
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

pytestmark = pytest.mark.real

MARK = "hd:k3f9.1"
REASON = "hd:k3f9.1 GPU3 Xid79 off bus; rule gpu-lost"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    folder = tmp_path_factory.mktemp("reboot")
    program = folder / "reboot"
    program.write_text(f"#!/bin/sh\necho >{folder}/rebooted\n")
    program.chmod(0o755)
    with SlurmCluster(nodes=2, extra={"RebootProgram": str(program)}) as cluster:
        yield cluster


def rebooted(cluster: SlurmCluster) -> Path:
    """Return the file that the site's program has written."""
    (line,) = [each for each in cluster.conf.read_text().splitlines() if "RebootProgram" in each]
    return Path(line.partition("=")[2]).with_name("rebooted")


def drain(scheduler: Scheduler) -> ActionResult:
    return perform(Action("k3f9.1.1", Operation.DRAIN, REASON, MARK), scheduler)


def test_it_comes_back_down_under_our_reason_and_is_drained_and_resumed_by_us(
    cluster: SlurmCluster,
) -> None:
    scheduler = connect(cluster.settings("n1"), Programs())
    assert drain(scheduler).result is Result.DONE
    done = scheduler.reboot(MARK)
    assert done.result is Result.DONE, done
    wait_for("the site's program to run", rebooted(cluster).exists, 60)
    cluster.stop_slurmd("n1")
    cluster.start_slurmd("n1", "-b")  # as after a boot
    wait_for("the node to be back", lambda: cluster.node("n1").reason.endswith("complete"), 60)
    seen = cluster.node("n1")
    assert seen.state in ("down", "drained")
    assert seen.reason.startswith(REASON)
    again = drain(scheduler)
    assert again.result is Result.DONE, again
    assert again.view is not None
    assert again.view.drained
    back = perform(
        Action(
            "k3f9.1.2",
            Operation.RESUME,
            mark=MARK,
            claimed_by=again.view.reason_by,
            claimed_at=again.view.reason_at,
        ),
        scheduler,
    )
    assert back.result is Result.DONE, back
    cluster.wait_for_node("n1", "idle")


def test_what_is_not_drained_by_us_is_not_rebooted(cluster: SlurmCluster) -> None:
    scheduler = connect(cluster.settings("n2"), Programs())
    assert scheduler.reboot(MARK).result is Result.NOT_OURS
    cluster.drain("n2", "alice: disk swap")
    assert scheduler.reboot(MARK).result is Result.NOT_OURS
    assert cluster.node("n2").reason == "alice: disk swap"


def test_without_a_reboot_program_it_is_refused_and_the_drain_stays() -> None:
    with SlurmCluster(nodes=1) as bare:
        scheduler = connect(bare.settings("n1"), Programs())
        assert drain(scheduler).result is Result.DONE
        with pytest.raises(SchedulerRefused, match="no RebootProgram"):
            scheduler.reboot(MARK)
        assert bare.node("n1").reason == REASON
