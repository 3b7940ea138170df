"""Which NUMA node does a cpu belong to, and which nodes hold ordinary memory?"""

from hpcdoctor.probes.files import list_names, read_list_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

BASE = "sys/devices/system/node"


def node_numbers(host: Host) -> list[int]:
    """Return the nodes in order; their numbers may be sparse."""
    names = list_names(host.root / BASE)
    return sorted(int(n[4:]) for n in names if n.startswith("node") and n[4:].isdecimal())


def node_cpus(host: Host) -> dict[int, list[int]]:
    """Return the cpus of each node; those that only bring memory have none."""
    return {
        number: read_list_or_none(host.root / BASE / f"node{number}/cpulist") or []
        for number in node_numbers(host)
    }


def cpu_nodes(host: Host) -> dict[int, int]:
    """Return the NUMA node of each cpu."""
    return {cpu: number for number, cpus in node_cpus(host).items() for cpu in cpus}


def why_one_place(host: Host) -> str | None:
    """Say why all cpus are equally near to all memory; None: several nodes have cpus."""
    nodes = node_cpus(host)
    if not nodes:
        return "this machine tells of no NUMA nodes"
    return None if sum(map(bool, nodes.values())) > 1 else "one NUMA node has all cpus"


def balances(host: Host) -> bool | None:
    """Tell whether the kernel moves pages after the threads that use them; None: it cannot."""
    mode = read_text_or_none(host.root / "proc/sys/kernel/numa_balancing")
    return None if mode is None else mode != "0"
