"""State, rate and error counters of the RDMA ports, one reading per port.

Source:  /sys/class/infiniband/*/ports/*/ (kernel: ABI/stable/sysfs-class-infiniband)
Units:   errors since the port's counters were reset: driver load, or somebody with perfquery
Cost:    a question to the firmware for each counter, so only those that are judged are read
Absent:  where the kernel knows no RDMA device. A dead adapter can vanish in the same way.

The error counters do not wrap: they stop at the maximum that their field declares, and then say
"at least". A device's name means nothing; its PCI address and network interface find it.
"""

import re
from pathlib import Path
from typing import Annotated

import msgspec

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

# Widths of the fields as the InfiniBand standard has them (Linux: drivers/infiniband/core/sysfs.c).
Counter4 = Annotated[int | None, msgspec.Meta(extra={"saturates": 15})]
Counter8 = Annotated[int | None, msgspec.Meta(extra={"saturates": 255})]
Counter16 = Annotated[int | None, msgspec.Meta(extra={"saturates": 65535})]

STATES = {0: "none", 1: "down", 2: "init", 3: "armed", 4: "active", 5: "active-defer"}
PHYSICAL_STATES = {
    1: "sleep",
    2: "polling",
    3: "disabled",
    4: "training",
    5: "link-up",
    6: "error-recovery",
    7: "test",
}

_NUMBERED = re.compile(r"(\d{1,3}): ?(.*)")
_RATE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?) Gb/sec(?: \(([0-9A-Za-z ]{1,16})\))?")
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


class Port(Reading, frozen=True):
    name: str  # "mlx5_0/1", as a profile lists it
    device: str
    port: int
    pci_address: str  # "" where the device does not say
    netdev: str  # "ib0"; "" where there is none
    board_id: str | None  # only ports of the same board are comparable
    firmware: str | None
    link_layer: str | None  # "InfiniBand", "Ethernet", "Unspecified"
    state: str | None  # "active", "down", "init" (cable, no subnet manager), "armed"
    physical_state: str | None  # "link-up", "polling" (no signal), "disabled" (by somebody)
    rate_gigabits_per_second: float | None
    width: str | None  # lanes and speed: "4X NDR"
    board_rate_gigabits_per_second: float | None  # the fastest active port of the same board
    link_downed_total: Counter8
    link_error_recovery_total: Counter8
    symbol_errors_total: Counter16
    receive_errors_total: Counter16
    local_link_integrity_errors_total: Counter4
    excessive_buffer_overruns_total: Counter4


def read(host: Host) -> list[Port]:
    base = str(host.root / "sys/class/infiniband")
    devices = list_names(base)
    if not devices:
        raise Absent("the kernel knows no InfiniBand or RDMA device")
    ports = [port for device in devices for port in read_device(f"{base}/{device}", device)]
    if not ports:
        raise Unavailable(f"no port of {', '.join(devices[:8])} can be seen in {base}")
    return with_board_rates(ports)


def read_device(folder: str, device: str) -> list[Port]:
    """Return the device's ports; none where the link leads nowhere or the device has none."""
    numbers = sorted(int(name) for name in list_names(f"{folder}/ports") if name.isdecimal())
    pci_address = read_pci_address(folder)
    board_id = read_text_or_none(f"{folder}/board_id")
    firmware = read_text_or_none(f"{folder}/fw_ver")
    ports: list[Port] = []
    for number in numbers:
        path = f"{folder}/ports/{number}"
        counters = f"{path}/counters"
        rate, width = parse_rate(read_text_or_none(f"{path}/rate"))
        ports.append(
            Port(
                name=f"{device}/{number}",
                device=device,
                port=number,
                pci_address=pci_address,
                netdev=read_netdev(folder, number),
                board_id=board_id,
                firmware=firmware,
                link_layer=read_text_or_none(f"{path}/link_layer"),
                state=parse_state(read_text_or_none(f"{path}/state"), STATES),
                physical_state=parse_state(
                    read_text_or_none(f"{path}/phys_state"), PHYSICAL_STATES
                ),
                rate_gigabits_per_second=rate,
                width=width,
                board_rate_gigabits_per_second=None,
                link_downed_total=read_int_or_none(f"{counters}/link_downed"),
                link_error_recovery_total=read_int_or_none(f"{counters}/link_error_recovery"),
                symbol_errors_total=read_int_or_none(f"{counters}/symbol_error"),
                receive_errors_total=read_int_or_none(f"{counters}/port_rcv_errors"),
                local_link_integrity_errors_total=read_int_or_none(
                    f"{counters}/local_link_integrity_errors"
                ),
                excessive_buffer_overruns_total=read_int_or_none(
                    f"{counters}/excessive_buffer_overrun_errors"
                ),
            )
        )
    return ports


def parse_state(text: str | None, names: dict[int, str]) -> str | None:
    """Return the state by its number; the words behind it differ between drivers."""
    found = _NUMBERED.fullmatch(text or "")
    if found is None:
        return None
    return names.get(int(found[1]), found[2].strip().lower()[:32] or None)


def parse_rate(text: str | None) -> tuple[float | None, str | None]:
    """Return rate and width of "400 Gb/sec (4X NDR)"; the speed's name may be missing."""
    found = _RATE.fullmatch(text or "")
    return (None, None) if found is None else (float(found[1]), found[2])


def read_pci_address(folder: str) -> str:
    try:
        address = Path(folder, "device").readlink().name
    except OSError:
        return ""
    return address if _PCI_ADDRESS.fullmatch(address) else ""


def read_netdev(folder: str, port: int) -> str:
    """Return the port's network interface; devices with two ports number them from zero."""
    names = list_names(f"{folder}/device/net")
    if len(names) < 2:
        return "".join(names)
    for name in names:
        if read_int_or_none(f"{folder}/device/net/{name}/dev_port") == port - 1:
            return name
    return ""


def with_board_rates(ports: list[Port]) -> list[Port]:
    """Return the ports, each with the fastest rate of an active port of its board."""
    best: dict[tuple[str | None, str | None], float] = {}
    for port in ports:
        if port.state == "active" and port.rate_gigabits_per_second is not None:
            key = (port.board_id, port.link_layer)
            best[key] = max(best.get(key, 0.0), port.rate_gigabits_per_second)
    return [
        msgspec.structs.replace(
            port, board_rate_gigabits_per_second=best.get((port.board_id, port.link_layer))
        )
        for port in ports
    ]
