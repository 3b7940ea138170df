"""Do durations survive clock steps and reboots, without ever being cut short?"""

from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.model.instant import Instant

STEP = st.floats(-1e6, 1e6)
LATER = st.floats(0, 1e6)


@given(LATER, STEP)
def test_within_a_boot_no_step_of_the_clock_counts(later: float, step: float) -> None:
    begin = Instant("a", 100.0, 1e9)
    end = Instant("a", 100.0 + later, 1e9 + later + step)
    assert abs(end.seconds_since(begin) - later) < 1e-6
    assert end.reached(begin.plus(later - 1.0)) is True
    assert end.reached(begin.plus(later + 1.0)) is False


def test_across_boots_the_wall_clock_counts_and_time_never_runs_backwards() -> None:
    begin = Instant("a", 5000.0, 1e9)
    assert Instant("b", 10.0, 1e9 + 60).seconds_since(begin) == 60
    assert Instant("b", 10.0, 1e9 - 60).seconds_since(begin) == 0
    assert Instant("b", 10.0, 1e9 + 60).reached(begin.plus(60))
    assert not Instant("b", 10.0, 1e9 + 59).reached(begin.plus(60))
