"""How are the devices that matter attached? One reading for each GPU, HCA, NIC and NVMe drive.

Source:  /sys/bus/pci/devices (kernel: Documentation/ABI/testing/sysfs-bus-pci)
Units:   lanes, GT/s; errors since the device was added
Cost:    some twenty small files a device, of which the link's ask the hardware (b); no driver is
         used
Absent:  where there is no PCI bus, or none of these devices on it

Judged are endpoints, each with the port above it: what both can do is possible, and no more.
Virtual functions are left out. A device that was here and has left the bus stays in the readings.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import check_inside, list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

NVIDIA = "0x10de"
MELLANOX = "0x15b3"
GPU, NVSWITCH, HCA, NIC, NVME = "gpu", "nvswitch", "hca", "nic", "nvme"
NO_WIDTH = (0, 255)  # what a device that is gone, or has no link, answers
# Drivers all of whose functions offer RDMA; others do so on some cards, or where it is wanted.
RDMA_DRIVERS = ("mlx5_core", "mlx4_core", "hfi1", "ib_qib", "efa")
_Number = TypeVar("_Number", int, float)
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


class Device(Reading, frozen=True):
    address: str  # "0000:3b:00.0"
    pci_address: str  # "0000:3b:00", without the function, as the kernel's log and NVIDIA have it
    kind: str  # "gpu", "nvswitch", "hca", "nic" (Ethernet) or "nvme"
    name: str  # as its driver calls it: "nvme0", "eth0", "mlx5_0"; else the address
    vendor: str  # "0x10de"
    device: str
    present: bool  # False for one that was on the bus since we look, and is not any more
    driver: str  # "" where none is bound
    driver_before: str  # the last that was bound since we look
    gone: bool | None  # its configuration space answers all ones: off the bus
    link_width: int | None
    link_width_max: int | None  # its own
    link_speed_gigatransfers_per_second: float | None  # a GPU lowers it when idle
    link_speed_max_gigatransfers_per_second: float | None
    upstream: str  # the port that it hangs on, "" where that is not to be seen
    upstream_width_max: int | None
    upstream_speed_max_gigatransfers_per_second: float | None
    link_width_possible: int | None  # what both ends can do
    link_speed_possible_gigatransfers_per_second: float | None
    corrected_errors_total: int | None
    nonfatal_errors_total: int | None
    fatal_errors_total: int | None
    upstream_corrected_errors_total: (
        int | None
    )  # at the other end of its link; None for later functions
    upstream_nonfatal_errors_total: int | None
    upstream_fatal_errors_total: int | None
    numa_node: int | None
    rdma: bool | None  # it offers an RDMA device; None where it need not
    rdma_before: bool  # it did since we look
    rdma_siblings: int  # how many of the same model on this node do


def read(host: Host) -> list[Device]:
    folder = host.root / "sys/bus/pci/devices"
    kept: dict[str, Device] = host.memory.setdefault("pci", {})
    names = list_names(folder)
    if not names and not kept:
        raise Absent("this machine has no PCI bus")
    # Where RDMA devices may belong to a container, one that is not to be seen may be well there.
    exclusive = read_text_or_none(host.root / "sys/module/ib_core/parameters/netns_mode") == "N"
    rdma_drivers = () if exclusive else RDMA_DRIVERS
    found = []
    for name in names:
        kind = kind_of(folder / name)
        if kind and not os.path.lexists(folder / name / "physfn"):  # no virtual functions
            found.append(read_device(folder / name, kind, rdma_drivers))
    if not found and not kept:
        raise Absent("no GPU, HCA, NIC or NVMe drive is on the PCI bus")
    found = [msgspec.structs.replace(one, **of_before(kept.get(one.address), one)) for one in found]
    siblings: dict[tuple[str, str], int] = {}
    for one in found:
        model = (one.vendor, one.device)
        siblings[model] = siblings.get(model, 0) + bool(one.rdma)
    found = [
        msgspec.structs.replace(one, rdma_siblings=siblings[one.vendor, one.device])
        for one in found
    ]
    here = {one.address for one in found}
    missing = [as_missing(one) for address, one in kept.items() if address not in here]
    host.memory["pci"] = {one.address: one for one in (*found, *missing)}
    return [*found, *missing]


def of_before(before: Device | None, now: Device) -> dict[str, str | bool]:
    """Return what is to be remembered of a device from look to look."""
    if before is None:
        return {"driver_before": now.driver, "rdma_before": bool(now.rdma)}
    return {
        "driver_before": now.driver or before.driver_before,
        # Another driver, vfio-pci for one, owes nothing of what the last one gave.
        "rdma_before": bool(now.rdma)
        or (before.rdma_before and now.driver in ("", before.driver_before)),
    }


def as_missing(device: Device) -> Device:
    return msgspec.structs.replace(
        device,
        present=False,
        driver="",
        gone=None,
        link_width=None,
        link_speed_gigatransfers_per_second=None,
        rdma=None,
    )


def kind_of(path: Path) -> str:
    """Return what kind of device this is, or "" for one that is not looked at."""
    code = read_text_or_none(path / "class") or ""
    if code.startswith("0x0108"):
        return NVME
    if code.startswith(("0x0207", "0x0208")):  # InfiniBand; "fabric", which Omni-Path is
        return HCA
    if not code.startswith(("0x0300", "0x0302", "0x0680", "0x0200")):
        return ""
    vendor = read_text_or_none(path / "vendor")
    if code.startswith("0x0200"):
        return HCA if vendor == MELLANOX else NIC
    if vendor != NVIDIA:
        return ""
    return NVSWITCH if code.startswith("0x0680") else GPU


def read_device(path: Path, kind: str, rdma_drivers: Sequence[str]) -> Device:
    port = upstream(path)
    width_max = width(path / "max_link_width")
    upstream_width_max = width(port / "max_link_width") if port else None
    speed_max = speed(path / "max_link_speed")
    upstream_speed_max = speed(port / "max_link_speed") if port else None
    node = read_int_or_none(path / "numa_node")
    driver = link_name(path / "driver")
    # Of a card with several functions the first speaks for the link, which they share.
    watched = port if port is not None and path.name.endswith(".0") else None
    return Device(
        address=path.name,
        pci_address=path.name.rpartition(".")[0],
        kind=kind,
        name=name_of(path, kind),
        vendor=read_text_or_none(path / "vendor") or "",
        device=read_text_or_none(path / "device") or "",
        present=True,
        driver=driver,
        driver_before="",
        gone=is_gone(path),
        link_width=width(path / "current_link_width"),
        link_width_max=width_max,
        link_speed_gigatransfers_per_second=speed(path / "current_link_speed"),
        link_speed_max_gigatransfers_per_second=speed_max,
        upstream=port.name if port else "",
        upstream_width_max=upstream_width_max,
        upstream_speed_max_gigatransfers_per_second=upstream_speed_max,
        link_width_possible=least(width_max, upstream_width_max),
        link_speed_possible_gigatransfers_per_second=least(speed_max, upstream_speed_max),
        corrected_errors_total=total(path / "aer_dev_correctable"),
        nonfatal_errors_total=total(path / "aer_dev_nonfatal"),
        fatal_errors_total=total(path / "aer_dev_fatal"),
        upstream_corrected_errors_total=total(watched / "aer_dev_correctable") if watched else None,
        upstream_nonfatal_errors_total=total(watched / "aer_dev_nonfatal") if watched else None,
        upstream_fatal_errors_total=total(watched / "aer_dev_fatal") if watched else None,
        numa_node=None if node is None or node < 0 else node,
        rdma=offers_rdma(path) if driver in rdma_drivers else None,
        rdma_before=False,
        rdma_siblings=0,
    )


def name_of(path: Path, kind: str) -> str:
    """Return what people call the device, where its driver shows just one such name."""
    folders = {NVME: ["nvme"], HCA: ["infiniband", "net"], NIC: ["net"]}
    places = [path / folder for folder in folders.get(kind, [])]
    if kind == NIC:  # in a virtual machine there is one more step between
        places += [path / name / "net" for name in list_names(path) if name.startswith("virtio")]
    for place in places:
        names = list_names(place)
        if len(names) == 1:
            return names[0]
    return path.name


def offers_rdma(path: Path) -> bool | None:
    """Tell whether there is an RDMA device; None for one that may share that of its neighbour.

    Ports of a bond do so, and cards whose driver makes one device of two ports.
    """
    if list_names(path / "infiniband"):
        return True
    ports = [path / "net" / name for name in list_names(path / "net")]
    if any(os.path.lexists(port / "master") for port in ports):
        return None
    for function in "01234567":
        rdma = path.parent / (path.name[:-1] + function) / "infiniband"
        if any(len(list_names(rdma / name / "ports")) > 1 for name in list_names(rdma)):
            return None
    return False


def upstream(path: Path) -> Path | None:
    """Return the folder of the bridge above, in which the device that the link leads to lies."""
    try:
        check_inside(path)
        parent = path.parent / path.readlink().parent
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


def least(one: _Number | None, other: _Number | None) -> _Number | None:
    known = [value for value in (one, other) if value is not None]
    return min(known) if known else None


def total(path: Path) -> int | None:
    """Return the number of the line TOTAL_ERR_...; the lines above it are its parts."""
    for line in (read_text_or_none(path) or "").splitlines():
        name, _, value = line.partition(" ")
        if name.startswith("TOTAL_ERR") and value.isdecimal():
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
