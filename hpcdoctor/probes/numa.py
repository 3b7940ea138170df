"""Did memory come from the NUMA node that it was wanted on? One reading a node.

Source:  /sys/devices/system/node/node*/{numastat,cpulist}, has_memory, online
Units:   pages since boot
Cost:    (a) two small files a node, kernel memory only
Absent:  where the kernel knows no NUMA nodes; counters are None where vm.numa_stat is 0

A miss is a page that came from this node although it was wanted on another one, which was full. A
foreign page is the same event, seen by the node that was full.
"""

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.binding.cpu_sets import as_bits, as_text
from hpcdoctor.probes.binding.numa_nodes import BASE, node_cpus
from hpcdoctor.probes.files import read_list_or_none, read_text_or_none
from hpcdoctor.probes.host import Host


class NumaNode(Reading, frozen=True):
    node: str  # "node0", as its folder; numbers may be sparse
    cpus: str  # "0-31"; "" where it only brings memory, as that of a GPU
    has_memory: bool | None
    online: bool | None
    nodes: int  # of the machine
    numa_hit_total: int | None
    numa_miss_total: int | None
    numa_foreign_total: int | None
    interleave_hit_total: int | None
    local_node_total: int | None
    other_node_total: int | None


def read(host: Host) -> list[NumaNode]:
    nodes = node_cpus(host)
    if not nodes:
        raise Absent("this machine tells of no NUMA nodes")
    base = host.root / BASE
    with_memory = read_list_or_none(base / "has_memory")
    online = read_list_or_none(base / "online")
    counted = read_text_or_none(host.root / "proc/sys/vm/numa_stat") != "0"
    found = []
    for number, cpus in nodes.items():
        text = read_text_or_none(base / f"node{number}/numastat") if counted else None
        counters = parse_counters(text or "")
        found.append(
            NumaNode(
                node=f"node{number}",
                cpus=as_text(as_bits(cpus)),
                has_memory=None if with_memory is None else number in with_memory,
                online=None if online is None else number in online,
                nodes=len(nodes),
                numa_hit_total=counters.get("numa_hit"),
                numa_miss_total=counters.get("numa_miss"),
                numa_foreign_total=counters.get("numa_foreign"),
                interleave_hit_total=counters.get("interleave_hit"),
                local_node_total=counters.get("local_node"),
                other_node_total=counters.get("other_node"),
            )
        )
    return found


def parse_counters(text: str) -> dict[str, int]:
    """Return the numbers of lines such as "numa_hit 12"."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}
