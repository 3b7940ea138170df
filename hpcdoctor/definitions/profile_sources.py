"""Where does each key of a profile come from? Beside its shape: a key is learnt, or says why not.

A source names one field of one probe's readings, and how a fact is made of several readings. Names
of people, hosts and single parts (serial numbers, UUIDs, MACs, GUIDs) are never facts: what a
profile says has to be true of every node of its kind.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

Row = Mapping[str, Any]  # one reading as it travels: its fields by name
Rows = Sequence[Row]


class How(Enum):
    """How several readings make one fact, and when another node differs from it."""

    ONE = "the same of all"  # where they differ, nothing is learnt
    LEAST = "the least of them"
    EACH = "each of them is expected"
    ALLOWED = "each of them is allowed"


def _all(rows: Rows) -> Rows:
    return rows


def _no_fault(row: Row) -> str:  # noqa: ARG001
    return ""


class Source(NamedTuple):
    """What one key is made of."""

    probe: str
    field: str
    how: How = How.ONE
    name: str = ""  # the field by which a comment names one of several
    choose: Callable[[Rows], Rows] = _all  # which readings are meant at all
    fault: Callable[[Row], str] = _no_fault  # why one of those is left out, as in "is down"
    tolerance: float = 0.0  # a share of the value, as the checks of this key have it


def _those(wanted: Callable[[Row], bool]) -> Callable[[Rows], Rows]:
    return lambda rows: [row for row in rows if wanted(row)]


def _of_kind(kind: str) -> Callable[[Rows], Rows]:
    return _those(lambda row: row.get("kind") == kind)


def _fabric_ports(rows: Rows) -> Rows:
    """Return the InfiniBand ports; where there is none, those of RoCE."""
    layers = ("InfiniBand", "Ethernet")
    found = [[row for row in rows if row.get("link_layer") == layer] for layer in layers]
    return found[0] or found[1]


def _is_up(row: Row) -> str:
    state = row.get("state")
    return "" if str(state).startswith("active") else f"is {state}"


def _has_full_rate(row: Row) -> str:
    rate, best = row.get("rate_gigabits_per_second"), row.get("board_rate_gigabits_per_second")
    if rate is not None and best is not None and rate < best:
        return f"runs at {rate:g} Gb/s, others of its board at {best:g}"
    return _is_up(row)


def _has_link(row: Row) -> str:
    return "" if row.get("carrier") else "has no link"


def _is_wanted(row: Row) -> bool:
    return bool(row.get("wanted")) and bool(row.get("hardware"))


def _is_plain_port(row: Row) -> bool:
    """A bond's speed is the sum of its slaves'."""
    return _is_wanted(row) and not row.get("bond")


def _is_present(row: Row) -> bool:
    return bool(row.get("present"))


# Every machine has these, and fstab names them: they say nothing of a kind of node.
SYSTEM_MOUNTS = ("/", "/boot", "/efi", "/etc", "/home", "/opt", "/root", "/srv", "/usr", "/var")


def _is_written_down(row: Row) -> bool:
    """The mounts that jobs count on: over the network, or a disk of its own for their data."""
    mount_point = str(row.get("mount_point"))
    top = "/" + mount_point.strip("/").partition("/")[0]
    return bool(row.get("expected_by")) and (bool(row.get("network")) or top not in SYSTEM_MOUNTS)


def _is_mounted(row: Row) -> str:
    return "" if row.get("mounted") else "is not mounted"


def _all_at_work(row: Row) -> str:
    return f"has cpus {row.get('offline_cpus')} offline" if row.get("unexplained") else ""


def _runs_one_microcode(row: Row) -> str:
    return f"has other ones on cpus {row.get('odd_cpus')}" if row.get("odd_cpus") else ""


def _has_route(row: Row) -> str:
    return "" if row.get("default_route") else "has no default route"


def _watches(row: Row) -> str:
    return "" if row.get("errors_counted") else "has no EDAC driver that counts errors"


def _all_links_up(row: Row) -> str:
    up, wired = row.get("nvlinks_active"), row.get("nvlinks")
    return f"has {up} of {wired} links up" if up != wired else ""


def _not_waiting(row: Row) -> str:
    now, pending = row.get("ecc"), row.get("ecc_pending")
    waiting = now is not None and pending is not None and now != pending
    return "has another setting waiting for its reset" if waiting else ""


SOURCES: dict[str, Source] = {
    "gpu.count": Source("nvidia_driver", "gpus_in_pci"),
    "gpu.pci_addresses": Source("gpu_slots", "pci_address", How.EACH, "place", _those(_is_present)),
    "gpu.memory_bytes": Source(
        "nvidia_gpu", "memory_total_bytes", How.LEAST, "gpu", tolerance=0.05
    ),
    "gpu.nvlinks": Source("nvidia_gpu", "nvlinks_active", name="gpu", fault=_all_links_up),
    "gpu.ecc": Source("nvidia_gpu", "ecc", name="gpu", fault=_not_waiting),
    "gpu.persistence": Source("nvidia_gpu", "persistence", name="gpu"),
    "gpu.mig": Source("nvidia_gpu", "mig", name="gpu"),
    "gpu.compute_mode": Source("nvidia_gpu", "compute_mode", name="gpu"),
    "gpu.power_limit_watts": Source(
        "nvidia_gpu", "power_limit_watts", How.LEAST, "gpu", tolerance=0.02
    ),
    "gpu.vbios_versions": Source("nvidia_gpu", "vbios_version", How.ALLOWED, "gpu"),
    "cpu.governor": Source("cpu_frequency", "governor", name="package"),
    "cpu.online": Source("cpu_topology", "online", fault=_all_at_work),
    "cpu.smt": Source("cpu_topology", "smt"),
    "cpu.turbo": Source("cpu_frequency", "turbo", name="package"),
    "cpu.isolated": Source("cpu_topology", "isolated_cpus"),
    "cpu.microcode": Source("cpu_topology", "microcode", fault=_runs_one_microcode),
    "memory.total_bytes": Source("memory", "total_bytes", tolerance=0.05),
    "memory.ecc": Source("memory", "errors_counted", fault=_watches),
    "memory.numa_nodes": Source("memory_zones", "nodes"),
    "memory.huge_pages": Source("memory", "huge_pages_total"),
    "memory.numa_balancing": Source("numa_balancing", "enabled"),
    "infiniband.ports": Source("infiniband", "name", How.EACH, "name", _fabric_ports, _is_up),
    "infiniband.count": Source("infiniband", "ports_active"),
    "infiniband.rate_gigabits_per_second": Source(
        "infiniband", "rate_gigabits_per_second", How.LEAST, "name", _fabric_ports, _has_full_rate
    ),
    "infiniband.link_layer": Source("infiniband", "link_layer", How.ONE, "name", _fabric_ports),
    "ethernet.interfaces": Source(
        "ethernet", "interface", How.EACH, "interface", _those(_is_wanted), _has_link
    ),
    "ethernet.speed_gigabits_per_second": Source(
        "ethernet",
        "speed_gigabits_per_second",
        How.LEAST,
        "interface",
        _those(_is_plain_port),
        _has_link,
    ),
    "ethernet.mtu_bytes": Source(
        "ethernet", "mtu_bytes", How.ONE, "interface", _those(_is_wanted), _has_link
    ),
    "ethernet.default_route": Source("network_route", "default_route", fault=_has_route),
    "storage.nvme_controllers": Source("nvme", "controllers"),
    "versions.kernel": Source("versions", "version", How.ALLOWED, choose=_of_kind("kernel")),
    "versions.nvidia_driver": Source(
        "versions", "version", How.ALLOWED, choose=_of_kind("nvidia-driver")
    ),
    "versions.network_driver": Source(
        "versions", "version", How.ALLOWED, choose=_of_kind("network-driver")
    ),
    "versions.ofed": Source("versions", "version", How.ALLOWED, choose=_of_kind("ofed")),
    "versions.lustre": Source("versions", "version", How.ALLOWED, choose=_of_kind("lustre")),
    "versions.hca_firmware": Source(
        "versions", "board_version", How.ALLOWED, "component", _of_kind("hca-firmware")
    ),
    "versions.bios": Source("versions", "version", How.ALLOWED, choose=_of_kind("bios")),
    "mounts": Source(
        "mounts", "mount_point", How.EACH, "mount_point", _those(_is_written_down), _is_mounted
    ),
}

# Keys that no machine can tell, and why.
NOT_LEARNT = {
    "profile": "the name that you give it",
    "services.units": "which of them a node needs is the site's to say",
    "processes.wanted": "which of them a node needs is the site's to say",
    "processes.forbidden": "what must not run is the site's to say",
    "names.user": "a person's name is never a fact",
    "system.sysctl": "which of a thousand settings matter is the site's to say",
    "system.command_line": "which of its words matter is the site's to say",
    "system.modules": "which of them a node needs is the site's to say",
    "system.release": "an update would make every node differ; write it where that is wanted",
    "site": "facts for the site's own checks, which only the site knows",
}
