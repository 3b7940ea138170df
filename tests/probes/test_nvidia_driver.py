"""Is a driver that drifted named from files alone, with both versions?"""

import os
import shutil
import struct
from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import nvidia_driver, nvidia_files
from hpcdoctor.probes.host import Host
from tests.conftest import NODES, recorded
from tests.doubles.machines import written
from tests.probes.test_kernel_modules import elf

LIBRARIES = "usr/lib/x86_64-linux-gnu"


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
    assert not driver.firmware_missing


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
    assert driver.gpu_addresses_without_driver == ["0000:3b:00.0", "0000:5e:00.0"]


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


def test_links_are_followed_as_the_machine_itself_would(node: Path) -> None:
    """Debian leads by /etc/alternatives to a folder of its own, from the root each time."""
    folder = node / LIBRARIES
    written(node, {f"{LIBRARIES}/nvidia/current/libnvidia-ml.so.570.124.06": "library"})
    (folder / "libnvidia-ml.so.1").unlink()
    (folder / "libnvidia-ml.so.1").symlink_to("/etc/alternatives/nvidia-ml")
    (node / "etc/alternatives").mkdir(parents=True)
    target = f"/{LIBRARIES}/nvidia/current/libnvidia-ml.so.1"
    (node / "etc/alternatives/nvidia-ml").symlink_to(target)
    link = folder / "nvidia/current/libnvidia-ml.so.1"
    link.symlink_to("libnvidia-ml.so.570.124.06")
    driver = read(node)
    assert driver.library_version == "570.124.06"
    assert driver.library_path == f"/{LIBRARIES}/nvidia/current/libnvidia-ml.so.570.124.06"


def test_a_circle_of_links_leads_nowhere(node: Path) -> None:
    link = node / LIBRARIES / "libnvidia-ml.so.1"
    link.unlink()
    link.symlink_to("libnvidia-ml.so.1")
    assert read(node).library_version == "570.158.01"


def loader_cache(*entries: tuple[int, str]) -> bytes:
    """Return a file as ldconfig writes it: flags and path of each library."""
    texts, rows = b"", b""
    start = 48 + 24 * len(entries)
    for flags, path in entries:
        value = start + len(texts)
        key = value + path.rindex("/") + 1
        rows += struct.pack("<IIIIQ", flags, key, value, 0, 0)
        texts += path.encode() + b"\0"
    head = b"glibc-ld.so.cache1.1" + struct.pack("<II", len(entries), len(texts))
    return head.ljust(48, b"\0") + rows + texts


def test_the_loaders_cache_decides_which_of_two_libraries_is_loaded(node: Path) -> None:
    written(node, {"opt/nvidia/libnvidia-ml.so.570.124.06": "library"})
    (node / "opt/nvidia/libnvidia-ml.so.1").symlink_to("libnvidia-ml.so.570.124.06")
    narrow = (0x0003, "/usr/lib/i386-linux-gnu/libnvidia-ml.so.1")
    wide = (0x0303, "/opt/nvidia/libnvidia-ml.so.1")
    other = (0x0303, f"/{LIBRARIES}/libnvidia-ml.so.1")
    written(node, {"etc/ld.so.cache": loader_cache(narrow, wide, other)})
    driver = read(node)
    assert (driver.library_version, driver.library_path) == (
        "570.124.06",
        "/opt/nvidia/libnvidia-ml.so.570.124.06",
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ld.so-1.7.0",
        loader_cache((0x0303, "/gone/libnvidia-ml.so.1")),
        loader_cache((0x0303, "/../../etc/libnvidia-ml.so.1")),
        loader_cache((0x0303, "/x/libnvidia-ml.so.1"))[:60],
        b"glibc-ld.so.cache1.1" + b"\xff" * 100 + b"libnvidia-ml.so.1\0",
    ],
)
def test_a_cache_that_says_nothing_leaves_the_folders(node: Path, content: bytes) -> None:
    written(node, {"etc/ld.so.cache": content})
    assert read(node).library_version == "570.158.01"


