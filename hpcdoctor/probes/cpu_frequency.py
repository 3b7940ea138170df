"""Has a CPU throttled because of heat, and is it held below its clock? One reading a package.

Source:  /sys/devices/system/cpu/cpu*/{thermal_throttle,topology,cpufreq}/ (kernel: ABI/testing)
Units:   events and time since boot; looks and seconds since this probe began to look
Cost:    two or three small files a core (a); touches no hardware, but for one sensor of a package
         in which a throttling has begun and not ended
Absent:  where the CPU has neither throttle counters (AMD, arm, virtual machines) nor frequencies

Hyperthreads show the same core, and every cpu repeats its package: each is counted once. A power
limit is not heat and is kept apart. The count moves when a throttling begins and the time only when
it ends: one that lasts for hours would look like a single event, and so is looked after.
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

# How near to its limit a package has to be for a throttling that has not ended to go on. One that
# was shorter than a tick of the kernel's clock adds nothing to the time, and is long over.
NEAR_CELSIUS = 5.0


class Package(Reading, frozen=True):
    package: int  # as the firmware numbers the sockets
    cores: int  # distinct cores
    core_throttle_total: int | None  # summed over the distinct cores
    package_throttle_total: int | None  # older kernels count cores only
    core_throttle_seconds_total: float | None  # summed over the cores; since Linux 5.5
    package_throttle_seconds_total: float | None
    package_power_limit_total: int | None  # a power cap, not heat
    throttled: bool | None  # since the last look, or still; None at the first
    throttled_ratio: float | None  # share of that time, of the core or package with most of it
    throttled_looks_total: int | None  # at which it had throttled since the one before
    throttled_seconds_total: float | None  # of the worst at each look
    throttling_since_seconds: float | None  # how long one has gone on that has not ended
    hottest_cpu: str  # the first cpu of the core that throttled most often; "" where none did
    hottest_cpu_throttle_total: int | None
    governor: str | None  # of the package's first cpu, like the two frequencies
    frequency_limit_gigahertz: float | None  # as set now
    frequency_maximum_gigahertz: float | None  # as the hardware can
    turbo: bool | None  # whether clocks above the base are allowed; None where nobody says


class Core(msgspec.Struct, frozen=True):
    """One core, read through the first of its hyperthreads."""

    package: int
    cpu: str  # "cpu13"
    folder: str
    counts: bool  # it has throttle counters


class Watched(msgspec.Struct):
    """What one package's counters showed at the last look, and what was made of it since."""

    boot_id: str
    taken: float
    counts: dict[str, int]  # core or "package": its events
    times: dict[str, int]  # milliseconds
    opened: dict[str, float] = {}  # those that began and have not ended: when that was seen
    looks: int = 0
    seconds: float = 0.0


class Change(msgspec.Struct, frozen=True):
    """What came of it since the last look."""

    throttled: bool | None = None
    ratio: float | None = None
    looks: int | None = None
    seconds: float | None = None
    open_seconds: float | None = None


def read(host: Host) -> list[Package]:
    base = str(host.root / "sys/devices/system/cpu")
    cores = find_cores(host, base)
    if not cores:
        raise Absent("this CPU has no throttle counters, and no frequency that can be set")
    turbo = read_turbo(base)
    packages: dict[int, list[Core]] = {}
    for core in cores:
        packages.setdefault(core.package, []).append(core)
    return [read_package(host, package, packages[package], turbo) for package in sorted(packages)]


def find_cores(host: Host, base: str) -> list[Core]:
    """Return the distinct cores that tell anything; looked up again when cpus come or go."""
    online = read_text_or_none(f"{base}/online")
    key = f"cpu_frequency cores {base}"  # two recordings of one machine are two trees
    remembered: tuple[str | None, list[Core]] | None = host.memory.get(key)
    if remembered is not None and online is not None and remembered[0] == online:
        return remembered[1]
    cores: list[Core] = []
    seen: set[int] = set()
    for number in cpu_numbers(base, online):
        folder = f"{base}/cpu{number}"
        if number in seen:
            continue
        counts = bool(list_names(f"{folder}/thermal_throttle"))
        if not counts and not list_names(f"{folder}/cpufreq"):
            continue
        seen.update(read_list_or_none(f"{folder}/topology/thread_siblings_list") or [number])
        package = read_int_or_none(f"{folder}/topology/physical_package_id")
        # -1 where the firmware does not say
        cores.append(Core(max(0, package or 0), f"cpu{number}", folder, counts))
    host.memory[key] = (online, cores)
    return cores


def cpu_numbers(base: str, online: str | None) -> list[int]:
    """Return the cpus to look at; the folders tell where the list of those online does not."""
    listed = parse_list_or_none(online) if online else None
    if listed:
        return listed
    names = [name[3:] for name in list_names(base) if name.startswith("cpu")]
    return sorted(int(number) for number in names if number.isdecimal())


