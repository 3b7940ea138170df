"""Does ethernet tell of hardware and bonds, and of nothing that a container brings?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import ethernet
from tests.conftest import recorded
from tests.doubles.machines import copy_of, host_of, written

NODE = "two-socket-infiniband"
ENO1 = "sys/class/net/eno1"


@pytest.fixture
def interfaces() -> dict[str, ethernet.Interface]:
    return {reading.interface: reading for reading in ethernet.read(recorded(NODE))}


def read_changed(folder: Path, files: dict[str, str | bytes]) -> dict[str, ethernet.Interface]:
    node = written(copy_of(NODE, folder), files)
    return {reading.interface: reading for reading in ethernet.read(host_of(node))}


def test_a_machine_without_hardware_is_absent() -> None:
    with pytest.raises(Absent, match="no Ethernet hardware"):
        ethernet.read(recorded("binding/before"))


def test_only_hardware_and_bonds_are_told(interfaces: dict[str, ethernet.Interface]) -> None:
    assert sorted(interfaces) == ["bond0", "eno1", "eno2", "eno3"]


def test_a_working_port_tells_state_speed_and_counts(
    interfaces: dict[str, ethernet.Interface],
) -> None:
    port = interfaces["eno1"]
    assert (port.operstate, port.wanted, port.carrier, port.duplex) == ("up", True, True, "full")
    assert port.speed_gigabits_per_second == 25.0
    assert (port.receive_errors_total, port.receive_packets_total) == (0, 5_000_000)
    assert (port.carrier_changes_total, port.carrier_losses_total) == (2, 1)
    assert port.mtu_bytes == 9000


def test_a_port_that_nobody_wants_has_no_carrier_to_judge(
    interfaces: dict[str, ethernet.Interface],
) -> None:
    port = interfaces["eno3"]
    assert (port.wanted, port.carrier, port.speed_gigabits_per_second) == (False, None, None)


def test_a_port_without_link_has_no_speed(interfaces: dict[str, ethernet.Interface]) -> None:
    port = interfaces["eno2"]
    assert (port.carrier, port.speed_gigabits_per_second, port.duplex) == (False, None, None)


def test_a_bond_names_its_slaves_and_they_name_it(
    interfaces: dict[str, ethernet.Interface],
) -> None:
    assert interfaces["bond0"].bond
    assert interfaces["bond0"].slaves == ["eno1", "eno2"]
    assert (interfaces["eno1"].bond_of, interfaces["eno1"].slave_state) == ("bond0", "up")
    assert (interfaces["eno2"].bond_of, interfaces["eno2"].slave_state) == ("bond0", "down")


def test_the_default_route_leaves_by_the_bond(interfaces: dict[str, ethernet.Interface]) -> None:
    assert [name for name, port in interfaces.items() if port.default_route] == ["bond0"]


def test_a_default_route_of_version_six_counts(tmp_path: Path) -> None:
    zero = "0" * 32
    route = f"{zero} 00 {zero} 00 fe80{'0' * 28} 00000400 00000001 00000000 00000003     eno1\n"
    interfaces = read_changed(tmp_path, {"proc/net/route": "", "proc/net/ipv6_route": route})
    assert interfaces["eno1"].default_route
    assert not interfaces["bond0"].default_route


def test_without_routing_tables_nobody_knows(tmp_path: Path) -> None:
    node = copy_of(NODE, tmp_path)
    for file in (node / "proc/net").iterdir():
        file.unlink()
    assert {reading.default_route for reading in ethernet.read(host_of(node))} == {None}


def test_a_broken_routing_table_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    table = "Iface\nbond0\t00000000\tx\tnot-hex\t0\t0\t0\t00000000\n\x00\xff\n"
    assert not read_changed(tmp_path, {"proc/net/route": table})["bond0"].default_route


@pytest.mark.parametrize("odd", ["", "N/A", "4294967295x", "\x1b[2J"])
def test_odd_values_cost_one_none_each(tmp_path: Path, odd: str) -> None:
    port = read_changed(tmp_path, {f"{ENO1}/carrier": odd, f"{ENO1}/speed": odd})["eno1"]
    assert (port.carrier, port.speed_gigabits_per_second) == (None, None)
    assert port.mtu_bytes == 9000
