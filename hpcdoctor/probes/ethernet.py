"""State, speed and errors of the Ethernet ports and bonds, one reading per interface.

Source:  /sys/class/net/*/, /proc/net/route (kernel: ABI/testing/sysfs-class-net, bonding.rst)
Units:   counts since the interface exists; some drivers reset theirs when it is taken down
Cost:    some fifteen small files an interface, kernel memory only
Absent:  where there is no Ethernet hardware

Only what has a device behind it, and bonds: veth, bridges, tunnels and loopback come and go with
containers. A number that a port without a link does not have is None.
"""

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

ETHERNET = 1  # ARPHRD_ETHER; IP over InfiniBand is 32 and seen by its own probe
FLAG_UP = 0x1  # IFF_UP: somebody wants this interface
ROUTE_UP = 0x1  # RTF_UP
ROUTE_REJECT = 0x200  # RTF_REJECT: the kernel's own "unreachable"


class Interface(Reading, frozen=True):
    interface: str
    bond: bool
    bond_of: str  # the bond it is a slave of; "" where it is none
    operstate: str | None  # "up", "down", "lowerlayerdown"
    wanted: bool | None  # administratively up; a port that nobody wants is no fault
    carrier: bool | None  # None while nobody wants it
    speed_gigabits_per_second: float | None
    duplex: str | None
    mtu_bytes: int | None
    carrier_changes_total: int | None  # two for each time the link was lost
    carrier_losses_total: int | None  # since Linux 4.16
    receive_errors_total: int | None
    transmit_errors_total: int | None
    receive_packets_total: int | None
    transmit_packets_total: int | None
    slave_state: str | None  # of a bond's slave: "up", "down", "going down"
    slaves: list[str]  # of a bond
    default_route: bool | None  # the default route of IPv4 or IPv6 leaves here


def read(host: Host) -> list[Interface]:
    base = str(host.root / "sys/class/net")
    routes = default_routes(host)
    interfaces = [
        read_interface(base, name, routes) for name in list_names(base) if is_ours(f"{base}/{name}")
    ]
    if not interfaces:
        raise Absent("there is no Ethernet hardware")
    return interfaces


def is_ours(folder: str) -> bool:
    entries = list_names(folder)
    if "device" not in entries and "bonding" not in entries:
        return False
    return read_int_or_none(f"{folder}/type") == ETHERNET


def read_interface(base: str, name: str, routes: frozenset[str] | None) -> Interface:
    folder = f"{base}/{name}"
    flags = read_int_or_none(f"{folder}/flags")
    carrier = read_int_or_none(f"{folder}/carrier")
    speed = read_int_or_none(f"{folder}/speed")
    slave_state = read_text_or_none(f"{folder}/bonding_slave/mii_status")
    statistics = f"{folder}/statistics"
    return Interface(
        interface=name,
        bond="bonding" in list_names(folder),
        bond_of=read_bond_of(folder) if slave_state is not None else "",
        operstate=read_text_or_none(f"{folder}/operstate"),
        wanted=None if flags is None else bool(flags & FLAG_UP),
        carrier=None if carrier is None else carrier == 1,
        speed_gigabits_per_second=speed / 1000 if speed is not None and speed > 0 else None,
        duplex=read_text_or_none(f"{folder}/duplex"),
        mtu_bytes=read_int_or_none(f"{folder}/mtu"),
        carrier_changes_total=read_int_or_none(f"{folder}/carrier_changes"),
        carrier_losses_total=read_int_or_none(f"{folder}/carrier_down_count"),
        receive_errors_total=read_int_or_none(f"{statistics}/rx_errors"),
        transmit_errors_total=read_int_or_none(f"{statistics}/tx_errors"),
        receive_packets_total=read_int_or_none(f"{statistics}/rx_packets"),
        transmit_packets_total=read_int_or_none(f"{statistics}/tx_packets"),
        slave_state=slave_state,
        slaves=(read_text_or_none(f"{folder}/bonding/slaves") or "").split(),
        default_route=None if routes is None else name in routes,
    )


def read_bond_of(folder: str) -> str:
    """Return the name of the bond, from the uevent of the folder that `master` leads to."""
    for line in (read_text_or_none(f"{folder}/master/uevent") or "").splitlines():
        key, _, value = line.partition("=")
        if key == "INTERFACE":
            return value
    return ""


def default_routes(host: Host) -> frozenset[str] | None:
    """Return the interfaces that a default route leaves by, or None where nothing tells."""
    four = read_text_or_none(host.root / "proc/net/route")
    six = read_text_or_none(host.root / "proc/net/ipv6_route")
    if four is None and six is None:
        return None
    found = {row[0] for row in rows(four, 8) if row[1] == row[7] == "00000000" and usable(row[3])}
    found |= {
        row[9]
        for row in rows(six, 10)
        if row[0] == "0" * 32 and row[1] == "00" and row[9] != "lo" and usable(row[8])
    }
    return frozenset(found)


def rows(table: str | None, columns: int) -> list[list[str]]:
    split = [line.split() for line in (table or "").splitlines()]
    return [row for row in split if len(row) >= columns]


def usable(flags: str) -> bool:
    try:
        value = int(flags, 16)
    except ValueError:
        return False
    return bool(value & ROUTE_UP) and not value & ROUTE_REJECT
