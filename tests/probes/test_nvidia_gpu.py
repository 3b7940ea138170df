"""Does the NVML probe tell a sick GPU from a missing sensor, and a dead one from the others?"""

from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import nvidia_gpu
from hpcdoctor.probes.host import Host
from tests.conftest import recorded
from tests.doubles.nvml import ReadGpu

GPU = "0000:3b:00"
BUS = "gpu0.bus=00000000:3B:00.0\n"
HEALTHY = (
    BUS
    + """gpu0.uuid=GPU-1
gpu0.name=NVIDIA H200
gpu0.index=0
gpu0.minor=3
gpu0.ecc=1
gpu0.corrected_volatile=7
gpu0.uncorrected_volatile=0
gpu0.corrected_aggregate=54700000000
gpu0.uncorrected_aggregate=2
gpu0.rows=8,1,1,0
gpu0.sram=1,4,0
gpu0.event_reasons=0x8c
gpu0.temperature=41
gpu0.margin=-3
gpu0.power_milliwatts=700500
gpu0.pcie_width=8
gpu0.pcie_width_max=16
gpu0.field82=60
gpu0.field230=2
"""
)


def test_every_sensor_arrives_in_its_unit(read_gpu: ReadGpu) -> None:
    [gpu] = read_gpu(HEALTHY, GPU)
    assert (gpu["state"], gpu["pci_address"], gpu["gpu"]) == ("ok", "0000:3b:00", "GPU3")
    assert gpu["corrected_errors_volatile_total"] == 7
    assert gpu["uncorrected_errors_volatile_total"] == 0
    assert gpu["corrected_errors_aggregate_total"] == 54_700_000_000
    assert gpu["sram_uncorrected_errors_volatile_total"] == 1
    assert gpu["sram_uncorrected_errors_aggregate_total"] == 4
    assert (gpu["rows_remapped_corrected"], gpu["rows_remapped_uncorrected"]) == (8, 1)
    assert (gpu["row_remap_pending"], gpu["row_remap_failed"]) == (True, False)
    assert gpu["power_watts"] == 700.5
    assert gpu["margin_celsius"] == -3
    assert (gpu["temperature_celsius"], gpu["memory_temperature_celsius"]) == (41, 60)
    assert (gpu["pcie_link_width"], gpu["pcie_link_width_max"]) == (8, 16)
    assert (gpu["recovery_action"], gpu["recovery_action_name"]) == (2, "node reboot")


def test_a_power_brake_is_told_from_heat(read_gpu: ReadGpu) -> None:
    [gpu] = read_gpu(HEALTHY, GPU)
    assert gpu["hw_power_brake"]
    assert gpu["hw_slowdown"]
    assert gpu["sw_power_cap"]
    assert not gpu["hw_thermal_slowdown"]
    assert not gpu["sw_thermal_slowdown"]


def test_the_old_name_of_the_clock_reasons_is_asked_too(read_gpu: ReadGpu) -> None:
    [gpu] = read_gpu(BUS + "gpu0.event_reasons.rc=13\ngpu0.throttle_reasons=0x40\n", GPU)
    assert gpu["hw_thermal_slowdown"] is True


def test_what_a_gpu_does_not_offer_is_none_and_never_zero(read_gpu: ReadGpu) -> None:
    [gpu] = read_gpu(BUS, GPU)
    assert gpu["state"] == "ok"
    known = {"pci_address": "0000:3b:00", "gpu": "GPU 3b:00", "state": "ok"}
    known["recovery_action_name"] = ""
    assert {key: value for key, value in gpu.items() if value is not None} == known


@pytest.mark.parametrize(
    ("code", "state"),
    [(15, "lost"), (16, "reset required"), (28, "not found"), (999, "unknown error")],
)
def test_a_gpu_that_fails_says_how(read_gpu: ReadGpu, code: int, state: str) -> None:
    [gpu] = read_gpu(f"{HEALTHY}gpu0.rc={code}\n", GPU)
    assert gpu["state"] == state
    assert gpu["uncorrected_errors_volatile_total"] is None


def test_a_gpu_lost_in_the_middle_keeps_what_it_said_before(read_gpu: ReadGpu) -> None:
    [gpu] = read_gpu(f"{HEALTHY}gpu0.rows.rc=15\n", GPU)
    assert gpu["state"] == "lost"
    assert gpu["uuid"] == "GPU-1"
    assert gpu["temperature_celsius"] is None


def test_one_sensor_in_trouble_does_not_take_the_others_along(read_gpu: ReadGpu) -> None:
    [gpu] = read_gpu(f"{HEALTHY}gpu0.rows.rc=14\n", GPU)
    assert gpu["state"] == "InfoROM corrupt"
    assert gpu["row_remap_failed"] is None
    assert gpu["temperature_celsius"] == 41


def test_a_lost_gpu_leaves_the_next_one_readable(read_gpu: ReadGpu) -> None:
    both = HEALTHY + "gpu0.rc=15\ngpu1.bus=00000000:5E:00.0\ngpu1.temperature=33\n"
    [gpu] = read_gpu(both, "0000:5e:00")
    assert (gpu["state"], gpu["temperature_celsius"]) == ("ok", 33)


def test_a_gpu_on_the_bus_that_the_driver_does_not_have_is_not_found(read_gpu: ReadGpu) -> None:
    [gpu] = read_gpu(BUS, "0000:af:00")
    assert (gpu["state"], gpu["gpu"]) == ("not found", "GPU af:00")


def test_a_lost_gpu_keeps_its_name_from_the_files_of_the_driver(
    read_gpu: ReadGpu, tmp_path: Path
) -> None:
    folder = tmp_path / f"proc/driver/nvidia/gpus/{GPU}.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text("Model: \t NVIDIA H200\nDevice Minor: \t 5\n")
    [gpu] = read_gpu(BUS + "gpu0.rc=15\n", GPU)
    assert gpu["gpu"] == "GPU5"


@pytest.mark.parametrize(("code", "words"), [(18, "do not match"), (9, "not loaded"), (999, "999")])
def test_where_nvml_does_not_start_nothing_is_known_and_the_reason_is_said(
    read_gpu: ReadGpu, code: int, words: str
) -> None:
    answer = read_gpu(f"init.rc={code}\n", GPU)
    assert words in answer["Unavailable"]
    assert f"(NVML error {code})" in answer["Unavailable"]


def test_the_gpus_are_named_from_the_bus_without_nvml() -> None:
    assert nvidia_gpu.subjects(recorded("gpu-node")) == ["0000:3b:00", "0000:5e:00"]


def test_a_machine_without_gpus_is_absent(tmp_path: Path) -> None:
    host = Host(tmp_path, live=True, clock=lambda: Instant("boot", 0.0, 0.0))
    with pytest.raises(Absent, match="no NVIDIA GPU"):
        nvidia_gpu.subjects(host)


def test_nvml_is_never_opened_for_a_recording() -> None:
    with pytest.raises(Absent, match="cannot be recorded"):
        nvidia_gpu.read(recorded("gpu-node"), GPU)
