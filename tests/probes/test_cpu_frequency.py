"""Does cpu_frequency count each core and each package once, and call a CPU without counters so?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import cpu_frequency
from tests.conftest import recorded
from tests.doubles.machines import copy_of, host_of, written

NODE = "two-socket-infiniband"
CPU = "sys/devices/system/cpu"


def packages_of(folder: Path) -> list[cpu_frequency.Package]:
    return cpu_frequency.read(host_of(folder))


def test_a_cpu_without_counters_is_absent_not_cool() -> None:
    with pytest.raises(Absent, match="no throttle counters"):
        cpu_frequency.read(recorded("binding/before"))


def test_hyperthreads_of_a_core_are_counted_once() -> None:
    first, second = cpu_frequency.read(recorded(NODE))
    assert (first.package, first.cores, first.core_throttle_total) == (0, 2, 12)
    assert (second.package, second.cores, second.core_throttle_total) == (1, 2, 3)


def test_what_every_cpu_repeats_of_its_package_is_taken_once() -> None:
    first, second = cpu_frequency.read(recorded(NODE))
    assert (first.package_throttle_total, second.package_throttle_total) == (40, 5)
    assert first.package_throttle_seconds_total == 9.0
    assert first.core_throttle_seconds_total == 3.0


def test_the_hottest_core_is_named() -> None:
    first, second = cpu_frequency.read(recorded(NODE))
    assert (first.hottest_cpu, first.hottest_cpu_throttle_total) == ("cpu1", 12)
    assert second.hottest_cpu == "cpu3"


def test_a_power_cap_is_not_heat() -> None:
    first = cpu_frequency.read(recorded(NODE))[0]
    assert first.package_power_limit_total == 6
    assert first.package_throttle_total == 40


def test_governor_and_limit_are_those_of_the_first_cpu() -> None:
    first, second = cpu_frequency.read(recorded(NODE))
    assert first.governor == "performance"
    assert first.frequency_limit_gigahertz == first.frequency_maximum_gigahertz == 3.5
    assert second.frequency_limit_gigahertz == 2.0


def test_an_old_kernel_without_times_gives_none(tmp_path: Path) -> None:
    node = copy_of(NODE, tmp_path)
    for file in node.glob(f"{CPU}/cpu*/thermal_throttle/*_time_ms"):
        file.unlink()
    first = packages_of(node)[0]
    assert first.core_throttle_seconds_total is None
    assert first.package_throttle_seconds_total is None
    assert first.core_throttle_total == 12


def test_one_unreadable_core_makes_the_sum_unknown_and_not_smaller(tmp_path: Path) -> None:
    node = written(
        copy_of(NODE, tmp_path), {f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "N/A"}
    )
    first, second = packages_of(node)
    assert first.core_throttle_total is None
    assert first.hottest_cpu_throttle_total is None
    assert second.core_throttle_total == 3


def test_an_offline_cpu_is_not_looked_for(tmp_path: Path) -> None:
    node = written(copy_of(NODE, tmp_path), {f"{CPU}/online": "0-2,4-6\n"})
    second = packages_of(node)[1]
    assert (second.cores, second.core_throttle_total) == (1, 0)


@pytest.mark.parametrize("online", ["", "0-99999999999", "many", "3-", "-"])
def test_without_a_usable_list_the_folders_tell_the_cpus(tmp_path: Path, online: str) -> None:
    node = written(copy_of(NODE, tmp_path), {f"{CPU}/online": online})
    assert [package.cores for package in packages_of(node)] == [2, 2]


def test_a_second_look_sees_new_counts_and_cpus_that_went(tmp_path: Path) -> None:
    node = copy_of(NODE, tmp_path)
    host = host_of(node)
    cpu_frequency.read(host)
    written(node, {f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "13"})
    assert cpu_frequency.read(host)[0].core_throttle_total == 13
    written(node, {f"{CPU}/online": "0-1,4-5"})
    assert [package.package for package in cpu_frequency.read(host)] == [0]
