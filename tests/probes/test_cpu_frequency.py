"""Does cpu_frequency count each core and each package once, and call a CPU without counters so?"""

from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import cpu_frequency
from hpcdoctor.probes.host import Host
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


def test_the_second_of_two_recordings_is_read_from_its_own_tree(tmp_path: Path) -> None:
    before, after = (host_of(copy_of(NODE, tmp_path / name)) for name in ("before", "after"))
    cpu_frequency.read(before)
    written(after.root, {f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "99"})
    after.memory = before.memory
    assert cpu_frequency.read(after)[0].core_throttle_total == 99


# --- from look to look


class Machine:
    """A machine that is looked at every 30 seconds, and one core of which throttles."""

    def __init__(self, folder: Path) -> None:
        self.root = copy_of(NODE, folder)
        self.now = 1000.0
        self.host = Host(self.root, live=False, clock=lambda: Instant("boot", self.now, self.now))
        self.count, self.milliseconds = 12, 3000
        self.look()

    def look(self, events: int = 0, milliseconds: int = 0) -> cpu_frequency.Package:
        self.now += 30
        self.count += events
        self.milliseconds += milliseconds
        folder = f"{CPU}/cpu1/thermal_throttle"
        written(
            self.root,
            {
                f"{folder}/core_throttle_count": f"{self.count}",
                f"{folder}/core_throttle_total_time_ms": f"{self.milliseconds}",
            },
        )
        return cpu_frequency.read(self.host)[0]

    def heat(self, celsius: int) -> None:
        folder = "sys/devices/platform/coretemp.0/hwmon/hwmon3"
        files = {f"{folder}/temp1_input": f"{celsius}000", f"{folder}/temp1_crit": "100000"}
        written(self.root, {**files})


def test_the_first_look_cannot_tell(tmp_path: Path) -> None:
    first = cpu_frequency.read(recorded(NODE))[0]
    assert (first.throttled, first.throttled_ratio) == (None, None)
    assert (first.throttled_looks_total, first.throttled_seconds_total) == (0, 0.0)


def test_what_throttled_since_the_last_look_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.look().throttled is False
    hot = machine.look(events=2, milliseconds=3000)
    assert (hot.throttled, hot.throttled_ratio, hot.throttled_looks_total) == (True, 0.1, 1)
    cool = machine.look()
    assert (cool.throttled, cool.throttled_ratio) == (False, 0.0)
    assert (cool.throttled_looks_total, cool.throttled_seconds_total) == (1, 3.0)


def test_a_throttling_that_has_not_ended_goes_on_while_it_is_hot(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.heat(97)
    begun = machine.look(events=1)
    assert (begun.throttled, begun.throttled_ratio, begun.throttling_since_seconds) == (True, 0, 0)
    later = machine.look()
    assert (later.throttled, later.throttled_ratio) == (True, 1.0)
    assert later.throttling_since_seconds == 30
    ended = machine.look(milliseconds=61_000)
    assert ended.throttling_since_seconds is None
    assert ended.throttled_ratio == 1.0  # no more than the time that has passed
    assert machine.look().throttled is False


@pytest.mark.parametrize("celsius", [60, None])
def test_one_too_short_for_its_time_is_over(tmp_path: Path, celsius: int | None) -> None:
    machine = Machine(tmp_path)
    if celsius:
        machine.heat(celsius)
    assert machine.look(events=1).throttled is True
    assert machine.look().throttled is False


def test_another_boot_begins_anew(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.look(events=1, milliseconds=10)
    machine.host.clock = lambda: Instant("another", 100.0, 1e9)
    first = machine.look()
    assert (first.throttled, first.throttled_looks_total) == (None, 0)


def test_a_cpu_that_counts_nothing_still_has_its_frequencies(tmp_path: Path) -> None:
    files = {f"{CPU}/online": "0-1", f"{CPU}/cpufreq/boost": "1"}
    for cpu in (0, 1):
        files[f"{CPU}/cpu{cpu}/cpufreq/scaling_governor"] = "schedutil"
        files[f"{CPU}/cpu{cpu}/topology/physical_package_id"] = "-1"
    (package,) = packages_of(written(tmp_path, {**files}))
    assert (package.package, package.governor, package.turbo) == (0, "schedutil", True)
    assert package.core_throttle_total is None
    assert package.throttled is None


@pytest.mark.parametrize(("text", "turbo"), [("1", False), ("0", True), ("", None)])
def test_turbo_is_told_as_allowed(tmp_path: Path, text: str, turbo: bool | None) -> None:
    node = written(copy_of(NODE, tmp_path), {f"{CPU}/intel_pstate/no_turbo": text})
    assert packages_of(node)[0].turbo is turbo
