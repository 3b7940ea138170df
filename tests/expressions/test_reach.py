"""Is only what is certain called certain, of conditions that can never, or always, hold?"""

import pytest

from hpcdoctor.expressions.reach import implies, settled


@pytest.mark.parametrize(
    "text",
    [
        "share(hot, 10m) > 1",
        "1.5 <= share(hot, 10m)",
        "errors_total < 0",
        "increase(errors_total, 1h) < 0",
        "mean(used_ratio, 5m) == -1",
        "speed > 5 && speed < 3",
        "speed > 5 && speed < 5",
        'kind == "x" && share(hot, 1h) > 1',
        "errors_total < 0 || share(hot, 1h) > 2",
        "!(errors_total >= 0)",
        "false",
    ],
)
def test_what_can_never_hold(text: str) -> None:
    assert settled(text) is False


@pytest.mark.parametrize(
    "text", ["errors_total >= 0", "rate(errors_total, 5m) > -1", "share(hot, 1h) <= 1", "true"]
)
def test_what_always_holds(text: str) -> None:
    assert settled(text) is True


@pytest.mark.parametrize(
    "text",
    [
        "share(hot, 10m) >= 1",
        "share(hot, 10m) == 1",
        "errors_total > 0",
        "errors_total <= 0",
        "temperature_celsius < -10",
        "offset_seconds < 0",
        "used_ratio > 1.2",  # nothing promises that a ratio stops there
        "speed >= 5 && speed <= 5",
        "speed < 3 || speed > 5",
        "size_bytes < 0.1 * other_bytes",
        "profile.gpu.count > 8",
        'kind == "a" && kind == "b"',
        "!hot",
    ],
)
def test_what_nobody_can_know(text: str) -> None:
    assert settled(text) is None


@pytest.mark.parametrize(
    ("one", "other", "does"),
    [
        ("x > 10", "x > 5", True),
        ("x > 5", "x > 5", True),
        ("x > 5", "x >= 5", True),
        ("x >= 5", "x > 5", False),
        ("x > 5", "x > 10", False),
        ("x < 3", "x < 5", True),
        ("10 < x", "x > 5", True),
        ("increase(n_total,  1h) > 9", "increase(n_total, 1h) > 5", True),
        ("increase(n_total, 2h) > 9", "increase(n_total, 1h) > 5", False),
        ("x > 10", "y > 5", False),
        ("x > 10", "x < 50", False),
        ("x == 10", "x > 5", False),
        ("x > 10 && y", "x > 5", False),
    ],
)
def test_whether_one_comparison_implies_another(one: str, other: str, does: bool) -> None:
    assert implies(one, other) is does
