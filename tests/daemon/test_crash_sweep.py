"""Is the state after a crash, at any boundary, one that a run without a crash could have reached?

A fault drains a node, a remediation is carried out, verified, and the node is put back; or it does
not help, and the node ends with people. The daemon is killed before and after every statement of
its database and around every action: each seventeenth place in `make test`, all in `make soak`.
"""

from pathlib import Path

import pytest

from hpcdoctor.knowledge import Knowledge
from hpcdoctor.model.node import State
from tests.daemon.crash import World, knowledge

ROUNDS = 50
EVERY = 17


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Knowledge:
    return knowledge(tmp_path_factory.mktemp("site"))


def story(folder: Path, known: Knowledge, helps: str, crash_at: set[int] | None = None) -> World:
    world = World(folder, known, helps, crash_at or set())

    def happens(number: int) -> None:
        if number == 2:
            world.broken = True

    world.live(ROUNDS, happens)
    return world


def assert_could_have_been(world: World, where: str) -> None:
    """Hold what came out against what must never be."""
    node = world.node
    tried = [action.remediation for action in world.done]
    assert len(tried) == len(set(tried)), f"{where}: {tried}: a step was carried out twice"
    assert len({action.id for action in world.done}) == len(world.done), where
    assert node.pending is None, f"{where}: something is waited for, for ever"
    if node.state in (State.HEALTHY, State.PROBATION):
        assert not world.reason, f"{where}: the drain was forgotten"
        assert not world.broken, f"{where}: back in service with its fault"
    else:
        assert node.state is State.HANDED_OVER, f"{where}: {node.state}: {node.because}"
        assert world.reason, f"{where}: with people, and in service"
    if world.reason:
        assert node.quarantine is not None, f"{where}: a lost quarantine"
        assert world.reason.startswith(f"hd:{node.quarantine.incident}."), where
    opened = [one for one in world.events.values() if one == "incident.opened"]
    assert len(opened) == 1, f"{where}: {len(opened)} incidents for one fault"
    claimed = [one for one in world.events.values() if one == "quarantine.claimed"]
    assert len(claimed) == 1, f"{where}: {len(claimed)} claims for one drain"


def test_the_story_without_a_crash(tmp_path: Path, known: Knowledge) -> None:
    mended = story(tmp_path / "a", known, "mend")
    assert mended.node.state is State.HEALTHY
    assert [action.remediation for action in mended.done] == ["mend"]
    assert_could_have_been(mended, "no crash")
    second = story(tmp_path / "b", known, "mend-more")
    assert [action.remediation for action in second.done] == ["mend", "mend-more"]
    assert second.node.state in (State.HEALTHY, State.PROBATION)
    hopeless = story(tmp_path / "c", known, "nothing")
    assert hopeless.node.state is State.HANDED_OVER
    assert mended.boundaries > 300


def sweep(folder: Path, known: Knowledge, helps: str, every: int, first: int) -> None:
    last = story(folder / "whole", known, helps).boundaries
    for place in range(first, last + 1, every):
        world = story(folder / str(place), known, helps, {place})
        assert world.crashes == 1
        assert_could_have_been(world, f"killed at boundary {place} of {last}")


@pytest.mark.parametrize(("helps", "first"), [("mend", 1), ("mend-more", 6), ("nothing", 11)])
def test_killed_once(tmp_path: Path, known: Knowledge, helps: str, first: int) -> None:
    sweep(tmp_path, known, helps, EVERY, first)


def test_killed_twice(tmp_path: Path, known: Knowledge) -> None:
    last = story(tmp_path / "whole", known, "mend").boundaries
    for place in range(5, last, 7 * EVERY):
        for soon in (1, 4, 23):
            where = {place, place + soon}
            world = story(tmp_path / f"{place}-{soon}", known, "mend", where)
            assert_could_have_been(world, f"killed at {sorted(where)}")


@pytest.mark.soak
@pytest.mark.parametrize("helps", ["mend", "mend-more", "nothing"])
def test_killed_at_every_boundary(tmp_path: Path, known: Knowledge, helps: str) -> None:
    sweep(tmp_path, known, helps, 1, 1)
