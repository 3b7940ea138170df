"""Memory errors counted by the kernel's EDAC drivers: one reading a DIMM, controller and socket.

Source:  /sys/devices/system/edac/mc/mc*/{dimm,rank,csrow}*/ (kernel: admin-guide/ras.rst)
Units:   errors since the driver was loaded, so a count can fall back to zero
Cost:    five small files a DIMM (a); touches no hardware
Absent:  where no EDAC driver is loaded. That is not "no errors".

Controller, csrow and DIMM count the same errors: they are views, never to be added. A controller's
own reading therefore holds only what none of its DIMMs shows, a socket's only what its worst DIMM
does not show, and no error is told twice.
"""

import re
from collections.abc import Iterable

import msgspec

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

MEBIBYTE = 1024 * 1024
# "Skylake Socket#0 IMC#1", "Sandy Bridge SrcID#1_Ha#0"
SOCKET = re.compile(r"(?:Socket|SrcID|CPU)\s*#?\s*([0-9]{1,3})", re.IGNORECASE)


class Dimm(Reading, frozen=True):
    dimm: str  # "mc0/dimm3": the same after a reboot, another after re-seating; "mc0": controller
    whole_controller: bool  # what the controller counted and none of its DIMMs shows
    whole_socket: bool  # what all DIMMs of a socket counted but the worst of them
    name: str  # the label where firmware gives one, else as `dimm`
    label: str  # as printed on the board, "CPU0_DIMM_B2"; "" where firmware gives none
    location: str | None  # "channel 1 slot 0", in the driver's words
    controller: str | None  # "Skylake Socket#0 IMC#0"
    size_bytes: int | None
    corrected_errors_total: int | None
    uncorrected_errors_total: int | None  # not every driver offers it
    dimms_with_errors: int | None  # of a socket: how many have corrected any


class Left(msgspec.Struct):
    """What a controller counted beyond its DIMMs, as told at the last look."""

    counted: int  # of the controller as a whole
    told: int


def read(host: Host) -> list[Dimm]:
    base = str(host.root / "sys/devices/system/edac/mc")
    names = [name for name in list_names(base) if name[:2] == "mc" and name[2:].isdecimal()]
    if not names:
        raise Absent("no EDAC driver is loaded for this machine's memory controllers")
    readings: list[Dimm] = []
    sockets: dict[str, list[Dimm]] = {}
    for name in sorted(names, key=lambda name: int(name[2:])):
        controller = read_controller(host, f"{base}/{name}", name)
        readings += controller
        here = sockets.setdefault(socket_of(name, controller[-1].controller), [])
        here += [dimm for dimm in controller if not dimm.whole_controller]
    wholes = [whole_socket(name, dimms) for name, dimms in sockets.items() if len(dimms) > 1]
    return [*readings, *wholes]


def read_controller(host: Host, folder: str, name: str) -> list[Dimm]:
    # Before its DIMMs: an error that comes in between must not look like one that no DIMM shows.
    uncorrected = read_int_or_none(f"{folder}/ue_count")
    corrected = read_int_or_none(f"{folder}/ce_count")
    controller = read_text_or_none(f"{folder}/mc_name")
    entries = list_names(folder)
    dimms = [
        read_dimm(f"{folder}/{entry}", f"{name}/{entry}", controller)
        for entry in entries
        if entry.startswith(("dimm", "rank")) and entry[4:].isdecimal()
    ]
    if not dimms:  # drivers before Linux 3.6, and others that know rows and channels only
        rows = [entry for entry in entries if entry[:5] == "csrow" and entry[5:].isdecimal()]
        dimms = [
            channel
            for row in rows
            for channel in read_row(f"{folder}/{row}", f"{name}/{row}", controller)
        ]
    dimms = merge_ranks(dimms)
    whole = Dimm(
        dimm=name,
        whole_controller=True,
        whole_socket=False,
        name=name,
        label="",
        location=None,
        controller=controller,
        size_bytes=None,
        corrected_errors_total=left(
            host,
            f"edac {name} corrected",
            corrected,
            (dimm.corrected_errors_total for dimm in dimms),
            read_int_or_none(f"{folder}/ce_noinfo_count"),
        ),
        uncorrected_errors_total=left(
            host,
            f"edac {name} uncorrected",
            uncorrected,
            (dimm.uncorrected_errors_total for dimm in dimms),
            read_int_or_none(f"{folder}/ue_noinfo_count"),
        ),
        dimms_with_errors=None,
    )
    return [*dimms, whole]


