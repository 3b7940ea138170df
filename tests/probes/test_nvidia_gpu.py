"""Does the NVML probe tell a sick GPU from a missing sensor, and a dead one from the others?"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, Look, ReadStatus
from hpcdoctor.prober.local import Here
from hpcdoctor.probes import nvidia_gpu
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.nvml import links, session
from tests.conftest import recorded
from tests.doubles.machines import copy_of
from tests.doubles.nvml import LOADED, Gpus

GPU = "0000:3b:00"
BUS = "gpu0.bus=00000000:3B:00.0\n"
HEALTHY = (
    BUS
    + """gpu0.uuid=GPU-1
gpu0.name=NVIDIA H200
gpu0.index=0
gpu0.minor=3
gpu0.vbios=96.00.AF.00.01
gpu0.inforom=G520.0200.00.05
gpu0.persistence=1
gpu0.compute_mode=0
gpu0.ecc=1
gpu0.corrected_volatile=7
gpu0.uncorrected_volatile=0
gpu0.corrected_aggregate=54700000000
gpu0.uncorrected_aggregate=2
gpu0.dram_corrected_volatile=5
gpu0.dram_uncorrected_aggregate=1
gpu0.sram_corrected_volatile=2
gpu0.rows=8,1,1,0
gpu0.histogram=637,2,0,0,1
gpu0.sram=1,4,0
gpu0.event_reasons=0x8c
gpu0.thermal_violation_ns=1500000000
gpu0.temperature=41
gpu0.margin=38
gpu0.power_milliwatts=700500
gpu0.power_limit_milliwatts=650000
gpu0.power_default_limit_milliwatts=700000
gpu0.pcie_replays=12
gpu0.memory=150754820096,700000000,4000000000
gpu0.processes=71:3000000000,72:900000000
gpu0.graphics=
gpu0.fabric=3,0,0x4552,1
gpu0.field82=60
gpu0.field194=-2
gpu0.field230=2
"""
)


def test_every_sensor_arrives_in_its_unit(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(HEALTHY, GPU)
    assert (gpu["state"], gpu["pci_address"], gpu["gpu"]) == ("ok", "0000:3b:00", "GPU3")
    assert gpu["troubles"] == []
    assert gpu["power_watts"] == 700.5
    assert (gpu["power_limit_watts"], gpu["power_default_limit_watts"]) == (650.0, 700.0)
    assert (gpu["margin_celsius"], gpu["margin_at_slowdown_celsius"]) == (38, -2)
    assert (gpu["temperature_celsius"], gpu["memory_temperature_celsius"]) == (41, 60)
    assert gpu["thermal_violation_seconds_total"] == 1.5
    assert gpu["pcie_replays_total"] == 12
    assert (gpu["recovery_action"], gpu["recovery_action_name"]) == (2, "node reboot")
    assert (gpu["vbios_version"], gpu["inforom_version"]) == ("96.00.AF.00.01", "G520.0200.00.05")
    assert (gpu["persistence"], gpu["compute_mode"]) == (True, "default")


def test_errors_are_told_by_place_by_kind_and_by_span(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(HEALTHY, GPU)
    assert gpu["corrected_errors_volatile_total"] == 7
    assert gpu["uncorrected_errors_volatile_total"] == 0
    assert gpu["corrected_errors_aggregate_total"] == 54_700_000_000
    assert gpu["dram_corrected_errors_volatile_total"] == 5
    assert gpu["dram_uncorrected_errors_aggregate_total"] == 1
    assert gpu["dram_uncorrected_errors_volatile_total"] is None  # not offered is not zero
    assert gpu["sram_uncorrected_errors_volatile_total"] == 1
    assert gpu["sram_uncorrected_errors_aggregate_total"] == 4
    assert gpu["sram_threshold_exceeded"] is False


def test_spare_rows_are_told_with_the_banks_that_have_none_left(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(HEALTHY, GPU)
    assert (gpu["rows_remapped_corrected"], gpu["rows_remapped_uncorrected"]) == (8, 1)
    assert (gpu["row_remap_pending"], gpu["row_remap_failed"]) == (True, False)
    assert (gpu["memory_banks"], gpu["memory_banks_without_spare_rows"]) == (640, 1)


def test_pages_of_an_older_gpu_are_counted_together(read_gpu: Gpus) -> None:
    state = BUS + "gpu0.field29=12\ngpu0.field30=3\ngpu0.retired_pages_pending=1\n"
    [gpu] = read_gpu(state, GPU)
    assert (gpu["retired_pages"], gpu["retired_pages_pending"]) == (15, True)
    assert (gpu["retired_pages_corrected"], gpu["retired_pages_uncorrected"]) == (12, 3)


def test_an_active_mig_has_no_spare_rows_and_no_fault(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(HEALTHY + "gpu0.mig=1\ngpu0.rows.rc=3\n", GPU)
    assert (gpu["mig"], gpu["row_remap_failed"], gpu["state"]) == (True, None, "ok")


def test_a_power_brake_is_told_from_heat(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(HEALTHY, GPU)
    assert gpu["hw_power_brake"]
    assert gpu["hw_slowdown"]
    assert gpu["sw_power_cap"]
    assert not gpu["hw_thermal_slowdown"]
    assert not gpu["sw_thermal_slowdown"]


@pytest.mark.parametrize(
    ("reasons", "margin", "expected"),
    [("0x1", 0, None), ("0x4", -5, None), ("0x20", 0, 0), ("0x48", -3, -3), ("0x1", 12, 12)],
)
def test_a_margin_of_nothing_without_heat_is_no_margin(
    read_gpu: Gpus, reasons: str, margin: int, expected: int | None
) -> None:
    [gpu] = read_gpu(f"{BUS}gpu0.event_reasons={reasons}\ngpu0.margin={margin}\n", GPU)
    assert gpu["margin_celsius"] == expected


def test_what_a_gpu_does_not_offer_is_none_and_never_zero(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(BUS, GPU)
    known = {"pci_address": "0000:3b:00", "gpu": "GPU 3b:00", "state": "ok"}
    assert {key: value for key, value in gpu.items() if value not in (None, "", [], 0)} == known


# Drivers that are older than what is asked --------------------------------------------------------


def test_an_older_driver_gives_what_it_has(read_old_gpu: Gpus) -> None:
    [gpu] = read_old_gpu(HEALTHY + "gpu0.throttle_reasons=0x40\n", GPU)
    assert (gpu["state"], gpu["troubles"]) == ("ok", [])
    assert gpu["hw_thermal_slowdown"] is True  # by the name before driver 535
    assert gpu["margin_celsius"] is None
    assert gpu["sram_threshold_exceeded"] is None
    assert gpu["fabric_state"] is None
    assert gpu["processes"] == 2
    assert gpu["memory_used_bytes"] == 4_700_000_000  # with what the driver keeps


def test_an_older_form_of_the_fabric_is_read(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(HEALTHY + "fabric.version=2\n", GPU)
    assert (gpu["fabric_state"], gpu["fabric_status"]) == ("completed", 0)
    assert gpu["fabric_health"] is None
    assert gpu["fabric_degraded_bandwidth"] is False


# Each error of NVML, told apart -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (4, "no permission"),
        (10, "timeout"),
        (15, "lost"),
        (16, "reset required"),
        (17, "blocked by the operating system"),
        (28, "not found"),
        (6, "not found"),
        (999, "unknown error"),
        (77, "NVML error 77"),
    ],
)
def test_a_gpu_whose_handle_is_refused_says_how(read_gpu: Gpus, code: int, state: str) -> None:
    [gpu] = read_gpu(f"{HEALTHY}gpu0.handle.rc={code}\n", GPU)
    assert gpu["state"] == state
    assert gpu["uncorrected_errors_volatile_total"] is None


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (15, "lost"),
        (16, "reset required"),
        (28, "not found"),
        (11, "interrupt issue"),
        (999, "unknown error"),
    ],
)
def test_a_gpu_that_fails_says_how(read_gpu: Gpus, code: int, state: str) -> None:
    [gpu] = read_gpu(f"{HEALTHY}gpu0.rc={code}\n", GPU)
    assert gpu["state"] == state
    assert gpu["uncorrected_errors_volatile_total"] is None


@pytest.mark.parametrize("code", [2, 3, 13, 21, 25, 26])
def test_a_sensor_that_is_not_there_is_no_trouble(read_gpu: Gpus, code: int) -> None:
    [gpu] = read_gpu(f"{HEALTHY}gpu0.rows.rc={code}\n", GPU)
    assert (gpu["state"], gpu["troubles"], gpu["row_remap_failed"]) == ("ok", [], None)


def test_a_sensor_that_we_may_not_read_is_our_trouble_and_not_the_gpus(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(f"{HEALTHY}gpu0.rows.rc=4\n", GPU)
    assert (gpu["state"], gpu["row_remap_failed"]) == ("ok", None)
    assert gpu["troubles"] == ["GetRemappedRows: no permission (4)"]


def test_one_sensor_that_fails_for_no_reason_is_no_illness_and_many_are(read_gpu: Gpus) -> None:
    state = f"{HEALTHY}gpu0.rows.rc=999\ngpu0.memory.rc=999\n"
    [gpu] = read_gpu(state.replace("gpu0.memory.rc=999\n", ""), GPU)
    assert (gpu["state"], gpu["row_remap_failed"]) == ("ok", None)
    assert gpu["troubles"] == ["GetRemappedRows: unknown error (999)"]
    [gpu] = read_gpu(state, GPU)  # its size is asked for twice
    assert gpu["state"] == "unknown error"


def test_a_struct_whose_size_is_not_what_its_version_says_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ctypes  # noqa: PLC0415  # as in the child

    import pynvml  # noqa: PLC0415

    class Wrong(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint), ("text", ctypes.c_char * 80))

        def __init__(self) -> None:
            super().__init__(version=0x02000024)

    monkeypatch.setattr(pynvml, "c_nvmlGpuFabricInfoV_t", Wrong)
    asker = session.Asker(pynvml)
    assert asker.struct("GetGpuFabricInfoV", "c_nvmlGpuFabricInfoV_t") is None
    assert asker.troubles == []


def test_a_gpu_lost_in_the_middle_keeps_what_it_said_before(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(f"{HEALTHY}gpu0.rows.rc=15\n", GPU)
    assert (gpu["state"], gpu["cut_short"]) == ("lost", True)
    assert (gpu["uuid"], gpu["temperature_celsius"]) == ("GPU-1", 41)
    assert gpu["processes"] is None


def test_a_gpu_lost_while_a_list_of_fields_is_read_is_lost(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(f"{HEALTHY}gpu0.field230.rc=15\n", GPU)
    assert (gpu["state"], gpu["troubles"]) == ("lost", ["field 230: lost (15)"])


def test_one_sensor_in_trouble_does_not_take_the_others_along(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(f"{HEALTHY}gpu0.rows.rc=14\n", GPU)
    assert (gpu["state"], gpu["cut_short"]) == ("InfoROM corrupt", False)
    assert gpu["row_remap_failed"] is None
    assert gpu["pcie_replays_total"] == 12


def test_a_lost_gpu_leaves_the_next_one_readable(read_gpu: Gpus) -> None:
    both = HEALTHY + "gpu0.rc=15\ngpu1.bus=00000000:5E:00.0\ngpu1.temperature=33\n"
    [gpu] = read_gpu(both, "0000:5e:00")
    assert (gpu["state"], gpu["temperature_celsius"]) == ("ok", 33)


def test_a_gpu_on_the_bus_that_the_driver_does_not_have_is_not_found(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(BUS, "0000:af:00")
    assert (gpu["state"], gpu["gpu"]) == ("not found", "GPU af:00")


def test_a_lost_gpu_keeps_its_name_from_the_files_of_the_driver(
    read_gpu: Gpus, tmp_path: Path
) -> None:
    folder = tmp_path / f"proc/driver/nvidia/gpus/{GPU}.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text("Model: \t NVIDIA H200\nDevice Minor: \t 5\n")
    [gpu] = read_gpu(BUS + "gpu0.rc=15\n", GPU)
    assert gpu["gpu"] == "GPU5"


@pytest.mark.parametrize(
    ("code", "state", "words"),
    [
        (4, "no permission", "may not be used by this user"),
        (9, "driver not loaded", "not loaded"),
        (15, "lost", "a GPU is lost"),
        (17, "blocked by the operating system", "operating system"),
        (18, "library and driver do not match", "do not match"),
        (25, "library of another age", "binding"),
        (999, "unknown error", "999"),
    ],
)
def test_where_nvml_does_not_start_nothing_is_known_and_the_reason_is_said(
    read_gpu: Gpus, code: int, state: str, words: str
) -> None:
    [gpu] = read_gpu(f"init.rc={code}\n", GPU)
    assert (gpu["state"], gpu["cut_short"], gpu["ecc"]) == (state, True, None)
    assert words in gpu["troubles"][0]
    assert f"(NVML error {code})" in gpu["troubles"][0]


def test_a_library_that_is_not_there_is_told_from_a_driver_that_is_not_loaded(
    read_gpu: Gpus, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    read_gpu.library = tmp_path / "empty"
    [gpu] = read_gpu(HEALTHY, GPU)
    assert gpu["state"] == "library not found"
    assert "libnvidia-ml.so.1 is not there" in gpu["troubles"][0]


def test_a_library_that_cannot_be_loaded_says_so(read_gpu: Gpus, tmp_path: Path) -> None:
    library(tmp_path, LOADED, content="no library at all")
    [gpu] = read_gpu(HEALTHY, GPU)
    assert (gpu["state"], gpu["cut_short"]) == ("library not found", True)
    assert f"libnvidia-ml.so.{LOADED} cannot be loaded" in gpu["troubles"][0]


def test_the_library_of_the_drivers_container_is_found(
    read_gpu: Gpus, nvml_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run/nvidia/driver/usr/lib64"
    folder.mkdir(parents=True)
    shutil.copy(nvml_folder / "libnvidia-ml.so.1", folder / f"libnvidia-ml.so.{LOADED}")
    (tmp_path / "empty").mkdir()
    read_gpu.library = tmp_path / "empty"
    [gpu] = read_gpu(HEALTHY, GPU)
    assert (gpu["state"], gpu["temperature_celsius"]) == ("ok", 41)


# NVML is not opened where files say enough --------------------------------------------------------

TOUCHED = "init.hang=1\n"  # who opens NVML here never comes back


def library(root: Path, version: str, content: str = "library") -> None:
    folder = root / "usr/lib/x86_64-linux-gnu"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"libnvidia-ml.so.{version}").write_text(content)
    (folder / "libnvidia-ml.so.1").unlink(missing_ok=True)
    (folder / "libnvidia-ml.so.1").symlink_to(f"libnvidia-ml.so.{version}")


def test_versions_that_differ_are_named_and_nvml_is_not_touched(
    read_gpu: Gpus, tmp_path: Path
) -> None:
    library(tmp_path, "575.51.03")
    answer = read_gpu(TOUCHED, GPU)
    assert "570.158.01" in answer["Unavailable"]
    assert "575.51.03" in answer["Unavailable"]


def test_an_empty_library_is_not_loaded(read_gpu: Gpus, tmp_path: Path) -> None:
    library(tmp_path, LOADED, content="")
    assert "is empty" in read_gpu(TOUCHED, GPU)["Unavailable"]


def test_a_driver_that_is_not_loaded_is_not_loaded_by_looking(
    read_gpu: Gpus, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "sys")
    assert read_gpu(TOUCHED, GPU) == {"Absent": "no NVIDIA driver is installed"}
    library(tmp_path, LOADED)
    assert "is not loaded" in read_gpu(TOUCHED, GPU)["Unavailable"]


# Links --------------------------------------------------------------------------------------------


def nvlink(active: int, down: int = 0, **fields: int) -> str:
    states = "".join(f"gpu0.link{n}={int(n < active)}\n" for n in range(active + down))
    return states + "".join(
        f"gpu0.{field.replace('_', '.')}={value}\n" for field, value in fields.items()
    )


def test_links_that_are_down_are_named_and_links_that_are_not_there_are_not(
    read_gpu: Gpus,
) -> None:
    [gpu] = read_gpu(HEALTHY + nvlink(16, 2), GPU)
    assert (gpu["nvlinks"], gpu["nvlinks_active"]) == (18, 16)
    assert gpu["nvlinks_down"] == ["link 16", "link 17"]


def test_a_gpu_without_nvlink_has_none(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(HEALTHY, GPU)
    assert (gpu["nvlinks"], gpu["nvlinks_down"]) == (None, [])


def test_errors_of_all_links_are_added_and_the_link_that_has_new_ones_is_named(
    read_gpu: Gpus,
) -> None:
    def state(crc: int) -> str:
        counters = nvlink(3, field161=4, field161_1=5, field163=1, field163_1=crc, field162=0)
        return HEALTHY + counters

    first, second = read_gpu.looks([state(10), state(17)], GPU)
    [gpu] = first["answer"]
    assert gpu["nvlink_replays_total"] == 9
    assert gpu["nvlink_crc_errors_total"] == 11
    assert gpu["nvlink_recoveries_total"] == 0
    assert gpu["nvlink_symbol_errors_total"] is None
    assert gpu["nvlinks_with_errors"] == []
    [gpu] = second["answer"]
    assert gpu["nvlink_crc_errors_total"] == 18
    assert gpu["nvlinks_with_errors"] == ["link 1: 7"]


def test_the_counters_of_nvlink_5_stand_for_the_older_ones(read_gpu: Gpus) -> None:
    fields = {"field161": 99, "field208": 2, "field206": 1, "field214": 1, "field221_1": 6}
    [gpu] = read_gpu(HEALTHY + nvlink(2, field221=0, **fields), GPU)
    assert gpu["nvlink_replays_total"] is None
    assert gpu["nvlink_receive_errors_total"] == 3
    assert gpu["nvlink_recoveries_failed_total"] == 1
    assert gpu["nvlink_symbol_errors_total"] == 6


def test_sums_over_all_links_are_taken_where_there_is_nothing_by_link(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(HEALTHY + nvlink(6, field38=2, field45=3, field52=1, field59=0), GPU)
    assert gpu["nvlink_crc_errors_total"] == 5
    assert (gpu["nvlink_replays_total"], gpu["nvlink_recoveries_total"]) == (1, 0)


def test_the_health_of_the_fabric_is_taken_apart(read_gpu: Gpus) -> None:
    [gpu] = read_gpu(HEALTHY, GPU)
    assert (gpu["fabric_state"], gpu["fabric_health"]) == ("completed", "healthy")
    assert gpu["fabric_degraded_bandwidth"] is False
    assert gpu["fabric_route_recovery"] is None
    assert gpu["fabric_route_unhealthy"] is True
    assert gpu["fabric_access_timeout_recovery"] is True
    assert gpu["fabric_configuration_error"] == "too few NVLinks"
    assert gpu["fabric_partition_assigned"] is None
    assert gpu["fabric_manager_connected"] is True


@pytest.mark.parametrize(
    ("bits", "error"), [(0, ""), (1, ""), (5, "too few NVLinks"), (8, "GPU state"), (12, "12")]
)
def test_a_wrong_configuration_of_the_fabric_is_named(bits: int, error: str) -> None:
    values: dict[str, Any] = {}
    links.health(bits << 8, values)
    assert values["fabric_configuration_error"] == error


# Who uses it --------------------------------------------------------------------------------------


def test_processes_of_a_session_are_told_from_those_of_a_job_and_of_a_service(
    read_gpu: Gpus, tmp_path: Path
) -> None:
    for pid, cgroup in {
        71: "0::/user.slice/user-1000.slice/session-3.scope\n",
        72: "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n",
        73: "0::/system.slice/nvidia-dcgm.service\n",
    }.items():
        folder = tmp_path / f"proc/{pid}"
        folder.mkdir(parents=True)
        (folder / "cgroup").write_text(cgroup)
    [gpu] = read_gpu(HEALTHY + "gpu0.graphics=73:100,74:18446744073709551615\n", GPU)
    assert (gpu["processes"], gpu["processes_memory_bytes"]) == (4, 3_900_000_100)
    assert (gpu["processes_outside_jobs"], gpu["process_ids_outside_jobs"]) == (1, ["71"])
    assert (gpu["memory_total_bytes"], gpu["memory_used_bytes"]) == (150754820096, 4_000_000_000)


def test_memory_that_is_a_node_of_the_system_is_told(read_gpu: Gpus, tmp_path: Path) -> None:
    folder = tmp_path / f"proc/driver/nvidia/gpus/{GPU}.0"
    folder.mkdir(parents=True)
    for status, expected in (("offline", False), ("online", True)):
        (folder / "numa_status").write_text(f"Node:      2\nStatus:    {status}\n")
        [gpu] = read_gpu(HEALTHY, GPU)
        assert gpu["memory_is_the_systems"] is expected


# Letting go ---------------------------------------------------------------------------------------


def test_after_a_look_nothing_of_the_gpu_stays_open(read_gpu: Gpus, tmp_path: Path) -> None:
    device = tmp_path / "nvidia0"
    device.write_text("")
    held = f"init.device={device}\n"
    states = [HEALTHY + held, HEALTHY + held + "gpu0.rc=15\n", held + "init.rc=999\n"]
    first, second, third = read_gpu.looks(states, GPU)
    assert str(device) not in first["open"]
    assert str(device) not in second["open"]
    assert third["answer"][0]["state"] == "unknown error"


def test_a_library_that_was_replaced_is_let_go_of(
    nvml_folder: Path, old_nvml_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "usr/lib/x86_64-linux-gnu"
    folder.mkdir(parents=True)
    shutil.copy(nvml_folder / "libnvidia-ml.so.1", folder / f"libnvidia-ml.so.{LOADED}")
    shutil.copy(old_nvml_folder / "libnvidia-ml.so.1", folder / "libnvidia-ml.so.575.51.03")
    link = folder / "libnvidia-ml.so.1"
    link.symlink_to(f"libnvidia-ml.so.{LOADED}")
    gpus = Gpus(tmp_path, folder)
    with gpus.start(GPU) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers = []
        for version in (LOADED, "575.51.03"):
            link.unlink()
            link.symlink_to(f"libnvidia-ml.so.{version}")
            (tmp_path / "sys/module/nvidia/version").write_text(version)
            process.stdin.write(json.dumps(HEALTHY) + "\n")
            process.stdin.flush()
            answers.append(json.loads(process.stdout.readline())["answer"][0])
        process.stdin.close()
    assert [answer["margin_celsius"] for answer in answers] == [38, None]


# Which GPUs there are -----------------------------------------------------------------------------


def test_the_gpus_are_named_from_the_bus_without_nvml() -> None:
    assert nvidia_gpu.subjects(recorded("gpu-node")) == ["0000:3b:00", "0000:5e:00"]


def test_a_gpu_that_a_virtual_machine_has_is_not_ours(tmp_path: Path) -> None:
    node = copy_of("gpu-node", tmp_path)
    for address in ("0000:3b:00.0", "0000:5e:00.0"):
        link = (node / "sys/bus/pci/devices" / address).resolve() / "driver"
        link.unlink()
        link.symlink_to("../../../../bus/pci/drivers/vfio-pci")
        if address.startswith("0000:3b"):
            assert nvidia_gpu.subjects(Host.recorded(node)) == ["0000:5e:00"]
    with pytest.raises(Absent, match="another driver"):
        nvidia_gpu.subjects(Host.recorded(node))


def test_a_machine_without_gpus_is_absent(tmp_path: Path) -> None:
    host = Host(tmp_path, live=True, clock=lambda: Instant("boot", 0.0, 0.0))
    with pytest.raises(Absent, match="no NVIDIA GPU"):
        nvidia_gpu.subjects(host)


def test_nvml_is_never_opened_for_a_recording() -> None:
    with pytest.raises(Absent, match="cannot be recorded"):
        nvidia_gpu.read(recorded("gpu-node"), GPU)


# Calls that never return --------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["handle", "temperature"])
def test_a_gpu_that_never_answers_delays_no_other(
    nvml_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for address in ("0000:3b:00.0", "0000:5e:00.0"):
        folder = tmp_path / "sys/bus/pci/devices" / address
        folder.mkdir(parents=True)
        (folder / "vendor").write_text("0x10de\n")
        (folder / "class").write_text("0x030200\n")
    Gpus(tmp_path, nvml_folder)  # its module
    state = tmp_path / "state"
    state.write_text(f"{BUS}gpu0.{where}.hang=1\ngpu1.bus=00000000:5E:00.0\ngpu1.temperature=33\n")
    monkeypatch.setenv("NVML_STUB_STATE", str(state))
    import pynvml  # noqa: PLC0415  # the children take the library that is loaded here

    monkeypatch.setattr(pynvml, "nvmlLib", pynvml.CDLL(str(nvml_folder / "libnvidia-ml.so.1")))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    host = Host(tmp_path, live=True, clock=lambda: Instant("boot", time.monotonic(), 0.0))
    with Here(host) as here:
        first = by_subject(here.read(["nvidia_gpu"], 1.0))
        second = by_subject(here.read(["nvidia_gpu"], 1.0))
    for looks in (first, second):
        assert looks["0000:3b:00"].status is ReadStatus.STUCK
        assert looks["0000:5e:00"].status is ReadStatus.READ
    assert first["0000:3b:00"].stuck_since == second["0000:3b:00"].stuck_since


def by_subject(looks: list[Look]) -> dict[str, Look]:
    return {look.subject or "": look for look in looks}


def test_every_error_of_nvml_has_a_meaning_here() -> None:
    """No code is passed over by mistake: it is no value, a state, or a reason not to start."""
    import pynvml  # noqa: PLC0415

    codes = {v for name, v in vars(pynvml).items() if name.startswith("NVML_ERROR_")}
    never = {1, 5, 24}  # not initialised, initialised before, clocks: we do none of that
    known = session.NO_VALUE | set(session.STATES) | set(session.REASONS)
    assert codes - known - never == set()
