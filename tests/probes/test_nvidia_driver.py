"""Is a driver that drifted named from files alone, with both versions?"""

import shutil
from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import nvidia_driver
from hpcdoctor.probes.host import Host
from tests.conftest import NODES, recorded


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """Return a copy of the recorded node that a test may change."""
    shutil.copytree(NODES / "gpu-node", tmp_path / "node", symlinks=True)
    return tmp_path / "node"


def read(node: Path) -> nvidia_driver.Driver:
    [driver] = nvidia_driver.read(Host.recorded(node))
    return driver


def test_both_sides_of_a_drift_are_named() -> None:
    [driver] = nvidia_driver.read(recorded("gpu-node"))
    assert driver.module_loaded
    assert driver.loaded_version == "570.124.06"
    assert driver.library_version == "570.158.01"
    assert driver.cuda_library_version == "570.158.01"
    assert driver.library_versions == ["570.158.01", "570.124.06"]
    assert not driver.library_empty


def test_what_lies_ready_for_the_next_boot_is_told() -> None:
    [driver] = nvidia_driver.read(recorded("gpu-node"))
    assert driver.firmware_versions == ["570.158.01", "570.124.06"]
    assert driver.module_source_versions == ["570.158.01"]
    assert driver.fabric_manager_version == "570.124.06"
    assert driver.kernel_release == "6.1.0-18-amd64"


def test_gpus_on_the_bus_and_gpus_of_the_driver_are_counted_apart() -> None:
    [driver] = nvidia_driver.read(recorded("gpu-node"))
    assert (driver.gpus_in_pci, driver.gpus_in_driver, driver.gpus_without_driver) == (2, 2, 0)
    assert driver.gpus_not_answering == ["0000:5e:00.0"]
    assert driver.gpus_not_answering_count == 1


def test_the_version_comes_from_proc_where_sys_has_none(node: Path) -> None:
    shutil.rmtree(node / "sys/module")
    assert read(node).loaded_version == "570.124.06"
    (node / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\n"
    )
    assert read(node).loaded_version == "535.129.03"


def test_a_gpu_without_a_loaded_module_is_seen(node: Path) -> None:
    shutil.rmtree(node / "sys/module")
    shutil.rmtree(node / "proc/driver")
    for link in (node / "sys/devices").rglob("driver"):
        link.unlink()
    driver = read(node)
    assert (driver.module_loaded, driver.loaded_version) == (False, "")
    assert (driver.gpus_in_pci, driver.gpus_without_driver) == (2, 2)


def test_a_library_of_no_content_is_seen(node: Path) -> None:
    (node / "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.570.158.01").write_text("")
    assert read(node).library_empty


def test_without_the_link_the_newest_library_counts_by_number_and_not_by_letter(
    node: Path,
) -> None:
    folder = node / "usr/lib/x86_64-linux-gnu"
    (folder / "libnvidia-ml.so.1").unlink()
    (folder / "libnvidia-ml.so.570.9").write_text("older\n")
    assert read(node).library_version == "570.158.01"


def test_a_link_that_leads_out_of_a_recording_is_not_followed(node: Path) -> None:
    link = node / "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
    link.unlink()
    link.symlink_to("/usr/lib/libnvidia-ml.so.570.124.06")
    assert read(node).library_version == "570.158.01"


def test_a_machine_with_nothing_of_nvidia_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no NVIDIA"):
        nvidia_driver.read(Host.recorded(tmp_path))
