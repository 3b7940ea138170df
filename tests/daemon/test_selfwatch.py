"""Are the facts about our own parts right, told once, and seen by no rule?"""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpcdoctor import knowledge
from hpcdoctor.daemon.pipeline import Words
from hpcdoctor.daemon.selfwatch import SelfWatch, blind_rules, changes, stamp_of
from hpcdoctor.daemon.story import Told
from hpcdoctor.events.vocabulary import SelfNotice
from hpcdoctor.knowledge import Knowledge
from hpcdoctor.model.action import Operation
from hpcdoctor.model.decision import Mode
from hpcdoctor.model.instant import Instant
from hpcdoctor.report.illness import CODES, Facts
from tests.daemon.test_pipeline import World
from tests.doubles.waiting import wait_for


class Watched:
    """A watch on injected facts and an injected clock."""

    def __init__(self, folder: Path) -> None:
        self.known = msgspec.structs.replace(knowledge.load(folder), configuration=folder)
        self.boottime, self.offset = 1000.0, 1.8e9
        self.facts: dict[str, Any] = {}
        self.watch = SelfWatch(self._knowledge, self._gather, self.clock)

    def _knowledge(self) -> Knowledge:
        return self.known

    def _gather(self, facts: Facts) -> Facts:
        return msgspec.structs.replace(facts, **self.facts)

    def clock(self) -> Instant:
        return Instant("boot", self.boottime, self.boottime + self.offset)

    def tick(self, seconds: float = 5.0) -> list[str]:
        self.boottime += seconds
        told = self.watch.tick()
        return [f"{one.type.rpartition('.')[2]} {one.subject}" for one in told]

    @property
    def codes(self) -> list[str]:
        return [notice.code for notice in self.watch.notices()]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_an_illness_is_told_once_when_it_lasts_and_once_when_it_is_over(watched: Watched) -> None:
    assert watched.tick() == []
    watched.facts = {"prober_connected": False}
    assert watched.codes == ["prober-away"], "who asks is told at once"
    assert watched.tick() == [], "a part that is started anew is away for a moment"
    assert watched.tick() == ["noticed prober-away"]
    assert watched.tick() == []
    watched.facts = {}
    assert watched.tick() == ["cleared prober-away"]
    assert watched.tick() == []


def test_a_part_that_is_away_for_one_tick_is_not_told(watched: Watched) -> None:
    watched.facts = {"prober_connected": False}
    watched.tick()
    watched.facts = {}
    assert watched.tick() == []


def test_a_clock_that_jumps_is_told_for_an_hour_and_one_that_is_slewed_is_not(
    watched: Watched,
) -> None:
    for _ in range(100):
        watched.offset += 0.0025  # the most by which a clock is slewed in 5 s
        watched.tick()
    assert "clock-stepped" not in watched.codes
    watched.offset -= 300
    watched.tick()
    assert "clock-stepped" in watched.codes
    (notice,) = [one for one in watched.watch.notices() if one.code == "clock-stepped"]
    assert "5 min backwards" in notice.what
    watched.tick(3700)
    assert "clock-stepped" not in watched.codes


def test_a_suspended_machine_is_no_clock_that_jumped(watched: Watched) -> None:
    watched.tick()
    watched.tick(8 * 3600)  # both clocks go on
    assert "clock-stepped" not in watched.codes


def test_a_file_that_is_changed_new_or_gone_is_named_until_the_reload(
    watched: Watched, tmp_path: Path
) -> None:
    watched.tick()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/mine.yaml").write_text("enabled: false\n")

    def changed() -> bool:
        watched.tick(61)  # one look a minute
        return "configuration-newer" in watched.codes

    wait_for("the notice", changed, 10)
    (notice,) = [one for one in watched.watch.notices() if one.code == "configuration-newer"]
    assert "rules/mine.yaml" in notice.what
    watched.watch.reloaded()
    assert "configuration-newer" not in watched.codes


def test_changes_are_told_by_time_and_by_size(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a")
    (tmp_path / "notes.txt").write_text("no part of it")
    before = stamp_of(tmp_path)
    assert changes(before, stamp_of(tmp_path), tmp_path) == []
    (tmp_path / "notes.txt").write_text("still not")
    (tmp_path / "a.yaml").unlink()
    (tmp_path / "b.yaml").write_text("b")
    assert changes(before, stamp_of(tmp_path), tmp_path) == ["a.yaml", "b.yaml"]


def test_a_rule_whose_check_is_switched_off_is_named_and_shipped_ones_are_not() -> None:
    shipped = knowledge.load(Path("/nonexistent"))
    assert blind_rules(shipped) == {}
    rule = next(rule for rule in shipped.rules.values() if len(rule.when.any) == 1)
    (check,) = rule.when.any
    checks = {name: each for name, each in shipped.checks.items() if name != check}
    assert blind_rules(msgspec.structs.replace(shipped, checks=checks))[rule.rule] == check


def test_losses_of_the_spool_are_those_of_this_hour(watched: Watched) -> None:
    assert watched.watch.lost_lately(500) == 0, "before the start"
    watched.boottime += 60
    assert watched.watch.lost_lately(520) == 20
    watched.boottime += 4000
    assert watched.watch.lost_lately(520) == 0


async def test_no_rule_sees_what_is_wrong_with_ourselves(tmp_path: Path) -> None:
    """Every code at once, in mode act: events are told, and nothing else changes."""
    world = World(tmp_path, mode=Mode.ACT)
    await world.start()
    pipeline = world.pipeline
    before = (pipeline.node, pipeline.decided, dict(pipeline.judge.findings), pipeline.openings)
    told = [
        Told(
            "hpcdoctor.self.noticed",
            SelfNotice(code=code, what="it is ill", do="look", since="2026-11-21T00:00:00.000Z"),
            code,
        )
        for code in CODES
    ]
    await pipeline.take(Words(told))
    assert before == (
        pipeline.node,
        pipeline.decided,
        dict(pipeline.judge.findings),
        pipeline.openings,
    )
    spooled = [one.type for one in world.store.spool.unpublished(1000)]
    assert spooled.count("hpcdoctor.self.noticed") == len(CODES)
    assert not any(kind.startswith(("hpcdoctor.decision", "hpcdoctor.finding")) for kind in spooled)
    action = world.store.next_action()
    assert action is None or action.operation is Operation.READ, "a start reads the scheduler"
