from collections import Counter

from hpcdoctor.checks.compiled import CompiledCheck, compile_check
from hpcdoctor.daemon.readings import Schedule
from hpcdoctor.definitions.loader import load_definitions
from hpcdoctor.probes import registry

NAMES = ("filesystem-latency", "memory-size")
TICK_SECONDS = 5.0


def checks() -> dict[str, CompiledCheck]:
    definitions = load_definitions()
    defined = {name: definitions.checks[name] for name in NAMES}
    return {
        name: compile_check(each, registry.find(each.value.probe), {})
        for name, each in defined.items()
    }


def ticks_of(schedule: Schedule, probe: str) -> list[int]:
    return [tick for tick in range(1, 25) if probe in schedule.due(tick)]


def test_each_node_looks_at_shared_things_in_its_own_turn() -> None:
    compiled = checks()
    turns = Counter(
        ticks_of(Schedule(compiled, TICK_SECONDS, f"node{number:04}"), "filesystem_latency")[0]
        for number in range(600)
    )
    assert len(turns) == 6, "30 s are six ticks"
    assert max(turns.values()) < 150, "and no tick has a storm"


def test_the_interval_stays_what_the_check_says() -> None:
    first, *rest = ticks_of(Schedule(checks(), TICK_SECONDS, "n1"), "filesystem_latency")
    assert [tick - first for tick in rest] == [6, 12, 18]


def test_what_no_other_node_shares_is_due_all_at_once() -> None:
    compiled = checks()
    assert {
        tuple(ticks_of(Schedule(compiled, TICK_SECONDS, f"n{number}"), "memory"))
        for number in range(20)
    } == {tuple(ticks_of(Schedule(compiled, TICK_SECONDS, "n0"), "memory"))}
