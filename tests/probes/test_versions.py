"""Is each version told as it is in use, with what waits for the next start?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import versions
from hpcdoctor.probes.versions import Component
from tests.doubles.machines import host_of, written
from tests.probes.test_kernel_modules import elf

RELEASE = "6.1.0-18-amd64"


def read(tmp_path: Path, files: dict[str, str | bytes]) -> dict[str, Component]:
    root = written(tmp_path, {"proc/sys/kernel/osrelease": f"{RELEASE}\n", **files})
    return {component.component: component for component in versions.read(host_of(root))}


def test_a_newer_kernel_waits_for_the_next_start(tmp_path: Path) -> None:
    found = read(tmp_path, {"boot/vmlinuz-6.1.0-21-amd64": "", f"boot/vmlinuz-{RELEASE}": ""})
    kernel = found["kernel"]
    assert (kernel.version, kernel.next_version, kernel.pending) == (
        RELEASE,
        "6.1.0-21-amd64",
        True,
    )


def test_the_running_kernel_alone_waits_for_nothing(tmp_path: Path) -> None:
    assert not read(tmp_path, {f"boot/vmlinuz-{RELEASE}": ""})["kernel"].pending


def test_a_distribution_that_asks_for_a_restart_is_heard(tmp_path: Path) -> None:
    assert read(tmp_path, {"run/reboot-required": "*** System restart required ***\n"})[
        "kernel"
    ].pending


def test_a_module_that_was_replaced_on_disk_waits_for_the_next_start(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "sys/module/mlx5_core/version": "24.10-0.7.0\n",
        f"lib/modules/{RELEASE}/extra/mlx5_core.ko": elf(b"version=24.10-1.1.4\0srcversion=A\0"),
    }
    driver = read(tmp_path, files)["network driver mlx5_core"]
    assert (driver.version, driver.next_version, driver.pending) == (
        "24.10-0.7.0",
        "24.10-1.1.4",
        True,
    )


def test_a_module_without_a_version_is_known_by_its_build(tmp_path: Path) -> None:
    path = f"lib/modules/{RELEASE}/extra/mlx5_core.ko"
    files: dict[str, str | bytes] = {"sys/module/mlx5_core/srcversion": "AAAA\n"}
    same = read(tmp_path, {**files, path: elf(b"srcversion=AAAA\0license=GPL\0")})
    assert not same["network driver mlx5_core"].pending
    other = read(tmp_path, {**files, path: elf(b"srcversion=BBBB\0license=GPL, again\0")})
    assert other["network driver mlx5_core"].next_version == "another build"


def test_what_is_not_loaded_is_not_told(tmp_path: Path) -> None:
    path = f"lib/modules/{RELEASE}/extra/lustre.ko"
    assert set(read(tmp_path, {path: elf()})) == {"kernel"}


def test_the_client_of_lustre_tells_its_version_in_a_file(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "sys/module/lustre/srcversion": "A",
        "sys/fs/lustre/version": "lustre: 2.15.3\n",
    }
    assert read(tmp_path, files)["Lustre client"].version == "2.15.3"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("#!/bin/bash\necho MLNX_OFED_LINUX-5.8-3.0.7.0:\n", "5.8-3.0.7.0"),
        ("#!/bin/bash\nprintf 'OFED-internal-24.10-0.7.0:'\n", "24.10-0.7.0"),
    ],
)
def test_the_version_of_ofed_is_in_the_script_that_would_print_it(
    tmp_path: Path, text: str, version: str
) -> None:
    assert read(tmp_path, {"usr/bin/ofed_info": text})["OFED"].version == version


def test_firmware_is_compared_only_between_boards_of_one_kind(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {}
    for name, board, firmware in (
        ("mlx5_0", "MT_0000000838", "28.39.1002"),
        ("mlx5_1", "MT_0000000838", "28.43.2026"),
        ("mlx5_2", "MT_0000000359", "24.35.1012"),
    ):
        files[f"sys/class/infiniband/{name}/board_id"] = board
        files[f"sys/class/infiniband/{name}/fw_ver"] = firmware
    found = read(tmp_path, files)
    first = found["firmware of mlx5_0"]
    assert (first.version, first.versions_of_board) == ("28.39.1002", 2)
    assert first.board_version == "MT_0000000838 28.39.1002"
    assert found["firmware of mlx5_2"].versions_of_board == 1


def test_the_firmware_of_the_board_is_told(tmp_path: Path) -> None:
    assert read(tmp_path, {"sys/class/dmi/id/bios_version": "2.4.4\n"})["BIOS"].version == "2.4.4"


def test_a_recording_without_a_kernel_has_no_versions(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="release"):
        versions.read(host_of(tmp_path))
