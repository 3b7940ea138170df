"""How much memory does the machine have, what of it is free, and what has it lost? One reading.

Source:  /proc/{meminfo,vmstat,loadavg,sysvipc/shm}, how full /dev/shm is,
         /sys/devices/system/node/node*/meminfo
Units:   bytes now; pages and kills since boot
Cost:    four files and one a NUMA node (a); touches no hardware
Absent:  never on Linux; only in a recording that leaves it out
Trust:   any user can leave segments and fill the memory
"""

import os

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import (
    list_names,
    read_list_or_none,
    read_text,
    read_text_or_none,
)
from hpcdoctor.probes.host import Host

KIBIBYTE = 1024
GIBIBYTE = 1024**3
MOST_FILES = 4096  # in the /dev/shm of a recording


class Memory(Reading, frozen=True):
    total_bytes: int  # what firmware gave the kernel, less one or two per cent
    total_gibibytes: float  # the same, for people
    available_bytes: int | None  # since Linux 3.14
    available_ratio: float | None
    corrupted_bytes: int | None  # taken out of use after an error that could not be corrected
    swap_total_bytes: int | None
    swap_free_bytes: int | None
    swap_in_pages_total: int | None  # read back from swap
    shared_bytes: int | None  # tmpfs and System V segments; also the root of a diskless node
    left_shared_bytes: int | None  # of it what jobs make: /dev/shm, and segments nobody attaches
    left_shared_ratio: float | None
    load_ratio: float | None  # tasks running or stuck in the last 15 minutes, for each cpu
    errors_counted: bool  # an EDAC driver watches the memory controllers
    huge_pages_total: int | None
    huge_pages_free: int | None
    numa_nodes: int  # that have memory
    numa_total_bytes: int | None  # their sum, about the total
    numa_ratio: float | None  # the sum by the total; older kernels have up to 1.02
    out_of_memory_kills_total: int | None  # of jobs' limits and of the machine alike; Linux 4.13


def read(host: Host) -> list[Memory]:
    path = host.root / "proc/meminfo"
    if not host.live and not path.exists():
        raise Absent("the recording does not tell of the memory")
    meminfo = parse_meminfo(read_text(path))
    total = meminfo.get("MemTotal")
    if not total:
        raise Unavailable(f"{path} does not say how much memory there is")
    available = meminfo.get("MemAvailable")
    nodes = read_numa_totals(host)
    vmstat = read_text_or_none(host.root / "proc/vmstat") or ""
    numa_total = None if None in nodes or not nodes else sum(filter(None, nodes))
    left = read_left_shared(host)
    return [
        Memory(
            total_bytes=total,
            total_gibibytes=round(total / GIBIBYTE, 1),
            available_bytes=available,
            available_ratio=None if available is None else available / total,
            corrupted_bytes=meminfo.get("HardwareCorrupted"),
            swap_total_bytes=meminfo.get("SwapTotal"),
            swap_free_bytes=meminfo.get("SwapFree"),
            swap_in_pages_total=parse_count(vmstat, "pswpin"),
            shared_bytes=meminfo.get("Shmem"),
            left_shared_bytes=left,
            left_shared_ratio=None if left is None else left / total,
            load_ratio=read_load(host),
            errors_counted=any(
                name[:2] == "mc" and name[2:].isdecimal()
                for name in list_names(host.root / "sys/devices/system/edac/mc")
            ),
            huge_pages_total=meminfo.get("HugePages_Total"),
            huge_pages_free=meminfo.get("HugePages_Free"),
            numa_nodes=len([node for node in nodes if node]),
            numa_total_bytes=numa_total,
            numa_ratio=None if numa_total is None else numa_total / total,
            out_of_memory_kills_total=parse_count(vmstat, "oom_kill"),
        )
    ]


def parse_meminfo(text: str) -> dict[str, int]:
    """Return the fields, those in kB as bytes; a node's lines begin with its name."""
    fields: dict[str, int] = {}
    for line in text.splitlines():
        head, _, tail = line.partition(":")
        words = tail.split()
        if words and words[0].isdecimal():
            unit = KIBIBYTE if words[1:] == ["kB"] else 1
            fields[head.split()[-1]] = int(words[0]) * unit
    return fields


def read_numa_totals(host: Host) -> list[int | None]:
    base = str(host.root / "sys/devices/system/node")
    texts = [
        read_text_or_none(f"{base}/{name}/meminfo")
        for name in list_names(base)
        if name.startswith("node") and name[4:].isdecimal()
    ]
    return [None if text is None else parse_meminfo(text).get("MemTotal") for text in texts]


def parse_count(vmstat: str, name: str) -> int | None:
    for line in vmstat.splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return None


def read_load(host: Host) -> float | None:
    """Return the load of the last 15 minutes for each cpu that is online."""
    words = (read_text_or_none(host.root / "proc/loadavg") or "").split()
    cpus = read_list_or_none(host.root / "sys/devices/system/cpu/online")
    if len(words) < 3 or not cpus or not words[2].replace(".", "", 1).isdecimal():
        return None
    return float(words[2]) / len(cpus)


def read_left_shared(host: Host) -> int | None:
    """Return the bytes in /dev/shm and in System V segments that nobody has attached."""
    segments = read_text_or_none(host.root / "proc/sysvipc/shm")
    files = read_shared_files(host)
    if segments is None and files is None:
        return None
    return (files or 0) + (0 if segments is None else parse_segments(segments))


def read_shared_files(host: Host) -> int | None:
    folder = host.root / "dev/shm"
    try:
        if host.live:
            if folder.stat().st_dev == host.root.stat().st_dev:
                return None  # no memory, but a folder of the disk, as in some containers
            room = os.statvfs(folder)
            return (room.f_blocks - room.f_bfree) * room.f_frsize
        names = list_names(folder)[:MOST_FILES]
        return sum(os.lstat(folder / name).st_size for name in names) if names else None
    except OSError:
        return None


def parse_segments(text: str) -> int:
    """Return the bytes in use of the segments that no process has attached."""
    header, *rows = text.splitlines()
    names = header.split()
    if "nattch" not in names or "rss" not in names:
        return 0
    attached, resident = names.index("nattch"), names.index("rss")
    left = 0
    for row in rows:
        words = row.split()
        if len(words) == len(names) and words[attached] == "0" and words[resident].isdecimal():
            left += int(words[resident])
    return left
