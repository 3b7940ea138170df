"""Which version of what has to fit is in use, and which waits for the next start? One reading each.

Source:  /proc/sys/kernel/osrelease, /boot, /lib/modules, /sys/module, the modules' files,
         /sys/class/infiniband/*/{fw_ver,board_id}, /usr/bin/ofed_info (read, never run),
         /sys/fs/lustre/version, /sys/class/dmi/id
Units:   versions as text
Cost:    a: a few small files; each module's file once, which is c where it is compressed
Absent:  where not even the kernel's release is to be seen
"""

import re
from collections.abc import Iterator
from pathlib import Path

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import list_names, read_text_or_none
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.kernel_modules import module_file, newer_kernel, running_kernel
from hpcdoctor.probes.nvidia_files import loaded_version

OFED_LIMIT_BYTES = 1 << 16
# A version of itself, which is not the kernel's: module, kind, name for people.
MODULES = [
    ("nvidia", "nvidia-driver", "NVIDIA driver"),
    ("mlx5_core", "network-driver", "network driver mlx5_core"),
    ("hfi1", "network-driver", "network driver hfi1"),
    ("lustre", "lustre", "Lustre client"),
]
_OFED = re.compile(r"\b(?:MLNX_OFED_LINUX|OFED-internal|DOCA-OFED|OFED)-(\d[\w.-]*\w)")


class Component(Reading, frozen=True):
    component: str  # "kernel", "firmware of mlx5_0": what a person calls it
    kind: str  # "kernel", "nvidia-driver", "network-driver", "ofed", "lustre", "hca-firmware", ...
    version: str  # in use now; "" where it has none of its own
    next_version: str  # what the next start brings, where that is another one
    pending: bool  # something waits for the next start
    board: str = ""  # of firmware: only the same board can be compared
    board_version: str = ""  # "MT_0000000838 28.39.1002", as a profile lists it
    versions_of_board: int = 1  # how many different ones there are on this node


def read(host: Host) -> list[Component]:
    release = running_kernel(host.root)
    if not release:
        raise Absent("the kernel does not tell its release")
    found = [kernel(host.root, release)]
    found += modules(host, release)
    found += firmware(host.root)
    for kind, name, version in (
        ("ofed", "OFED", ofed_version(host.root)),
        ("bios", "BIOS", read_text_or_none(host.root / "sys/class/dmi/id/bios_version") or ""),
    ):
        if version:
            found.append(Component(name, kind, version, "", pending=False))
    return found


def kernel(root: Path, release: str) -> Component:
    newer = newer_kernel(root)
    asked = (root / "run/reboot-required").exists()
    return Component("kernel", "kernel", release, newer, pending=bool(newer) or asked)


def modules(host: Host, release: str) -> Iterator[Component]:
    for module, kind, name in MODULES:
        folder = host.root / "sys/module" / module
        if not folder.exists():
            continue
        loaded = in_use(host.root, module)
        source = read_text_or_none(folder / "srcversion")
        file = module_file(host, module, release)
        changed = bool(loaded and file.version and file.version != loaded)
        rebuilt = bool(
            not loaded and source and file.source_version and source != file.source_version
        )
        yield Component(
            name,
            kind,
            loaded,
            (file.version or "") if changed else "another build" if rebuilt else "",
            pending=changed or rebuilt,
        )


def in_use(root: Path, module: str) -> str:
    if module == "nvidia":
        return loaded_version(root) or ""
    if module == "lustre":
        text = read_text_or_none(root / "sys/fs/lustre/version") or ""
        return text.removeprefix("lustre:").strip().split("\n")[0]
    return read_text_or_none(root / "sys/module" / module / "version") or ""


def firmware(root: Path) -> list[Component]:
    folder = root / "sys/class/infiniband"
    rows = []
    for name in list_names(folder):
        version = read_text_or_none(folder / name / "fw_ver")
        board = read_text_or_none(folder / name / "board_id") or ""
        if version:
            rows.append((name, board, version))
    return [
        Component(
            f"firmware of {name}",
            "hca-firmware",
            version,
            "",
            pending=False,
            board=board,
            board_version=f"{board} {version}",
            versions_of_board=len({v for _, b, v in rows if b == board}) if board else 1,
        )
        for name, board, version in rows
    ]


def ofed_version(root: Path) -> str:
    """Return what the tool would print: it is a script with the version in it."""
    found = _OFED.search(read_text_or_none(root / "usr/bin/ofed_info", OFED_LIMIT_BYTES) or "")
    return found[1] if found else ""
