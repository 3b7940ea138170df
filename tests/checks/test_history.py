"""The history survives the daemon, forgets with the boot, and stays within its bytes."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdoctor.checks.history import FORMAT, LIMIT_BYTES, History
from hpcdoctor.checks.series import FIRST
from hpcdoctor.expressions.compile import compile_expression
from hpcdoctor.expressions.expression import Window
from hpcdoctor.expressions.types import Known, Scope, Type, Unknown
from hpcdoctor.model.instant import Instant

SCOPE = Scope({"errors_total": Type.NUMBER, "celsius": Type.NUMBER, "hot": Type.BOOL})


def window(text: str) -> Window:
    return compile_expression(text, SCOPE, None).windows[0]


HOUR = window("increase(errors_total, 1h)")
DAY = window("increase(errors_total, 24h)")
RATE = window("rate(errors_total, 5m)")
P95 = window("p95(celsius, 5m)")
SHARE = window("share(hot, 5m)")
ALL: dict[Window, list[Known]] = {
    HOUR: [10, 17],
    RATE: [10, 17],
    P95: [80, 90.5],
    SHARE: [True, False],
}


def at(seconds: float, boot: str = "boot-1") -> Instant:
    return Instant(boot, 1000 + seconds, 1.7e9 + seconds)


def filled() -> History:
    history = History()
    for look in range(2):
        values = {each: seen[look] for each, seen in ALL.items()}
        history.observe("dimm", "dimm=mc0", values, at(look * 10))
    return history


def answers(history: History, now: Instant) -> list[Known | Unknown]:
    return [history.window("dimm", "dimm=mc0", each, now) for each in ALL]


EXPECTED = [7, 0.7, 90.5, 0.5]


def test_each_window_answers_for_its_own_check_and_subject() -> None:
    history = filled()
    assert answers(history, at(10)) == EXPECTED
    assert history.window("dimm", "dimm=mc1", HOUR, at(10)) == FIRST
    assert history.window("other", "dimm=mc0", HOUR, at(10)) == FIRST
    assert history.window("dimm", "dimm=mc0", DAY, at(10)) == FIRST


def test_it_tells_how_much_of_the_window_it_has_seen() -> None:
    history = filled()
    assert history.covered_seconds("dimm", "dimm=mc0", HOUR, at(10)) == 10
    assert history.covered_seconds("dimm", "dimm=mc0", DAY, at(10)) == 0


def test_what_is_not_known_is_left_out() -> None:
    history = filled()
    history.observe("dimm", "dimm=mc0", {HOUR: None, P95: Unknown("no answer")}, at(20))
    assert answers(history, at(20)) == EXPECTED


def test_a_reset_is_remembered() -> None:
    history = filled()
    assert not history.reset_seen("dimm", "dimm=mc0", HOUR, at(10))
    history.observe("dimm", "dimm=mc0", {HOUR: 2}, at(20))
    assert history.window("dimm", "dimm=mc0", HOUR, at(20)) == 9
    assert history.reset_seen("dimm", "dimm=mc0", HOUR, at(20))


def test_the_maximum_of_a_field_is_taken_from_its_declaration() -> None:
    history = History()
    for seconds in (0, 10):
        history.observe("link", "", {HOUR: 255, P95: 255}, at(seconds), {"errors_total": 255})
    value = history.window("link", "", HOUR, at(10))
    assert isinstance(value, Unknown)
    assert "maximum of 255" in value.reason
    assert history.window("link", "", P95, at(10)) == 255


def test_a_reboot_begins_everything_anew() -> None:
    history = filled()
    assert answers(history, at(5, "boot-2")) == [FIRST] * 4
    # More than before the reboot, and yet no increase: drivers count while links are trained.
    history.observe("dimm", "dimm=mc0", {HOUR: 50}, at(5, "boot-2"))
    assert history.window("dimm", "dimm=mc0", HOUR, at(5, "boot-2")) == FIRST
    history.observe("dimm", "dimm=mc0", {HOUR: 51}, at(15, "boot-2"))
    assert history.window("dimm", "dimm=mc0", HOUR, at(15, "boot-2")) == 1
    assert not history.reset_seen("dimm", "dimm=mc0", HOUR, at(15, "boot-2"))


def test_counters_survive_a_restart_of_the_daemon() -> None:
    history = History()
    assert history.load(filled().dump(), at(60))
    assert answers(history, at(60)) == EXPECTED
    history.observe("dimm", "dimm=mc0", {HOUR: 20}, at(70))
    assert history.window("dimm", "dimm=mc0", HOUR, at(70)) == 10
    assert history.covered_seconds("dimm", "dimm=mc0", HOUR, at(70)) == 70
    again = History()
    assert again.load(history.dump(), at(70))
    assert again.dump() == history.dump()
    assert again.used_bytes == history.used_bytes


def test_a_reset_and_a_maximum_survive_a_restart() -> None:
    before = filled()
    before.observe("dimm", "dimm=mc0", {HOUR: 1}, at(20), {"errors_total": 1})
    history = History()
    assert history.load(before.dump(), at(30))
    assert history.reset_seen("dimm", "dimm=mc0", HOUR, at(30))
    value = history.window("dimm", "dimm=mc0", HOUR, at(30))
    assert isinstance(value, Unknown)
    assert value.at_least == 8


def test_totals_beyond_64_bits_are_written_down_too() -> None:
    before = History()
    for look in range(40):
        value = 16 * 10**18 if look % 2 else 9 * 10**18
        before.observe("c", "", {HOUR: value}, at(look * 10))
    history = History()
    assert history.load(before.dump(), at(400))
    seen = history.window("c", "", HOUR, at(400))
    assert isinstance(seen, float)
    assert seen == pytest.approx(before.window("c", "", HOUR, at(400)))


def test_a_dump_of_another_boot_is_an_empty_history() -> None:
    history = History()
    assert not history.load(filled().dump(), at(60, "boot-2"))
    assert history.series_count == 0


def test_a_dump_from_the_future_is_an_empty_history() -> None:
    history = History()
    assert not history.load(filled().dump(), at(-500))
    assert history.series_count == 0


def series(**changed: object) -> list[object]:
    """One series as dump() writes it, with some of it changed."""
    fields: dict[str, object] = {
        "check": "dimm",
        "subject": "",
        "window": "increase(errors_total, 3600)",
        "function": "increase",
        "name": "errors_total",
        "seconds": 3600.0,
        "times": [900.0, 950.0],
        "values": [0, 5],
        "counts": [],
        "last": 5,
        "mark": None,
        "trouble": "",
    }
    assert changed.keys() <= fields.keys()
    return list((fields | changed).values())


GAUGE: dict[str, object] = {
    "window": "mean(celsius, 288)",
    "function": "mean",
    "seconds": 288.0,
    "times": [900, 950],
    "values": [1.0, 2.0],
    "counts": [1, 1],
    "last": None,
    "mark": 900.5,
}


def loads(*saved: list[object]) -> bool:
    history = History()
    taken = history.load(msgspec.msgpack.encode([FORMAT, "boot-1", list(saved), []]), at(0))
    assert taken or history.series_count == 0
    return taken


def test_the_forms_that_the_next_test_damages_are_good() -> None:
    assert loads(series())
    assert loads(series(**GAUGE))
    assert loads(series(times=[], values=[], last=None, trouble="reads -1"))
    assert loads()


@pytest.mark.parametrize(
    "damage",
    [
        {"function": "median"},
        {"function": "mean"},
        {"window": "increase(errors_total, 60)"},
        {"seconds": 0.0},
        {"seconds": 60.0},
        {"times": [950.0, 900.0]},
        {"times": [900.0]},
        {"times": [900.0, 2000.0]},
        {"times": [float(n) for n in range(500)], "values": list(range(500))},
        {"values": [5, 0]},
        {"values": [0.0, float("nan")]},
        {"last": None},
        {"last": "5"},
        GAUGE | {"counts": [1]},
        GAUGE | {"counts": [1, 0]},
        GAUGE | {"times": [900.5, 950]},
        GAUGE | {"times": [-1, 950]},
        GAUGE | {"times": [900, 5000]},
        GAUGE | {"mark": None},
        GAUGE | {"values": [1.0, float("inf")]},
    ],
)
def test_a_damaged_series_makes_an_empty_history(damage: dict[str, object]) -> None:
    assert not loads(series(), series(**damage))


def test_a_foreign_dump_makes_an_empty_history() -> None:
    good = filled().dump()
    another_format = msgspec.msgpack.encode([FORMAT + 1, "boot-1", [], []])
    for data in (b"", b"\x00", b"{}", b"\x91" * 100_000, good[:-1], good + b"x", another_format):
        history = filled()
        assert not history.load(data, at(60))
        assert history.series_count == 0
        assert history.used_bytes == 0


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_bytes_were_flipped_nothing_is_raised(data: st.DataObject) -> None:
    damaged = bytearray(filled().dump())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    history = History()
    history.load(bytes(damaged), at(60))
    for each in ALL:
        history.window("dimm", "dimm=mc0", each, at(70))
        history.observe("dimm", "dimm=mc0", {each: ALL[each][0]}, at(70))
    history.dump()


def test_an_empty_history_is_a_history() -> None:
    assert History()


def test_the_limit_is_four_megabytes_unless_it_is_set() -> None:
    assert LIMIT_BYTES == 4_000_000
    assert History().limit_bytes == LIMIT_BYTES


def test_the_history_stays_within_its_bytes_and_counts_what_it_dropped() -> None:
    history = History(limit_bytes=20_000)
    for look in range(300):
        for subject in range(10):
            history.observe("dimm", f"dimm={subject}", {DAY: look}, at(look * 600))
            assert history.used_bytes <= 20_000
    assert history.dropped > 0
    assert history.used_bytes > 10_000


def test_the_longest_not_touched_gives_way_once_its_window_is_over() -> None:
    history = History(limit_bytes=4_000)
    for subject in ("old", "newer"):
        history.observe("c", subject, {HOUR: 1}, at(0))
    history.observe("c", "newer", {HOUR: 2}, at(3000))
    for number in range(20):
        history.observe("c", f"{number}", {HOUR: 1}, at(4000))
    assert history.dropped == 1
    assert history.window("c", "newer", HOUR, at(4000)) == 1
    assert history.window("c", "old", HOUR, at(4000)) != 0


def test_more_series_than_fit_do_not_push_each_other_out() -> None:
    history = History(limit_bytes=4_000)
    subjects = [f"dimm={number}" for number in range(20)]
    for look in range(3):
        for subject in subjects:
            history.observe("c", subject, {HOUR: look}, at(look * 10))
    seen = [history.window("c", subject, HOUR, at(20)) for subject in subjects]
    assert seen.count(2) == history.series_count >= 3
    refused = [value for value in seen if isinstance(value, Unknown)]
    assert all("the history is full at 4000 bytes" in value.reason for value in refused)
    assert not any(value.first for value in refused)
    assert history.refused == 3 * len(refused)


def test_long_subjects_count_too() -> None:
    history = History(limit_bytes=4_000)
    history.observe("c", "short", {HOUR: 1}, at(0))
    short = history.used_bytes
    history.observe("c", "/mount/" + "x" * 1000, {HOUR: 1}, at(0))
    assert history.used_bytes > 2 * short + 900


def test_a_dump_larger_than_the_limit_is_cut_to_it() -> None:
    before = History()
    for number in range(20):
        before.observe("c", f"{number}", {HOUR: 1}, at(0))
    history = History(limit_bytes=4_000)
    assert history.load(before.dump(), at(10))
    assert history.used_bytes <= 4_000
    assert history.dropped == 20 - history.series_count
    history.observe("c", "19", {HOUR: 2}, at(10))
    assert history.window("c", "19", HOUR, at(10)) == 1
