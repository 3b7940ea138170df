"""What does hpcdoctor do when Slurm, or the way to it, is broken? Each row of docs/slurm-faults.md.

Real Slurm, and for what is about the whole: a daemon and a helper as processes, with a prober that
shows them the fault when the test says so. A row's promise is its test; the page is held to it.
"""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hpcdoctor.actions.perform import perform
from hpcdoctor.actions.programs import Finished, Programs
from hpcdoctor.actions.schedulers import connect
from hpcdoctor.actions.schedulers.slurm import SlurmScheduler
from hpcdoctor.actions.slurm_commands import Commands
from hpcdoctor.definitions.settings import Limit, SchedulerName, Settings, Slurm
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from tests.conftest import CHECKOUT
from tests.doubles.crowd import Crowd
from tests.doubles.fuse import FuseMount, needs_fuse
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

PAGE = CHECKOUT / "docs/slurm-faults.md"
MARK = "hd:k3f9.1"
REASON = f"{MARK} GPU3 Xid79 off bus; rule gpu-lost"
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
# A dead or frozen controller is told after these; the usual 10 s show the same, later.
QUICK = {"MessageTimeout": "2", "TCPTimeout": "1"}


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster(
        nodes=4, partitions={"main": "n[1-4]", "few": "n[3-4]"}, extra=QUICK
    ) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """Give the cluster with all nodes in service, and leave it so."""
    yield shared_cluster
    for name, seen in shared_cluster.all_nodes().items():
        if seen.state.startswith("drain"):
            shared_cluster.resume(name)
    for name in shared_cluster.nodes:
        shared_cluster.wait_for_node(name, "idle", seconds=60)


def settings(
    cluster: SlurmCluster, node: str = "n1", *, conf: str = "", programs: str | None = None
) -> Settings:
    slurm = Slurm(node_name=node, conf=conf or str(cluster.conf), programs=programs)
    return Settings(scheduler=SchedulerName.SLURM, slurm=slurm, limit=Limit(nodes=2))


def drain(known: Settings, programs: Programs | None = None, mark: str = MARK) -> ActionResult:
    reason = REASON.replace(MARK, mark)
    action = Action("k3f9.1.1", Operation.DRAIN, reason, mark)
    return perform(action, connect(known, programs or Programs()))


def resume(known: Settings, drained: ActionResult) -> ActionResult:
    assert drained.view is not None
    by, at = drained.view.reason_by, drained.view.reason_at
    action = Action("k3f9.1.2", Operation.RESUME, mark=MARK, claimed_by=by, claimed_at=at)
    return perform(action, connect(known, Programs()))


def look(known: Settings) -> ActionResult:
    return perform(Action("look", Operation.READ, mark=MARK), connect(known, Programs()))


def wait_for_because(crowd: Crowd, name: str, *words: str, seconds: float = 40.0) -> Any:  # noqa: ANN401  # JSON
    def said() -> Any:  # noqa: ANN401
        status = crowd.status(name)
        waits = status is not None and status["state"] == "waiting"
        return status if waits and all(word in status["because"] for word in words) else None

    return wait_for(f"{name} to say {words}: {crowd.status(name)}", said, seconds)


def wait_until_out(cluster: SlurmCluster, *names: str, seconds: float = 60.0) -> None:
    wait_for(f"{names} to be out", lambda: cluster.out() == sorted(names), seconds)


# The page


def promised() -> dict[str, str]:
    rows = re.findall(r"^\| `([a-z-]+)` \|[^|]*\|([^|]*)\|$", PAGE.read_text(), re.MULTILINE)
    return {name: outcome.strip() for name, outcome in rows}


def test_every_row_of_the_page_has_its_test_and_every_test_its_row() -> None:
    tests = {
        name.removeprefix("test_row_").replace("_", "-")
        for name in globals()
        if name.startswith("test_row_")
    }
    assert set(promised()) == tests
    assert all(promised().values())


# The controller


def test_row_controller_gone(installed: Path, cluster: SlurmCluster) -> None:
    with Crowd(installed, cluster, names=["n1"]) as crowd:
        cluster.stop_controller()
        crowd.break_down(["n1"])
        status = wait_for_because(crowd, "n1", "Slurm's controller", "Unable to contact")
        assert status["quarantine"] is None
        assert "asked for again in" in status["next"]
        cluster.start_controller()
        wait_until_out(cluster, "n1")
        wait_for("the claim", lambda: crowd.status("n1")["quarantine"])


