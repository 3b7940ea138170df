"""Are all processors of this machine at work, and are they set up alike? One reading.

Source:  /sys/devices/system/cpu/{online,present,isolated,smt}, cpu*/{topology,microcode}
Units:   logical cpus
Cost:    a few small files (a); every ten minutes two a cpu, which touch no hardware
Absent:  never on Linux; only in a recording that leaves it out

`offline` in the same folder lists what the board could hold, and is no sign of a fault: present
without online is.
"""

from collections import Counter

import msgspec

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import (
    list_names,
    read_list_or_none,
    read_text_or_none,
)
from hpcdoctor.probes.host import Host

HYPERTHREADS_OFF = ("off", "forceoff")


KEPT_SECONDS = 590.0  # two files a cpu are many on a large machine


class Cpus(msgspec.Struct, frozen=True):
    """What has to be asked of every cpu."""

    taken: float
    online: list[int]
    packages: int | None
    microcode: dict[int, str | None]


class Topology(Reading, frozen=True):
    present: int  # cpus in the sockets
    online: int
    offline: int  # present and not online
    offline_cpus: str  # "4-7"; "" for none
    unexplained: int  # of those: not the hyperthreads that somebody switched off
    packages: int | None  # sockets with a cpu online
    smt: bool | None  # whether cores run more than one thread now
    smt_control: str | None  # "on", "off", "forceoff", "notsupported", "notimplemented"
    isolated_cpus: str | None  # taken from the scheduler by the kernel's command line
    microcode: str | None  # the version that most cpus run; None on arm and in virtual machines
    microcode_versions: int | None  # how many different ones
    odd_cpus: str  # those that run another one than most; "" for none


def read(host: Host) -> list[Topology]:
    base = str(host.root / "sys/devices/system/cpu")
    present = read_list_or_none(f"{base}/present")
    online = read_list_or_none(f"{base}/online")
    if not present or not online:
        if not host.live:
            raise Absent("the recording does not tell which cpus there are")
        raise Unavailable(f"{base} does not tell which cpus are present and online")
    offline = sorted(set(present) - set(online))
    control = read_text_or_none(f"{base}/smt/control")
    active = read_text_or_none(f"{base}/smt/active")
    cpus = read_cpus(host, base, online)
    counted = Counter(version for version in cpus.microcode.values() if version)
    usual = counted.most_common(1)[0][0] if counted else None
    return [
        Topology(
            present=len(present),
            online=len(online),
            offline=len(offline),
            offline_cpus=as_list(offline),
            unexplained=unexplained(present, online, control),
            packages=cpus.packages,
            smt=None if active not in ("0", "1") else active == "1",
            smt_control=control,
            isolated_cpus=isolated(base),
            microcode=usual,
            microcode_versions=len(counted) if counted else None,
            odd_cpus=as_list([cpu for cpu in online if (cpus.microcode[cpu] or usual) != usual]),
        )
    ]


def read_cpus(host: Host, base: str, online: list[int]) -> Cpus:
    """Return what each cpu says; asked again when cpus come or go, and every ten minutes."""
    now = host.clock().boottime
    key = f"cpu_topology {base}"
    kept: Cpus | None = host.memory.get(key)
    if kept is not None and kept.online == online and 0 <= now - kept.taken < KEPT_SECONDS:
        return kept
    packages = {
        read_text_or_none(f"{base}/cpu{cpu}/topology/physical_package_id") for cpu in online
    }
    cpus = Cpus(
        taken=now,
        online=online,
        packages=None if None in packages else len(packages),
        microcode={cpu: read_text_or_none(f"{base}/cpu{cpu}/microcode/version") for cpu in online},
    )
    host.memory[key] = cpus
    return cpus


def unexplained(present: list[int], online: list[int], control: str | None) -> int:
    """Return how many are offline beyond the further threads of cores that are to run one.

    Those are switched off by `control`, or one by one: every second, fourth or eighth cpu is left
    (POWER), or the first half of them (x86 numbers the second threads last).
    """
    offline = len(set(present) - set(online))
    if control in HYPERTHREADS_OFF:
        return max(0, offline - len(present) // 2)
    by_hand = [present[::2], present[::4], present[::8], present[: len(present) // 2]]
    return 0 if len(present) > 2 and sorted(online) in by_hand else offline


def isolated(base: str) -> str | None:
    """Return the kernel's list; the empty one is an answer, an absent file is none."""
    return read_text_or_none(f"{base}/isolated") or ("" if "isolated" in list_names(base) else None)


def as_list(numbers: list[int]) -> str:
    """Return [0, 1, 2, 5] as "0-2,5"."""
    parts: list[str] = []
    start = 0
    for index, number in enumerate(numbers):
        if index + 1 < len(numbers) and numbers[index + 1] == number + 1:
            continue
        first = numbers[start]
        parts.append(f"{first}" if first == number else f"{first}-{number}")
        start = index + 1
    return ",".join(parts)[:200]
