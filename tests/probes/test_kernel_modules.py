"""Is a module on disk read as modinfo reads it, whatever form it has, without running anything?"""

import gzip
import lzma
import struct
from pathlib import Path

import pytest

from hpcdoctor.probes import kernel_modules
from hpcdoctor.probes.host import Host
from tests.doubles.machines import host_of, written

RELEASE = "6.1.0-18-amd64"
FOLDER = f"lib/modules/{RELEASE}"
MODINFO = b"license=NVIDIA\0version=570.158.01\0srcversion=5C1A9E2B\0vermagic=6.1.0-18-amd64 SMP\0"


def elf(modinfo: bytes = MODINFO, *, big: bool = False) -> bytes:
    """Return a file as a kernel module is one: a header, sections, and their table at the end."""
    order = ">" if big else "<"
    names = b"\0.text\0.modinfo\0.shstrtab\0"
    bodies = [b"", b"\x90" * 100, modinfo, names]
    offsets, data = [], b"\0" * 64
    for body in bodies:
        offsets.append(len(data))
        data += body
    starts = [0, 1, 7, 16]
    table = b"".join(
        struct.pack(f"{order}IIQQQQIIQQ", start, 1, 0, 0, offset, len(body), 0, 0, 1, 0)
        for start, offset, body in zip(starts, offsets, bodies, strict=True)
    )
    head = b"\x7fELF\x02" + (b"\x02" if big else b"\x01") + b"\x01" + b"\0" * 9
    head += struct.pack(f"{order}HHIQQQIHHHHHH", 1, 62, 1, 0, 0, len(data), 0, 64, 0, 0, 64, 4, 3)
    return head + data[64:] + table


def machine(tmp_path: Path, files: dict[str, str | bytes]) -> Host:
    release = {"proc/sys/kernel/osrelease": f"{RELEASE}\n"}
    return host_of(written(tmp_path, {**release, **files}))


def test_the_version_of_a_module_is_read_from_its_section(tmp_path: Path) -> None:
    host = machine(tmp_path, {f"{FOLDER}/updates/dkms/nvidia.ko": elf()})
    file = kernel_modules.module_file(host, "nvidia", RELEASE)
    assert (file.version, file.source_version) == ("570.158.01", "5C1A9E2B")
    assert file.path == f"/{FOLDER}/updates/dkms/nvidia.ko"


def test_a_machine_of_the_other_byte_order_is_read_too(tmp_path: Path) -> None:
    host = machine(tmp_path, {f"{FOLDER}/extra/nvidia.ko": elf(big=True)})
    assert kernel_modules.module_file(host, "nvidia", RELEASE).version == "570.158.01"


@pytest.mark.parametrize(("suffix", "pack"), [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_a_compressed_module_is_unpacked_as_far_as_needed(
    tmp_path: Path, suffix: str, pack: object
) -> None:
    assert callable(pack)
    long = elf(b"\xaa" * (3 << 20) + b"\0" + MODINFO)
    host = machine(tmp_path, {f"{FOLDER}/extra/nvidia/nvidia.ko{suffix}": pack(long)})
    file = kernel_modules.module_file(host, "nvidia", RELEASE)
    assert (file.version, file.source_version) == ("570.158.01", "5C1A9E2B")


def test_what_cannot_be_unpacked_is_not_known_and_says_why(tmp_path: Path) -> None:
    host = machine(tmp_path, {f"{FOLDER}/extra/nvidia.ko.zst": b"\x28\xb5\x2f\xfd"})
    file = kernel_modules.module_file(host, "nvidia", RELEASE)
    assert file.version is None
    assert "zstd" in file.reason


def test_what_depmod_listed_comes_before_what_lies_there(tmp_path: Path) -> None:
    host = machine(
        tmp_path,
        {
            f"{FOLDER}/updates/dkms/nvidia.ko": elf(b"version=1.1.1\0"),
            f"{FOLDER}/kernel/nvidia-570/nvidia.ko": elf(),
            f"{FOLDER}/modules.dep": "kernel/a.ko:\nkernel/nvidia-570/nvidia.ko: kernel/a.ko\n"
            "kernel/x/not-nvidia.ko:\n",
        },
    )
    assert kernel_modules.module_file(host, "nvidia", RELEASE).version == "570.158.01"


def test_a_list_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    host = machine(tmp_path, {f"{FOLDER}/modules.dep": "../../../etc/nvidia.ko:\n/nvidia.ko:\n"})
    assert kernel_modules.find_module(host, "nvidia", RELEASE) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x7fELF\x02\x01",
        b"text",
        elf()[:90],
        b"\x7fELF\x02\x01" + b"\xff" * 200,
        elf()[:-100],
    ],
)
def test_a_file_that_is_no_module_is_not_known(tmp_path: Path, content: bytes) -> None:
    host = machine(tmp_path, {f"{FOLDER}/extra/nvidia.ko": content})
    file = kernel_modules.module_file(host, "nvidia", RELEASE)
    assert file.version is None
    assert file.reason


def test_a_module_for_another_kernel_is_none_for_this_one(tmp_path: Path) -> None:
    host = machine(tmp_path, {"lib/modules/6.1.0-17-amd64/updates/dkms/nvidia.ko": elf()})
    assert kernel_modules.module_file(host, "nvidia", RELEASE).path == ""


def test_a_module_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    path = f"{FOLDER}/extra/nvidia.ko"
    host = machine(tmp_path, {path: elf()})
    kernel_modules.module_file(host, "nvidia", RELEASE)
    assert len(host.memory["module files"]) == 1
    kernel_modules.module_file(host, "nvidia", RELEASE)
    assert len(host.memory["module files"]) == 1
    (tmp_path / path).write_bytes(elf(b"version=575.51.03\0more=x\0"))
    assert kernel_modules.module_file(host, "nvidia", RELEASE).version == "575.51.03"


@pytest.mark.parametrize(
    ("running", "installed", "newer"),
    [
        ("6.1.0-9-amd64", ["6.1.0-9-amd64", "6.1.0-18-amd64"], "6.1.0-18-amd64"),
        ("6.1.0-18-amd64", ["6.1.0-9-amd64", "6.1.0-18-amd64"], ""),
        ("6.1.0-18-amd64", ["6.1.0-21-cloud-amd64", "6.1.0-18-amd64"], ""),
        ("6.1.0-18-amd64", [], ""),
        (
            "5.14.0-427.13.1.el9_4.x86_64",
            ["5.14.0-427.40.1.el9_4.x86_64", "0-rescue-aabb"],
            "5.14.0-427.40.1.el9_4.x86_64",
        ),
        ("5.14.0-427.13.1.el9_4.x86_64", ["5.14.0-500.el9.x86_64+debug"], ""),
    ],
)
def test_the_next_kernel_is_a_newer_one_of_the_same_flavour(
    tmp_path: Path, running: str, installed: list[str], newer: str
) -> None:
    files: dict[str, str | bytes] = {f"boot/vmlinuz-{name}": "" for name in installed}
    host = machine(tmp_path, {**files, "proc/sys/kernel/osrelease": running})
    assert kernel_modules.newer_kernel(host.root) == newer


def test_without_a_boot_folder_the_modules_tell_the_kernels(tmp_path: Path) -> None:
    host = machine(tmp_path, {"lib/modules/6.1.0-21-amd64/modules.dep": ""})
    assert kernel_modules.newer_kernel(host.root) == "6.1.0-21-amd64"