def test_row_controller_frozen(installed: Path, cluster: SlurmCluster) -> None:
    with Crowd(installed, cluster, names=["n1"]) as crowd:
        cluster.freeze()
        crowd.break_down(["n1"])
        try:
            wait_for_because(crowd, "n1", "Slurm's controller", "timed out")
        finally:
            cluster.thaw()
        wait_until_out(cluster, "n1")
        first = cluster.node("n1")
        claim = wait_for("the claim", lambda: crowd.status("n1")["quarantine"])
        assert claim == first.reason
        crowd.mend(["n1"])
        cluster.wait_for_node("n1", "idle")


class FreezesBeforeUpdate(Programs):
    """Lets the controller hang in the worst moment: between our read and our write."""

    def __init__(self, cluster: SlurmCluster) -> None:
        super().__init__()
        self.cluster = cluster

    def run(
        self, argv: Sequence[str], *, deadline_seconds: float, environment: Mapping[str, str]
    ) -> Finished:
        if "update" in argv:
            self.cluster.freeze()
        return super().run(argv, deadline_seconds=deadline_seconds, environment=environment)


def test_row_drain_executed_late_and_twice(cluster: SlurmCluster) -> None:
    known = settings(cluster)
    try:
        assert drain(known, FreezesBeforeUpdate(cluster)).result is Result.NO_ANSWER
        # Once more, past our own reading, as a helper would that had read before the hang.
        again = ["scontrol", "update", "nodename=n1", "state=drain", f"reason={REASON}"]
        with pytest.raises(RuntimeError):
            cluster.run(again)
    finally:
        cluster.thaw()
    cluster.wait_for_node("n1", "drained")
    found = drain(known)
    assert found.result is Result.DONE
    assert found.view is not None
    assert found.view.reason == REASON
    time.sleep(1.1)  # the resolution of Slurm's times
    assert look(known).view == found.view, "the second one changes nothing"
    assert resume(known, found).result is Result.DONE


def test_row_controller_restarts_while_drained(cluster: SlurmCluster) -> None:
    known = settings(cluster)
    done = drain(known)
    cluster.stop_controller()
    cluster.start_controller()
    assert cluster.node("n1").reason == REASON
    assert resume(known, done).result is Result.DONE


def test_row_controller_loses_our_drain(installed: Path, cluster: SlurmCluster) -> None:
    with Crowd(installed, cluster, names=["n1"]) as crowd:
        with cluster.controller_loses():
            crowd.break_down(["n1"])
            first = wait_for("the claim", lambda: crowd.status("n1")["quarantine"])
        wait_until_out(cluster, "n1", seconds=120)
        assert cluster.node("n1").reason == first
        status = wait_for("the claim", lambda: crowd.status("n1"))
        assert status["quarantine"] == first


# Credentials


def test_row_munge_stopped(installed: Path, cluster: SlurmCluster) -> None:
    with Crowd(installed, cluster, names=["n1"]) as crowd:
        cluster.stop_munge()
        crowd.break_down(["n1"])
        try:
            wait_for_because(crowd, "n1", "munge does not work here", "look after munged")
        finally:
            cluster.start_munge()
        wait_until_out(cluster, "n1")


@pytest.mark.soak  # a read is given up after 15 s
def test_row_munge_hung(installed: Path, cluster: SlurmCluster) -> None:
    munged = cluster.pid("munged")
    with Crowd(installed, cluster, names=["n1"]) as crowd:
        os.kill(munged, signal.SIGSTOP)
        crowd.break_down(["n1"])
        try:
            wait_for_because(crowd, "n1", "gave no answer within 15 s")
        finally:
            os.kill(munged, signal.SIGCONT)
        wait_until_out(cluster, "n1")


