"""Which devices come and go while the machine runs? A stream of the kernel's own announcements.

Source:  netlink, kernel uevents (pyudev); those of udevd are silent where none runs
Units:   one reading for each adapter, drive or PCI device that is added or removed
Cost:    nothing until something happens
Absent:  in a recording; where libudev is missing

Only devices of hardware are told: interfaces of containers and loop devices come and go all day.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from hpcdoctor.model.reading import Absent, Chunk, Reading, Unavailable
from hpcdoctor.model.text import visible
from hpcdoctor.probes.host import Host

SUBSYSTEMS = ("net", "infiniband", "nvme", "pci")
ACTIONS = frozenset({"add", "remove"})
EVENTS_A_READ = 256
BUFFER_BYTES = 1 << 20


class DeviceEvent(Reading, frozen=True):
    action: str  # "add", "remove"
    subsystem: str  # "net", "infiniband", "nvme", "pci"
    device: str  # "ib0", "mlx5_0", "nvme1", "0000:3b:00.0"
    pci_address: str  # the nearest PCI device; "" where none is above it
    sequence: int | None  # the kernel's own number: a gap means that some were lost


class DeviceStream:
    """The kernel's announcements since the stream was opened; they cannot be asked for again."""

    def __init__(self, monitor: Any) -> None:  # noqa: ANN401  # pyudev brings no types
        self.monitor = monitor

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
        return Chunk(readings=parse(devices), position="", lost=lost)


def open(host: Host, position: str) -> DeviceStream:  # noqa: A001  # the shape of a stream
    if not host.live:
        raise Absent("a recording tells of no device that comes or goes")
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
    return DeviceStream(monitor)


def parse(devices: Iterable[Mapping[str, str]]) -> list[DeviceEvent]:
    """Return the events that tell of hardware, from the kernel's properties."""
    return [
        DeviceEvent(
            action=properties["ACTION"],
            subsystem=properties["SUBSYSTEM"],
            device=visible(properties["DEVPATH"].rpartition("/")[2], 64),
            pci_address=nearest_pci_address(properties["DEVPATH"]),
            sequence=int(number) if (number := properties.get("SEQNUM", "")).isdecimal() else None,
        )
        for properties in devices
        if properties.get("ACTION") in ACTIONS
        and properties.get("SUBSYSTEM") in SUBSYSTEMS
        and "/devices/pci" in f"/{properties.get('DEVPATH', '')}"
    ]


def nearest_pci_address(device_path: str) -> str:
    """Return the last part of the path that is an address such as 0000:3b:00.0."""
    for part in reversed(device_path.split("/")):
        head, dot, function = part.partition(".")
        if dot and head.count(":") == 2 and len(function) == 1:
            return part
    return ""
