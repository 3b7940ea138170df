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