def left(
    host: Host, key: str, counted: int | None, shown: Iterable[int | None], nowhere: int | None
) -> int | None:
    """Return what no DIMM shows: the rest of the whole, or what the driver itself calls so.

    The files are not of one moment: a rest that seems to shrink, while nobody has reset the
    controller, would look like a reset and then like new errors. So it stays.
    """
    if counted is None:
        return nowhere
    rest = max(0, counted - sum(count or 0 for count in shown), nowhere or 0)
    last: Left | None = host.memory.get(key)
    if last is not None and counted >= last.counted:
        rest = max(rest, last.told)
    host.memory[key] = Left(counted, rest)
    return rest


def merge_ranks(dimms: list[Dimm]) -> list[Dimm]:
    """Make one of the ranks, or rows, that bear the label of one DIMM: they are parts, no views."""
    merged: dict[str, Dimm] = {}
    for dimm in dimms:
        first = merged.get(dimm.name)
        if first is None:
            merged[dimm.name] = dimm
            continue
        merged[dimm.name] = msgspec.structs.replace(
            first,
            size_bytes=add(first.size_bytes, dimm.size_bytes),
            corrected_errors_total=add(first.corrected_errors_total, dimm.corrected_errors_total),
            uncorrected_errors_total=add(
                first.uncorrected_errors_total, dimm.uncorrected_errors_total
            ),
        )
    return list(merged.values())


def add(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def read_dimm(folder: str, dimm: str, controller: str | None) -> Dimm:
    label = read_text_or_none(f"{folder}/dimm_label") or ""
    return one_dimm(
        dimm,
        label,
        controller,
        location=read_text_or_none(f"{folder}/dimm_location"),
        mebibytes=read_int_or_none(f"{folder}/size"),
        corrected=read_int_or_none(f"{folder}/dimm_ce_count"),
        uncorrected=read_int_or_none(f"{folder}/dimm_ue_count"),
    )


def read_row(folder: str, row: str, controller: str | None) -> list[Dimm]:
    """Return one reading a channel of a row. Uncorrected errors are counted for the row alone."""
    numbers = sorted(
        int(name[2:-9])
        for name in list_names(folder)
        if name.startswith("ch") and name.endswith("_ce_count") and name[2:-9].isdecimal()
    )
    uncorrected = read_int_or_none(f"{folder}/ue_count")
    size = read_int_or_none(f"{folder}/size_mb")
    if not numbers:
        corrected = read_int_or_none(f"{folder}/ce_count")
        return [one_dimm(row, "", controller, None, size, corrected, uncorrected)]
    return [
        one_dimm(
            f"{row}/ch{number}",
            read_text_or_none(f"{folder}/ch{number}_dimm_label") or "",
            controller,
            location=f"{row.partition('/')[2]} channel {number}",
            mebibytes=size if len(numbers) == 1 else None,
            corrected=read_int_or_none(f"{folder}/ch{number}_ce_count"),
            uncorrected=uncorrected if len(numbers) == 1 else None,
        )
        for number in numbers
    ]


def one_dimm(
    dimm: str,
    label: str,
    controller: str | None,
    location: str | None,
    mebibytes: int | None,
    corrected: int | None,
    uncorrected: int | None,
) -> Dimm:
    return Dimm(
        dimm=dimm,
        whole_controller=False,
        whole_socket=False,
        name=label or dimm,
        label=label,
        location=location,
        controller=controller,
        size_bytes=None if mebibytes is None else mebibytes * MEBIBYTE,
        corrected_errors_total=corrected,
        uncorrected_errors_total=uncorrected,
        dimms_with_errors=None,
    )


def socket_of(name: str, controller: str | None) -> str:
    """Return "CPU0", or the controller where its name does not tell the socket."""
    match = SOCKET.search(controller or "")
    return f"CPU{match[1]}" if match else name


def whole_socket(name: str, dimms: list[Dimm]) -> Dimm:
    """Return what the DIMMs of a socket counted, all but the worst: that one is told by itself.

    A sum without its greatest part never falls while no part does, whichever is the greatest.
    """
    counts = [dimm.corrected_errors_total for dimm in dimms]
    known = [count for count in counts if count is not None]
    complete = len(known) == len(counts)
    return Dimm(
        dimm=f"socket {name}",
        whole_controller=False,
        whole_socket=True,
        name=name,
        label="",
        location=None,
        controller=None,
        size_bytes=None,
        corrected_errors_total=sum(known) - max(known, default=0) if complete else None,
        uncorrected_errors_total=None,
        dimms_with_errors=sum(count > 0 for count in known),
    )