@contextlib.contextmanager
def other_munge(cluster: SlurmCluster, key: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Give a slurm.conf of a node that has a munged of its own."""
    folder = cluster.folder / f"munge-{time.monotonic_ns()}"
    folder.mkdir(mode=0o755)
    options = [f"--{name}={folder / name}" for name in ("socket", "pid-file", "seed-file")]
    munged = subprocess.Popen(
        ["munged", "--foreground", "--force", f"--key-file={key}", *options],
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    conf = folder / "slurm.conf"
    before = f"socket={cluster.folder}/munge.sock"
    conf.write_text(cluster.conf.read_text().replace(before, f"socket={folder}/socket"))
    try:
        wait_for("the other munged", (folder / "socket").exists)
        yield conf
    finally:
        munged.terminate()
        munged.wait(10)


def test_row_wrong_munge_key(cluster: SlurmCluster) -> None:
    key = cluster.folder / "other-key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    with other_munge(cluster, key, {}) as conf:
        answer = drain(settings(cluster, conf=str(conf)))
    assert answer.result is Result.NO_ANSWER
    assert "is this node's munge key the controller's" in answer.message
    assert cluster.node("n1").state == "idle"


class AsNobody(Programs):
    """Runs everything as an ordinary user."""

    def run(
        self, argv: Sequence[str], *, deadline_seconds: float, environment: Mapping[str, str]
    ) -> Finished:
        become = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        return super().run(
            [*become, *argv], deadline_seconds=deadline_seconds, environment=environment
        )


def test_row_no_rights(cluster: SlurmCluster) -> None:
    answer = drain(settings(cluster), AsNobody())
    assert answer.result is Result.REFUSED
    assert "the helper must run as root" in answer.message
    assert cluster.node("n1").state == "idle"


# Names


def test_row_node_unknown(installed: Path, cluster: SlurmCluster) -> None:
    with Crowd(installed, cluster, names=["n1"], slurm={"node_name": "nope"}) as crowd:
        crowd.break_down(["n1"])
        status = wait_for_because(crowd, "n1", "Slurm knows no node nope", "slurm.node_name")
        assert status["quarantine"] is None
        assert cluster.out() == []
        crowd.reload("n1", {"node_name": "n1"})
        wait_until_out(cluster, "n1")


def test_row_two_daemons_for_one_node(installed: Path, cluster: SlurmCluster) -> None:
    with Crowd(installed, cluster, names=["a", "b"], slurm={"node_name": "n1"}) as crowd:
        crowd.break_down(["a"])
        wait_for("the first claim", lambda: crowd.status("a")["quarantine"])
        before = cluster.node("n1")
        crowd.break_down(["b"])
        wait_for("the second to see it", lambda: crowd.status("b")["quarantine"])
        assert cluster.node("n1") == before, "one drain, and nobody has overwritten it"
        assert {crowd.status(name)["quarantine"] for name in "ab"} == {before.reason}
        assert "adopted" in crowd.status("b")["because"] or crowd.status("b")["incident"]


# Time


@pytest.mark.parametrize("minutes", [-4, 4])
def test_row_clock_skew(cluster: SlurmCluster, minutes: int) -> None:
    def at(node: str) -> SlurmScheduler:
        """Return the adapter of a node whose clock is that far from the controller's."""
        known = settings(cluster, node)
        commands = Commands(known.slurm, Programs())
        return SlurmScheduler(commands, known.limit, clock=lambda: time.time() + 60 * minutes)

    first, second, third = (at(name) for name in ("n1", "n2", "n3"))
    done = first.drain(REASON, MARK)
    assert done.result is Result.DONE
    assert done.view is not None
    assert second.drain(REASON.replace(MARK, "hd:aaaa.1"), "hd:aaaa.1").result is Result.DONE
    over = third.drain(REASON.replace(MARK, "hd:bbbb.1"), "hd:bbbb.1")
    assert over.result is Result.OVER_LIMIT
    assert first.look(MARK).result is Result.DONE
    back = first.resume(MARK, done.view.reason_by, done.view.reason_at)
    assert back.result is Result.DONE
    assert cluster.out() == ["n2"]


@pytest.mark.skipif(FAKETIME is None, reason="the package faketime is not installed")
def test_row_clock_too_far_off_for_munge(cluster: SlurmCluster) -> None:
    key = cluster.folder / "munge/key"
    faked = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "-2h"}
    with other_munge(cluster, key, faked) as conf:
        answer = drain(settings(cluster, conf=str(conf)))
    assert answer.result is Result.NO_ANSWER
    assert "clock within five minutes" in answer.message
    assert cluster.node("n1").state == "idle"


# Slow


