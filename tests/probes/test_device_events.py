"""Does device_events tell of hardware that comes and goes, and of no container's interface?"""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import device_events
from hpcdoctor.probes.device_events import DeviceStream, parse
from hpcdoctor.probes.host import Host
from tests.doubles.machines import host_of, written

MLX5 = "/devices/pci0000:00/0000:00:01.0/0000:17:00.0/infiniband/mlx5_0"


def event(
    path: str = MLX5, action: str = "remove", subsystem: str = "infiniband", **more: str
) -> dict[str, str]:
    return {"ACTION": action, "SUBSYSTEM": subsystem, "DEVPATH": path, "SEQNUM": "812", **more}


def test_an_adapter_that_goes_is_told_with_its_pci_address() -> None:
    (reading,) = parse([event()])
    assert (reading.action, reading.subsystem) == ("remove", "infiniband")
    assert reading.device == "mlx5_0"
    assert reading.pci_address == "0000:17:00.0"
    assert reading.sequence == 812


def test_a_pci_device_is_its_own_address() -> None:
    (reading,) = parse([event("/devices/pci0000:00/0000:3b:00.0", subsystem="pci")])
    assert (reading.device, reading.pci_address) == ("0000:3b:00.0", "0000:3b:00.0")


@pytest.mark.parametrize(
    "other",
    [
        event("/devices/virtual/net/veth12ab", subsystem="net"),
        event("/devices/pci0000:00/0000:17:00.0/net/ib0", subsystem="net"),
        event("/devices/virtual/nvme-fabrics/ctl/nvme4", subsystem="nvme"),
        event(action="change"),
        event(action="bind"),
        event(subsystem="queues"),
        {},
        {"ACTION": "remove"},
        {"ACTION": "remove", "SUBSYSTEM": "net"},
    ],
)
def test_everything_else_is_silent(other: dict[str, str]) -> None:
    assert parse([other]) == []


def test_odd_texts_do_no_harm() -> None:
    (reading,) = parse([event("/devices/pci0000:00/x/infiniband/a\x1b[2J", SEQNUM="many")])
    assert (reading.device, reading.pci_address, reading.sequence) == ("a\\x1b[2J", "", None)


class Monitor:
    """Says what a test gave it, then nothing more."""

    def __init__(self, *answers: object) -> None:
        self.answers: Iterator[object] = iter(answers)

    def fileno(self) -> int:
        return 9

    def poll(self, timeout: int) -> object:
        assert timeout == 0
        answer = next(self.answers, None)
        if isinstance(answer, OSError):
            raise answer
        return answer


def test_an_overrun_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    device = SimpleNamespace(action="remove", properties=event())
    stream = DeviceStream(Monitor(OSError("no buffer space"), device), tmp_path)
    chunk = stream.read()
    assert chunk.lost == 1
    assert len(chunk.readings) == 1
    assert stream.fileno() == 9


def test_rdma_in_software_is_told_though_no_hardware_is_behind_it() -> None:
    (reading,) = parse([event("/devices/virtual/infiniband/rxe0")])
    assert (reading.device, reading.pci_address) == ("rxe0", "")


def test_virtual_functions_come_and_go_in_silence(tmp_path: Path) -> None:
    folder = tmp_path / "sys/bus/pci/devices/0000:17:00.2/physfn"
    folder.mkdir(parents=True)
    path = "/devices/pci0000:00/0000:00:01.0/0000:17:00.2"
    going = [
        SimpleNamespace(action="remove", properties=event(f"{path}/infiniband/mlx5_7")),
        SimpleNamespace(action="remove", properties=event(path, subsystem="pci")),
    ]
    stream = DeviceStream(Monitor(*going), tmp_path)
    folder.rmdir()
    folder.parent.rmdir()
    assert stream.read().readings == []


def test_a_recording_without_events_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="recording"):
        device_events.open(host_of(tmp_path), "")


def test_a_recording_tells_what_is_written_to_it_once(tmp_path: Path) -> None:
    line = f"remove@{MLX5} SUBSYSTEM=infiniband SEQNUM=812\n"
    stream = device_events.open(host_of(written(tmp_path, {"dev/uevents": line})), "")
    assert [reading.sequence for reading in stream.read().readings] == [812]
    assert stream.read().readings == []
    written(tmp_path, {"dev/uevents": f"{line}\n!\nadd@{MLX5} SUBSYSTEM=infiniband\n"})
    assert [reading.action for reading in stream.read().readings] == ["add"]


@pytest.mark.real
@pytest.mark.usefixtures("as_root")
def test_a_virtual_pair_is_heard_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_events, "SUBSYSTEMS", ("net",))
    stream = device_events.open(Host.this_machine(), "")
    heard: list[str] = []

    def listen(
        devices: list[dict[str, str]], hidden: frozenset[str]
    ) -> list[device_events.DeviceEvent]:
        heard.extend(device["DEVPATH"] for device in devices)
        return parse(devices, hidden)

    monkeypatch.setattr(device_events, "parse", listen)
    subprocess.run(
        ["ip", "link", "add", "hdtest0", "type", "veth", "peer", "name", "hdtest1"], check=True
    )
    subprocess.run(["ip", "link", "del", "hdtest0"], check=True)
    end = time.monotonic() + 5
    told: list[object] = []
    while time.monotonic() < end and len(heard) < 4:
        told += stream.read().readings
        time.sleep(0.05)
    assert any(path.endswith("/hdtest0") for path in heard)
    assert told == []
