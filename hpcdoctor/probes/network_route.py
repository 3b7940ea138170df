"""Is there a way out of this node? One reading of its default routes.

Source:  /proc/net/route, /proc/net/ipv6_route (kernel: networking/proc)
Units:   none
Cost:    class a: two files, as long as there are routes
Absent:  where neither table can be read
"""

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import read_text_or_none
from hpcdoctor.probes.host import Host

ROUTE_UP = 0x1  # RTF_UP
ROUTE_REJECT = 0x200  # RTF_REJECT: the kernel's own "unreachable"


class Route(Reading, frozen=True):
    default_route: bool  # of IPv4 or IPv6
    interfaces: list[str]  # by which it leaves


def read(host: Host) -> list[Route]:
    # A machine without the table of IPv6 has no IPv6; one without that of IPv4 tells nothing.
    four = read_text_or_none(host.root / "proc/net/route")
    six = read_text_or_none(host.root / "proc/net/ipv6_route")
    if four is None and six is None:
        raise Absent("this machine shows no table of routes")
    interfaces = sorted(of_version_four(four or "") | of_version_six(six or ""))
    return [Route(default_route=bool(interfaces), interfaces=interfaces)]


def of_version_four(table: str) -> set[str]:
    """Return the interfaces of the routes to 0.0.0.0/0."""
    return {row[0] for row in rows(table, 8) if row[1] == row[7] == "00000000" and usable(row[3])}


def of_version_six(table: str) -> set[str]:
    """Return the interfaces of the routes to ::/0."""
    return {
        row[9]
        for row in rows(table, 10)
        if row[0] == "0" * 32 and row[1] == "00" and row[9] != "lo" and usable(row[8])
    }


def rows(table: str, columns: int) -> list[list[str]]:
    split = [line.split() for line in table.splitlines()]
    return [row for row in split if len(row) >= columns]


def usable(flags: str) -> bool:
    try:
        value = int(flags, 16)
    except ValueError:
        return False
    return bool(value & ROUTE_UP) and not value & ROUTE_REJECT
