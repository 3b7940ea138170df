"""How are the devices that matter attached? One reading for each NVIDIA GPU, HCA and NVMe drive.

Source:  /sys/bus/pci/devices (kernel: Documentation/ABI/testing/sysfs-bus-pci)
Units:   lanes, GT/s; errors since the device was added
Cost:    some fifteen small files a device, of which the link's ask the hardware; no driver is used
Absent:  where there is no PCI bus, or none of these devices on it
"""

import os
import re
from pathlib import Path

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import check_inside, list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

NVIDIA = "0x10de"
MELLANOX = "0x15b3"
NO_WIDTH = (0, 255)  # what a device that is gone, or has no link, answers
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


class Device(Reading, frozen=True):
    address: str  # "0000:3b:00.0"
    kind: str  # "gpu", "nvswitch", "hca" or "nvme"
    vendor: str  # "0x10de"
    device: str
    driver: str  # "" where none is bound
    gone: bool | None  # its configuration space answers all ones: off the bus
    link_width: int | None
    link_width_max: int | None  # its own
    link_speed_gigatransfers_per_second: float | None  # a GPU lowers it when idle
    link_speed_max_gigatransfers_per_second: float | None
    upstream: str  # the port that it hangs on, "" where that is not to be seen
    upstream_width_max: int | None
    upstream_speed_max_gigatransfers_per_second: float | None
    link_width_possible: int | None  # what both ends can do
    corrected_errors_total: int | None
    nonfatal_errors_total: int | None
    fatal_errors_total: int | None
    numa_node: int | None


def read(host: Host) -> list[Device]:
    folder = host.root / "sys/bus/pci/devices"
    names = list_names(folder)
    if not names:
        raise Absent("this machine has no PCI bus")
    found = []
    for name in names:
        kind = kind_of(folder / name)
        if kind and not os.path.lexists(folder / name / "physfn"):  # no virtual functions
            found.append(read_device(folder / name, kind))
    if not found:
        raise Absent("no NVIDIA GPU, HCA or NVMe drive is on the PCI bus")
    return found


def kind_of(path: Path) -> str:
    """Return what kind of device this is, or "" for one that is not looked at."""
    code = read_text_or_none(path / "class") or ""
    if code.startswith("0x010802"):
        return "nvme"
    if code.startswith("0x0207"):
        return "hca"
    if not code.startswith(("0x0300", "0x0302", "0x0680", "0x0200")):
        return ""
    vendor = read_text_or_none(path / "vendor")
    if vendor == NVIDIA and not code.startswith("0x0200"):
        return "nvswitch" if code.startswith("0x0680") else "gpu"
    return "hca" if vendor == MELLANOX and code.startswith("0x0200") else ""


def read_device(path: Path, kind: str) -> Device:
    port = upstream(path)
    width_max = width(path / "max_link_width")
    upstream_width_max = width(port / "max_link_width") if port else None
    widths = [lanes for lanes in (width_max, upstream_width_max) if lanes is not None]
    node = read_int_or_none(path / "numa_node")
    return Device(
        address=path.name,
        kind=kind,
        vendor=read_text_or_none(path / "vendor") or "",
        device=read_text_or_none(path / "device") or "",
        driver=link_name(path / "driver"),
        gone=is_gone(path),
        link_width=width(path / "current_link_width"),
        link_width_max=width_max,
        link_speed_gigatransfers_per_second=speed(path / "current_link_speed"),
        link_speed_max_gigatransfers_per_second=speed(path / "max_link_speed"),
        upstream=port.name if port else "",
        upstream_width_max=upstream_width_max,
        upstream_speed_max_gigatransfers_per_second=(
            speed(port / "max_link_speed") if port else None
        ),
        link_width_possible=min(widths) if widths else None,
        corrected_errors_total=total(path / "aer_dev_correctable"),
        nonfatal_errors_total=total(path / "aer_dev_nonfatal"),
        fatal_errors_total=total(path / "aer_dev_fatal"),
        numa_node=None if node is None or node < 0 else node,
    )


def upstream(path: Path) -> Path | None:
    """Return the folder of the bridge above: in sysfs a device lies inside it."""
    try:
        check_inside(path)
        parent = path.resolve().parent
    except OSError:
        return None
    return parent if _ADDRESS.fullmatch(parent.name) else None


def width(path: Path) -> int | None:
    lanes = read_int_or_none(path)
    return None if lanes in NO_WIDTH else lanes


def speed(path: Path) -> float | None:
    """Return 32.0 for "32.0 GT/s PCIe"; older kernels write "8 GT/s", or "Unknown speed"."""
    try:
        return float((read_text_or_none(path) or "").split(" GT/s")[0])
    except ValueError:
        return None


def total(path: Path) -> int | None:
    """Return the number of the line TOTAL_ERR_...; the lines above it are its parts."""
    for line in (read_text_or_none(path) or "").splitlines():
        name, _, value = line.partition(" ")
        if name.startswith("TOTAL_ERR") and value.isdigit():
            return int(value)
    return None


def is_gone(path: Path) -> bool | None:
    """Tell whether the vendor's number reads as all ones; four bytes, since more may be refused."""
    try:
        check_inside(path / "config")
        descriptor = os.open(path / "config", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, 4)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    return data == b"\xff" * 4 if len(data) == 4 else None


def link_name(path: Path) -> str:
    try:
        return path.readlink().name
    except OSError:
        return ""
