"""Which devices come and go while the machine runs? A stream of the kernel's own announcements.

Source:  netlink, kernel uevents (pyudev); those of udevd are silent where none runs
Units:   one reading for each adapter, drive or PCI device that is added or removed
Cost:    nothing until something happens
Absent:  where libudev is missing; in a recording without dev/uevents

Told are PCI devices, NVMe controllers and RDMA devices. Network interfaces are not: they leave for
the namespace of a container all day, and one that goes for good takes its PCI device along. Virtual
functions are handed out and taken back all day as well.
"""

import os
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpcdoctor.model.reading import Absent, Chunk, Reading, Unavailable
from hpcdoctor.model.text import visible
from hpcdoctor.probes.files import list_names, read_text_or_none
from hpcdoctor.probes.host import Host

SUBSYSTEMS = ("infiniband", "nvme", "pci")
ACTIONS = frozenset({"add", "remove"})
EVENTS_A_READ = 256
BUFFER_BYTES = 1 << 20


class DeviceEvent(Reading, frozen=True):
    action: str  # "add", "remove"
    subsystem: str  # "infiniband", "nvme", "pci"
    device: str  # "mlx5_0", "nvme1", "0000:3b:00.0"
    pci_address: str  # the nearest PCI device; "" where none is above it
    sequence: int | None  # the kernel's own number: a gap means that some were lost


class DeviceStream:
    """The kernel's announcements since the stream was opened; they cannot be asked for again."""

    def __init__(self, monitor: Any, root: Path) -> None:  # noqa: ANN401  # pyudev brings no types
        self.monitor = monitor
        self.root = root
        self.functions = virtual_functions(root)

    def fileno(self) -> int:
        return int(self.monitor.fileno())

    def read(self) -> Chunk[DeviceEvent]:
        devices: list[Mapping[str, str]] = []
        lost = 0
        for _ in range(EVENTS_A_READ):
            try:
                device = self.monitor.poll(timeout=0)
            except OSError:  # ENOBUFS: the kernel had more to say than the buffer holds
                lost += 1
                continue
            if device is None:
                break
            devices.append({"ACTION": device.action or "", **device.properties})
        return Chunk(readings=parse(devices, self.hidden(devices)), position="", lost=lost)

    def hidden(self, devices: Iterable[Mapping[str, str]]) -> frozenset[str]:
        """Return the virtual functions that are there, or were until now."""
        before = self.functions
        if any(device.get("SUBSYSTEM") == "pci" for device in devices):
            self.functions = virtual_functions(self.root)
        return before | self.functions


class RecordedStream:
    """What a recording holds: in dev/uevents, a line for each event.

    remove@/devices/pci0000:00/0000:3b:00.0 SUBSYSTEM=pci SEQNUM=812
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "dev/uevents"
        self.told = 0  # lines
        if not self.path.exists():
            raise Absent("the recording tells of no device that comes or goes (dev/uevents)")
        self.descriptor = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self.descriptor

    def close(self) -> None:
        os.close(self.descriptor)

    def read(self) -> Chunk[DeviceEvent]:
        lines = (read_text_or_none(self.path) or "").splitlines()[self.told :]
        self.told += len(lines)
        events = [parse_line(line) for line in lines]
        readings = parse(events, virtual_functions(self.root))
        return Chunk(readings=readings, position=str(self.told), lost=0)


def parse_line(line: str) -> dict[str, str]:
    """Return the properties of an event as the kernel prints it, in one line."""
    head, *rest = line.split() or [""]
    action, _, path = head.partition("@")
    pairs = (word.partition("=") for word in rest)
    return {"ACTION": action, "DEVPATH": path, **{key: value for key, _, value in pairs}}


def open(host: Host, position: str) -> DeviceStream | RecordedStream:  # noqa: A001  # registry.py
    if not host.live:
        return RecordedStream(host.root)
    try:
        import pyudev  # loads libudev, which only this probe needs

        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
    except ImportError as error:
        raise Absent(f"libudev cannot be loaded: {error}") from error
    except OSError as error:
        raise Unavailable(f"the kernel's device events cannot be followed: {error}") from error
    for subsystem in SUBSYSTEMS:
        monitor.filter_by(subsystem)
    with suppress(OSError):  # without CAP_NET_ADMIN the default has to do
        monitor.set_receive_buffer_size(BUFFER_BYTES)
    monitor.start()
    return DeviceStream(monitor, host.root)


def virtual_functions(root: Path) -> frozenset[str]:
    folder = root / "sys/bus/pci/devices"
    return frozenset(
        name for name in list_names(folder) if os.path.lexists(folder / name / "physfn")
    )


def parse(
    devices: Iterable[Mapping[str, str]], hidden: Container[str] = frozenset()
) -> list[DeviceEvent]:
    """Return the events that tell of hardware, from the kernel's properties."""
    return [
        DeviceEvent(
            action=properties["ACTION"],
            subsystem=properties["SUBSYSTEM"],
            device=visible(properties["DEVPATH"].rpartition("/")[2], 64),
            pci_address=address,
            sequence=int(number) if (number := properties.get("SEQNUM", "")).isdecimal() else None,
        )
        for properties in devices
        if properties.get("ACTION") in ACTIONS
        and is_told(properties.get("SUBSYSTEM", ""), properties.get("DEVPATH", ""))
        and (address := nearest_pci_address(properties["DEVPATH"])) not in hidden
    ]


def is_told(subsystem: str, path: str) -> bool:
    """RDMA in software is a device too; drives over a fabric connect and leave as people ask."""
    if subsystem not in SUBSYSTEMS or not path:
        return False
    return "/devices/pci" in f"/{path}" or subsystem == "infiniband"


def nearest_pci_address(device_path: str) -> str:
    """Return the last part of the path that is an address such as 0000:3b:00.0."""
    for part in reversed(device_path.split("/")):
        head, dot, function = part.partition(".")
        if dot and head.count(":") == 2 and len(function) == 1:
            return part
    return ""
