"""Values are compared and calculated as people expect; what is unknown stays unknown."""

import itertools

import pytest

from hpcdoctor.expressions.types import Unknown, combine
from hpcdoctor.model.reading import Value
from tests.expressions.machine import evaluate, reason

MISSING = "missing is not given by this machine"
FIRST = Unknown("needs a second reading", first=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count > limit", True),
        ("count + 0.5 == 3.5", True),
        ("count == 3.0", True),
        ("7 / 2 == 3.5", True),
        ("-7 % 3 == -1", True),
        ("7.5 % 2 == 1.5", True),
        ("2 + 3 * 4 == 14", True),
        ("(2 + 3) * 4 == 20", True),
        ("-count == 0 - 3", True),
        ("uptime_seconds > 1m", True),
        ("uptime_seconds > 100", True),
        ("uptime_seconds - 60 > 1", True),
        ("uptime_seconds - 1m >= 60s", True),
        ("age == 1.5m", True),
        ("age / 30s == 3", True),
        ("age * 2 + 1m == 4m", True),
        ("-age < 0s", True),
        ("age % 1m == 30s", True),
        ("profile.gpu.count * 2 > 15", True),
        ('state == "active"', True),
        ("state != 'active'", False),
        ('"link" in flags', True),
        ('"lin" in flags', False),
        ('state in ["active", "armed"]', True),
        ("count in [1, 2]", False),
        ("count in [limit, count]", True),
        ("count in []", False),
        ("active == true", True),
        ("active != (count > 5)", True),
        ("active ? count > 2 : missing > 2", True),
        ('starts_with(device, "mlx5")', True),
        ('starts_with(device, "lx")', False),
        ('matches(device, "mlx?_*")', True),
        ('matches(device, "mlx")', False),
        ("increase(errors_total, 1h) > 3", True),
        ("errors_total == 10", True),
    ],
)
def test_a_condition_gives(text: str, expected: bool) -> None:
    assert evaluate(text) is expected


def test_counters_beyond_64_bits_of_sign_stay_exact() -> None:
    huge = 2**63 + 1
    assert evaluate("count > 9223372036854775808", count=huge) is True
    assert evaluate("count - 9223372036854775808 == 1", count=huge) is True
    assert evaluate("count % 2 == 1", count=huge) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count / (count - 3) > 1", "the condition divides by zero"),
        ("count % 0 == 1", "the condition divides by zero"),
        ("limit % 0.0 == 1", "the condition divides by zero"),
        ("1e308 * 1e308 - 1e308 * 1e308 > 1", "the condition calculates what is not a number"),
        ("missing > 1", MISSING),
        ("1 < missing", MISSING),
        ("missing + 1 > 1", MISSING),
        ("-missing > 1", MISSING),
        ("!missing_flag", "missing_flag is not given by this machine"),
        ("missing in [1, 2]", MISSING),
        ("1 in [missing, 1]", MISSING),
        ("missing > 1 ? true : true", MISSING),
        ("matches(profile.os, 'a*')", "the profile does not say os"),
        ("'a' in profile.names", "the profile does not say names"),
        ("missing > profile.os", f"{MISSING}; the profile does not say os"),
        ("missing > missing", MISSING),
        ("max(missing, 5m) > 1", MISSING),
    ],
)
def test_what_cannot_be_known_says_why(text: str, expected: str) -> None:
    assert reason(text) == expected


def test_a_number_that_grows_too_large_is_unknown() -> None:
    factors = " * ".join(["18446744073709551615"] * 20)
    assert reason(f"{factors} / 2.0 > 1") == "a number in the condition became too large"


UNKNOWN_TRUTHS = {
    ("&&", "true", "true"): True,
    ("&&", "true", "unknown"): None,
    ("&&", "true", "false"): False,
    ("&&", "unknown", "unknown"): None,
    ("&&", "false", "unknown"): False,
    ("&&", "false", "false"): False,
    ("||", "true", "true"): True,
    ("||", "true", "unknown"): True,
    ("||", "true", "false"): True,
    ("||", "unknown", "unknown"): None,
    ("||", "false", "unknown"): None,
    ("||", "false", "false"): False,
}


@pytest.mark.parametrize(("case", "expected"), UNKNOWN_TRUTHS.items())
def test_either_side_settles_it_in_both_orders(
    case: tuple[str, str, str], expected: bool | None
) -> None:
    symbol, *sides = case
    written = [side.replace("unknown", "missing > 1") for side in sides]
    for one, other in (written, reversed(written)):
        value = evaluate(f"{one} {symbol} {other}")
        assert value == Unknown(MISSING) if expected is None else value is expected


def test_a_settled_row_is_settled_wherever_it_is_settled() -> None:
    for order in itertools.permutations(["missing > 1", "count > 9", "count == 3"]):
        assert evaluate(" || ".join(order)) is True
    for order in itertools.permutations(["missing > 1", "count > 9", "count == 3"]):
        assert evaluate(" && ".join(order)) is False


def test_a_missing_second_reading_is_told_from_a_real_unknown() -> None:
    first = "rate(count, 5m) > 1"
    real = "missing > 1"
    for symbol in ("&&", "||"):
        assert evaluate(f"{first} {symbol} mean(count, 5m) > 1") == FIRST
        for text in (f"{first} {symbol} {real}", f"{real} {symbol} {first}"):
            assert evaluate(text) == Unknown(MISSING)
    assert evaluate("rate(count, 5m) > missing") == Unknown(MISSING)
    assert evaluate(f"{first} && count > 9") is False


def test_two_reasons_are_both_told_once() -> None:
    assert combine(Unknown("a"), Unknown("b")) == Unknown("a; b")
    assert combine(Unknown("a"), Unknown("a")) == Unknown("a")
    assert combine(Unknown("a", first=True), Unknown("b", first=True)) == Unknown("a; b", True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("increase(errors_total, 1h) > 4", True),
        ("increase(errors_total, 1h) >= 5", True),
        ("increase(errors_total, 1h) != 4", True),
        ("increase(errors_total, 1h) < 5", False),
        ("increase(errors_total, 1h) <= 4", False),
        ("increase(errors_total, 1h) == 4", False),
        ("4 < increase(errors_total, 1h)", True),
        ("5 > increase(errors_total, 1h)", False),
        ("increase(errors_total, 1h) > count", True),
        ("count > increase(errors_total, 1h)", False),
        ("increase(errors_total, 1h) > 5", None),
        ("increase(errors_total, 1h) <= 5", None),
        ("increase(errors_total, 1h) == 5", None),
        ("increase(errors_total, 1h) - 1 > 1", None),
        ("-increase(errors_total, 1h) > 1", None),
        ("increase(errors_total, 1h) > missing", None),
        ("increase(errors_total, 1h) > increase(errors_total, 1h)", None),
    ],
)
def test_at_least_so_many_settles_what_so_many_can_settle(text: str, expected: bool | None) -> None:
    saturated: Value | Unknown = Unknown("stands at its maximum", at_least=5)
    value = evaluate(text, **{"increase(errors_total, 3600)": saturated})
    if expected is None:
        assert isinstance(value, Unknown)
    else:
        assert value is expected


def test_true_is_not_one_in_a_list_read_at_run_time() -> None:
    assert evaluate("1 in profile.gpu.names") is False
    assert evaluate("active in [true]") is True
