"""Which places for GPUs are filled? One reading for each GPU, and for each place without one.

Source:  /sys/bus/pci/devices, /sys/bus/pci/slots/*/address; a bridge without a device behind it
Units:   none
Cost:    a: one small file for each device on the bus; no driver and no GPU is touched
Absent:  where there is neither an NVIDIA GPU on the bus nor an NVIDIA driver, nor has been one

A GPU that did not come up leaves no trace on the bus but the empty bridge above its place. Which
empty place ought to hold one is the profile's to say, or what we saw there before.
"""

from pathlib import Path

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.nvidia_files import has_library, module_is_loaded, pci_gpus

BRIDGE = "0x0604"


class Place(Reading, frozen=True):
    pci_address: str  # "0000:3b:00", without the function
    place: str  # "slot 5 (0000:3b:00)", where the board has a name for it
    present: bool
    was_there: bool  # a GPU was seen here before, in this life of the prober's child
    device: str  # "0x2330"; "" where there is none
    bridge: str  # the port above an empty place


def read(host: Host) -> list[Place]:
    root = host.root
    gpus = {gpu.name.rpartition(".")[0]: gpu for gpu in pci_gpus(root)}
    remembered: dict[str, str] = host.memory.setdefault("gpu places", {})
    if not gpus and not remembered and not module_is_loaded(root) and not has_library(root):
        raise Absent("no NVIDIA GPU and no NVIDIA driver is on this machine")
    slots = slot_names(root)
    empty = empty_bridges(root)
    missing = {**empty, **{address: empty.get(address, "") for address in remembered}}
    places = [
        Place(
            pci_address=address,
            place=place_of(address, slots),
            present=True,
            was_there=True,
            device=read_text_or_none(gpu / "device") or "",
            bridge="",
        )
        for address, gpu in gpus.items()
    ]
    places += [
        Place(
            pci_address=address,
            place=place_of(address, slots),
            present=False,
            was_there=address in remembered,
            device=remembered.get(address, ""),
            bridge=bridge,
        )
        for address, bridge in missing.items()
        if address not in gpus
    ]
    remembered.update((place.pci_address, place.device) for place in places if place.present)
    return sorted(places, key=lambda place: place.pci_address)


def slot_names(root: Path) -> dict[str, str]:
    """Return the names that firmware gives to the places: address, name as on the board."""
    folder = root / "sys/bus/pci/slots"
    found: dict[str, str] = {}
    for name in list_names(folder):
        address = read_text_or_none(folder / name / "address")
        if address:
            found.setdefault(address, name)
    return found


def place_of(address: str, slots: dict[str, str]) -> str:
    return f"slot {slots[address]} ({address})" if address in slots else address


def empty_bridges(root: Path) -> dict[str, str]:
    """Return the first address behind each bridge that has nothing behind it, and the bridge."""
    folder = root / "sys/bus/pci/devices"
    names = list_names(folder)
    buses = {name.rpartition(":")[0] for name in names}
    found: dict[str, str] = {}
    for name in names:
        code = read_text_or_none(folder / name / "class") or ""
        bus = read_int_or_none(folder / name / "secondary_bus_number") if code[:6] == BRIDGE else 0
        if bus and bus < 256:  # noqa: PLR2004 - as many as there are in a domain
            behind = f"{name.split(':')[0]}:{bus:02x}"
            if behind not in buses:
                found[f"{behind}:00"] = name
    return found
