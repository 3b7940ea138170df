"""Does ethernet tell of hardware and bonds, and of nothing that a container brings?"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import ethernet
from hpcdoctor.probes.host import Host
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


@pytest.mark.parametrize("odd", ["", "N/A", "4294967295x", "\x1b[2J"])
def test_odd_values_cost_one_none_each(tmp_path: Path, odd: str) -> None:
    port = read_changed(tmp_path, {f"{ENO1}/carrier": odd, f"{ENO1}/speed": odd})["eno1"]
    assert (port.carrier, port.speed_gigabits_per_second) == (None, None)
    assert port.mtu_bytes == 9000


def test_what_is_built_on_others_is_told_apart_from_hardware() -> None:
    found = {one.interface: one.hardware for one in ethernet.read(recorded("fabric-node"))}
    assert found == {
        "bond0": True,
        "bond0.120": False,
        "eno1": True,
        "eno2": True,
        "eno3": True,
    }


@pytest.mark.parametrize(
    ("file", "text"),
    [("device/physfn/vendor", "0x15b3"), ("phys_port_name", "pf0vf3"), ("phys_port_name", "p0")],
)
def test_what_belongs_to_guests_is_no_hardware(tmp_path: Path, file: str, text: str) -> None:
    node = copy_of("fabric-node", tmp_path)
    folder = "sys/class/net/eth7"
    written(
        node,
        {f"{folder}/type": "1", f"{folder}/device/vendor": "0x15b3", f"{folder}/{file}": text},
    )
    found = {one.interface: one.hardware for one in ethernet.read(host_of(node))}
    assert found["eth7"] is (text == "p0")


def test_a_bond_counts_its_ports_and_their_groups(tmp_path: Path) -> None:
    node = copy_of("fabric-node", tmp_path)
    slave = "sys/class/net/eno2/bonding_slave"

    def bond() -> tuple[int | None, int | None, int | None]:
        (one,) = [one for one in ethernet.read(host_of(node)) if one.bond]
        return one.slaves_up, one.slave_count, one.aggregators

    assert bond() == (2, 2, 1)
    written(node, {f"{slave}/ad_aggregator_id": "2"})
    assert bond() == (2, 2, 2)
    written(node, {f"{slave}/mii_status": "down"})
    assert bond() == (1, 2, 1)  # the group of a port that is down works for nobody
    written(node, {"sys/class/net/bond0/bonding/mode": "active-backup 1"})
    assert bond() == (1, 2, None)


def test_an_interface_that_was_here_is_told_as_gone(tmp_path: Path) -> None:
    node = copy_of("fabric-node", tmp_path)
    host = host_of(node)
    ethernet.read(host)
    shutil.rmtree(node / "sys/class/net/eno3")
    shutil.rmtree(node / "sys/class/net/bond0.120")
    found = {one.interface: one for one in ethernet.read(host)}
    assert (found["eno3"].present, found["eno3"].operstate) == (False, "gone")
    assert "bond0.120" not in found


def test_changes_count_on_but_not_those_of_a_driver_that_starts(tmp_path: Path) -> None:
    node = copy_of("fabric-node", tmp_path)
    seconds = 10_000.0
    host = Host(node, live=False, clock=lambda: Instant("boot", seconds, seconds))
    folder = "sys/class/net/eno3"

    def counted(changes: int, index: int) -> int | None:
        written(node, {f"{folder}/carrier_changes": f"{changes}", f"{folder}/ifindex": f"{index}"})
        found = {one.interface: one for one in ethernet.read(host)}
        return found["eno3"].link_changes_total

    assert counted(12, 3) == 0
    assert counted(15, 3) == 3
    assert counted(2, 3) == 5  # a driver that resets it when it is taken down
    assert counted(0, 8) == 5
    assert counted(4, 8) == 5
    seconds += 600
    assert counted(6, 8) == 7


INSIDE = """
import msgspec
from hpcdoctor.probes import ethernet, network_route
from hpcdoctor.probes.host import Host
host = Host.this_machine()
# Nothing made of software has a device behind it, and so the machine would have no hardware.
other = ethernet.read_interface("/sys/class/net", "hdtest2")
other = msgspec.structs.replace(other, interface="eth9", hardware=True)
host.memory["ethernet"] = {"eth9": other}
found = {one.interface: one for one in ethernet.read(host)}
(route,) = network_route.read(host)
print(msgspec.json.encode([found["hdtest2"], route]).decode())
"""


@pytest.mark.real
@pytest.mark.usefixtures("as_root")
def test_a_link_of_this_kernel_goes_down_and_up() -> None:
    space = f"hdtest{os.getpid()}"

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    def look() -> tuple[dict[str, Any], dict[str, Any]]:
        ran = subprocess.run(
            ["ip", "netns", "exec", space, sys.executable, "-c", INSIDE],
            check=True,
            capture_output=True,
            text=True,
        )
        interface, route = msgspec.json.decode(ran.stdout)
        return interface, route

    ip("netns", "add", space)
    try:
        ip("-n", space, "link", "add", "hdtest0", "type", "veth", "peer", "name", "hdtest1")
        ip("-n", space, "link", "add", "link", "hdtest0", "name", "hdtest2", "type", "macvlan")
        for name in ("hdtest0", "hdtest1", "hdtest2"):
            ip("-n", space, "link", "set", name, "up")
        ip("-n", space, "addr", "add", "192.0.2.1/24", "dev", "hdtest2")
        before, route = look()
        assert (before["carrier"], before["wanted"], route["default_route"]) == (True, True, False)
        ip("-n", space, "route", "add", "default", "via", "192.0.2.2")
        ip("-n", space, "link", "set", "hdtest1", "down")  # the far end: this one loses carrier
        down, route = look()
        assert (down["carrier"], down["wanted"], down["operstate"]) == (
            False,
            True,
            "lowerlayerdown",
        )
        ip("-n", space, "link", "set", "hdtest1", "up")
        after, _ = look()
        changes = [one["carrier_changes_total"] for one in (before, after)]
        assert changes[1] - changes[0] == 2
        ip("-n", space, "link", "set", "hdtest2", "down")
        unwanted, _ = look()
        assert (unwanted["carrier"], unwanted["wanted"]) == (None, False)
    finally:
        ip("netns", "del", space)
