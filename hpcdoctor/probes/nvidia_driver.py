"""Which NVIDIA driver is loaded, and which are on disk? One reading, from files alone.

Source:  /sys/module/nvidia, /proc/driver/nvidia, the names of the user library's files, of firmware
         folders and of module sources
Units:   versions as text; "" where the thing is certainly not there
Cost:    some folders are listed, some small files read; no GPU and no library is touched, since
         NVML fails in exactly those cases that this probe is for
Absent:  where there is neither a module, nor a library, nor an NVIDIA GPU on the PCI bus
"""

import os
import re
from pathlib import Path

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import check_inside, list_names, read_text_or_none
from hpcdoctor.probes.host import Host

# In the order in which they are looked at; the first that holds the library is the one in use.
LIBRARY_FOLDERS = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib/powerpc64le-linux-gnu",
    "usr/lib64",
    "usr/lib64/nvidia",
    "usr/lib/nvidia",
    "usr/lib/nvidia/current",
    "usr/lib",
    "usr/local/nvidia/lib64",
    "run/nvidia/driver/usr/lib/x86_64-linux-gnu",
    "run/nvidia/driver/usr/lib64",
]
LOG_LIMIT_BYTES = 1 << 20
NVIDIA = "0x10de"
DISPLAY_CLASSES = ("0x0300", "0x0302")

_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")
_LIBRARY = re.compile(r"(libnvidia-ml|libcuda)\.so\.(\d+\.\d+(?:\.\d+)?)")
_SOURCE = re.compile(r"nvidia(?:-open|-server|-srv)*-(\d+\.\d+(?:\.\d+)?)")
_FABRIC_MANAGER = re.compile(r"Fabric Manager version is *: *(\d+\.\d+(?:\.\d+)?)")


class Driver(Reading, frozen=True):
    module_loaded: bool
    loaded_version: str
    source_version: str  # changes when the module is built again
    library_version: str  # what a program that starts now gets: the target of libnvidia-ml.so.1
    library_empty: bool  # the file is there and has no content: a bind mount that went wrong
    cuda_library_version: str
    library_versions: list[str]  # all that lie in the library folders
    firmware_versions: list[str]
    module_source_versions: list[str]  # what DKMS would build for the next kernel
    fabric_manager_version: str  # as it logged when it started last
    kernel_release: str
    gpus_in_pci: int
    gpus_without_driver: int  # on the bus, and no driver is bound to them
    gpus_in_driver: int
    gpus_not_answering: list[str]  # the driver has lost them or never brought them up
    gpus_not_answering_count: int


def read(host: Host) -> list[Driver]:
    root = host.root
    gpus = pci_gpus(root)
    loaded = loaded_version(root)
    module = loaded is not None or (root / "proc/driver/nvidia/version").exists()
    libraries = find_libraries(root)
    if not (module or libraries or gpus):
        raise Absent("no NVIDIA driver, library or GPU is on this machine")
    in_driver = list_names(root / "proc/driver/nvidia/gpus")
    silent = [name for name in in_driver if not answers(root, name)]
    library_path, library = current(libraries, "libnvidia-ml")
    return [
        Driver(
            module_loaded=module,
            loaded_version=loaded or "",
            source_version=read_text_or_none(root / "sys/module/nvidia/srcversion") or "",
            library_version=library,
            library_empty=library_path is not None and size(library_path) == 0,
            cuda_library_version=current(libraries, "libcuda")[1],
            library_versions=newest_first({version for _, _, version in libraries}),
            firmware_versions=versions_in(root / "lib/firmware/nvidia", _VERSION)
            or versions_in(root / "usr/lib/firmware/nvidia", _VERSION),
            module_source_versions=versions_in(root / "usr/src", _SOURCE),
            fabric_manager_version=fabric_manager_version(root),
            kernel_release=read_text_or_none(root / "proc/sys/kernel/osrelease") or "",
            gpus_in_pci=len(gpus),
            gpus_without_driver=sum(not os.path.lexists(gpu / "driver") for gpu in gpus),
            gpus_in_driver=len(in_driver),
            gpus_not_answering=silent,
            gpus_not_answering_count=len(silent),
        )
    ]


def pci_gpus(root: Path) -> list[Path]:
    folder = root / "sys/bus/pci/devices"
    return [
        folder / name
        for name in list_names(folder)
        if read_text_or_none(folder / name / "vendor") == NVIDIA
        and (read_text_or_none(folder / name / "class") or "").startswith(DISPLAY_CLASSES)
    ]


def loaded_version(root: Path) -> str | None:
    """Return the version of the loaded module, or None; there are two forms of the second file."""
    if version := read_text_or_none(root / "sys/module/nvidia/version"):
        return version
    text = read_text_or_none(root / "proc/driver/nvidia/version") or ""
    for line in text.splitlines():
        if line.startswith("NVRM version:"):
            found = _VERSION.search(line.removeprefix("NVRM version:").replace("x86_64", ""))
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


def current(libraries: list[tuple[Path, str, str]], name: str) -> tuple[Path | None, str]:
    """Return the file and the version that a program would load, or (None, "").

    That is where the link NAME.so.1 of the first folder leads; without a link, the newest there.
    """
    files = [(path, version) for path, library, version in libraries if library == name]
    if not files:
        return None, ""
    folder = files[0][0].parent
    here = {path.name: (path, version) for path, version in files if path.parent == folder}
    link = folder / f"{name}.so.1"
    try:
        check_inside(link)
        target = os.path.basename(os.path.realpath(link))  # noqa: PTH119  # a text, no path of ours
    except OSError:
        target = ""
    if target in here:
        return here[target]
    return max(here.values(), key=lambda item: numeric(item[1]))


def versions_in(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    matches = (pattern.fullmatch(name) for name in list_names(folder))
    return newest_first({match[pattern.groups] for match in matches if match})


def fabric_manager_version(root: Path) -> str:
    path = root / "var/log/fabricmanager.log"
    if (size(path) or 0) > LOG_LIMIT_BYTES:
        return ""  # the last start is not in the part that we would read
    found = _FABRIC_MANAGER.findall(read_text_or_none(path, LOG_LIMIT_BYTES) or "")
    return str(found[-1]) if found else ""


def answers(root: Path, name: str) -> bool:
    """Tell whether the driver knows the GPU's own texts, or writes question marks for them."""
    text = read_text_or_none(root / "proc/driver/nvidia/gpus" / name / "information")
    return text is None or "??" not in text


def size(path: Path) -> int | None:
    try:
        check_inside(path)
        return path.stat().st_size
    except OSError:
        return None


def numeric(version: str) -> tuple[int, ...]:
    """Sort 570.9 before 570.124."""
    return tuple(int(part) for part in version.split("."))


def newest_first(versions: set[str]) -> list[str]:
    return sorted(versions, key=numeric, reverse=True)
