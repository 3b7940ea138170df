"""Who said what, and when?"""

from datetime import UTC, datetime

import pytest

from hpcdoctor.nhc.compare import Pair, Period, compare, moment_of, read_log, read_reasons

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
LOG = """\
2026-11-20T02:00:00Z ERROR:  nhc:  Health check failed:  check_fs_mount:  /x not mounted
2026-11-20T02:00:01Z /usr/libexec/nhc/node-mark-offline n1 NHC: check_fs_mount:  /x not mounted
2026-11-20T02:05:00Z ERROR:  nhc:  Health check failed:  check_fs_mount:  /x not mounted
2026-11-20T02:10:00Z /usr/libexec/nhc/node-mark-online n1
2026-11-20T09:00:00Z ERROR:  nhc:  Health check failed:  check_hw_eth:  eth9
ERROR:  nhc:  Health check failed:  no time
something else
"""


def test_a_failure_that_is_logged_again_is_one_and_ends_where_the_node_is_back() -> None:
    read = read_log(LOG.splitlines(), NOW)
    assert [(each.end or 0) - each.begin for each in read.periods] == [600.0, 0.0]
    assert read.periods[0].text == "check_fs_mount:  /x not mounted"
    assert read.undated == 1


def test_reasons_of_others_are_not_nhcs() -> None:
    lines = [
        "2026-11-20T02:00:00|NHC: a b",
        "2026-11-20T03:00:00|hd:k3f9.1 x",
        "none|none",
        "|NHC: y",
    ]
    read = read_reasons(lines, NOW)
    assert [each.text for each in read.periods] == ["a b"]
    assert read.undated == 1


@pytest.mark.parametrize(
    "stamp",
    ["1795255200 ", "[1795255200] ", "2026-11-21T10:00:00Z", "2026-11-21 12:00:00+02:00"],
)
def test_every_form_of_a_time_is_the_same_moment(stamp: str) -> None:
    assert moment_of(stamp, NOW) == 1795255200.0


@pytest.mark.parametrize("line", ["", "20261399 10:00:00", "Foo 21 10:00:00", "no time"])
def test_what_is_no_time_is_none(line: str) -> None:
    assert moment_of(line, NOW) is None


def test_what_meets_in_time_is_both_and_the_rest_is_one_sides() -> None:
    theirs = [Period(1000, 2000, "a"), Period(50_000, 50_100, "b")]
    ours = [Period(2500, 2600, "c"), Period(90_000, None, "d")]
    assert compare(theirs, ours, 0) == [
        Pair("both", theirs[0], ours[0]),
        Pair("only NHC", theirs[1], None),
        Pair("only hpcdoctor", None, ours[1]),
    ]
    assert [pair.who for pair in compare(theirs, ours, 60_000)] == ["only hpcdoctor"]
