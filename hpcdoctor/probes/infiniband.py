"""State, rate, lost links and error counters of the RDMA ports, one reading per port.

Source:  /sys/class/infiniband/*/ports/*/ (kernel: ABI/stable/sysfs-class-infiniband),
         /sys/class/infiniband_verbs, /sys/class/net/*/carrier_down_count
Units:   errors since the port's counters were reset: driver load, or somebody with perfquery
Cost:    a question to the firmware for each counter (b), so only those that are judged are read,
         and all but link_downed once a minute
Absent:  where the kernel knows no RDMA device, and we have seen none. A dead adapter can vanish in
         the same way: a port that was here is told as "gone".

The error counters do not wrap: they stop at the maximum that their field declares, and then say
"at least". A device's name means nothing; its PCI address and network interface find it. Virtual
functions are left out: their links are those of the function that they belong to.

A lost link shows in link_downed, in the state from look to look, and in the carrier of the network
interface. Each source misses some of what another sees, and what they tell within a minute is of
one event: the most that one of them counts is told. At link_downed's maximum the others go on. What
half of the ports or more suffer at the same moment is a switch or a subnet manager, and is counted
apart.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

# Widths of the fields as the InfiniBand standard has them (Linux: drivers/infiniband/core/sysfs.c).
MAXIMUM_DOWNED = 255
Counter4 = Annotated[int | None, msgspec.Meta(extra={"saturates": 15})]
Counter8 = Annotated[int | None, msgspec.Meta(extra={"saturates": MAXIMUM_DOWNED})]
Counter16 = Annotated[int | None, msgspec.Meta(extra={"saturates": 65535})]

STATES = {0: "none", 1: "down", 2: "init", 3: "armed", 4: "active", 5: "active-defer"}
PHYSICAL_STATES = {
    1: "sleep",
    2: "polling",
    3: "disabled",
    4: "training",
    5: "link-up",
    6: "error-recovery",
    7: "test",
}
ACTIVE, GONE = "active", "gone"
ERROR_COUNTERS = (
    "link_error_recovery",
    "symbol_error",
    "port_rcv_errors",
    "port_xmit_discards",
    "local_link_integrity_errors",
    "excessive_buffer_overrun_errors",
)
ERRORS_EVERY_SECONDS = 50.0
RELOADED_QUIET_SECONDS = 600.0  # training after a driver was loaded counts as lost links
TOGETHER_SECONDS = 20.0  # so far apart may be what the ports see of one event
SETTLED_SECONDS = 60.0  # after which no source has anything to add to what another told
LONG_SECONDS = 25.0  # gpud: shorter losses are no flap

_NUMBERED = re.compile(r"(\d{1,3}): ?(.*)")
_RATE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?) Gb/sec(?: \(([0-9A-Za-z ]{1,16})\))?")
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


class Port(Reading, frozen=True):
    name: str  # "mlx5_0/1", as a profile lists it
    device: str
    port: int
    pci_address: str  # "" where the device does not say
    netdev: str  # "ib0"; "" where there is none
    board_id: str | None  # only ports of the same board are comparable
    firmware: str | None
    link_layer: str | None  # "InfiniBand", "Ethernet", "Unspecified" (EFA: its state says nothing)
    state: str | None  # "active", "down", "init" (cable, no subnet manager), "armed", "gone"
    physical_state: str | None  # "link-up", "polling" (no signal), "disabled" (by somebody)
    rate_gigabits_per_second: float | None
    width: str | None  # lanes and speed: "4X NDR"
    board_rate_gigabits_per_second: float | None  # the fastest active port of the same board
    uverbs: bool | None  # programs can open it; None where the module is not loaded
    link_downed_total: Counter8
    link_losses_total: int  # of this port alone, since we look, by all sources
    long_losses_total: int  # of those, how many lasted 25 s or more before it was active again
    link_error_recovery_total: Counter8
    symbol_errors_total: Counter16
    receive_errors_total: Counter16
    transmit_discards_total: Counter16
    local_link_integrity_errors_total: Counter4
    excessive_buffer_overruns_total: Counter4
    lost_in_company: bool | None  # True for one of the ports that were lost together, else None
    # Of all ports of the node, and so the same in each reading:
    first: bool  # this is the first of them: where a check is about the node
    ports: int  # that are there
    ports_active: int
    ports_known: int  # that are there and have been active, as far as is known
    ports_lost: int  # of those, how many are not
    lost_ports: str  # their names
    lost_together: bool  # half of them or more: not the fault of each
    company: bool | None  # the same, but None where not: what explains those `lost_in_company`
    shared_losses_total: int  # moments at which half of them or more lost their link


class Memory(msgspec.Struct):
    """What is remembered of one port, from look to look."""

    port: Port
    guid: str | None
    inode: int  # of its folder: another one after the driver was loaded anew
    counters: dict[str, int | None] = {}  # by source, as they stood at the last look
    counted: dict[str, int] = {}  # losses by source
    changed: float = 0.0  # when a source last told of a loss
    was_active: bool = False
    down_since: float | None = None
    down_shared: bool = False
    quiet_until: float = 0.0
    pending: list[float] = []  # losses of which it is not known yet whose they are
    alone: int = 0
    long: int = 0
    told: int = 0
    errors: dict[str, int | None] = {}
    errors_taken: float = 0.0


class Ports(msgspec.Struct):
    """What is remembered of the node."""

    ports: dict[str, Memory] = {}
    shared: int = 0
    shared_until: float = 0.0
    looked: float = 0.0


def read(host: Host) -> list[Port]:
    base = str(host.root / "sys/class/infiniband")
    kept: Ports = host.memory.setdefault("infiniband", Ports())
    devices = [name for name in list_names(base) if not is_virtual(f"{base}/{name}")]
    if not devices and not kept.ports:
        raise Absent("the kernel knows no InfiniBand or RDMA device")
    now = host.clock().boottime
    verbs = devices_with_verbs(host)
    found = [
        remembered
        for device in devices
        for remembered in read_device(host, kept, f"{base}/{device}", device, verbs)
    ]
    if not found and not kept.ports:
        raise Unavailable(f"no port of {', '.join(devices[:8])} can be seen in {base}")
    forget_renamed(kept, found)
    here = {memory.port.name for memory in found}
    if read_text_or_none(host.root / "sys/module/ib_core/parameters/netns_mode") == "N":
        # RDMA devices may belong to a container: one that is not to be seen here may be there.
        kept.ports = {name: memory for name, memory in kept.ports.items() if name in here}
    gone = [memory for name, memory in kept.ports.items() if name not in here]
    for memory in gone:
        memory.port = as_gone(memory.port)
    for memory in (*found, *gone):
        count_losses(host, memory, now)
        kept.ports[memory.port.name] = memory
    tell_apart(kept, found, now, patient=host.live and not host.visiting)
    return finished([*found, *gone], found, kept)


# One port -----------------------------------------------------------------------------------------


def read_device(
    host: Host, kept: Ports, folder: str, device: str, verbs: set[str] | None
) -> list[Memory]:
    """Return the device's ports; none where the link leads nowhere or the device has none."""
    numbers = sorted(int(name) for name in list_names(f"{folder}/ports") if name.isdecimal())
    pci_address = read_pci_address(folder)
    board_id = read_text_or_none(f"{folder}/board_id")
    firmware = read_text_or_none(f"{folder}/fw_ver")
    guid = read_text_or_none(f"{folder}/node_guid")
    memories: list[Memory] = []
    for number in numbers:
        path = f"{folder}/ports/{number}"
        rate, width = parse_rate(read_text_or_none(f"{path}/rate"))
        before = kept.ports.get(f"{device}/{number}")
        inode = inode_of(path) if host.live else 0  # two recordings of one machine differ in it
        errors, taken = read_errors(host, path, before)
        port = Port(
            name=f"{device}/{number}",
            device=device,
            port=number,
            pci_address=pci_address,
            netdev=read_netdev(folder, number),
            board_id=board_id,
            firmware=firmware,
            link_layer=read_text_or_none(f"{path}/link_layer"),
            state=parse_state(read_text_or_none(f"{path}/state"), STATES),
            physical_state=parse_state(read_text_or_none(f"{path}/phys_state"), PHYSICAL_STATES),
            rate_gigabits_per_second=rate,
            width=width,
            board_rate_gigabits_per_second=None,
            uverbs=None if verbs is None else device in verbs,
            link_downed_total=read_int_or_none(f"{path}/counters/link_downed"),
            link_losses_total=0,
            long_losses_total=0,
            link_error_recovery_total=errors["link_error_recovery"],
            symbol_errors_total=errors["symbol_error"],
            receive_errors_total=errors["port_rcv_errors"],
            transmit_discards_total=errors["port_xmit_discards"],
            local_link_integrity_errors_total=errors["local_link_integrity_errors"],
            excessive_buffer_overruns_total=errors["excessive_buffer_overrun_errors"],
            lost_in_company=None,
            first=False,
            ports=0,
            ports_active=0,
            ports_known=0,
            ports_lost=0,
            lost_ports="",
            lost_together=False,
            company=None,
            shared_losses_total=0,
        )
        memory = remember(before, port, guid, inode, host.clock().boottime)
        memory.errors, memory.errors_taken = errors, taken
        memories.append(memory)
    return memories


