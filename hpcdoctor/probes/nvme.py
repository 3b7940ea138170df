"""Does each NVMe controller live, as its driver sees it?

Source:  /sys/class/nvme/nvme*/, /sys/class/nvme-subsystem (kernel: drivers/nvme/host/sysfs.c)
Units:   none
Cost:    class a: some eight small files a controller; asks no drive
Absent:  where there is no NVMe controller, or a driver before Linux 4.5 without this class
"""

import os
import re
from pathlib import Path

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import list_names, read_text_or_none
from hpcdoctor.probes.host import Host

PCI_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


class NvmeController(Reading, frozen=True):
    controller: str  # "nvme0"
    state: str | None  # "live", "resetting", "connecting", "new", "deleting", "dead"
    model: str
    serial: str
    firmware: str
    transport: str  # "pcie", "tcp", "rdma", "fc"; "" where an old driver does not say
    address: str  # of PCI, or of the target
    pci_address: str  # "0000:3b:00.0"; "" over a fabric
    purpose: str  # "io", "discovery", "admin"; "" where an old driver does not say
    namespaces: list[str]  # "nvme0n1"
    controllers: int  # how many there are in all, over PCI


def read(host: Host) -> list[NvmeController]:
    base = host.root / "sys/class/nvme"
    names = [name for name in list_names(base) if re.fullmatch(r"nvme[0-9]+", name)]
    if not names:
        raise Absent("there is no NVMe controller")
    transports = {name: read_text_or_none(base / name / "transport") or "" for name in names}
    over_pci = sum(transport in ("pcie", "") for transport in transports.values())
    return [read_controller(base / name, transports[name], over_pci) for name in names]


def read_controller(folder: Path, transport: str, over_pci: int) -> NvmeController:
    address = read_text_or_none(folder / "address") or ""
    return NvmeController(
        controller=folder.name,
        state=read_text_or_none(folder / "state"),
        model=read_text_or_none(folder / "model") or "",
        serial=read_text_or_none(folder / "serial") or "",
        firmware=read_text_or_none(folder / "firmware_rev") or "",
        transport=transport,
        address=address,
        pci_address=pci_address(folder, address),
        purpose=read_text_or_none(folder / "cntrltype") or "",
        namespaces=[
            name
            for name in list_names(folder)
            # Of a drive with several paths: nvme0c1n1 is one of them, nvme0n1 is the drive.
            if re.fullmatch(r"nvme[0-9]+(c[0-9]+)?n[0-9]+", name)
        ],
        controllers=over_pci,
    )


def pci_address(folder: Path, address: str) -> str:
    if PCI_ADDRESS.fullmatch(address):
        return address
    try:
        name = os.path.basename(os.readlink(folder / "device"))  # noqa: PTH115, PTH119
    except OSError:
        return ""
    return name if PCI_ADDRESS.fullmatch(name) else ""
