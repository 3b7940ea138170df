"""Does infiniband read every port as the driver gives it, and count each lost link once?"""

import shutil
from pathlib import Path

import pytest

from hpcdoctor.expressions.fields import maximums_of
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import infiniband
from hpcdoctor.probes.host import Host
from tests.conftest import recorded
from tests.doubles.machines import copy_of, host_of, written

NODE = "two-socket-infiniband"
PORT = "sys/class/infiniband/mlx5_0/ports/1"


@pytest.fixture
def ports() -> dict[str, infiniband.Port]:
    return {port.name: port for port in infiniband.read(recorded(NODE))}


def read_changed(folder: Path, files: dict[str, str | bytes]) -> infiniband.Port:
    node = written(copy_of(NODE, folder), files)
    return next(port for port in infiniband.read(host_of(node)) if port.name == "mlx5_0/1")


def test_no_adapter_is_absent() -> None:
    with pytest.raises(Absent, match="no InfiniBand"):
        infiniband.read(recorded("binding/before"))


def test_a_port_tells_where_it_is_and_how_fast(ports: dict[str, infiniband.Port]) -> None:
    port = ports["mlx5_0/1"]
    assert (port.state, port.physical_state, port.link_layer) == (
        "active",
        "link-up",
        "InfiniBand",
    )
    assert (port.rate_gigabits_per_second, port.width) == (400.0, "4X NDR")
    assert (port.pci_address, port.netdev) == ("0000:17:00.0", "ib0")


def test_the_second_port_has_its_own_interface(ports: dict[str, infiniband.Port]) -> None:
    assert (ports["mlx4_0/1"].netdev, ports["mlx4_0/2"].netdev) == ("ib2", "ib3")
    assert (ports["mlx4_0/2"].state, ports["mlx4_0/2"].physical_state) == ("down", "polling")


def test_the_fastest_active_port_of_the_same_board_is_told(
    ports: dict[str, infiniband.Port],
) -> None:
    assert ports["mlx5_1/1"].rate_gigabits_per_second == 200.0
    assert ports["mlx5_1/1"].board_rate_gigabits_per_second == 400.0
    assert ports["rocep1s0/1"].board_rate_gigabits_per_second == 100.0


def test_a_port_without_counters_has_none_and_not_zero(ports: dict[str, infiniband.Port]) -> None:
    port = ports["rocep1s0/1"]
    assert port.link_downed_total is None
    assert port.symbol_errors_total is None
    assert port.state == "active"


def test_counters_declare_where_they_stop() -> None:
    assert maximums_of(infiniband.Port) == {
        "link_downed_total": 255,
        "link_error_recovery_total": 255,
        "symbol_errors_total": 65535,
        "receive_errors_total": 65535,
        "transmit_discards_total": 65535,
        "local_link_integrity_errors_total": 15,
        "excessive_buffer_overruns_total": 15,
    }


def test_a_dangling_device_hides_no_other(ports: dict[str, infiniband.Port]) -> None:
    assert len(ports) == 5
    assert not [name for name in ports if name.startswith("mlx5_9")]


def test_only_dangling_devices_are_unavailable(tmp_path: Path) -> None:
    folder = tmp_path / "sys/class/infiniband"
    folder.mkdir(parents=True)
    (folder / "mlx5_0").symlink_to("../../devices/gone")
    with pytest.raises(Unavailable, match="no port of mlx5_0"):
        infiniband.read(host_of(tmp_path))


@pytest.mark.parametrize(
    ("text", "rate", "width"),
    [
        ("400 Gb/sec (4X NDR)", 400.0, "4X NDR"),
        ("2.5 Gb/sec (1X SDR)", 2.5, "1X SDR"),
        ("10 Gb/sec (4X)", 10.0, "4X"),
        ("100 Gb/sec", 100.0, None),
        ("0 Gb/sec (4X NDR)\nx", None, None),
        ("fast", None, None),
        (None, None, None),
    ],
)
def test_rates_are_read_with_and_without_the_name_of_the_speed(
    text: str | None, rate: float | None, width: str | None
) -> None:
    assert infiniband.parse_rate(text) == (rate, width)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("1: DOWN", "down"),
        ("2: INIT", "init"),
        ("3: ARMED", "armed"),
        ("4: ACTIVE", "active"),
        ("4: Active since noon", "active"),
        ("9: MELTING", "melting"),
        ("ACTIVE", None),
        ("-1", None),
        (None, None),
    ],
)
def test_a_state_goes_by_its_number(text: str | None, state: str | None) -> None:
    assert infiniband.parse_state(text, infiniband.STATES) == state


