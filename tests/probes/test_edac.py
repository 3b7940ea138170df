"""Does edac tell each memory error once, at the DIMM that a technician finds?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import edac
from tests.conftest import recorded
from tests.doubles.machines import copy_of, host_of, written

NODE = "two-socket-infiniband"
BASE = "sys/devices/system/edac/mc"


def dimms_of(folder: Path) -> dict[str, edac.Dimm]:
    return {dimm.dimm: dimm for dimm in edac.read(host_of(folder))}


def test_no_driver_is_absent_not_healthy() -> None:
    with pytest.raises(Absent, match="no EDAC driver"):
        edac.read(recorded("binding/before"))


def test_a_driver_without_controllers_is_absent(tmp_path: Path) -> None:
    (tmp_path / BASE / "power").mkdir(parents=True)
    with pytest.raises(Absent):
        edac.read(host_of(tmp_path))


def test_a_dimm_is_told_with_label_size_and_place() -> None:
    dimm = edac.read(recorded(NODE))[0]
    assert (dimm.dimm, dimm.name, dimm.label) == ("mc0/dimm0", "CPU0_DIMM_A1", "CPU0_DIMM_A1")
    assert dimm.size_bytes == 32 * 1024**3
    assert dimm.location == "channel 0 slot 0"
    assert (dimm.corrected_errors_total, dimm.uncorrected_errors_total) == (0, 0)


def test_a_dimm_without_a_label_is_named_by_its_folder(tmp_path: Path) -> None:
    dimm = dimms_of(copy_of(NODE, tmp_path))["mc0/dimm3"]
    assert (dimm.label, dimm.name, dimm.corrected_errors_total) == ("", "mc0/dimm3", 7)


def test_rank_folders_are_read_like_dimm_folders(tmp_path: Path) -> None:
    rank = dimms_of(copy_of(NODE, tmp_path))["mc1/rank0"]
    assert rank.name == "CPU1_DIMM_B2"
    assert rank.uncorrected_errors_total is None


def test_the_views_of_one_count_are_never_added() -> None:
    readings = edac.read(recorded(NODE))
    first = [dimm for dimm in readings if dimm.dimm.startswith("mc0")]
    assert sum(dimm.corrected_errors_total or 0 for dimm in first) == 7
    socket = next(reading for reading in readings if reading.whole_socket)
    assert (socket.name, socket.corrected_errors_total) == ("CPU0", 0)  # without its worst


def test_errors_that_no_dimm_shows_are_the_controllers(tmp_path: Path) -> None:
    controller = dimms_of(copy_of(NODE, tmp_path))["mc1"]
    assert controller.whole_controller
    assert (controller.corrected_errors_total, controller.uncorrected_errors_total) == (2, 1)


def test_an_uncorrected_error_of_a_dimm_is_not_told_twice(tmp_path: Path) -> None:
    node = copy_of(NODE, tmp_path)
    written(node, {f"{BASE}/mc0/ue_count": "1\n", f"{BASE}/mc0/dimm3/dimm_ue_count": "1\n"})
    dimms = dimms_of(node)
    assert dimms["mc0/dimm3"].uncorrected_errors_total == 1
    assert dimms["mc0"].uncorrected_errors_total == 0


def row(controller: str, number: int, **files: str) -> dict[str, str | bytes]:
    return {f"{BASE}/{controller}/csrow{number}/{name}": text for name, text in files.items()}


def test_an_old_driver_knows_rows_and_channels(tmp_path: Path) -> None:
    channels = {"ch0_ce_count": "3", "ch0_dimm_label": "A1", "ch1_ce_count": "0"}
    files = row("mc0", 0, ue_count="1", size_mb="8192", **channels)
    written(tmp_path, {**files, f"{BASE}/mc0/ue_count": "1", f"{BASE}/mc0/ce_count": "3"})
    dimms = dimms_of(tmp_path)
    assert dimms["mc0/csrow0/ch0"].name == "A1"
    assert dimms["mc0/csrow0/ch0"].corrected_errors_total == 3
    assert dimms["mc0/csrow0/ch1"].location == "csrow0 channel 1"
    # Which of the two channels had it is not known.
    assert dimms["mc0/csrow0/ch0"].uncorrected_errors_total is None
    assert (dimms["mc0"].uncorrected_errors_total, dimms["mc0"].corrected_errors_total) == (1, 0)


def test_a_row_with_one_channel_has_its_uncorrected_errors(tmp_path: Path) -> None:
    files = row("mc0", 2, ue_count="1", size_mb="8192", ch0_ce_count="0", ch0_dimm_label="B1")
    written(tmp_path, {**files, f"{BASE}/mc0/ue_count": "1", f"{BASE}/mc0/ce_count": "0"})
    dimms = dimms_of(tmp_path)
    assert dimms["mc0/csrow2/ch0"].uncorrected_errors_total == 1
    assert dimms["mc0/csrow2/ch0"].size_bytes == 8 * 1024**3
    assert dimms["mc0"].uncorrected_errors_total == 0


def test_the_ranks_of_one_dimm_are_one(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {}
    for rank, count in ((0, "4"), (1, "5")):
        files |= {
            f"{BASE}/mc0/rank{rank}/dimm_label": "A1",
            f"{BASE}/mc0/rank{rank}/dimm_ce_count": count,
            f"{BASE}/mc0/rank{rank}/size": "16384",
        }
    written(tmp_path, {**files})
    dimm = dimms_of(tmp_path)["mc0/rank0"]
    assert (dimm.corrected_errors_total, dimm.size_bytes) == (9, 32 * 1024**3)
    assert "mc0/rank1" not in dimms_of(tmp_path)


def test_a_rest_that_seems_to_shrink_stays(tmp_path: Path) -> None:
    node = copy_of(NODE, tmp_path)
    host = host_of(node)

    def rest() -> int | None:
        return {dimm.dimm: dimm for dimm in edac.read(host)}["mc0"].corrected_errors_total

    written(node, {f"{BASE}/mc0/ce_count": "20\n"})  # 7 of them at a DIMM
    assert rest() == 13
    written(node, {f"{BASE}/mc0/dimm0/dimm_ce_count": "1\n"})  # told a moment before the whole
    assert rest() == 13
    written(node, {f"{BASE}/mc0/ce_count": "8\n"})  # reset, and counting anew
    assert rest() == 0


def test_a_socket_tells_what_its_worst_dimm_does_not(tmp_path: Path) -> None:
    files = {}
    for controller in (0, 1):
        files[f"{BASE}/mc{controller}/mc_name"] = f"Skylake Socket#0 IMC#{controller}"
        for dimm, count in ((0, 5), (1, 100 * controller)):
            files[f"{BASE}/mc{controller}/dimm{dimm}/dimm_ce_count"] = f"{count}"
    written(tmp_path, {**files})
    socket = dimms_of(tmp_path)["socket CPU0"]
    assert socket.whole_socket
    assert (socket.name, socket.corrected_errors_total, socket.dimms_with_errors) == ("CPU0", 10, 3)


@pytest.mark.parametrize(
    ("name", "socket"),
    [
        ("Skylake Socket#1 IMC#0", "CPU1"),
        ("Sandy Bridge SrcID#1_Ha#0", "CPU1"),
        ("Intel_10nm Socket#0 IMC#3", "CPU0"),
        ("F17h_M30h", "mc3"),
        (None, "mc3"),
    ],
)
def test_the_socket_is_told_by_the_controllers_name(name: str | None, socket: str) -> None:
    assert edac.socket_of("mc3", name) == socket


def test_a_controller_without_dimm_folders_tells_all_its_errors(tmp_path: Path) -> None:
    counts = {"ce_count": "9", "ce_noinfo_count": "4", "ue_count": "2", "ue_noinfo_count": "0"}
    written(tmp_path, {f"{BASE}/mc0/{name}": value for name, value in counts.items()})
    (only,) = edac.read(host_of(tmp_path))
    assert (only.corrected_errors_total, only.uncorrected_errors_total) == (9, 2)


@pytest.mark.parametrize("odd", ["", "N/A", "many", "(null)", "\x00", "9" * 5000])
def test_one_odd_attribute_costs_one_none(tmp_path: Path, odd: str) -> None:
    node = copy_of(NODE, tmp_path)
    written(node, {f"{BASE}/mc0/dimm0/dimm_ce_count": odd})
    dimm = dimms_of(node)["mc0/dimm0"]
    assert dimm.corrected_errors_total is None
    assert dimm.uncorrected_errors_total == 0
    assert dimm.name == "CPU0_DIMM_A1"


def test_a_label_that_is_no_text_is_written_out(tmp_path: Path) -> None:
    node = copy_of(NODE, tmp_path)
    written(node, {f"{BASE}/mc0/dimm0/dimm_label": b"A\xff1\n"})
    assert dimms_of(node)["mc0/dimm0"].label == "A\\xff1"


def test_a_dimm_that_leads_out_of_the_recording_has_no_value(tmp_path: Path) -> None:
    node = copy_of(NODE, tmp_path)
    secret = written(tmp_path / "outside", {"count": "42"}) / "count"
    count = node / BASE / "mc0/dimm0/dimm_ce_count"
    count.unlink()
    count.symlink_to(secret)
    assert dimms_of(node)["mc0/dimm0"].corrected_errors_total is None