def remember(before: Memory | None, port: Port, guid: str | None, inode: int, now: float) -> Memory:
    """Go on with what is known of the port; after a driver was loaded anew, begin anew."""
    if before is not None and before.inode == inode and before.port.state != GONE:
        before.port = port
        return before
    if before is None:
        return Memory(port, guid, inode)
    return Memory(
        port,
        guid,
        inode,
        was_active=before.was_active,
        quiet_until=now + RELOADED_QUIET_SECONDS,
        pending=before.pending,
        alone=before.alone,
        long=before.long,
    )


def read_errors(
    host: Host, path: str, before: Memory | None
) -> tuple[dict[str, int | None], float]:
    """Return the error counters of a port, read once a minute where we look all the time."""
    now = host.clock().boottime
    stays = host.live and not host.visiting
    if stays and before is not None and 0 < now - before.errors_taken < ERRORS_EVERY_SECONDS:
        return before.errors, before.errors_taken
    return {name: read_int_or_none(f"{path}/counters/{name}") for name in ERROR_COUNTERS}, now


def parse_state(text: str | None, names: dict[int, str]) -> str | None:
    """Return the state by its number; the words behind it differ between drivers."""
    found = _NUMBERED.fullmatch(text or "")
    if found is None:
        return None
    return names.get(int(found[1]), found[2].strip().lower()[:32] or None)