def test_odd_values_cost_one_none_each(tmp_path: Path) -> None:
    port = read_changed(
        tmp_path,
        {
            f"{PORT}/state": b"\xff\x00",
            f"{PORT}/rate": "",
            f"{PORT}/counters/link_downed": "-",
            f"{PORT}/counters/symbol_error": "0x10",
        },
    )
    assert (port.state, port.rate_gigabits_per_second) == (None, None)
    assert port.link_downed_total is None
    assert port.symbol_errors_total == 16
    assert port.physical_state == "link-up"


# --- what is remembered from look to look

FABRIC = "fabric-node"
CLASS = "sys/class/infiniband"
NAMES = [f"mlx5_{number}" for number in range(4)]


class Node:
    """A machine with four ports, looked at again and again."""

    def __init__(self, folder: Path) -> None:
        self.root = copy_of(FABRIC, folder)
        self.seconds = 10_000.0
        self.host = Host(
            self.root, live=True, clock=lambda: Instant("boot", self.seconds, self.seconds)
        )

    def look(self, after: float = 10.0, **counters: str) -> dict[str, infiniband.Port]:
        """Let time pass, write these counters or states of these ports, and look."""
        self.seconds += after
        for name, text in counters.items():
            device, _, what = name.partition("__")
            folder = f"{CLASS}/{device}/ports/1"
            place = what if what == "state" else f"counters/{what}"
            written(self.root, {f"{folder}/{place}": text})
        return {port.device: port for port in infiniband.read(self.host)}

    def carrier(self, interface: str, losses: int) -> None:
        written(self.root, {f"sys/class/net/{interface}/carrier_down_count": str(losses)})


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    node.look()
    return node


def losses(ports: dict[str, infiniband.Port]) -> list[int]:
    return [ports[name].link_losses_total for name in NAMES]


def test_what_counter_state_and_carrier_tell_of_one_drop_is_one(node: Node) -> None:
    node.look(mlx5_0__state="1: DOWN")
    node.carrier("ib0", 2)
    node.look(mlx5_0__link_downed="1")
    node.look(mlx5_0__state="4: ACTIVE")
    assert losses(node.look(30)) == [1, 0, 0, 0]


def test_drops_between_two_looks_are_all_counted(node: Node) -> None:
    node.look(mlx5_0__link_downed="7")
    assert losses(node.look(30)) == [7, 0, 0, 0]


