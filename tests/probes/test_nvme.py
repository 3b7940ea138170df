import ctypes
import fcntl
from pathlib import Path
from typing import Any

import pytest

from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import nvme, nvme_health
from hpcdoctor.probes.host import Host
from tests.doubles.machines import host_of, written


def controller(number: int, **facts: str) -> dict[str, str | bytes]:
    given = {
        "state": "live",
        "model": "Made Drive 1                  ",
        "serial": f"S{number}   ",
        "firmware_rev": "1.0",
        "transport": "pcie",
        "address": f"0000:0{number}:00.0",
        "cntrltype": "io",
    } | facts
    return {f"sys/class/nvme/nvme{number}/{key}": f"{text}\n" for key, text in given.items()}


def test_each_controller_is_told_with_what_is_printed_on_it(tmp_path: Path) -> None:
    files = controller(0) | controller(1, state="dead")
    files["sys/class/nvme/nvme0/nvme0n1/size"] = "1\n"
    files["sys/class/nvme/nvme0/nvme0c0n1/size"] = "1\n"
    first, second = nvme.read(host_of(written(tmp_path, files)))
    assert (first.controller, first.state, first.model) == ("nvme0", "live", "Made Drive 1")
    assert (first.serial, first.firmware, first.pci_address) == ("S0", "1.0", "0000:00:00.0")
    assert first.namespaces == ["nvme0c0n1", "nvme0n1"]
    assert (second.state, second.namespaces, second.controllers) == ("dead", [], 2)


def test_a_path_of_a_fabric_is_no_drive_of_this_node(tmp_path: Path) -> None:
    fabric = controller(1, transport="tcp", address="traddr=10.0.0.1,trsvcid=4420")
    first, second = nvme.read(host_of(written(tmp_path, controller(0) | fabric)))
    assert (first.controllers, second.controllers) == (1, 1)
    assert (second.transport, second.pci_address) == ("tcp", "")


def test_an_old_driver_says_less(tmp_path: Path) -> None:
    folder = written(tmp_path, {"sys/class/nvme/nvme0/model": "Old\n"}) / "sys/class/nvme/nvme0"
    (folder / "device").symlink_to("../../../0000:3b:00.0")
    (seen,) = nvme.read(host_of(tmp_path))
    assert (seen.state, seen.transport, seen.pci_address) == (None, "", "0000:3b:00.0")
    assert seen.controllers == 1


def test_no_controller_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no NVMe"):
        nvme.read(host_of(tmp_path))
    with pytest.raises(Absent, match="no NVMe"):
        nvme_health.subjects(host_of(tmp_path))
    with pytest.raises(Absent, match="recorded"):
        nvme_health.subjects(host_of(written(tmp_path, controller(0))))


def health_log(bits: int = 0) -> bytes:
    log = bytearray(512)
    log[0] = bits
    log[1:3] = (318).to_bytes(2, "little")
    log[3:6] = bytes([90, 10, 104])
    log[48:64] = (1000).to_bytes(16, "little")
    log[128:144] = (9000).to_bytes(16, "little")
    log[144:160] = (3).to_bytes(16, "little")
    log[160:176] = (1 << 100).to_bytes(16, "little")
    log[176:192] = (12).to_bytes(16, "little")
    return bytes(log)


def identity() -> bytes:
    data = bytearray(4096)
    data[266:268] = (348).to_bytes(2, "little")
    return bytes(data)


def test_the_health_log_is_read_as_the_specification_has_it() -> None:
    seen = nvme_health.parse("nvme0", "Made Drive 1", "S0", health_log(), identity())
    assert seen.temperature_celsius == 45
    assert (seen.warning_temperature_celsius, seen.critical_temperature_celsius) == (75, None)
    assert (seen.spare_ratio, seen.spare_limit_ratio, seen.used_ratio) == (0.9, 0.1, 1.04)
    assert (seen.power_on_hours, seen.unsafe_shutdowns_total) == (9000, 3)
    assert seen.error_log_entries_total == 12
    assert seen.written_bytes == 512_000_000
    assert seen.media_errors_total == (1 << 63) - 1, "no number is too long to be passed on"
    assert (seen.warnings, seen.warning_bits, seen.failing) == ([], 0, False)


@pytest.mark.parametrize(
    ("bits", "words", "failing", "read_only"),
    [
        (0b00010, ["temperature is out of its range"], False, False),
        (0b01000, ["media is read-only"], True, True),
        (0b00111, ["spare", "temperature", "reliability"], True, False),
        (0b1000_0000, [], True, False),
    ],
)
def test_what_the_drive_warns_of_is_put_into_words(
    bits: int, words: list[str], failing: bool, read_only: bool
) -> None:
    seen = nvme_health.parse("nvme0", "", "", health_log(bits), identity())
    assert len(seen.warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, seen.warnings, strict=True))
    assert (seen.failing, seen.read_only) == (failing, read_only)


def live(tmp_path: Path) -> Host:
    written(tmp_path, controller(0) | {"dev/nvme0": ""})
    return Host(tmp_path, live=True, clock=Host.this_machine().clock)


def test_two_commands_that_only_read_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(_device: int, request: int, command: Any) -> int:
        asked.append((request, command.opcode, command.data_bytes, command.cdw10))
        data = health_log(1) if command.opcode == 0x02 else identity()
        ctypes.memmove(command.address, data, command.data_bytes)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", answer)
    host = live(tmp_path)
    assert nvme_health.subjects(host) == ["nvme0"]
    (seen,) = nvme_health.read(host, "nvme0")
    assert (seen.model, seen.serial, seen.warning_bits) == ("Made Drive 1", "S0", 1)
    assert asked == [
        (0xC0484E41, 0x02, 512, 0x007F0002),
        (0xC0484E41, 0x06, 4096, 0x00000001),
    ]
    assert ctypes.sizeof(nvme_health._AdminCommand) == 72


def test_a_drive_that_refuses_is_unavailable_and_not_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: 0x4002)
    host = live(tmp_path)
    with pytest.raises(Unavailable, match="status 0x4002"):
        nvme_health.read(host, "nvme0")
    (tmp_path / "dev/nvme0").unlink()
    with pytest.raises(Absent, match="not there any more"):
        nvme_health.read(host, "nvme0")


def test_what_is_no_drive_gives_no_numbers(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not tell"):
        nvme_health.read(live(tmp_path), "nvme0")
