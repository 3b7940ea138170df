"""Does clock read the kernel's answer as adjtimex(2) means it?"""

from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import clock
from hpcdoctor.probes.clock import Timex
from hpcdoctor.probes.host import Host
from tests.conftest import recorded
from tests.doubles.machines import host_of


def timex(*, status: int, offset: int = 0, maximum: int = 0) -> Timex:
    answer = Timex()
    answer.status, answer.offset, answer.maxerror, answer.esterror = status, offset, maximum, 7
    return answer


def test_a_clock_in_step_tells_its_errors_in_seconds() -> None:
    answer = timex(status=0x2001, offset=-2_000_000, maximum=1500)
    synchronised, *seconds = clock.from_timex(0, answer)
    assert synchronised
    assert seconds == pytest.approx([-0.002, 7e-6, 0.0015])


def test_without_the_nanosecond_mark_the_offset_is_microseconds() -> None:
    assert clock.from_timex(0, timex(status=0x0001, offset=2000))[1] == pytest.approx(0.002)


@pytest.mark.parametrize(("state", "status"), [(5, 0), (0, 0x40), (5, 0x40)])
def test_either_sign_says_that_it_is_not_synchronised(state: int, status: int) -> None:
    assert clock.from_timex(state, timex(status=status))[0] is False


def test_a_recording_tells_the_source_and_nothing_of_the_moment() -> None:
    (reading,) = clock.read(recorded("two-socket-infiniband"))
    assert (reading.source, reading.sources) == ("hpet", ["tsc", "hpet", "acpi_pm"])
    assert reading.synchronised is None
    assert reading.offset_seconds is None


def test_a_recording_without_a_source_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="recording"):
        clock.read(host_of(tmp_path))


def test_this_machines_kernel_answers() -> None:
    (reading,) = clock.read(Host.this_machine())
    assert isinstance(reading.synchronised, bool)
    assert reading.maximum_error_seconds is not None
    assert 0 <= reading.maximum_error_seconds < 3600


def test_a_clock_that_is_moved_is_seen_at_the_next_look(tmp_path: Path) -> None:
    moments = iter(
        [
            Instant("boot", 100.0, 5000.0),
            Instant("boot", 160.0, 5060.0),
            Instant("boot", 220.0, 8720.0),  # an hour ahead
            Instant("boot", 280.0, 5180.0),  # and back
            Instant("another", 10.0, 9000.0),
        ]
    )
    host = Host(tmp_path, live=True, clock=lambda: next(moments))
    steps = [clock.read_step(host) for _ in range(5)]
    assert steps == [None, 0.0, 3600.0, -3600.0, None]