def read_package(host: Host, package: int, cores: list[Core], turbo: bool | None) -> Package:
    counting = [core for core in cores if core.counts]
    counts = read_cores(counting, "core_throttle_count")
    most = max(counts.values(), default=0)
    hottest = next((cpu for cpu, count in counts.items() if most and count == most), "")
    times = read_cores(counting, "core_throttle_total_time_ms")
    first = cores[0].folder
    throttle = f"{counting[0].folder if counting else first}/thermal_throttle"
    package_count = read_int_or_none(f"{throttle}/package_throttle_count")
    package_time = read_int_or_none(f"{throttle}/package_throttle_total_time_ms")
    change = watch(
        host,
        package,
        counts if package_count is None else {**counts, "package": package_count},
        times if package_time is None else {**times, "package": package_time},
    )
    return Package(
        package=package,
        cores=len(cores),
        core_throttle_total=sum(counts.values()) if counts else None,
        package_throttle_total=package_count,
        core_throttle_seconds_total=seconds(sum(times.values()) if times else None),
        package_throttle_seconds_total=seconds(package_time),
        package_power_limit_total=read_int_or_none(f"{throttle}/package_power_limit_count"),
        throttled=change.throttled,
        throttled_ratio=change.ratio,
        throttled_looks_total=change.looks,
        throttled_seconds_total=change.seconds,
        throttling_since_seconds=change.open_seconds,
        hottest_cpu=hottest,
        hottest_cpu_throttle_total=most if counts else None,
        governor=read_text_or_none(f"{first}/cpufreq/scaling_governor"),
        frequency_limit_gigahertz=gigahertz(f"{first}/cpufreq/scaling_max_freq"),
        frequency_maximum_gigahertz=gigahertz(f"{first}/cpufreq/cpuinfo_max_freq"),
        turbo=turbo,
    )


def read_cores(cores: list[Core], file: str) -> dict[str, int]:
    """Return one number a core, or none at all: a sum without one of them would seem to fall."""
    numbers: dict[str, int] = {}
    for core in cores:
        number = read_int_or_none(f"{core.folder}/thermal_throttle/{file}")
        if number is None:
            return {}
        numbers[core.cpu] = number
    return numbers


def watch(host: Host, package: int, counts: dict[str, int], times: dict[str, int]) -> Change:
    """Compare with the last look: what throttled meanwhile, for how long, and does it go on?"""
    now = host.clock()
    key = f"cpu_frequency package {package}"
    last: Watched | None = host.memory.get(key)
    if not counts:
        return Change()
    fresh = Watched(now.boot_id, now.boottime, counts, times)
    host.memory[key] = fresh
    if last is None or last.boot_id != now.boot_id or last.counts.keys() != counts.keys():
        return Change(looks=0, seconds=0.0 if times else None)
    elapsed = now.boottime - last.taken
    fresh.looks, fresh.seconds = last.looks, last.seconds
    fresh.opened = still_open(host, package, last, fresh)
    moved = any(count > last.counts[one] for one, count in counts.items())
    throttled = moved or bool(fresh.opened)
    ended = [
        (times[one] - last.times[one]) / 1000
        for one in times
        if one in last.times and times[one] >= last.times[one]
    ]
    # One that has lasted for an hour ends with an hour at once: no more than has passed counts.
    goes_on = any(since < now.boottime for since in fresh.opened.values())
    worst = elapsed if goes_on else min(max(ended, default=0.0), elapsed)
    fresh.looks += throttled
    fresh.seconds += worst
    return Change(
        throttled=throttled,
        ratio=worst / elapsed if times and elapsed > 0 else None,
        looks=fresh.looks,
        seconds=round(fresh.seconds, 3) if times else None,
        open_seconds=now.boottime - min(fresh.opened.values()) if fresh.opened else None,
    )


def still_open(host: Host, package: int, last: Watched, fresh: Watched) -> dict[str, float]:
    """Return the cores that began to throttle, and whose time has not moved since."""
    opened = {}
    for one, count in fresh.counts.items():
        time, before = fresh.times.get(one), last.times.get(one)
        if time is None or time != before:
            continue  # this kernel does not tell the time, or it has ended
        if count > last.counts[one]:
            opened[one] = fresh.taken
        elif one in last.opened:
            opened[one] = last.opened[one]
    return opened if opened and is_near_its_limit(host, package) else {}


def is_near_its_limit(host: Host, package: int) -> bool:
    """Ask the package's sensor whether it is as hot as it may be; without one, nobody knows."""
    folder = str(host.root / f"sys/devices/platform/coretemp.{package}/hwmon")
    for name in list_names(folder):
        temperature = read_int_or_none(f"{folder}/{name}/temp1_input")
        limit = read_int_or_none(f"{folder}/{name}/temp1_crit")
        if temperature is not None and limit:
            return temperature >= limit - NEAR_CELSIUS * 1000
    return False


def read_turbo(base: str) -> bool | None:
    denied = read_int_or_none(f"{base}/intel_pstate/no_turbo")
    if denied is not None:
        return denied == 0
    boost = read_int_or_none(f"{base}/cpufreq/boost")
    return None if boost is None else boost == 1


def seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def gigahertz(path: str) -> float | None:
    kilohertz = read_int_or_none(path)
    return None if kilohertz is None else kilohertz / 1e6
