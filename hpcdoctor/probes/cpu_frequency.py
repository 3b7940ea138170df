"""Has a CPU throttled because of heat, and is it held below its clock? One reading a package.

Source:  /sys/devices/system/cpu/cpu*/{thermal_throttle,topology,cpufreq}/ (kernel: ABI/testing)
Units:   events and time since boot; the event moves when a throttling begins, the time when it ends
Cost:    two or three small files a core; touches no hardware
Absent:  on AMD, arm and in virtual machines: such a CPU has no counters. That is not "never hot".

Hyperthreads show the same core, and every cpu repeats its package: each is counted once. A power
limit is not heat and is kept apart.
"""

import msgspec

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import (
    list_names,
    parse_list_or_none,
    read_int_or_none,
    read_list_or_none,
    read_text_or_none,
)
from hpcdoctor.probes.host import Host


class Package(Reading, frozen=True):
    package: int  # as the firmware numbers the sockets
    cores: int  # distinct cores that count
    core_throttle_total: int | None  # summed over the distinct cores
    package_throttle_total: int | None  # older kernels count cores only
    core_throttle_seconds_total: float | None  # summed over the cores; since Linux 5.5
    package_throttle_seconds_total: float | None
    package_power_limit_total: int | None  # a power cap, not heat
    hottest_cpu: str  # the first cpu of the core that throttled most often; "" where none did
    hottest_cpu_throttle_total: int | None
    governor: str | None  # of the package's first cpu, like the two frequencies
    frequency_limit_gigahertz: float | None  # as set now
    frequency_maximum_gigahertz: float | None  # as the hardware can


class Core(msgspec.Struct, frozen=True):
    """One core that counts, read through the first of its hyperthreads."""

    package: int
    cpu: str  # "cpu13"
    folder: str


def read(host: Host) -> list[Package]:
    base = str(host.root / "sys/devices/system/cpu")
    cores = find_cores(host, base)
    if not cores:
        raise Absent("this CPU has no throttle counters")
    packages: dict[int, list[Core]] = {}
    for core in cores:
        packages.setdefault(core.package, []).append(core)
    return [read_package(package, packages[package]) for package in sorted(packages)]


def find_cores(host: Host, base: str) -> list[Core]:
    """Return the distinct cores with counters; looked up again when cpus come or go."""
    online = read_text_or_none(f"{base}/online")
    remembered: tuple[str | None, list[Core]] | None = host.memory.get("cpu_frequency")
    if remembered is not None and online is not None and remembered[0] == online:
        return remembered[1]
    cores: list[Core] = []
    seen: set[int] = set()
    for number in cpu_numbers(base, online):
        folder = f"{base}/cpu{number}"
        if number in seen or not list_names(f"{folder}/thermal_throttle"):
            continue
        seen.update(read_list_or_none(f"{folder}/topology/thread_siblings_list") or [number])
        package = read_int_or_none(f"{folder}/topology/physical_package_id")
        cores.append(Core(0 if package is None else package, f"cpu{number}", folder))
    host.memory["cpu_frequency"] = (online, cores)
    return cores


def cpu_numbers(base: str, online: str | None) -> list[int]:
    """Return the cpus to look at; the folders tell where the list of those online does not."""
    listed = parse_list_or_none(online) if online else None
    if listed:
        return listed
    names = [name[3:] for name in list_names(base) if name.startswith("cpu")]
    return sorted(int(number) for number in names if number.isdecimal())


def read_package(package: int, cores: list[Core]) -> Package:
    counts = read_cores(cores, "core_throttle_count")
    most = max(counts, default=0)
    hottest = cores[counts.index(most)].cpu if most else ""
    times = read_cores(cores, "core_throttle_total_time_ms")
    first = cores[0].folder
    throttle = f"{first}/thermal_throttle"
    return Package(
        package=package,
        cores=len(cores),
        core_throttle_total=sum(counts) if counts else None,
        package_throttle_total=read_int_or_none(f"{throttle}/package_throttle_count"),
        core_throttle_seconds_total=seconds(sum(times) if times else None),
        package_throttle_seconds_total=seconds(
            read_int_or_none(f"{throttle}/package_throttle_total_time_ms")
        ),
        package_power_limit_total=read_int_or_none(f"{throttle}/package_power_limit_count"),
        hottest_cpu=hottest,
        hottest_cpu_throttle_total=most if counts else None,
        governor=read_text_or_none(f"{first}/cpufreq/scaling_governor"),
        frequency_limit_gigahertz=gigahertz(f"{first}/cpufreq/scaling_max_freq"),
        frequency_maximum_gigahertz=gigahertz(f"{first}/cpufreq/cpuinfo_max_freq"),
    )


def read_cores(cores: list[Core], file: str) -> list[int]:
    """Return one number a core, or none at all: a sum without one of them would seem to fall."""
    numbers: list[int] = []
    for core in cores:
        number = read_int_or_none(f"{core.folder}/thermal_throttle/{file}")
        if number is None:
            return []
        numbers.append(number)
    return numbers


def seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def gigahertz(path: str) -> float | None:
    kilohertz = read_int_or_none(path)
    return None if kilohertz is None else kilohertz / 1e6
