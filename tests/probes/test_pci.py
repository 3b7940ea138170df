"""Does the PCI probe see how devices are attached, and which of them is gone?"""

import shutil
from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import pci
from hpcdoctor.probes.host import Host
from tests.conftest import recorded
from tests.doubles.machines import copy_of, host_of, written


def device(address: str) -> pci.Device:
    return next(one for one in pci.read(recorded("gpu-node")) if one.address == address)


def test_only_gpus_hcas_and_drives_are_looked_at_and_no_virtual_functions() -> None:
    found = {one.address: one.kind for one in pci.read(recorded("gpu-node"))}
    assert found == {
        "0000:03:00.0": "nic",
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
    with pytest.raises(Absent, match="no GPU, HCA, NIC or NVMe"):
        pci.read(Host.recorded(tmp_path))


def test_older_words_for_the_speed_are_read(tmp_path: Path) -> None:
    (tmp_path / "speed").write_text("8 GT/s\n")
    assert pci.speed(tmp_path / "speed") == 8.0
    (tmp_path / "speed").write_text("Unknown speed\n")
    assert pci.speed(tmp_path / "speed") is None


FABRIC = "fabric-node"
PORT = "sys/devices/pci0000:15/0000:15:01.0"
HCA = f"{PORT}/0000:17:00.0"
BUS = "sys/bus/pci/devices"


class Node:
    """A machine that is looked at again and again."""

    def __init__(self, folder: Path) -> None:
        self.root = copy_of(FABRIC, folder)
        self.host = host_of(self.root)

    def look(self, address: str = "0000:17:00.0") -> pci.Device:
        return next(one for one in pci.read(self.host) if one.address == address)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_devices_have_the_names_that_people_use() -> None:
    assert {one.address: (one.kind, one.name) for one in pci.read(recorded(FABRIC))} == {
        "0000:01:00.0": ("nvme", "nvme0"),
        "0000:04:00.0": ("nic", "eno1"),
        "0000:04:00.1": ("nic", "eno2"),
        "0000:05:00.0": ("nic", "eno3"),
        "0000:17:00.0": ("hca", "mlx5_0"),
        "0000:3a:00.0": ("hca", "mlx5_1"),
        "0000:5d:00.0": ("hca", "mlx5_2"),
        "0000:9a:00.0": ("hca", "mlx5_3"),
    }


def test_what_both_ends_can_do_is_possible(node: Node) -> None:
    written(node.root, {f"{PORT}/max_link_speed": "16.0 GT/s PCIe", f"{PORT}/max_link_width": "8"})
    hca = node.look()
    assert (hca.link_width_max, hca.link_width_possible) == (16, 8)
    assert hca.link_speed_max_gigatransfers_per_second == 32.0
    assert hca.link_speed_possible_gigatransfers_per_second == 16.0


def test_the_port_above_counts_for_the_first_function_only(node: Node) -> None:
    written(
        node.root,
        {"sys/devices/pci0000:00/0000:00:03.0/aer_dev_fatal": "DLP 2\nTOTAL_ERR_FATAL 2\n"},
    )
    totals = [node.look(f"0000:04:00.{f}").upstream_fatal_errors_total for f in (0, 1)]
    assert totals == [2, None]
    assert node.look("0000:04:00.1").fatal_errors_total == 0


def test_a_device_that_left_the_bus_stays_in_the_readings(node: Node) -> None:
    assert node.look().present
    (node.root / BUS / "0000:17:00.0").unlink()
    gone = node.look()
    assert (gone.present, gone.name, gone.gone, gone.link_width) == (False, "mlx5_0", None, None)
    assert not node.look().present
    (node.root / BUS / "0000:17:00.0").symlink_to(
        "../../../devices" + HCA.removeprefix("sys/devices")
    )
    assert node.look().present


def test_also_when_it_was_the_last_one(tmp_path: Path) -> None:
    folder = f"{BUS}/0000:17:00.0"
    host = host_of(written(tmp_path, {f"{folder}/class": "0x020700"}))
    pci.read(host)
    shutil.rmtree(tmp_path / folder)
    assert [one.present for one in pci.read(host)] == [False]


def test_the_driver_that_let_go_is_remembered(node: Node) -> None:
    assert node.look().driver_before == "mlx5_core"
    (node.root / HCA / "driver").unlink()
    assert (node.look().driver, node.look().driver_before) == ("", "mlx5_core")


def test_an_adapter_without_its_rdma_device_is_seen_against_before_and_the_others(
    node: Node,
) -> None:
    assert (node.look().rdma, node.look().rdma_siblings) == (True, 4)
    shutil.rmtree(node.root / HCA / "infiniband")
    hca = node.look()
    assert (hca.rdma, hca.rdma_before, hca.rdma_siblings) == (False, True, 3)
    assert node.look("0000:01:00.0").rdma is None


def test_a_port_of_a_bond_shares_the_rdma_device_of_the_other(node: Node) -> None:
    shutil.rmtree(node.root / HCA / "infiniband")
    written(node.root, {f"{HCA}/net/ib0/master/uevent": "INTERFACE=bond1\n"})
    assert node.look().rdma is None


def test_a_card_whose_driver_makes_one_device_of_two_ports_is_whole(node: Node) -> None:
    files: dict[str, str | bytes] = {
        f"{BUS}/0000:a1:00.{function}/{file}": text
        for function in (0, 1)
        for file, text in (("class", "0x020000"), ("vendor", "0x15b3"), ("device", "0x1021"))
    }
    for number in (1, 2):
        files[f"{BUS}/0000:a1:00.0/infiniband/mlx5_8/ports/{number}/state"] = "4: ACTIVE"
    written(node.root, files)
    for function in (0, 1):
        driver = node.root / BUS / f"0000:a1:00.{function}/driver"
        driver.symlink_to("../../drivers/mlx5_core")
    assert [node.look(f"0000:a1:00.{function}").rdma for function in (0, 1)] == [True, None]


def test_a_device_in_the_hands_of_a_virtual_machine_owes_no_rdma(node: Node) -> None:
    node.look()
    (node.root / HCA / "driver").unlink()
    (node.root / HCA / "driver").symlink_to("../../../../bus/pci/drivers/vfio-pci")
    shutil.rmtree(node.root / HCA / "infiniband")
    assert (node.look().rdma, node.look().rdma_before) == (None, False)


def test_adapters_that_are_no_infiniband_offer_rdma_too(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        f"{BUS}/0000:05:00.0/class": "0x020800",
        f"{BUS}/0000:06:00.0/class": "0x020000",
        f"{BUS}/0000:06:00.0/infiniband/efa_0/ports/1/state": "4: ACTIVE",
    }
    root = written(tmp_path, files)
    (root / BUS / "0000:05:00.0/driver").symlink_to("../../drivers/hfi1")
    (root / BUS / "0000:06:00.0/driver").symlink_to("../../drivers/efa")
    found = [(one.kind, one.driver, one.rdma) for one in pci.read(host_of(root))]
    assert found == [("hca", "hfi1", False), ("nic", "efa", True)]


def test_a_nic_of_a_virtual_machine_has_its_interface_one_step_further(tmp_path: Path) -> None:
    folder = f"{BUS}/0000:00:03.0"
    files: dict[str, str | bytes] = {
        f"{folder}/class": "0x020000",
        f"{folder}/virtio2/net/eth0/type": "1",
    }
    (nic,) = pci.read(host_of(written(tmp_path, files)))
    assert (nic.kind, nic.name, nic.upstream) == ("nic", "eth0", "")