def parse_rate(text: str | None) -> tuple[float | None, str | None]:
    """Return rate and width of "400 Gb/sec (4X NDR)"; the speed's name may be missing."""
    found = _RATE.fullmatch(text or "")
    return (None, None) if found is None else (float(found[1]), found[2])


def read_pci_address(folder: str) -> str:
    try:
        address = Path(folder, "device").readlink().name
    except OSError:
        return ""
    return address if _PCI_ADDRESS.fullmatch(address) else ""


def read_netdev(folder: str, port: int) -> str:
    """Return the port's network interface; devices with two ports number them from zero."""
    names = list_names(f"{folder}/device/net")
    if not names:  # a device made of software, or one whose interface is elsewhere
        name = read_text_or_none(f"{folder}/ports/{port}/gid_attrs/ndevs/0")
        name = name or read_text_or_none(f"{folder}/parent") or ""
        return name if name.isprintable() and "/" not in name else ""
    if len(names) == 1:
        return names[0]
    for name in names:
        if read_int_or_none(f"{folder}/device/net/{name}/dev_port") == port - 1:
            return name
    return ""


def is_virtual(folder: str) -> bool:
    return os.path.lexists(f"{folder}/device/physfn")


def inode_of(path: str) -> int:
    try:
        return os.stat(path).st_ino  # noqa: PTH116  # one of many, in every look
    except OSError:
        return 0


def devices_with_verbs(host: Host) -> set[str] | None:
    """Return the devices that programs can open, or None where that is nobody's wish."""
    base = host.root / "sys/class/infiniband_verbs"
    names = [name for name in list_names(base) if name.startswith("uverbs")]
    if not names:
        return None
    return {read_text_or_none(base / name / "ibdev") or "" for name in names}


def as_gone(port: Port) -> Port:
    return msgspec.structs.replace(
        port,
        state=GONE,
        physical_state=None,
        rate_gigabits_per_second=None,
        width=None,
        uverbs=None,
    )


def forget_renamed(kept: Ports, found: Sequence[Memory]) -> None:
    """A device that is here under another name is not gone."""
    here = {memory.port.name for memory in found}
    numbers = {
        (memory.guid, memory.port.port)
        for memory in found
        if memory.guid and memory.port.name not in kept.ports
    }
    for name, memory in list(kept.ports.items()):
        if name not in here and (memory.guid, memory.port.port) in numbers:
            del kept.ports[name]


# Lost links, counted once ------------------------------------------------------------------------


def count_losses(host: Host, memory: Memory, now: float) -> None:
    """Take in what each source says of links lost since the last look."""
    counters = read_loss_counters(host, memory.port)
    grown = {name: increase(memory.counters.get(name), counters[name]) for name in counters}
    grown["state"] = int(memory.down_since is None and memory.was_active and is_lost(memory.port))
    memory.counters = counters
    follow_state(memory, now)
    if now < memory.quiet_until:
        return
    if now - memory.changed >= SETTLED_SECONDS:
        memory.counted = {}
        memory.told = 0
    if any(grown.values()):
        memory.changed = now
    for name, count in grown.items():
        memory.counted[name] = memory.counted.get(name, 0) + count
    most = max(memory.counted.values())
    # One flap more or a hundred: what is judged is far below.
    memory.pending += [now] * min(most - memory.told, 1000)
    memory.told = most


def increase(before: int | None, now: int | None) -> int:
    """Return how much a counter grew; below the last value it was reset, and counted since."""
    if before is None or now is None:
        return 0
    return now - before if now >= before else now


