"""Does the PCI probe see how devices are attached, and which of them is gone?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import pci
from hpcdoctor.probes.host import Host
from tests.conftest import recorded


def device(address: str) -> pci.Device:
    return next(one for one in pci.read(recorded("gpu-node")) if one.address == address)


def test_only_gpus_hcas_and_drives_are_looked_at_and_no_virtual_functions() -> None:
    found = {one.address: one.kind for one in pci.read(recorded("gpu-node"))}
    assert found == {
        "0000:19:00.0": "hca",
        "0000:1a:00.0": "nvme",
        "0000:3b:00.0": "gpu",
        "0000:5e:00.0": "gpu",
    }


def test_the_link_is_read_with_the_port_above_it() -> None:
    gpu = device("0000:3b:00.0")
    assert (gpu.link_width, gpu.link_width_max, gpu.upstream) == (16, 16, "0000:3a:01.0")
    assert gpu.link_speed_gigatransfers_per_second == 2.5
    assert gpu.link_speed_max_gigatransfers_per_second == 32.0
    assert gpu.upstream_width_max == 16
    assert (gpu.driver, gpu.numa_node, gpu.gone) == ("nvidia", 0, False)


def test_a_narrow_slot_is_what_is_possible_and_no_fault_of_the_card() -> None:
    gpu = device("0000:5e:00.0")
    assert (gpu.link_width_max, gpu.upstream_width_max, gpu.link_width_possible) == (16, 8, 8)


def test_a_device_that_is_gone_has_no_width() -> None:
    gpu = device("0000:5e:00.0")
    assert gpu.gone is True
    assert gpu.link_width is None
    assert gpu.link_speed_gigatransfers_per_second is None
    assert gpu.numa_node is None


def test_errors_are_the_total_and_not_the_sum_of_total_and_parts() -> None:
    assert device("0000:3b:00.0").corrected_errors_total == 12
    assert device("0000:5e:00.0").fatal_errors_total == 1


def test_a_device_without_error_counters_has_none() -> None:
    drive = device("0000:1a:00.0")
    assert drive.corrected_errors_total is None
    assert drive.gone is None


def test_a_machine_without_a_bus_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no PCI bus"):
        pci.read(Host.recorded(tmp_path))


def test_a_bus_without_such_devices_is_absent_too(tmp_path: Path) -> None:
    folder = tmp_path / "sys/bus/pci/devices/0000:00:1f.0"
    folder.mkdir(parents=True)
    (folder / "class").write_text("0x060100\n")
    with pytest.raises(Absent, match="no NVIDIA GPU, HCA or NVMe"):
        pci.read(Host.recorded(tmp_path))


def test_older_words_for_the_speed_are_read(tmp_path: Path) -> None:
    (tmp_path / "speed").write_text("8 GT/s\n")
    assert pci.speed(tmp_path / "speed") == 8.0
    (tmp_path / "speed").write_text("Unknown speed\n")
    assert pci.speed(tmp_path / "speed") is None
