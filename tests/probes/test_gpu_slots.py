"""Is the place of a GPU that is missing named, and no other?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import gpu_slots
from tests.doubles.machines import host_of, written

BRIDGE = {"class": "0x060400", "vendor": "0x8086"}
GPU = {"class": "0x030200", "vendor": "0x10de", "device": "0x2330"}
DEVICES = "sys/bus/pci/devices"


def machine(tmp_path: Path, *buses: int, filled: tuple[int, ...] = ()) -> Path:
    """Return a machine with a bridge to each of these buses, and GPUs behind some."""
    files: dict[str, str | bytes] = {"proc/driver/nvidia/version": "NVRM version: x 570.158.01"}
    for number, bus in enumerate(buses):
        folder = f"{DEVICES}/0000:00:{number:02x}.0"
        files |= {f"{folder}/{name}": text for name, text in BRIDGE.items()}
        files[f"{folder}/secondary_bus_number"] = f"{bus}\n"
        files[f"sys/bus/pci/slots/{number + 1}/address"] = f"0000:{bus:02x}:00\n"
    for bus in filled:
        folder = f"{DEVICES}/0000:{bus:02x}:00.0"
        files |= {f"{folder}/{name}": text for name, text in GPU.items()}
    return written(tmp_path, files)


def test_a_place_with_a_gpu_and_one_without_are_told_by_the_name_on_the_board(
    tmp_path: Path,
) -> None:
    host = host_of(machine(tmp_path, 0x3B, 0x5E, filled=(0x3B,)))
    filled, empty = gpu_slots.read(host)
    assert (filled.place, filled.present, filled.device) == ("slot 1 (0000:3b:00)", True, "0x2330")
    assert (empty.place, empty.present, empty.was_there) == ("slot 2 (0000:5e:00)", False, False)
    assert empty.bridge == "0000:00:01.0"


def test_a_gpu_that_was_there_and_is_not_any_more_is_remembered(tmp_path: Path) -> None:
    host = host_of(machine(tmp_path, filled=(0x3B, 0x5E)))
    assert [place.present for place in gpu_slots.read(host)] == [True, True]
    (tmp_path / DEVICES / "0000:5e:00.0").rename(tmp_path / "gone")
    _, gone = gpu_slots.read(host)
    assert (gone.pci_address, gone.present, gone.was_there) == ("0000:5e:00", False, True)
    assert gone.device == "0x2330"


def test_a_bridge_with_something_else_behind_it_is_no_empty_place(tmp_path: Path) -> None:
    root = machine(tmp_path, 0x3B, 0x5E, filled=(0x3B,))
    written(root, {f"{DEVICES}/0000:5e:00.0/class": "0x020700"})
    assert [place.pci_address for place in gpu_slots.read(host_of(root))] == ["0000:3b:00"]


def test_a_machine_without_a_gpu_and_without_a_driver_has_no_places(tmp_path: Path) -> None:
    root = machine(tmp_path, 0x3B)
    (root / "proc/driver/nvidia/version").unlink()
    with pytest.raises(Absent, match="no NVIDIA GPU"):
        gpu_slots.read(host_of(root))
