"""Does infiniband read every port as the driver gives it, and never more than that?"""

from pathlib import Path

import pytest

from hpcdoctor.expressions.fields import maximums_of
from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import infiniband
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
