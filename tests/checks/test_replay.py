from collections.abc import Sequence

from msgspec import structs

from hpcdoctor.checks.compiled import CompiledCheck, compile_check
from hpcdoctor.checks.replay import Episode, differences, replay
from hpcdoctor.definitions.check import Check
from hpcdoctor.definitions.loader import Defined, load_definitions
from hpcdoctor.model.finding import Finding
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.probes import registry

SHIPPED = load_definitions().checks["memory-size"]


def check(limit: int) -> dict[str, CompiledCheck]:
    """Return one check: critical below so many bytes."""
    assert SHIPPED.value.critical is not None
    critical = structs.replace(SHIPPED.value.critical, when=f"total_bytes < {limit}", hold="0s")
    value: Check = structs.replace(
        SHIPPED.value, critical=critical, warning=None, clear_after="0s", expected=None, where=None
    )
    compiled = compile_check(Defined(value, SHIPPED.source), registry.find("memory"), {})
    return {"memory-size": compiled}


def look(minute: int, value: int, boot: str = "one") -> Look:
    now = Instant(boot, 5000.0 + 60 * minute, 1e9 + 60 * minute)
    return Look("memory", ReadStatus.READ, now, readings=[{"total_bytes": value}])


def drain(findings: Sequence[Finding], _now: Instant) -> tuple[str, str] | None:
    return ("drain by r", "too little") if findings else None


LOOKS = [look(0, 500), look(1, 90), look(2, 300), look(3, 500), look(4, 250)]


def told(episodes: list[Episode]) -> list[tuple[str, float, float | None]]:
    return [
        (each.kind, (each.begin - 1e9) / 60, each.end and (each.end - 1e9) / 60)
        for each in episodes
    ]


def test_an_episode_lasts_from_its_first_look_to_its_last() -> None:
    episodes = replay(LOOKS, check(400), {}, drain)
    assert told(episodes) == [
        ("decision", 1, 3),
        ("finding", 1, 3),
        ("decision", 4, None),
        ("finding", 4, None),
    ]


def test_only_what_would_have_been_otherwise_is_told() -> None:
    strict, lax = (replay(LOOKS, check(limit), {}, drain) for limit in (400, 100))
    assert differences(strict, strict) == []
    found = differences(strict, lax)
    assert [(each.how, each.episode.kind) for each in found] == [
        ("changed", "decision"),
        ("changed", "finding"),
        ("gone", "decision"),
        ("gone", "finding"),
    ]
    assert found[0].before is not None
    assert (found[0].before.end, found[0].episode.end) == (1e9 + 180, 1e9 + 120)
    assert [each.how for each in differences(lax, strict)][-1] == "new"


def test_a_reboot_in_the_record_is_no_obstacle() -> None:
    looks = [
        look(0, 90),
        structs.replace(look(5, 90, "two"), taken=Instant("two", 10.0, 1e9 + 300)),
    ]
    assert told(replay(looks, check(400), {}, drain))[-1] == ("finding", 0, None)
