"""What do files tell of NVIDIA's hardware and driver? Without opening a GPU or a library.

Several probes ask this: NVML fails, or hangs, in exactly those cases that files can still name.
"""

import os
import re
import struct
from pathlib import Path

import msgspec

from hpcdoctor.probes.files import check_inside, list_names, read_bytes, read_text_or_none

NVIDIA = "0x10de"
DISPLAY_CLASSES = ("0x0300", "0x0302")
BRIDGE_CLASS = "0x0680"  # an NVSwitch
TABLE = "proc/bus/pci/devices"  # all devices, but without their domain
# Drivers that take a GPU away from this system: a virtual machine's, or nobody's.
OTHERS = frozenset({"vfio-pci", "pci-stub", "xen-pciback", "nouveau"})

# Where the loader looks that has no cache, and where the driver's container puts its own.
LIBRARY_FOLDERS = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib/powerpc64le-linux-gnu",
    "usr/lib64",
    "usr/lib/x86_64-linux-gnu/nvidia/current",
    "usr/lib/aarch64-linux-gnu/nvidia/current",
    "usr/lib64/nvidia",
    "usr/lib/nvidia",
    "usr/lib/nvidia/current",
    "usr/lib",
    "usr/local/nvidia/lib64",
    "run/nvidia/driver/usr/lib/x86_64-linux-gnu",
    "run/nvidia/driver/usr/lib64",
]
LOADER_CACHE = "etc/ld.so.cache"
LOADER_MAGIC = b"glibc-ld.so.cache1.1"
LOADER_LIMIT_BYTES = 4 << 20
WIDE = 0xFF00  # bits of an entry that say of which 64 bit machine it is; none for 32 bits
MOST_LINKS = 20

VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")
_LIBRARY = re.compile(r"(libnvidia-ml|libcuda)\.so\.(\d+\.\d+(?:\.\d+)?)")
_LIKE_A_PATH = re.compile(r"/[\w./+-]{1,400}")


class Library(msgspec.Struct, frozen=True):
    """What a program that starts now gets when it asks for a library."""

    path: str = ""  # as the machine itself has it; "" where there is none
    version: str = ""
    size_bytes: int | None = None


def pci_gpus(root: Path) -> list[Path]:
    """Return the folders of the NVIDIA GPUs on the bus, in order."""
    return [path for path in _nvidia(root) if _class(path).startswith(DISPLAY_CLASSES)]


def pci_switches(root: Path) -> list[Path]:
    return [path for path in _nvidia(root) if _class(path).startswith(BRIDGE_CLASS)]


def _nvidia(root: Path) -> list[Path]:
    """Return NVIDIA's devices; one short list tells the many machines that have none."""
    table = read_text_or_none(root / TABLE)
    if table is not None and NVIDIA.removeprefix("0x") not in table:
        return []
    folder = root / "sys/bus/pci/devices"
    return [
        folder / name
        for name in list_names(folder)
        if read_text_or_none(folder / name / "vendor") == NVIDIA
    ]


def _class(path: Path) -> str:
    return read_text_or_none(path / "class") or ""


def pci_driver(device: Path) -> str:
    """Return the name of the driver that is bound to it; "" where none is."""
    try:
        return (device / "driver").readlink().name
    except OSError:
        return ""


def module_is_loaded(root: Path) -> bool:
    return loaded_version(root) is not None or (root / "proc/driver/nvidia/version").exists()


def loaded_version(root: Path) -> str | None:
    """Return the version of the loaded module, or None; there are two forms of the second file."""
    if version := read_text_or_none(root / "sys/module/nvidia/version"):
        return version
    text = read_text_or_none(root / "proc/driver/nvidia/version") or ""
    for line in text.splitlines():
        if line.startswith("NVRM version:"):
            found = VERSION.search(line.removeprefix("NVRM version:").replace("x86_64", ""))
            return found[0] if found else None
    return None


