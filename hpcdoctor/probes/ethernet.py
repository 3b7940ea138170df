"""State, speed and errors of the Ethernet ports and bonds, one reading per interface.

Source:  /sys/class/net/*/ (kernel: ABI/testing/sysfs-class-net, bonding.rst)
Units:   counts since the interface exists; some drivers reset theirs when it is taken down
Cost:    class a: some fifteen small files an interface, kernel memory only
Absent:  where there is no Ethernet hardware

Hardware is what has a device behind it, and bonds. What is built on others (a VLAN, a bridge) is
judged only where the profile names it; what comes and goes with containers (veth, cali, docker,
cni) is not read at all. Virtual functions, and the host's ends of them, are as little the machine's
own. A number that a port without a link does not have is None.
"""

import os
import re

import msgspec

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

ETHERNET = 1  # ARPHRD_ETHER; IP over InfiniBand is 32 and seen by its own probe
RELOADED_QUIET_SECONDS = 600.0  # a link that trains counts as well
FLAG_UP = 0x1  # IFF_UP: somebody wants this interface
REPRESENTOR = re.compile(r"(?:c[0-9]+)?pf[0-9]+(?:vf|sf)[0-9]+")
OF_CONTAINERS = ("veth", "cali", "docker", "cni", "br-", "flannel", "tap", "vnet", "virbr", "lxc")


class Interface(Reading, frozen=True):
    interface: str
    hardware: bool  # a port with a device behind it, or a bond
    present: bool  # False for one that was here since we look, and is not any more
    bond: bool
    bond_of: str  # the bond it is a slave of; "" where it is none
    operstate: str | None  # "up", "down", "lowerlayerdown"
    wanted: bool | None  # administratively up; a port that nobody wants is no fault
    carrier: bool | None  # None while nobody wants it
    speed_gigabits_per_second: float | None
    duplex: str | None
    mtu_bytes: int | None
    carrier_changes_total: int | None  # two for each time the link was lost
    link_changes_total: int | None  # the same since we look, without those of a driver that starts
    carrier_losses_total: int | None  # since Linux 4.16
    receive_errors_total: int | None
    transmit_errors_total: int | None
    receive_packets_total: int | None
    transmit_packets_total: int | None
    slave_state: str | None  # of a bond's slave: "up", "down", "going down"
    slaves: list[str]  # of a bond
    slaves_up: int | None  # of a bond, by its own monitoring
    slave_count: int | None
    aggregators: int | None  # of a bond with LACP: how many its slaves make up; one works


class Followed(msgspec.Struct):
    """How an interface's carrier has changed since we look."""

    index: int | None  # another one after its driver was loaded anew
    changes: int
    counted: int = 0
    quiet_until: float = 0.0


def read(host: Host) -> list[Interface]:
    base = str(host.root / "sys/class/net")
    kept: dict[str, Interface] = host.memory.setdefault("ethernet", {})
    found = [
        read_interface(base, name)
        for name in list_names(base)
        if not name.startswith(OF_CONTAINERS) and is_ethernet(f"{base}/{name}")
    ]
    followed: dict[str, Followed] = host.memory.setdefault("ethernet links", {})
    now = host.clock().boottime
    found = [follow(followed, base, one, now) for one in found]
    here = {one.interface for one in found}
    gone = [as_gone(one) for name, one in kept.items() if name not in here]
    if not any(one.hardware for one in (*found, *gone)):
        raise Absent("there is no Ethernet hardware")
    kept.update((one.interface, one) for one in found if one.hardware)
    return [*found, *gone]


def follow(followed: dict[str, Followed], base: str, interface: Interface, now: float) -> Interface:
    """Count on where an interface goes on; one that was made anew begins anew."""
    changes = interface.carrier_changes_total
    if changes is None:
        return interface
    index = read_int_or_none(f"{base}/{interface.interface}/ifindex")
    before = followed.get(interface.interface)
    if before is None:
        before = Followed(index, changes)
    elif before.index != index:
        before = Followed(index, changes, before.counted, now + RELOADED_QUIET_SECONDS)
    if now >= before.quiet_until:
        # Below the last value some driver has reset it, and has counted since.
        before.counted += changes - before.changes if changes >= before.changes else changes
    before.changes = changes
    followed[interface.interface] = before
    return msgspec.structs.replace(interface, link_changes_total=before.counted)


