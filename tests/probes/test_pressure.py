"""Does pressure tell shares and seconds, and a kernel that does not measure from one at ease?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import pressure
from tests.conftest import recorded
from tests.doubles.machines import host_of, written


def test_per_cent_become_shares_and_microseconds_become_seconds() -> None:
    (reading,) = pressure.read(recorded("two-socket-infiniband"))
    assert reading.memory_full_ratio == pytest.approx(0.075)
    assert reading.cpu_some_ratio == pytest.approx(0.805)
    assert reading.memory_full_seconds_total == 2.5
    assert reading.io_full_ratio == pytest.approx(0.002)


def test_a_kernel_that_does_not_measure_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="psi=1"):
        pressure.read(host_of(tmp_path))


def test_a_missing_file_costs_its_own_fields(tmp_path: Path) -> None:
    some = "some avg10=1.00 avg60=2.00 avg300=3.00 total=4\n"
    (reading,) = pressure.read(host_of(written(tmp_path, {"proc/pressure/memory": some})))
    assert reading.memory_some_ratio == pytest.approx(0.02)
    assert reading.memory_full_ratio is None  # an old kernel's cpu file has no such line either
    assert reading.io_full_ratio is None


@pytest.mark.parametrize("text", ["full avg60=x total=-1\n", "full\n", "full avg60=nan\n"])
def test_odd_numbers_are_none(tmp_path: Path, text: str) -> None:
    (reading,) = pressure.read(host_of(written(tmp_path, {"proc/pressure/memory": text})))
    assert reading.memory_full_ratio is None
    assert reading.memory_full_seconds_total is None