def find_libraries(root: Path) -> list[tuple[Path, str, str]]:
    """Return (file, library, version) for each versioned file, folders in order."""
    found = []
    for folder in LIBRARY_FOLDERS:
        for name in list_names(root / folder):
            if match := _LIBRARY.fullmatch(name):
                found.append((root / folder / name, match[1], match[2]))
    return found


def current_library(
    root: Path, name: str, libraries: list[tuple[Path, str, str]] | None = None
) -> Library:
    """Return the library that a program would load: libnvidia-ml or libcuda.

    The loader's cache decides; without it, the first folder that has the library. There the link
    NAME.so.1 leads to it; without a link, the newest counts.
    """
    for text in cached_paths(root, f"{name}.so.1"):
        library = _behind(root, root / text.lstrip("/"))
        if library is not None:
            return library
    if libraries is None:
        libraries = find_libraries(root)
    files = [(path, version) for path, each, version in libraries if each == name]
    if not files:
        return Library()
    folder = files[0][0].parent
    library = _behind(root, folder / f"{name}.so.1")
    if library is not None:
        return library
    here = [(path, version) for path, version in files if path.parent == folder]
    path, version = max(here, key=lambda item: numeric(item[1]))
    return Library(f"/{path.relative_to(root)}", version, size(path))


def has_library(root: Path) -> bool:
    """Tell whether the driver's library is installed anywhere, without listing folders."""
    name = "libnvidia-ml.so.1"
    return any(os.path.lexists(root / folder / name) for folder in LIBRARY_FOLDERS) or bool(
        cached_paths(root, name)
    )


def _behind(root: Path, link: Path) -> Library | None:
    """Return the versioned file that a link leads to, or None."""
    target = resolve(root, link)
    match = _LIBRARY.fullmatch(target.name) if target is not None else None
    if target is None or match is None or not os.path.lexists(target):
        return None
    return Library(f"/{target.relative_to(root)}", match[2], size(target))


def resolve(root: Path, path: Path) -> Path | None:
    """Follow links as the machine itself would: one that begins with `/` begins at the root.

    So neither a recording nor a mounted host leads to files of ours.
    """
    todo = list(path.relative_to(root).parts)
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop(0)
        if part == "..":
            done = done[:-1]
            continue
        here = root.joinpath(*done, part)
        try:
            target = str(here.readlink())
        except OSError:
            done.append(part)
            continue
        links += 1
        if links > MOST_LINKS:
            return None
        if target.startswith("/"):
            done = []
        todo = [each for each in target.split("/") if each not in ("", ".")] + todo
    return root.joinpath(*done)


def cached_paths(root: Path, name: str) -> list[str]:
    """Return the paths of 64 bit libraries of this name in the loader's cache, best first."""
    try:
        data = read_bytes(root / LOADER_CACHE, LOADER_LIMIT_BYTES)
    except OSError:
        return []
    start = data.find(LOADER_MAGIC)
    if start < 0 or name.encode() + b"\0" not in data:
        return []
    cache = data[start:]
    if len(cache) < 48:
        return []
    (count,) = struct.unpack_from("<I", cache, 20)
    table = cache[48 : 48 + 24 * min(count, LOADER_LIMIT_BYTES // 24)]
    found = []
    wanted = name.encode()
    for flags, key, value, _, _ in struct.iter_unpack("<IIIIQ", table[: len(table) // 24 * 24]):
        if flags & WIDE and cache[key : key + len(wanted) + 1] == wanted + b"\0":
            path = cache[value : cache.find(b"\0", value)].decode(errors="replace")
            if _LIKE_A_PATH.fullmatch(path) and ".." not in path:
                found.append(path)
    return found


def size(path: Path) -> int | None:
    try:
        check_inside(path)
        return path.stat().st_size
    except OSError:
        return None


def numeric(version: str) -> tuple[int, ...]:
    """Sort 570.9 before 570.124."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:8])


def newest_first(versions: set[str]) -> list[str]:
    return sorted(versions, key=numeric, reverse=True)
