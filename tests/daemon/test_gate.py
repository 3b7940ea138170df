"""The keeper of the gate's file: closed only where it must be, renewed only while we live."""

from pathlib import Path

from msgspec import structs

from hpcdoctor.daemon.gate import GateKeeper, gate_of
from hpcdoctor.definitions.settings import Authority
from hpcdoctor.model import gate
from hpcdoctor.model.decision import Mode
from hpcdoctor.model.gate import Answer, Gate
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Hold, Node, Quarantine, State

NOW = Instant("boot", 1000.5, 2000.0)
WELL = Node(name="n1", state=State.HEALTHY, since=NOW)
CLAIM = Quarantine(incident="k3f9", epoch=1, reason="hd:k3f9.1 GPU3 lost; rule x", since=NOW)
OUT = structs.replace(WELL, state=State.DRAINED, quarantine=CLAIM)


def said(node: Node, mode: Mode = Mode.ACT, now: Instant = NOW) -> Gate:
    return gate_of(node, mode, Authority.NODE, now, 4711)


def test_only_a_quarantine_in_force_in_act_mode_closes_it() -> None:
    assert said(OUT).answer is Answer.CLOSED
    assert said(OUT, Mode.SHADOW).answer is Answer.OPEN
    assert said(WELL).answer is Answer.OPEN
    assert said(structs.replace(WELL, state=State.WAITING)).answer is Answer.OPEN


def test_under_a_hold_it_is_open_and_says_who_holds_the_node() -> None:
    held = structs.replace(OUT, hold=Hold(who="ann", why="memtest", since=NOW))
    assert (said(held).answer, said(held).reason) == (
        Answer.OPEN,
        "held by ann: the gate stays open",
    )
    odd = structs.replace(held, hold=Hold(who='a"b\n\u00e9' * 90, why="", since=NOW))
    assert gate.parse(said(odd).line()) == said(odd)


def test_what_is_written_is_read_back_whole_and_by_everybody(tmp_path: Path) -> None:
    GateKeeper(tmp_path).keep(said(OUT), 1)
    path = tmp_path / gate.FILE
    assert gate.parse(path.read_text()) == said(OUT)
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.iterdir()] == [gate.FILE]


def test_a_change_is_written_at_once_and_the_heartbeat_when_it_is_due(tmp_path: Path) -> None:
    keeper, path = GateKeeper(tmp_path), tmp_path / gate.FILE

    def at() -> int:
        found = gate.parse(path.read_text())
        assert found is not None
        return found.at_seconds

    keeper.keep(said(WELL), 1)
    keeper.keep(said(WELL, now=NOW.plus(29)), 2)
    assert at() == 1000
    keeper.keep(said(WELL, now=NOW.plus(30)), 3)
    assert at() == 1030
    keeper.keep(said(OUT, now=NOW.plus(31)), 3)
    assert "closed" in path.read_text()


def test_a_pipeline_that_is_stuck_lets_the_line_grow_old(tmp_path: Path) -> None:
    keeper, path = GateKeeper(tmp_path), tmp_path / gate.FILE
    keeper.keep(said(WELL), 1)
    keeper.keep(said(WELL, now=NOW.plus(300)), 1)
    assert " 1000 " in path.read_text()


def test_what_cannot_be_written_is_told_until_it_can(tmp_path: Path) -> None:
    keeper = GateKeeper(tmp_path / "run")
    keeper.keep(said(WELL), 1)
    assert "cannot be written" in keeper.trouble
    (tmp_path / "run").mkdir()
    keeper.keep(said(WELL), 1)
    assert keeper.trouble == ""
