"""Is a node found as it is where it is more than up or drained? Real Slurm with power saving,
reboots, maintenance reservations, dynamic and future nodes, and names that are not the host's.
"""

from collections.abc import Iterator

import pytest

from hpcdoctor.actions.perform import perform
from hpcdoctor.actions.programs import Programs
from hpcdoctor.actions.reason import REASON_LIMIT
from hpcdoctor.actions.schedulers import connect
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from tests.doubles.slurm_cluster import SlurmCluster, free_ports
from tests.doubles.waiting import wait_for

pytestmark = pytest.mark.real

MARK = "hd:k3f9.1"
REASON = f"{MARK} GPU3 Xid79 off bus; rule gpu-lost"
CONFIGURATION = {
    "SuspendProgram": "/bin/true",
    "ResumeProgram": "/bin/true",
    "SuspendTime": "86400",  # nothing is powered down but by order
    "SuspendTimeout": "2",
    "ResumeTimeout": "300",
    "RebootProgram": "/bin/true",
    "MaxNodeCount": "64",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    """Give eight nodes; each test uses up its own."""
    extra = {**CONFIGURATION, "SlurmdPort": str(free_ports(1))}  # where a dynamic node listens
    with SlurmCluster(nodes=8, extra=extra) as cluster:
        yield cluster


def drain(cluster: SlurmCluster, node: str, reason: str = REASON) -> ActionResult:
    action = Action("k3f9.1.1", Operation.DRAIN, reason, MARK)
    settings = cluster.settings(node)
    return perform(action, connect(settings, Programs()))


def resume(cluster: SlurmCluster, node: str, drained: ActionResult) -> ActionResult:
    assert drained.view is not None
    by, at = drained.view.reason_by, drained.view.reason_at
    written = [drained.view.reason]
    action = Action(
        "k3f9.1.2", Operation.RESUME, mark=MARK, claimed_by=by, claimed_at=at, reasons=written
    )
    return perform(action, connect(cluster.settings(node), Programs()))


def look(cluster: SlurmCluster, node: str) -> ActionResult:
    return perform(Action("look", Operation.READ), connect(cluster.settings(node), Programs()))


def free(cluster: SlurmCluster, node: str) -> None:
    """Take the node's place out of the limit of one."""
    if cluster.node(node).state.startswith(("drain", "down")):
        cluster.resume(node)


def test_power_saving_throws_our_drain_away_and_we_say_so(cluster: SlurmCluster) -> None:
    done = drain(cluster, "n1")
    assert done.result is Result.DONE
    cluster.run(["scontrol", "update", "nodename=n1", "state=power_down_force"])
    cluster.wait_for_node("n1", "idle%", "idle~", "idle")
    answer = resume(cluster, "n1", done)
    assert answer.result is Result.NOT_OURS
    assert "the drain is gone" in answer.message
    assert "POWER" in answer.message
    assert drain(cluster, "n2").result is Result.DONE, "and it counts as back in service"
    free(cluster, "n2")


def test_a_resume_waits_for_the_end_of_a_maintenance(cluster: SlurmCluster) -> None:
    done = drain(cluster, "n3")
    cluster.run(
        ["scontrol", "create", "reservation", "reservationname=maint1", "starttime=now",
         "duration=60", "users=root", "flags=maint,ignore_jobs", "nodes=n3"]
    )  # fmt: skip

    def in_maintenance() -> bool:
        view = look(cluster, "n3").view
        return view is not None and view.maintenance

    wait_for("the maintenance", in_maintenance, 60)
    waiting = resume(cluster, "n3", done)
    assert waiting.result is Result.NO_ANSWER
    assert "maintenance reservation" in waiting.message
    cluster.run(["scontrol", "delete", "reservationname=maint1"])
    wait_for("its end", lambda: not in_maintenance(), 60)
    assert resume(cluster, "n3", done).result is Result.DONE


def test_a_persons_reboot_takes_our_drain_over(cluster: SlurmCluster) -> None:
    done = drain(cluster, "n4")
    cluster.run(["scontrol", "reboot", "ASAP", "nextstate=down", "n4"])

    def issued() -> bool:
        view = look(cluster, "n4").view
        return view is not None and "REBOOT" in view.state

    wait_for("the reboot", issued, 30)
    view = look(cluster, "n4").view
    assert view is not None
    answer = resume(cluster, "n4", done)
    assert answer.result in (Result.NOT_OURS, Result.NO_ANSWER), answer
    assert "REBOOT" in (answer.view.state if answer.view else "")
    cluster.run(["scontrol", "cancel_reboot", "n4"])
    free(cluster, "n4")


def test_a_node_that_slurm_took_down_is_drained_and_a_persons_is_not(
    cluster: SlurmCluster,
) -> None:
    cluster.run(["scontrol", "update", "nodename=n5", "state=down", "reason=disk swap"])
    before = cluster.node("n5")
    assert drain(cluster, "n5").result is Result.FOREIGN
    assert cluster.node("n5") == before
    cluster.run(["scontrol", "update", "nodename=n5", "state=down", "reason=Not responding"])
    done = drain(cluster, "n5")
    assert done.result is Result.DONE
    assert done.view is not None
    assert done.view.down
    assert resume(cluster, "n5", done).result is Result.DONE


def test_a_dynamic_node_is_drained_and_resumed_like_any_other(cluster: SlurmCluster) -> None:
    cluster.start_dynamic("d1")
    cluster.wait_for_node("d1", "idle")
    done = drain(cluster, "d1")
    assert done.result is Result.DONE
    assert done.view is not None
    assert "DYNAMIC_NORM" in done.view.state
    assert resume(cluster, "d1", done).result is Result.DONE


def test_what_sinfo_shows_in_twenty_columns_names_mark_and_object(cluster: SlurmCluster) -> None:
    assert drain(cluster, "n6").result is Result.DONE
    lines = cluster.run(["sinfo", "-R"]).splitlines()
    (line,) = [line for line in lines if line.rstrip().endswith("n6")]
    shown = line[:20]
    assert shown.startswith(f"{MARK} GPU3 Xid")
    free(cluster, "n6")


def test_the_longest_reason_comes_back_whole_and_a_longer_one_is_not_sent(
    cluster: SlurmCluster,
) -> None:
    longest = f"{REASON} {'x' * 200}"[: REASON_LIMIT - 1]
    done = drain(cluster, "n7", longest)
    assert done.result is Result.DONE
    assert cluster.node("n7").reason == longest
    assert done.view is not None
    assert done.view.reason == longest
    assert resume(cluster, "n7", done).result is Result.DONE
    assert drain(cluster, "n7", longest + "x").result is Result.REFUSED
    assert not cluster.node("n7").state.startswith("drain")


def test_a_reason_from_slurm_conf_is_a_persons_though_nobody_has_signed_it() -> None:
    planned = {"NodeName": 'x1 NodeAddr=127.0.0.1 Port=1 State=DOWN Reason="disk swap, ask Ann"'}
    with SlurmCluster(nodes=1, partitions={"main": "n1"}, extra=planned) as cluster:
        before = cluster.run(["scontrol", "-o", "show", "node", "x1"])
        answer = drain(cluster, "x1")
        assert answer.result is Result.FOREIGN
        assert "disk swap, ask Ann" in answer.message
        assert cluster.run(["scontrol", "-o", "show", "node", "x1"]) == before


def test_a_future_node_is_hidden_from_us_too_and_that_is_said() -> None:
    planned = {"NodeName": "x1 NodeAddr=127.0.0.1 Port=1 State=FUTURE"}
    with SlurmCluster(nodes=1, partitions={"main": "n1"}, extra=planned) as cluster:
        answer = drain(cluster, "x1")
        assert answer.result is Result.REFUSED
        assert "hides it as FUTURE" in answer.message
