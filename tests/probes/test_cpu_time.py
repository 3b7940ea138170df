"""Does cpu_time tell what the host of a virtual machine kept for itself?"""

import os
from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import cpu_time
from hpcdoctor.probes.host import Host
from tests.doubles.machines import host_of, written

TICKS = os.sysconf("SC_CLK_TCK")


def read(folder: Path, text: str) -> cpu_time.CpuTime:
    files: dict[str, str | bytes] = {"proc/stat": text, "sys/devices/system/cpu/online": "0-3"}
    (reading,) = cpu_time.read(host_of(written(folder, files)))
    return reading


def test_times_are_seconds_and_guests_are_not_counted_twice(tmp_path: Path) -> None:
    numbers = [100, 1, 2, 3000, 50, 5, 6, 70]
    line = " ".join(str(number * TICKS) for number in numbers)
    reading = read(tmp_path, f"cpu  {line} {90 * TICKS} 0\ncpu0 1 2 3\nintr 5\n")
    assert reading.cpus == 4
    assert (reading.steal_seconds_total, reading.iowait_seconds_total) == (70, 50)
    assert reading.total_seconds_total == sum(numbers)


def test_an_old_kernel_knows_nothing_stolen(tmp_path: Path) -> None:
    reading = read(tmp_path, "cpu 1 2 3 4\n")
    assert (reading.steal_seconds_total, reading.iowait_seconds_total) == (None, None)


def test_a_recording_without_it_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="recording"):
        cpu_time.read(host_of(tmp_path))


@pytest.mark.parametrize("text", ["", "cpu", "cpu a b c d", "cpu0 1 2 3 4", "cpu -1 2 3 4"])
def test_a_file_without_the_line_is_unavailable(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unavailable, match="does not begin"):
        read(tmp_path, text)


def test_this_machine_tells() -> None:
    (reading,) = cpu_time.read(Host.this_machine())
    assert reading.total_seconds_total > 0
