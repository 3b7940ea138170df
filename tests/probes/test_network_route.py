"""Does network_route find a default route of either version, and nothing that only looks so?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import network_route
from tests.conftest import recorded
from tests.doubles.machines import host_of, written

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
ZERO = "0" * 32


def read(folder: Path, **files: str) -> network_route.Route:
    (route,) = network_route.read(
        host_of(written(folder, {f"proc/net/{name}": text for name, text in files.items()}))
    )
    return route


def test_the_default_route_leaves_by_the_bond() -> None:
    (route,) = network_route.read(recorded("fabric-node"))
    assert (route.default_route, route.interfaces) == (True, ["bond0"])


def test_a_default_route_of_version_six_counts(tmp_path: Path) -> None:
    six = f"{ZERO} 00 {ZERO} 00 fe80{'0' * 28} 00000400 00000001 00000000 00000003     eno1\n"
    assert read(tmp_path, route=HEAD, ipv6_route=six).interfaces == ["eno1"]


@pytest.mark.parametrize(
    "row",
    [
        "eno1\t0000000A\t00000000\t0001\t0\t0\t0\t0000FFFF\n",  # a network, no default
        "eno1\t00000000\t0100000A\t0000\t0\t0\t0\t00000000\n",  # not up
        "*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\n",  # "unreachable"
        "bond0\t00000000\tx\tnot-hex\t0\t0\t0\t00000000\n\x00\xff\n",
        "Iface\n",
    ],
)
def test_what_leads_nowhere_is_none(tmp_path: Path, row: str) -> None:
    lo = f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo\n"
    assert not read(tmp_path, route=HEAD + row, ipv6_route=lo).default_route


def test_without_tables_it_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no table of routes"):
        network_route.read(host_of(tmp_path))
