"""Counters are followed through resets, gaps and maximums; no series outgrows its points."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdoctor.checks.series import FIRST, LIMIT_POINTS, CounterSeries, SampleSeries
from hpcdoctor.expressions.types import Known, Unknown

HOUR = 3600.0


def counter(
    *looks: tuple[float, Known], seconds: float = HOUR, maximum: int | None = None
) -> CounterSeries:
    series = CounterSeries("errors_total", seconds)
    for time, value in looks:
        series.observe(value, time, maximum)
    return series


def samples(function: str, *looks: tuple[float, Known], seconds: float = 300) -> SampleSeries:
    series = SampleSeries("celsius", seconds, function)
    for time, value in looks:
        series.observe(value, time, None)
    return series


def test_the_first_reading_is_the_baseline_and_no_result() -> None:
    series = counter((0, 1000))
    assert series.result("increase", 0) == FIRST
    assert series.result("rate", 0) == FIRST
    series.observe(1003, 10, None)
    assert series.result("increase", 10) == 3
    assert series.result("rate", 10) == pytest.approx(0.3)


def test_a_counter_that_stands_still_increased_by_nothing() -> None:
    series = counter(*((time, 5) for time in range(0, 4000, 10)))
    assert series.result("increase", 3990) == 0
    assert len(series.times) == 2


def test_a_value_below_the_last_is_a_reset_and_never_a_negative_number() -> None:
    series = counter((0, 100), (10, 110), (20, 4), (30, 6))
    assert series.result("increase", 30) == 10 + 4 + 2
    assert series.reset_seen(30)
    assert not series.reset_seen(30 + HOUR)


def test_a_wrap_of_32_bits_counts_what_came_after_it() -> None:
    series = counter((0, 2**32 - 5), (10, 7))
    assert series.result("increase", 10) == 7
    assert series.reset_seen(10)


def test_counters_above_2_to_63_are_followed_to_the_unit() -> None:
    series = counter((0, 2**63 + 1), (10, 2**63 + 2))
    assert series.result("increase", 10) == 1


def test_a_negative_number_printed_as_unsigned_is_discarded() -> None:
    series = counter((0, 10), (10, 12), (20, 2**64 - 3))
    value = series.result("increase", 20)
    assert isinstance(value, Unknown)
    assert value.reason == (
        "errors_total reads 18446744073709551613, a negative number printed as an unsigned one"
    )
    assert not value.first
    series.observe(13, 30, None)
    assert series.result("increase", 30) == 3
    assert not series.reset_seen(30)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, -math.inf, "many", -(10**400)])
def test_what_no_counter_shows_is_unknown_and_changes_nothing(value: Known) -> None:
    series = counter((0, 10), (10, 12), (20, value))
    assert isinstance(series.result("increase", 20), Unknown)
    series.observe(12, 30, None)
    assert series.result("increase", 30) == 2


def test_at_its_maximum_a_counter_is_unknown_but_for_what_was_seen() -> None:
    first = counter((0, 255), maximum=255).result("increase", 0)
    assert isinstance(first, Unknown)
    assert not first.first
    assert first.reason.startswith(
        "errors_total stands at its maximum of 255 and counts no further"
    )
    value = counter((0, 250), (10, 255), (20, 255), maximum=255).result("increase", 20)
    assert isinstance(value, Unknown)
    assert value.at_least == 5
    rate = counter((0, 250), (10, 255), maximum=255).result("rate", 10)
    assert isinstance(rate, Unknown)
    assert rate.at_least == pytest.approx(0.5)


def test_after_its_reset_a_saturated_counter_counts_again() -> None:
    series = counter((0, 255), (10, 255), (20, 0), (30, 2), maximum=255)
    assert series.result("increase", 30) == 2
    assert series.reset_seen(30)


def test_only_the_window_counts() -> None:
    looks = [(time, time // 10) for time in range(0, 7210, 10)]
    series = counter(*looks)
    assert series.result("increase", 7200) == 360
    assert series.result("rate", 7200) == pytest.approx(0.1)
    assert series.covered_seconds(7200) == HOUR


def test_with_less_history_than_window_the_answer_is_what_was_seen() -> None:
    series = counter((0, 0), (300, 50), (600, 80))
    assert series.result("increase", 600) == 80
    assert series.covered_seconds(600) == 600
    assert series.result("rate", 600) == pytest.approx(80 / 600)


def test_a_rate_is_over_the_time_that_really_passed() -> None:
    series = counter((0, 0), (9, 90), (31, 310), seconds=300)
    assert series.result("rate", 31) == pytest.approx(10)


def test_of_a_gap_longer_than_the_window_only_its_part_counts() -> None:
    series = counter((0, 0), (10 * HOUR, 2000))
    assert series.result("increase", 10 * HOUR) == 200
    assert series.result("rate", 10 * HOUR) == pytest.approx(2000 / (10 * HOUR))


def test_a_single_error_in_a_gap_is_not_rounded_away() -> None:
    series = counter((0, 0), (10 * HOUR, 1))
    assert series.result("increase", 10 * HOUR) == 1


def test_a_burst_after_a_long_quiet_is_not_spread_over_the_quiet() -> None:
    series = counter(*((time, 5) for time in range(0, 3600, 10)), (3600, 25))
    assert series.result("increase", 3600 + 3500) == 20


def test_without_a_look_inside_the_window_there_is_no_result() -> None:
    assert counter((0, 0), (10, 5)).result("increase", 20 + HOUR) == FIRST
    assert samples("max", (0, 5)).result("max", 1000) == FIRST


def test_a_look_that_comes_late_does_no_harm() -> None:
    series = counter((0, 0), (10, 5), (8, 6))
    assert series.result("increase", 10) == 6


@given(
    st.lists(st.tuples(st.floats(0, 200), st.integers(0, 2**64 - 1)), min_size=2, max_size=60),
    st.sampled_from(["increase", "rate"]),
)
@settings(max_examples=200, deadline=None)
def test_no_counter_makes_an_increase_negative(
    looks: list[tuple[float, int]], function: str
) -> None:
    series = CounterSeries("x", 300)
    time = 0.0
    for passed, value in looks:
        time += passed
        series.observe(value, time, None)
        result = series.result(function, time)
        assert isinstance(result, Unknown) or result >= 0


@pytest.mark.parametrize("step", [0.1, 1.0, 4.9, 12.5, 13.0, 25.0, 60.0])
def test_no_series_holds_more_than_its_points(step: float) -> None:
    growing = CounterSeries("x", HOUR)
    gauge = SampleSeries("x", HOUR, "mean")
    most = 0
    for look in range(int(2.5 * HOUR / step)):
        growing.observe(look, look * step, None)
        gauge.observe(look, look * step, None)
        most = max(most, len(growing.times), len(gauge.indexes))
    assert most <= LIMIT_POINTS
    assert most >= min(60, HOUR / step)


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 1)), max_size=1500))
@settings(max_examples=30, deadline=None)
def test_no_rhythm_of_looks_makes_more_points(looks: list[tuple[float, int]]) -> None:
    series = CounterSeries("x", HOUR)
    time, total = 0.0, 0
    for passed, step in looks:
        time, total = time + passed, total + step
        series.observe(total, time, None)
        assert len(series.times) <= LIMIT_POINTS


def test_the_increase_survives_the_folding_of_many_looks() -> None:
    series = counter(*((time / 10, time) for time in range(20001)))
    assert series.result("increase", 2000) == 20000


@pytest.mark.parametrize(
    ("function", "expected"), [("min", 1.0), ("max", 9.0), ("mean", 4.0), ("p95", 9.0)]
)
def test_a_gauge_gives(function: str, expected: float) -> None:
    looks = ((0, 2), (5, 9), (10, 1))
    assert samples(function, *looks).result(function, 10) == expected


@pytest.mark.parametrize("function", ["min", "max", "mean", "p95"])
def test_one_value_is_enough_for_a_gauge(function: str) -> None:
    assert samples(function, (0, 7)).result(function, 0) == 7


@pytest.mark.parametrize(("function", "expected"), [("min", 1.0), ("max", 9.0), ("mean", 4.0)])
def test_looks_that_share_a_bucket_are_folded(function: str, expected: float) -> None:
    looks = ((0.1, 2), (0.2, 9), (0.3, 1))
    series = samples(function, *looks)
    assert len(series.indexes) == 1
    assert series.result(function, 1) == expected


def test_p95_is_the_value_that_one_in_twenty_exceeds() -> None:
    looks = [(time * 10.0, time) for time in range(1, 101)]
    assert samples("p95", *looks, seconds=2000).result("p95", 1000) == 95


def test_p95_is_not_led_by_spikes_that_are_rarer_than_that() -> None:
    # 60 looks in a bucket, one of them a spike: 1.7 % of all.
    looks = [(float(time), 100 if time % 60 == 30 else 1) for time in range(1, 12000)]
    assert samples("p95", *looks, seconds=17280).result("p95", 12000) == 1


def test_share_is_the_part_of_looks_in_which_it_held() -> None:
    series = samples("share", (0, True))
    assert series.result("share", 0) == FIRST
    for time, held in ((5, False), (10, False), (15, False)):
        series.observe(held, time, None)
    assert series.result("share", 15) == 0.25
    assert series.covered_seconds(15) == pytest.approx(15)


def test_two_looks_in_one_bucket_are_two() -> None:
    assert samples("share", (0.1, True), (0.2, False)).result("share", 1) == 0.5


def test_a_gauge_forgets_what_left_the_window() -> None:
    series = samples("max", (0, 99), (200, 5), (299, 6))
    assert series.result("max", 299) == 99
    assert series.result("max", 302) == 6
    assert series.covered_seconds(700) == 0


def test_a_gauge_may_be_negative_but_not_a_wrapped_negative() -> None:
    assert samples("min", (0, -40.5)).result("min", 0) == -40.5
    value = samples("min", (0, 5), (5, 2**64 - 1)).result("min", 5)
    assert isinstance(value, Unknown)
    assert "printed as an unsigned" in value.reason
