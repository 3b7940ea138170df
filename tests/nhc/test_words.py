"""Are the words those that a shell makes?"""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.nhc.values import count, percent, size_bytes
from hpcdoctor.nhc.words import assignments, calculate, parse


@given(st.text(alphabet="ab '\"\\", max_size=20))
def test_plain_quoting_is_as_the_standard_library_has_it(text: str) -> None:
    try:
        expected = shlex.split(text, posix=True)
    except ValueError:
        return
    assert parse(text, {}).words == expected


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("a | b", "|"),
        ("a; b", ";"),
        ("a 'x|y' \"p;q\"", ""),
        ("a $(b)", "command"),
        ("a `b`", "command"),
        ("a ${b%c}", "expansion"),
        ("a /dev/{null,zero}", "brace"),
        ("a ~/x", "home"),
        ("a # b | c", ""),
        ("a x#y", ""),
    ],
)
def test_what_is_more_than_words_is_seen(text: str, more: str) -> None:
    said = parse(text, {}).more
    assert (more in said) if more else (said == "")


def test_variables_are_filled_in_and_split_where_unquoted() -> None:
    values = {"X": "5", "Y": "a b"}
    assert parse("c $Y \"$Y\" '$Y' $((X*2))", values).words == ["c", "a", "b", "a b", "$Y", "10"]
    assert parse("c $Z", values).unknown == ("Z",)
    assert parse("c $((2*HW_CORES))", values).facts == ("HW_CORES",)
    assert parse("c 'x", {}).broken


@pytest.mark.parametrize(
    ("text", "value"),
    [("2+3*4", 14), ("(2+3)*4", 20), ("-7/2", -3), ("1/0", None), ("010", None), ("2+", None)],
)
def test_arithmetic_is_the_shells(text: str, value: int | None) -> None:
    assert calculate(text, {}) == value


def test_deep_parentheses_do_not_end_the_program() -> None:
    assert calculate("(" * 5000 + "1" + ")" * 5000, {}) is None


def test_assignments_are_told_from_commands() -> None:
    assert assignments(["export", "A=b c", "D"]) == {"A": "b c"}
    assert assignments(["A=b", "cmd"]) is None
    assert assignments(["export"]) is None


def test_sizes_counts_and_percentages_are_nhcs() -> None:
    assert [size_bytes(t) for t in ("1b", "1", "2kB", "1g", "1.5gb")] == [
        1024,
        1024,
        2048,
        2**30,
        None,
    ]
    assert [count(t) for t in ("10k", "1M", "1kb")] == [10_000, 10**6, None]
    assert [percent(t) for t in ("3%", "3")] == [3, None]


def test_arithmetic_that_the_shell_refuses_is_broken_and_a_long_number_is_not_slow() -> None:
    assert "divides by zero" in parse("a $((X/0))", {"X": "1"}).broken
    assert parse("a $((2+))", {}).broken
    assert not parse("a $(( ))", {}).broken
    parse("a $((" + "1" * 5000 + ".))", {})
