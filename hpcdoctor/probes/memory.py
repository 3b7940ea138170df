"""How much memory does the machine have, what of it is free, and what has it lost? One reading.

Source:  /proc/{meminfo,vmstat}, /sys/devices/system/node/node*/meminfo
Units:   bytes now; kills since boot
Cost:    two files and one a NUMA node; touches no hardware
Absent:  never on Linux; only in a recording that leaves it out
"""

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import list_names, read_text, read_text_or_none
from hpcdoctor.probes.host import Host

KIBIBYTE = 1024
GIBIBYTE = 1024**3


class Memory(Reading, frozen=True):
    total_bytes: int  # what firmware gave the kernel, less one or two per cent
    total_gibibytes: float  # the same, for people
    available_bytes: int | None  # since Linux 3.14
    available_ratio: float | None
    corrupted_bytes: int | None  # taken out of use after an error that could not be corrected
    swap_total_bytes: int | None
    swap_free_bytes: int | None
    shared_bytes: int | None  # tmpfs and System V segments: what a job may leave behind
    huge_pages_total: int | None
    huge_pages_free: int | None
    numa_nodes: int  # that have memory
    numa_total_bytes: int | None  # their sum, which agrees with the total within one per cent
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
    return [
        Memory(
            total_bytes=total,
            total_gibibytes=round(total / GIBIBYTE, 1),
            available_bytes=available,
            available_ratio=None if available is None else available / total,
            corrupted_bytes=meminfo.get("HardwareCorrupted"),
            swap_total_bytes=meminfo.get("SwapTotal"),
            swap_free_bytes=meminfo.get("SwapFree"),
            shared_bytes=meminfo.get("Shmem"),
            huge_pages_total=meminfo.get("HugePages_Total"),
            huge_pages_free=meminfo.get("HugePages_Free"),
            numa_nodes=len([node for node in nodes if node]),
            numa_total_bytes=None if None in nodes or not nodes else sum(filter(None, nodes)),
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