def test_two_snapshots_far_apart_are_enough(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.look()
    assert losses(node.look(120, mlx5_0__link_downed="7")) == [7, 0, 0, 0]
    assert losses(node.look(120, mlx5_1__link_downed="1", mlx5_2__link_downed="2")) == [7, 0, 0, 0]


def test_a_counter_at_its_maximum_leaves_the_carrier_to_count(node: Node) -> None:
    node.look(mlx5_0__link_downed="255")
    node.look(60)
    node.carrier("ib0", 4)
    node.look()
    assert losses(node.look(30)) == [255 + 3, 0, 0, 0]


def test_a_counter_that_was_reset_counts_from_zero(node: Node) -> None:
    node.look(mlx5_0__link_downed="9")
    node.look(30)
    node.look(mlx5_0__link_downed="2")
    assert losses(node.look(30)) == [11, 0, 0, 0]


def test_what_half_of_the_ports_lose_together_is_nobodys_own(node: Node) -> None:
    node.look(mlx5_0__link_downed="1", mlx5_1__state="1: DOWN")
    ports = node.look(30)
    assert losses(ports) == [0, 0, 0, 0]
    assert {port.shared_losses_total for port in ports.values()} == {1}


def test_one_of_them_that_shows_it_some_seconds_later_is_no_second_event(node: Node) -> None:
    node.look(mlx5_0__link_downed="1", mlx5_1__link_downed="1")
    node.look(10, mlx5_2__link_downed="1")
    ports = node.look(30)
    assert losses(ports) == [0, 0, 0, 0]
    assert ports["mlx5_0"].shared_losses_total == 1


def test_two_ports_that_drop_a_minute_apart_have_each_their_own(node: Node) -> None:
    node.look(mlx5_0__link_downed="1")
    node.look(60, mlx5_1__link_downed="1")
    ports = node.look(30)
    assert losses(ports) == [1, 1, 0, 0]
    assert ports["mlx5_0"].shared_losses_total == 0


def test_a_port_alone_on_its_node_has_no_company(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for name in NAMES[1:]:
        shutil.rmtree(node.root / CLASS / name)
    node.look()
    ports = node.look(10, mlx5_0__link_downed="1", mlx5_0__state="1: DOWN")
    assert (ports["mlx5_0"].link_losses_total, ports["mlx5_0"].lost_together) == (1, False)


def test_only_drops_of_25_seconds_or_more_are_long(node: Node) -> None:
    node.look(mlx5_0__state="1: DOWN")
    assert node.look(20, mlx5_0__state="4: ACTIVE")["mlx5_0"].long_losses_total == 0
    node.look(60, mlx5_0__state="1: DOWN")
    node.look(20)
    assert node.look(10, mlx5_0__state="4: ACTIVE")["mlx5_0"].long_losses_total == 1


def test_training_after_a_driver_was_loaded_is_no_loss(node: Node) -> None:
    shutil.move(node.root / CLASS / "mlx5_0", node.root / "away")
    assert node.look()["mlx5_0"].state == "gone"
    shutil.move(node.root / "away", node.root / CLASS / "mlx5_0")
    node.look(mlx5_0__link_downed="0")
    node.look(mlx5_0__link_downed="3")
    assert losses(node.look(60)) == [1, 0, 0, 0]  # that it was gone
    node.look(600, mlx5_0__link_downed="4")
    assert losses(node.look(60)) == [2, 0, 0, 0]


def test_ports_that_were_lost_together_are_named(node: Node) -> None:
    ports = node.look(mlx5_0__state="1: DOWN", mlx5_3__state="2: INIT")
    first = ports["mlx5_0"]
    assert (first.first, ports["mlx5_1"].first) == (True, False)
    assert (first.ports, first.ports_active, first.ports_known, first.ports_lost) == (4, 2, 4, 2)
    assert first.lost_ports == "mlx5_0/1, mlx5_3/1"
    assert [ports[name].lost_together for name in NAMES] == [True] * 4
    assert [ports[name].lost_in_company for name in NAMES] == [True, None, None, True]


def test_where_no_port_is_active_the_counters_tell_which_have_been(tmp_path: Path) -> None:
    node = Node(tmp_path)
    down = {f"{name}__state": "1: DOWN" for name in NAMES}
    ports = node.look(10, **down, mlx5_0__link_downed="1", mlx5_1__link_downed="2")
    assert ports["mlx5_0"].lost_ports == "mlx5_0/1, mlx5_1/1"
    assert ports["mlx5_0"].lost_together


def test_a_port_that_was_here_is_gone_and_never_absent(node: Node) -> None:
    shutil.rmtree(node.root / CLASS)
    ports = node.look()
    assert {port.state for port in ports.values()} == {"gone"}
    assert (ports["mlx5_0"].ports, ports["mlx5_0"].rate_gigabits_per_second) == (0, None)
    assert ports["mlx5_0"].pci_address == "0000:17:00.0"


def test_a_device_under_another_name_is_not_gone(node: Node) -> None:
    shutil.move(node.root / CLASS / "mlx5_0", node.root / CLASS / "mlx5_ib0")
    assert sorted(node.look()) == ["mlx5_1", "mlx5_2", "mlx5_3", "mlx5_ib0"]


def test_errors_are_asked_for_once_a_minute_and_lost_links_each_time(node: Node) -> None:
    ports = node.look(10, mlx5_0__symbol_error="5", mlx5_0__link_downed="1")
    assert (ports["mlx5_0"].symbol_errors_total, ports["mlx5_0"].link_downed_total) == (0, 1)
    assert node.look(50)["mlx5_0"].symbol_errors_total == 5
    node.host.visiting = True  # a person who looks twice within seconds
    assert node.look(10, mlx5_0__symbol_error="6")["mlx5_0"].symbol_errors_total == 6


def test_virtual_functions_are_left_out(tmp_path: Path) -> None:
    node = Node(tmp_path)
    written(
        node.root,
        {
            f"{CLASS}/mlx5_9/ports/1/state": "4: ACTIVE",
            f"{CLASS}/mlx5_9/device/physfn/vendor": "0x15b3",
        },
    )
    assert "mlx5_9" not in node.look()


def test_rdma_in_software_names_its_interface_and_counts_for_itself(tmp_path: Path) -> None:
    port = f"{CLASS}/rxe0/ports/1"
    files: dict[str, str | bytes] = {
        f"{CLASS}/rxe0/parent": "eth1\n",
        f"{port}/state": "4: ACTIVE",
        f"{port}/link_layer": "Ethernet",
        f"{port}/hw_counters/link_downed": "3\n",
    }
    host = host_of(written(tmp_path, files))
    (reading,) = infiniband.read(host)
    assert (reading.netdev, reading.link_losses_total) == ("eth1", 0)
    written(tmp_path, {f"{port}/hw_counters/link_downed": "5\n"})
    assert infiniband.read(host)[0].link_losses_total == 2


def test_a_device_that_programs_cannot_open_is_told(tmp_path: Path) -> None:
    node = Node(tmp_path)
    shutil.rmtree(node.root / "sys/class/infiniband_verbs/uverbs1")
    assert [port.uverbs for port in node.look().values()] == [True, False, True, True]
    shutil.rmtree(node.root / "sys/class/infiniband_verbs")
    assert {port.uverbs for port in node.look().values()} == {None}


def test_boards_without_a_name_are_compared_with_none(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for name in NAMES:
        (node.root / CLASS / name / "board_id").unlink()
    assert {port.board_rate_gigabits_per_second for port in node.look().values()} == {None}