def is_ethernet(folder: str) -> bool:
    entries = list_names(folder)
    if "bonding" in entries:  # also one of IP over InfiniBand
        return True
    if "device" not in entries and not any(entry.startswith("lower_") for entry in entries):
        return False
    return read_int_or_none(f"{folder}/type") == ETHERNET


def read_interface(base: str, name: str) -> Interface:
    folder = f"{base}/{name}"
    entries = list_names(folder)
    bond = "bonding" in entries
    flags = read_int_or_none(f"{folder}/flags")
    carrier = read_int_or_none(f"{folder}/carrier")
    speed = read_int_or_none(f"{folder}/speed")
    slave_state = (
        read_text_or_none(f"{folder}/bonding_slave/mii_status")
        if "bonding_slave" in entries
        else None
    )
    statistics = f"{folder}/statistics"
    slaves = (read_text_or_none(f"{folder}/bonding/slaves") or "").split() if bond else []
    states = [read_text_or_none(f"{base}/{slave}/bonding_slave/mii_status") for slave in slaves]
    return Interface(
        interface=name,
        hardware=bond or ("device" in entries and not is_of_guests(folder)),
        present=True,
        bond=bond,
        bond_of=read_bond_of(folder) if slave_state is not None else "",
        operstate=read_text_or_none(f"{folder}/operstate"),
        wanted=None if flags is None else bool(flags & FLAG_UP),
        carrier=None if carrier is None else carrier == 1,
        speed_gigabits_per_second=speed / 1000 if speed is not None and speed > 0 else None,
        duplex=read_text_or_none(f"{folder}/duplex"),
        mtu_bytes=read_int_or_none(f"{folder}/mtu"),
        carrier_changes_total=read_int_or_none(f"{folder}/carrier_changes"),
        link_changes_total=None,
        carrier_losses_total=read_int_or_none(f"{folder}/carrier_down_count"),
        receive_errors_total=read_int_or_none(f"{statistics}/rx_errors"),
        transmit_errors_total=read_int_or_none(f"{statistics}/tx_errors"),
        receive_packets_total=read_int_or_none(f"{statistics}/rx_packets"),
        transmit_packets_total=read_int_or_none(f"{statistics}/tx_packets"),
        slave_state=slave_state,
        slaves=slaves,
        slaves_up=sum(state == "up" for state in states) if bond else None,
        slave_count=len(slaves) if bond else None,
        aggregators=count_aggregators(base, folder, slaves) if bond else None,
    )


def as_gone(interface: Interface) -> Interface:
    return Interface(
        interface=interface.interface,
        hardware=interface.hardware,
        present=False,
        bond=interface.bond,
        bond_of=interface.bond_of,
        operstate="gone",
        wanted=None,
        carrier=None,
        speed_gigabits_per_second=None,
        duplex=None,
        mtu_bytes=None,
        carrier_changes_total=None,
        link_changes_total=None,
        carrier_losses_total=None,
        receive_errors_total=None,
        transmit_errors_total=None,
        receive_packets_total=None,
        transmit_packets_total=None,
        slave_state=None,
        slaves=[],
        slaves_up=None,
        slave_count=None,
        aggregators=None,
    )


def is_of_guests(folder: str) -> bool:
    """Tell a virtual function, or the host's end of one: its link is what a container does."""
    if os.path.lexists(f"{folder}/device/physfn"):
        return True
    return REPRESENTOR.fullmatch(read_text_or_none(f"{folder}/phys_port_name") or "") is not None


def read_bond_of(folder: str) -> str:
    """Return the name of the bond, from the uevent of the folder that `master` leads to."""
    for line in (read_text_or_none(f"{folder}/master/uevent") or "").splitlines():
        key, _, value = line.partition("=")
        if key == "INTERFACE":
            return value
    return ""


def count_aggregators(base: str, folder: str, slaves: list[str]) -> int | None:
    """Return how many groups the slaves that are up make up, where they talk LACP (802.3ad)."""
    if not (read_text_or_none(f"{folder}/bonding/mode") or "").startswith("802.3ad"):
        return None
    groups = {
        read_int_or_none(f"{base}/{slave}/bonding_slave/ad_aggregator_id")
        for slave in slaves
        if read_text_or_none(f"{base}/{slave}/bonding_slave/mii_status") == "up"
    }
    return len(groups - {None})
