"""Where does the memory lie, and in pieces of which size is it free? One reading a NUMA node.

Source:  /sys/devices/system/node/{has_memory,online,node*}, /proc/buddyinfo
Units:   bytes; huge pages of each size
Cost:    a few small files a node (a)
Absent:  where the kernel knows no NUMA nodes, and in recordings without them
"""

import msgspec

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import (
    list_names,
    read_int_or_none,
    read_list_or_none,
    read_text_or_none,
)
from hpcdoctor.probes.host import Host

KIBIBYTE = 1024
# What programs are given memory from; DMA zones are a small reserve.
ZONES = ("Normal", "Movable")
# A huge page of 2 MiB is 2^9 pages of 4 KiB. Kernels with large pages have fewer orders: the last.
HUGE_ORDER = 9


class Node(Reading, frozen=True):
    node: str  # "node0", as its folder
    nodes: int  # NUMA nodes with memory, of the machine
    online: bool
    total_bytes: int | None
    free_bytes: int | None
    free_ratio: float | None
    large_blocks: int | None  # free pieces that a huge page fits into; None without such a zone
    huge_pages_total: int | None  # of all sizes
    huge_pages_free: int | None
    huge_bytes: int | None


class Huge(msgspec.Struct, frozen=True):
    total: int
    free: int
    size_bytes: int


def read(host: Host) -> list[Node]:
    base = str(host.root / "sys/devices/system/node")
    numbers = read_list_or_none(f"{base}/has_memory")
    if numbers is None:  # before Linux 3.8; then all folders that tell of memory
        folders = [name[4:] for name in list_names(base) if name.startswith("node")]
        numbers = sorted(int(name) for name in folders if name.isdecimal())
    if not numbers:
        raise Absent("this machine tells of no NUMA nodes")
    online = read_list_or_none(f"{base}/online")
    blocks = parse_buddyinfo(read_text_or_none(host.root / "proc/buddyinfo") or "")
    return [
        read_node(
            f"{base}/node{number}",
            number,
            len(numbers),
            online is None or number in online,
            blocks.get(number),
        )
        for number in numbers
    ]


def read_node(folder: str, number: int, nodes: int, online: bool, blocks: int | None) -> Node:
    meminfo = parse_meminfo(read_text_or_none(f"{folder}/meminfo") or "")
    total, free = meminfo.get("MemTotal"), meminfo.get("MemFree")
    huge = read_huge_pages(f"{folder}/hugepages")
    return Node(
        node=f"node{number}",
        nodes=nodes,
        online=online,
        total_bytes=total,
        free_bytes=free,
        free_ratio=free / total if total and free is not None else None,
        large_blocks=blocks,
        huge_pages_total=None if huge is None else sum(one.total for one in huge),
        huge_pages_free=None if huge is None else sum(one.free for one in huge),
        huge_bytes=None if huge is None else sum(one.total * one.size_bytes for one in huge),
    )


def parse_meminfo(text: str) -> dict[str, int]:
    """Return the fields of "Node 0 MemTotal:  129839104 kB" in bytes."""
    fields = {}
    for line in text.splitlines():
        head, _, tail = line.partition(":")
        words = tail.split()
        if head and words and words[0].isdecimal() and words[1:] == ["kB"]:
            fields[head.split()[-1]] = int(words[0]) * KIBIBYTE
    return fields


def read_huge_pages(folder: str) -> list[Huge] | None:
    found = []
    for name in list_names(folder):
        size = name.removeprefix("hugepages-").removesuffix("kB")
        total = read_int_or_none(f"{folder}/{name}/nr_hugepages")
        free = read_int_or_none(f"{folder}/{name}/free_hugepages")
        if size.isdecimal() and total is not None and free is not None:
            found.append(Huge(total, free, int(size) * KIBIBYTE))
    return found or None


def parse_buddyinfo(text: str) -> dict[int, int]:
    """Return for each node how many free pieces are large enough for a huge page.

    Lines are "Node 0, zone   Normal  282 1413 ...": one number an order, from a single page up.
    """
    found: dict[int, int] = {}
    for line in text.splitlines():
        words = line.replace(",", " ").split()
        if len(words) < 6 or words[0] != "Node" or words[2] != "zone" or words[3] not in ZONES:
            continue
        counts = words[4:]
        if not words[1].isdecimal() or not all(count.isdecimal() for count in counts):
            continue
        large = counts[min(HUGE_ORDER, len(counts) - 1) :]
        number = int(words[1])
        found[number] = found.get(number, 0) + sum(map(int, large))
    return found