def wrapped(cluster: SlurmCluster, scontrol: str, sinfo: str = "") -> Path:
    """Return a folder whose scontrol and sinfo do this first."""
    folder = cluster.folder / f"wrapped-{time.monotonic_ns()}"
    folder.mkdir(mode=0o755)
    for name, first in (("scontrol", scontrol), ("sinfo", sinfo)):
        (folder / name).write_text(f'#!/bin/sh\n{first}\nexec /usr/bin/{name} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def test_row_slow_scontrol(installed: Path, cluster: SlurmCluster) -> None:
    folder = wrapped(cluster, "sleep 1")
    with Crowd(installed, cluster, names=["n1"], slurm={"programs": str(folder)}) as crowd:
        crowd.break_down(["n1"])
        wait_until_out(cluster, "n1")
        wait_for("the claim", lambda: crowd.status("n1")["quarantine"])


def test_row_person_drains_during_the_slow_count(cluster: SlurmCluster) -> None:
    theirs = (
        f"SLURM_CONF={cluster.conf} /usr/bin/scontrol update nodename=n1 state=drain reason=ann"
    )
    folder = wrapped(cluster, "", f"[ -e '{cluster.folder}/run/once' ] || {theirs}")
    answer = drain(settings(cluster, programs=str(folder)))
    assert answer.result is Result.FOREIGN
    assert cluster.node("n1").reason == "ann"


@pytest.mark.soak  # a read is given up after 15 s
def test_row_scontrol_never_ends(cluster: SlurmCluster) -> None:
    answer = drain(settings(cluster, programs=str(wrapped(cluster, "sleep 3600"))))
    assert answer.result is Result.NO_ANSWER
    assert "gave no answer within 15 s" in answer.message
    assert cluster.node("n1").state == "idle"


def test_row_scontrol_cannot_be_started(cluster: SlurmCluster) -> None:
    folder = wrapped(cluster, "")
    (folder / "scontrol").chmod(0o644)
    answer = drain(settings(cluster, programs=str(folder)))
    assert answer.result is Result.REFUSED
    assert "slurm.programs" in answer.message


# Partitions


class Meanwhile(Programs):
    """Lets somebody change the world once, before the first program with that name."""

    def __init__(self, name: str, change: Callable[[], object]) -> None:
        super().__init__()
        self.name = name
        self.change: Callable[[], object] | None = change

    def run(
        self, argv: Sequence[str], *, deadline_seconds: float, environment: Mapping[str, str]
    ) -> Finished:
        if self.name in argv[0] and self.change is not None:
            change, self.change = self.change, None
            change()
        return super().run(argv, deadline_seconds=deadline_seconds, environment=environment)


def update_partition(cluster: SlurmCluster, *changes: str) -> None:
    cluster.run(["scontrol", "update", *changes])


def test_row_node_leaves_its_partition_meanwhile(cluster: SlurmCluster) -> None:
    leave = Meanwhile("sinfo", lambda: update_partition(cluster, "partitionname=few", "nodes=n4"))
    try:
        answer = drain(settings(cluster, "n3"), leave)
        assert answer.result is Result.DONE
        assert cluster.out() == ["n3"]
    finally:
        update_partition(cluster, "partitionname=few", "nodes=n[3-4]")


def test_row_partition_is_deleted_meanwhile(cluster: SlurmCluster) -> None:
    gone = Meanwhile("sinfo", lambda: cluster.run(["scontrol", "delete", "partitionname=few"]))
    known = settings(cluster, "n3")
    try:
        answer = drain(known, gone)
        assert answer.result is Result.NO_ANSWER
        assert "few" in answer.message
        assert cluster.out() == []
        assert drain(known).result is Result.DONE, "asked again, it counts what is there now"
    finally:
        cluster.run(["scontrol", "create", "partitionname=few", "nodes=n[3-4]"])


def test_row_partition_grows_meanwhile(cluster: SlurmCluster) -> None:
    half = Limit(nodes=1, share_ratio=0.5)
    update_partition(cluster, "partitionname=main", "nodes=n[1-2]")
    try:
        one, two = (
            Settings(
                scheduler=SchedulerName.SLURM,
                slurm=Slurm(node_name=name, conf=str(cluster.conf)),
                limit=half,
            )
            for name in ("n1", "n2")
        )
        assert drain(one).result is Result.DONE
        assert drain(two, mark="hd:aaaa.1").result is Result.OVER_LIMIT
        update_partition(cluster, "partitionname=main", "nodes=n[1-4]")
        assert drain(two, mark="hd:aaaa.1").result is Result.DONE
    finally:
        update_partition(cluster, "partitionname=main", "nodes=n[1-4]")


def test_row_node_in_two_partitions(cluster: SlurmCluster) -> None:
    def one_each(name: str) -> Settings:
        slurm = Slurm(node_name=name, conf=str(cluster.conf))
        limit = Limit(nodes=1, share_ratio=0.5)  # 2 of main, 1 of few
        return Settings(scheduler=SchedulerName.SLURM, slurm=slurm, limit=limit)

    assert drain(one_each("n3")).result is Result.DONE
    answer = drain(one_each("n4"), mark="hd:aaaa.1")
    assert answer.result is Result.OVER_LIMIT
    assert "partition few" in answer.message
    assert drain(one_each("n1"), mark="hd:aaaa.1").result is Result.DONE


# slurm.conf


def test_row_conf_missing(installed: Path, cluster: SlurmCluster) -> None:
    conf = cluster.folder / "elsewhere.conf"
    with Crowd(installed, cluster, names=["n1"], slurm={"conf": str(conf)}) as crowd:
        crowd.break_down(["n1"])
        status = wait_for_because(crowd, "n1", f"{conf} (slurm.conf) cannot be read")
        assert "asked for again in" in status["next"]
    conf.symlink_to(cluster.conf)
    assert drain(settings(cluster, conf=str(conf))).result is Result.DONE
    conf.unlink()


def test_row_conf_unreadable(cluster: SlurmCluster) -> None:
    conf = cluster.folder / "closed.conf"
    conf.write_text(cluster.conf.read_text())
    conf.chmod(0o600)
    answer = drain(settings(cluster, conf=str(conf)), AsNobody())
    assert answer.result is Result.REFUSED
    assert f"{conf} (slurm.conf) cannot be read" in answer.message


def test_row_conf_half_written(cluster: SlurmCluster) -> None:
    conf = cluster.folder / "half.conf"
    conf.write_text(cluster.conf.read_text()[:30])
    answer = drain(settings(cluster, conf=str(conf)))
    assert answer.result is Result.NO_ANSWER
    assert "configuration" in answer.message
    conf.write_text(cluster.conf.read_text())
    assert drain(settings(cluster, conf=str(conf))).result is Result.DONE


@needs_fuse
def test_row_conf_on_a_hung_file_system(cluster: SlurmCluster, tmp_path: Path) -> None:
    with FuseMount(tmp_path) as mount:
        conf = mount.mount_point / "slurm.conf"
        conf.write_text(cluster.conf.read_text())
        known = settings(cluster, conf=str(conf))
        assert look(known).result is Result.DONE
        programs = Programs()
        mount.set("hang")
        started = time.monotonic()
        answer = drain(known, programs)
        assert answer.result is Result.NO_ANSWER
        assert time.monotonic() - started < 20, "the helper itself never waits on it"
        mount.set("ok")
        assert drain(known, programs).result is Result.DONE
        left = programs._left_behind  # what sat in the kernel until the file server answered
        wait_for("the readers to end", lambda: all(one.poll() is not None for one in left))


# People


def test_row_person_takes_the_node_over(cluster: SlurmCluster) -> None:
    known = settings(cluster)
    done = drain(known)
    cluster.run(["scontrol", "update", "nodename=n1", "reason=I look at it"])
    assert resume(known, done).result is Result.NOT_OURS
    assert cluster.node("n1").reason == "I look at it"


def test_row_person_adds_to_our_reason(cluster: SlurmCluster) -> None:
    known = settings(cluster)
    done = drain(known)
    theirs = f"{REASON}; alice: do not resume, memtest"
    cluster.run(["scontrol", "update", "nodename=n1", f"reason={theirs}"])
    before = cluster.node("n1")
    assert resume(known, done).result is Result.NOT_OURS
    assert drain(known).result is Result.FOREIGN, "nor is it found and counted as our own"
    assert drain(known, mark="hd:aaaa.1").result is Result.FOREIGN, "nor adopted"
    assert look(known).result is Result.DONE
    assert cluster.node("n1") == before


def test_row_person_drains_first(cluster: SlurmCluster) -> None:
    cluster.drain("n1", "Not responding, Ann looks at it")
    before = cluster.node("n1")
    assert drain(settings(cluster)).result is Result.FOREIGN
    assert cluster.node("n1") == before


def test_row_person_resumes_before_we_do(cluster: SlurmCluster) -> None:
    known = settings(cluster)
    done = drain(known)
    race = Meanwhile("scontrol", lambda: cluster.resume("n1"))
    assert done.view is not None
    by, at = done.view.reason_by, done.view.reason_at
    action = Action("k3f9.1.2", Operation.RESUME, mark=MARK, claimed_by=by, claimed_at=at)
    assert perform(action, connect(known, race)).result is Result.NOT_OURS
    cluster.wait_for_node("n1", "idle")


def test_row_another_mark_stands_there(cluster: SlurmCluster) -> None:
    cluster.drain("n1", "hd:zzzz.3 IB0 flaps; rule r")
    answer = drain(settings(cluster))
    assert answer.result is Result.NOT_OURS
    assert "hd:zzzz.3" in answer.message
    assert cluster.node("n1").reason.startswith("hd:zzzz.3 ")


def test_row_reason_of_two_lines(cluster: SlurmCluster) -> None:
    cluster.drain("n1", "disk swap\nask Ann [eve@2026-01-01T00:00:00]")
    answer = drain(settings(cluster))
    assert answer.result is Result.FOREIGN
    assert "disk swap" in answer.message
