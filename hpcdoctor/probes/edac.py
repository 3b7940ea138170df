"""Memory errors counted by the kernel's EDAC drivers, one reading per DIMM and per controller.

Source:  /sys/devices/system/edac/mc/mc*/{dimm,rank}*/ (kernel: admin-guide/ras.rst)
Units:   errors since the driver was loaded, so a count can fall back to zero
Cost:    five small files a DIMM; touches no hardware
Absent:  where no EDAC driver is loaded. That is not "no errors".

Controller, csrow and DIMM count the same errors: they are views, never to be added. A controller's
own reading therefore holds only what none of its DIMMs shows, and no error is told twice.
"""

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

MEBIBYTE = 1024 * 1024


class Dimm(Reading, frozen=True):
    dimm: str  # "mc0/dimm3": the same after a reboot, another after re-seating; "mc0": controller
    whole_controller: bool  # what the controller counted and none of its DIMMs shows
    name: str  # the label where firmware gives one, else as `dimm`
    label: str  # as printed on the board, "CPU0_DIMM_B2"; "" where firmware gives none
    location: str | None  # "channel 1 slot 0", in the driver's words
    controller: str | None  # "Skylake Socket#0 IMC#0"
    size_bytes: int | None
    corrected_errors_total: int | None
    uncorrected_errors_total: int | None  # not every driver offers it


def read(host: Host) -> list[Dimm]:
    base = str(host.root / "sys/devices/system/edac/mc")
    controllers = [name for name in list_names(base) if name[:2] == "mc" and name[2:].isdecimal()]
    if not controllers:
        raise Absent("no EDAC driver is loaded for this machine's memory controllers")
    return [dimm for name in controllers for dimm in read_controller(f"{base}/{name}", name)]


def read_controller(folder: str, name: str) -> list[Dimm]:
    # Before its DIMMs: an error that comes in between must not look like one that no DIMM shows.
    uncorrected = read_int_or_none(f"{folder}/ue_count")
    controller = read_text_or_none(f"{folder}/mc_name")
    dimms = [
        read_dimm(f"{folder}/{entry}", f"{name}/{entry}", controller)
        for entry in list_names(folder)
        if entry.startswith(("dimm", "rank")) and entry[4:].isdecimal()
    ]
    shown = sum(dimm.uncorrected_errors_total or 0 for dimm in dimms)
    rest = None if uncorrected is None else max(0, uncorrected - shown)
    nowhere = read_int_or_none(f"{folder}/ue_noinfo_count")
    whole = Dimm(
        dimm=name,
        whole_controller=True,
        name=name,
        label="",
        location=None,
        controller=controller,
        size_bytes=None,
        corrected_errors_total=read_int_or_none(
            f"{folder}/ce_noinfo_count" if dimms else f"{folder}/ce_count"
        ),
        uncorrected_errors_total=max(
            (count for count in (rest, nowhere) if count is not None), default=None
        ),
    )
    return [*dimms, whole]


def read_dimm(folder: str, dimm: str, controller: str | None) -> Dimm:
    label = read_text_or_none(f"{folder}/dimm_label") or ""
    size = read_int_or_none(f"{folder}/size")
    return Dimm(
        dimm=dimm,
        whole_controller=False,
        name=label or dimm,
        label=label,
        location=read_text_or_none(f"{folder}/dimm_location"),
        controller=controller,
        size_bytes=None if size is None else size * MEBIBYTE,
        corrected_errors_total=read_int_or_none(f"{folder}/dimm_ce_count"),
        uncorrected_errors_total=read_int_or_none(f"{folder}/dimm_ue_count"),
    )