def test_the_cache_of_this_machine_is_understood() -> None:
    if not Path("/etc/ld.so.cache").exists():
        pytest.skip("this machine has no loader's cache")
    [path, *_] = nvidia_files.cached_paths(Path("/"), "libc.so.6")
    assert path.endswith("/libc.so.6")


def test_a_bus_without_anything_of_nvidia_is_not_searched(node: Path) -> None:
    table = "proc/bus/pci/devices"
    written(node, {table: "3b00\t10de2330\t1f\t0\n1900\t15b31021\t20\t0\n"})
    assert read(node).gpus_in_pci == 2
    written(node, {table: "1900\t15b31021\t20\t0\n"})
    assert read(node).gpus_in_pci == 0


# What the next start brings -----------------------------------------------------------------------

MODULE = "lib/modules/6.1.0-18-amd64/updates/dkms/nvidia.ko"


def test_a_module_on_disk_that_is_not_the_loaded_one_is_told(node: Path) -> None:
    written(node, {MODULE: elf()})
    driver = read(node)
    assert driver.module_on_disk_version == "570.158.01"
    assert driver.module_path == f"/{MODULE}"


def test_no_module_for_the_running_kernel_is_certain_and_an_unreadable_one_is_not(
    node: Path,
) -> None:
    assert read(node).module_on_disk_version == ""
    written(node, {MODULE + ".zst": b"x"})
    driver = read(node)
    assert driver.module_on_disk_version is None
    assert "zstd" in driver.module_on_disk_reason


def test_a_newer_kernel_without_a_module_is_told(node: Path) -> None:
    assert read(node).newer_kernel_has_module is None
    written(node, {"boot/vmlinuz-6.1.0-21-amd64": "", MODULE: elf()})
    driver = read(node)
    assert (driver.newer_kernel, driver.newer_kernel_has_module) == ("6.1.0-21-amd64", False)
    written(node, {MODULE.replace("-18-", "-21-"): elf()})
    assert read(node).newer_kernel_has_module is True


def test_firmware_only_for_other_versions_is_told(node: Path) -> None:
    shutil.rmtree(node / "lib/firmware/nvidia/570.124.06")
    assert read(node).firmware_missing
    shutil.rmtree(node / "lib/firmware/nvidia")  # a driver that needs none
    assert not read(node).firmware_missing


def test_what_the_fabric_manager_logged_before_this_boot_says_nothing(node: Path) -> None:
    log = node / "var/log/fabricmanager.log"
    for age, expected in ((50.0, "570.124.06"), (150.0, "")):
        host = Host(node, live=True, clock=lambda: Instant("boot", 100.0, 5000.0))
        os.utime(log, (5000.0 - age, 5000.0 - age))
        [driver] = nvidia_driver.read(host)
        assert driver.fabric_manager_version == expected


def test_a_gpu_that_the_driver_is_told_to_leave_alone_is_named(node: Path) -> None:
    path = node / "proc/driver/nvidia/gpus/0000:3b:00.0/information"
    path.write_text(path.read_text() + "GPU Excluded:\t Yes\n")
    assert read(node).gpus_excluded == ["0000:3b:00.0"]


def test_gpu_memory_that_is_not_online_is_named(node: Path) -> None:
    path = "proc/driver/nvidia/gpus/0000:3b:00.0/numa_status"
    written(node, {path: "Node:      2\nStatus:    online\n"})
    assert read(node).gpus_memory_offline == []
    written(node, {path: "Node:      2\nStatus:    online_failed\n"})
    assert read(node).gpus_memory_offline == ["0000:3b:00.0"]


def test_a_machine_with_nothing_of_nvidia_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no NVIDIA"):
        nvidia_driver.read(Host.recorded(tmp_path))
