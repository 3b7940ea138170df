"""Are cpus that are missing told from cpus that nobody built in, or that somebody switched off?"""

from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import cpu_topology
from hpcdoctor.probes.cpu_topology import Topology
from hpcdoctor.probes.host import Host
from tests.doubles.machines import host_of, written

CPU = "sys/devices/system/cpu"


def topology_of(folder: Path, present: str, online: str, **files: str) -> Topology:
    named = {f"{CPU}/{name.replace('__', '/')}": text for name, text in files.items()}
    written(folder, {f"{CPU}/present": present, f"{CPU}/online": online, **named})
    (reading,) = cpu_topology.read(host_of(folder))
    return reading


def test_a_recording_without_the_lists_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="recording"):
        cpu_topology.read(host_of(tmp_path))


def test_a_live_machine_without_the_lists_is_unavailable(tmp_path: Path) -> None:
    host = Host(tmp_path, live=True, clock=lambda: Instant("boot", 1.0, 1.0))
    with pytest.raises(Unavailable, match="present and online"):
        cpu_topology.read(host)


def test_what_the_board_could_hold_is_not_offline(tmp_path: Path) -> None:
    reading = topology_of(tmp_path, "0-39", "0-39", offline="40-79", possible="0-79")
    assert (reading.present, reading.online, reading.offline, reading.unexplained) == (40, 40, 0, 0)


def test_cpus_that_are_present_and_not_online_are_named(tmp_path: Path) -> None:
    reading = topology_of(tmp_path, "0-39", "0-3,6-12,14-39")
    assert (reading.offline, reading.offline_cpus, reading.unexplained) == (3, "4-5,13", 3)


@pytest.mark.parametrize(
    ("online", "control", "unexplained"),
    [
        ("0-3", "off", 0),
        ("0-3", "forceoff", 0),
        ("0-2", "off", 1),
        ("0-3", "on", 0),  # by hand, one by one
        ("0,2,4,6", "notsupported", 0),  # POWER with one thread of two
        ("0,4", "notsupported", 0),
        ("0-2,4", "on", 4),
        ("0-6", "on", 1),
    ],
)
def test_hyperthreads_that_are_switched_off_are_no_fault(
    tmp_path: Path, online: str, control: str, unexplained: int
) -> None:
    reading = topology_of(tmp_path, "0-7", online, smt__control=control)
    assert reading.unexplained == unexplained


def test_the_microcode_of_most_cpus_and_the_odd_ones_are_told(tmp_path: Path) -> None:
    versions = {f"cpu{n}__microcode__version": "0x2b" for n in range(4)}
    reading = topology_of(tmp_path, "0-3", "0-3", **{**versions, "cpu2__microcode__version": "0x1"})
    assert (reading.microcode, reading.microcode_versions, reading.odd_cpus) == ("0x2b", 2, "2")


def test_where_nobody_tells_the_microcode_there_is_none(tmp_path: Path) -> None:
    reading = topology_of(tmp_path, "0-1", "0-1")
    assert (reading.microcode, reading.microcode_versions, reading.odd_cpus) == (None, None, "")
    assert (reading.packages, reading.smt, reading.isolated_cpus) == (None, None, None)


def test_packages_threads_and_isolated_cpus_are_told(tmp_path: Path) -> None:
    packages = {f"cpu{n}__topology__physical_package_id": str(n // 2) for n in range(4)}
    reading = topology_of(tmp_path, "0-3", "0-3", smt__active="1", isolated="", **packages)
    assert (reading.packages, reading.smt, reading.isolated_cpus) == (2, True, "")


def test_each_cpu_is_asked_every_ten_minutes_only(tmp_path: Path) -> None:
    moment = [1000.0]
    host = Host(tmp_path, live=False, clock=lambda: Instant("boot", moment[0], 0))
    seen = []
    for after, version in ((0, "0x1"), (60, "0x2"), (600, "0x2")):
        moment[0] = 1000.0 + after
        file = f"{CPU}/cpu0/microcode/version"
        written(tmp_path, {f"{CPU}/present": "0", f"{CPU}/online": "0", file: version})
        seen.append(cpu_topology.read(host)[0].microcode)
    assert seen == ["0x1", "0x1", "0x2"]
