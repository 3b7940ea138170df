"""Which NVIDIA driver is loaded, and which are on disk? One reading, from files alone.

Source:  /sys/module/nvidia, /proc/driver/nvidia, the loader's cache, the names of the user
         library's files, of firmware folders and of module sources, modules.dep, the module's file
Units:   versions as text; "" where the thing is certainly not there
Cost:    a: some folders are listed, some small files read, modules.dep once; a compressed module
         once, for a second; no GPU and no library is touched, since NVML fails in exactly those
         cases that this probe is for
Absent:  where there is neither a module, nor a library, nor an NVIDIA GPU on the PCI bus

What a container brings along is not looked at: these are the host's files.
"""

import os
import re
from pathlib import Path

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import list_names, read_text_or_none
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.kernel_modules import (
    find_module,
    module_file,
    newer_kernel,
    running_kernel,
)
from hpcdoctor.probes.nvidia_files import (
    VERSION,
    current_library,
    find_libraries,
    has_library,
    loaded_version,
    module_is_loaded,
    newest_first,
    pci_driver,
    pci_gpus,
    pci_switches,
    size,
)

LOG_LIMIT_BYTES = 1 << 20

_SOURCE = re.compile(r"nvidia(?:-open|-server|-srv)*-(\d+\.\d+(?:\.\d+)?)")
_FABRIC_MANAGER = re.compile(r"Fabric Manager version is *: *(\d+\.\d+(?:\.\d+)?)")


class Driver(Reading, frozen=True):
    module_loaded: bool
    loaded_version: str
    source_version: str  # changes when the module is built again
    library_version: str  # what a program that starts now gets as libnvidia-ml.so.1
    library_path: str
    library_empty: bool  # the file is there and has no content: a bind mount that went wrong
    cuda_library_version: str
    library_versions: list[str]  # all that lie in the library folders
    module_on_disk_version: str | None  # what loading it now would bring; None: cannot be told
    module_on_disk_reason: str  # why it cannot be told
    module_path: str
    module_source_versions: list[str]  # what DKMS would build for the next kernel
    firmware_versions: list[str]
    firmware_missing: bool  # there is firmware for other versions, and none for the loaded one
    fabric_manager_version: str  # as it logged when it started last, in this boot
    kernel_release: str
    newer_kernel: str  # what the next boot brings; "" where no newer one is installed
    newer_kernel_has_module: bool | None
    gpus_in_pci: int
    gpu_addresses: list[str]
    nvswitches_in_pci: int
    gpus_without_driver: int  # on the bus, and no driver is bound to them
    gpu_addresses_without_driver: list[str]
    gpus_in_driver: int
    gpus_not_answering: list[str]  # the driver has lost them or never brought them up
    gpus_not_answering_count: int
    gpus_excluded: list[str]  # somebody told the driver to leave them alone
    gpus_excluded_count: int
    gpus_memory_offline: list[str]  # where the memory of a GPU is a NUMA node of the system
    gpus_memory_offline_count: int


def read(host: Host) -> list[Driver]:
    root = host.root
    gpus = pci_gpus(root)
    loaded = loaded_version(root)
    module = module_is_loaded(root)
    if not (module or gpus or has_library(root)):
        raise Absent("no NVIDIA driver, library or GPU is on this machine")
    libraries = find_libraries(root)
    library = current_library(root, "libnvidia-ml", libraries)
    in_driver = list_names(root / "proc/driver/nvidia/gpus")
    told = {name: information(root, name) for name in in_driver}
    silent = [name for name, text in told.items() if "??" in text]
    excluded = [name for name, text in told.items() if is_excluded(text)]
    offline = [name for name in in_driver if memory_is_offline(root, name)]
    bare = [gpu.name for gpu in gpus if not pci_driver(gpu)]
    firmware = firmware_versions(root)
    release = running_kernel(root)
    newer = newer_kernel(root)
    on_disk = module_file(host, "nvidia", release)
    return [
        Driver(
            module_loaded=module,
            loaded_version=loaded or "",
            source_version=read_text_or_none(root / "sys/module/nvidia/srcversion") or "",
            library_version=library.version,
            library_path=library.path,
            library_empty=library.size_bytes == 0,
            cuda_library_version=current_library(root, "libcuda", libraries).version,
            library_versions=newest_first({version for _, _, version in libraries}),
            module_on_disk_version=on_disk.version if on_disk.path else "",
            module_on_disk_reason=on_disk.reason,
            module_path=on_disk.path,
            module_source_versions=versions_in(root / "usr/src", _SOURCE),
            firmware_versions=firmware,
            firmware_missing=bool(loaded and firmware and loaded not in firmware),
            fabric_manager_version=fabric_manager_version(host),
            kernel_release=release,
            newer_kernel=newer,
            newer_kernel_has_module=(
                find_module(host, "nvidia", newer) is not None if newer else None
            ),
            gpus_in_pci=len(gpus),
            gpu_addresses=[gpu.name for gpu in gpus],
            nvswitches_in_pci=len(pci_switches(root)),
            gpus_without_driver=len(bare),
            gpu_addresses_without_driver=bare,
            gpus_in_driver=len(in_driver),
            gpus_not_answering=silent,
            gpus_not_answering_count=len(silent),
            gpus_excluded=excluded,
            gpus_excluded_count=len(excluded),
            gpus_memory_offline=offline,
            gpus_memory_offline_count=len(offline),
        )
    ]


def firmware_versions(root: Path) -> list[str]:
    return versions_in(root / "lib/firmware/nvidia", VERSION) or versions_in(
        root / "usr/lib/firmware/nvidia", VERSION
    )


def versions_in(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    matches = (pattern.fullmatch(name) for name in list_names(folder))
    return newest_first({match[pattern.groups] for match in matches if match})


def fabric_manager_version(host: Host) -> str:
    """Return what the manager logged when it started last; "" where that was before this boot."""
    path = host.root / "var/log/fabricmanager.log"
    if (size(path) or 0) > LOG_LIMIT_BYTES:
        return ""  # the last start is not in the part that we would read
    if host.live:
        now = host.clock()
        try:
            if os.stat(path).st_mtime < now.wall - now.boottime:  # noqa: PTH116  # one call
                return ""  # of another boot, and perhaps of another driver
        except OSError:
            return ""
    found = _FABRIC_MANAGER.findall(read_text_or_none(path, LOG_LIMIT_BYTES) or "")
    return str(found[-1]) if found else ""


def information(root: Path, name: str) -> str:
    """Return what the driver writes of a GPU: its texts, or question marks where it knows none."""
    return read_text_or_none(root / "proc/driver/nvidia/gpus" / name / "information") or ""


def is_excluded(text: str) -> bool:
    return re.search(r"^GPU Excluded:\s*Yes", text, re.MULTILINE) is not None


def memory_is_offline(root: Path, name: str) -> bool:
    text = read_text_or_none(root / "proc/driver/nvidia/gpus" / name / "numa_status") or ""
    found = re.search(r"^Status:\s*(\w+)", text, re.MULTILINE)
    return found is not None and found[1] != "online"