def read_loss_counters(host: Host, port: Port) -> dict[str, int | None]:
    """Return what counts this port's losses: link_downed, and where that does not, the others.

    They are the port's own count of RDMA in software, and the carrier of the network interface,
    which also goes when somebody takes only the interface down.
    """
    downed = port.link_downed_total
    counters: dict[str, int | None] = {"downed": downed}
    if port.state == GONE or (downed is not None and downed < MAXIMUM_DOWNED):
        return counters
    place = f"sys/class/infiniband/{port.device}/ports/{port.port}/hw_counters/link_downed"
    counters["own"] = read_int_or_none(host.root / place)
    if port.netdev:
        counters["carrier"] = read_carrier_losses(host, port.netdev)
    return counters


def read_carrier_losses(host: Host, interface: str) -> int | None:
    folder = host.root / "sys/class/net" / interface
    count = read_int_or_none(folder / "carrier_down_count")  # since Linux 4.16
    if count is not None:
        return count
    changes = read_int_or_none(folder / "carrier_changes")
    return None if changes is None else (changes + 1) // 2


def is_lost(port: Port) -> bool:
    """Tell a port that is known not to be active."""
    return port.state is not None and not port.state.startswith(ACTIVE)


def follow_state(memory: Memory, now: float) -> None:
    if memory.port.state is None:
        return
    if is_lost(memory.port):
        if memory.down_since is None and memory.was_active:
            memory.down_since, memory.down_shared = now, False
        return
    if memory.down_since is not None:
        lasted = now - memory.down_since
        if lasted >= LONG_SECONDS and not memory.down_shared and now >= memory.quiet_until:
            memory.long += 1
        memory.down_since = None
    memory.was_active = True


def tell_apart(kept: Ports, found: Sequence[Memory], now: float, *, patient: bool) -> None:
    """Decide of each loss whether it is the port's own, or one that many ports had together."""
    known = those_active_before(found)
    decide(kept, now - TOGETHER_SECONDS)
    losers = [memory for memory in found if memory.pending]
    together = is_together(len(losers), len(known))
    if together:
        kept.shared += max(len(memory.pending) for memory in losers)
        kept.shared_until = now + TOGETHER_SECONDS
    if now < kept.shared_until:  # also one that shows it some seconds later
        for memory in losers:
            memory.pending, memory.down_shared = [], True
    # Who looks so rarely, or has one port only, learns nothing more by waiting.
    rarely = now - kept.looked >= TOGETHER_SECONDS
    if not patient or rarely or len(known) < 2:  # noqa: PLR2004  # one has no company
        decide(kept, now)
    kept.looked = now


def decide(kept: Ports, until: float) -> None:
    """Count what nobody else has lost until then as the port's own."""
    for memory in kept.ports.values():
        own = [moment for moment in memory.pending if moment <= until]
        memory.alone += len(own)
        memory.pending = memory.pending[len(own) :]


def those_active_before(found: Sequence[Memory]) -> list[Memory]:
    """Return the ports that have had a link. Where none has one, their counters tell which."""
    if any(memory.was_active for memory in found):
        return [memory for memory in found if memory.was_active]
    return [memory for memory in found if (memory.port.link_downed_total or 0) > 0]


def is_together(lost: int, known: int) -> bool:
    return lost >= 2 and 2 * lost >= known  # noqa: PLR2004  # one port is nobody's company


# All ports ----------------------------------------------------------------------------------------


def finished(memories: Sequence[Memory], found: Sequence[Memory], kept: Ports) -> list[Port]:
    """Return the readings, each with what is known of its board and of the node."""
    best: dict[tuple[str, str | None], float] = {}
    for port in (memory.port for memory in found):
        rate = port.rate_gigabits_per_second
        if port.board_id and port.state == ACTIVE and rate is not None:
            key = (port.board_id, port.link_layer)
            best[key] = max(best.get(key, 0.0), rate)
    known = [memory.port for memory in those_active_before(found)]
    lost = [port.name for port in known if is_lost(port)]
    together = is_together(len(lost), len(known))
    return [
        msgspec.structs.replace(
            memory.port,
            board_rate_gigabits_per_second=best.get(
                (memory.port.board_id or "", memory.port.link_layer)
            ),
            link_losses_total=memory.alone,
            long_losses_total=memory.long,
            lost_in_company=(together and memory.port.name in lost) or None,
            first=number == 0,
            ports=len(found),
            ports_active=sum(each.port.state == ACTIVE for each in found),
            ports_known=len(known),
            ports_lost=len(lost),
            lost_ports=", ".join(lost),
            lost_together=together,
            company=together or None,
            shared_losses_total=kept.shared,
        )
        for number, memory in enumerate(memories)
    ]
