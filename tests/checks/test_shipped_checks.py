"""Does each shipped check on GPUs and on the kernel log fire when it must, and else stay quiet?"""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpcdoctor.checks.compiled import compile_check
from hpcdoctor.checks.judge import NOT_YET, Judge
from hpcdoctor.definitions.loader import load_definitions
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, Look, ReadStatus
from hpcdoctor.probes import kernel_log, nvidia_driver, nvidia_gpu, pci, registry
from hpcdoctor.probes.host import Host
from tests.conftest import recorded

PROBES = {"kernel_log", "nvidia_driver", "nvidia_gpu", "pci"}
MINUTE = 60.0

Found = dict[str, str]  # finding: verdict


@pytest.fixture(scope="module")
def new_judge() -> Callable[[], Judge]:
    definitions = load_definitions()
    catalogs = {name: defined.value for name, defined in definitions.catalogs.items()}
    checks = {
        name: compile_check(defined, registry.find(defined.value.probe), catalogs)
        for name, defined in definitions.checks.items()
        if defined.value.probe in PROBES
    }
    return lambda: Judge(checks, {})


def at(seconds: float) -> Instant:
    return Instant("boot", 10_000.0 + seconds, 1e9 + seconds)


def look(probe: str, readings: list[Any], seconds: float = 0.0, subject: str | None = None) -> Look:
    values = [msgspec.to_builtins(reading) for reading in readings]
    return Look(probe, ReadStatus.READ, at(seconds), subject, values)


def verdicts(judge: Judge) -> Found:
    return {key: finding.verdict.value for key, finding in judge.findings.items()}


def of_log(new_judge: Callable[[], Judge], *texts: str) -> Judge:
    records = [f"4,{n},{5_000_000_000 + n},-;{text}\n" for n, text in enumerate(texts)]
    messages = kernel_log.parse("".join(records).encode())
    messages = [msgspec.structs.replace(m, in_pci_tree=True) for m in messages]
    judge = new_judge()
    judge.judge(look("kernel_log", messages))
    return judge


XID = "NVRM: Xid (PCI:0000:3b:00): "
DIMM = "EDAC MC1: {} CE memory read error on A1 (channel:1 slot:0 page:0x9)"
DOWN, UP = (f"mlx5_core 0000:5e:00.0 mlx5_2: Port: 1 Link {x}" for x in ("DOWN", "ACTIVE"))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (
            [XID + "79, GPU has fallen off the bus."],
            {"gpu-lost[pci_address=0000:3b:00]": "critical"},
        ),
        (
            ["NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.", XID + "79, gone"],
            {"gpu-lost[pci_address=0000:3b:00]": "critical"},
        ),
        ([XID + "48, DBE"], {"gpu-xid[pci_address=0000:3b:00,code=48]": "critical"}),
        ([XID + "92, many"], {"gpu-xid[pci_address=0000:3b:00,code=92]": "warning"}),
        ([XID + "998, new"], {"gpu-xid[pci_address=0000:3b:00,code=998]": "warning"}),
        ([XID + "63, remapped"], {}),
        ([XID + "31, fault"], {"gpu-xid-application[pci_address=0000:3b:00,code=31]": "warning"}),
        ([XID + "45, clean-up"] * 30 + [XID + "43, error"], {}),
        (
            [XID + "149, NETIR_LINK_EVT Fatal XC0 i0 Link 08 (0x1 0x2)"],
            {"gpu-xid[pci_address=0000:3b:00,code=149]": "critical"},
        ),
        ([XID + "149, NETIR_LINK_EVT Nonfatal XC0 i0 Link 08 (0x1 0x2)"], {}),
        (
            [
                XID
                + "154, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)"
            ],
            {"gpu-recovery-action[pci_address=0000:3b:00]": "critical"},
        ),
        ([XID + "154, GPU recovery action changed from 0x1 (GPU Reset) to 0x0 (None)"], {}),
        (
            ["nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 20034, Fatal, Link 30 LTSSM Fault Up"],
            {"nvswitch-sxid[pci_address=0000:a9:00,code=20034]": "critical"},
        ),
        (
            ["nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 11012, Non-fatal, Link 32 ingress"],
            {},
        ),
        (
            ["nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 12028, Non-fatal, Link 32 egress"],
            {"nvswitch-sxid[pci_address=0000:a9:00,code=12028]": "warning"},
        ),
        ([DIMM.format(9)], {}),
        ([DIMM.format(9), DIMM.format(1)], {"memory-errors-logged[device=A1]": "warning"}),
        ([DOWN, UP] * 2, {}),
        ([DOWN, UP] * 3, {"link-lost[device=mlx5_2]": "warning"}),
        (
            ["{1}[Hardware Error]: event severity: corrected"],
            {},
        ),
        (
            ["{1}[Hardware Error]: event severity: fatal"],
            {"machine-check": "critical"},
        ),
        (["mce: [Hardware Error]: Machine check events logged"], {}),
        (
            ["nvme 0000:02:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer"] * 40,
            {},
        ),
        (
            ["nvme 0000:02:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction"],
            {"pcie-errors-logged[pci_address=0000:02:00]": "critical"},
        ),
        (
            ["watchdog: BUG: soft lockup - CPU#18 stuck for 27s! [python3:22]"],
            {"kernel-lockup[kind=soft_lockup,device=CPU#18]": "warning"},
        ),
        (["Kernel panic - not syncing: Fatal exception"], {"kernel-oops": "critical"}),
        (
            ["Memory cgroup out of memory: Killed process 4 (x)"],
            {"job-out-of-memory[unit=]": "warning"},
        ),
        (["Out of memory: Killed process 4 (x) total-vm:1kB"], {"out-of-memory": "warning"}),
        (["nfs: server home1 OK"], {}),
        (
            ["nfs: server home1 not responding, still trying"],
            {"storage-server-lost[device=home1]": "warning"},
        ),
        (
            ["EXT4-fs (md0): Remounting filesystem read-only"],
            {"file-system-failed[device=md0]": "critical"},
        ),
        (
            ["nvme nvme1: I/O 411 QID 6 timeout, reset controller"],
            {"drive-failed[device=nvme1]": "warning"},
        ),
        (
            ["nvme nvme1: Disabling device after reset failure: -19"],
            {"drive-failed[device=nvme1]": "critical"},
        ),
        (["INFO: task x:1 blocked for more than 120 seconds."], {"hung-task[device=x]": "warning"}),
        (["VFS: file-max limit 1000 reached"], {"file-table-full": "warning"}),
    ],
)
def test_a_line_of_the_kernel_log_leads_to_its_finding_and_to_no_other(
    new_judge: Callable[[], Judge], texts: list[str], expected: Found
) -> None:
    assert verdicts(of_log(new_judge, *texts)) == expected


def test_an_address_that_is_not_in_the_tree_does_nothing(new_judge: Callable[[], Judge]) -> None:
    texts = [
        XID + "79, gone",
        XID + "48, DBE",
        XID + "31, fault",
        XID + "154, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot)",
        "nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 20034, Fatal, Link 30",
        "nvme 0000:02:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction",
        "mlx5_core 0000:5e:00.0: Detected insufficient power on the PCIe slot (27W).",
    ]
    records = "".join(f"4,{n},1,-;{text}\n" for n, text in enumerate(texts))
    messages = kernel_log.parse(records.encode(), root=Path("/nowhere"))
    assert len(messages) == len(texts)
    judge = new_judge()
    judge.judge(look("kernel_log", messages))
    assert verdicts(judge) == {}


def test_what_a_user_can_cause_is_never_more_than_a_warning(
    new_judge: Callable[[], Judge],
) -> None:
    """A process can be given any name, hang in its own file system, and use up its own memory."""
    texts = [
        "NVRM: API mismatch: the client 'x' (pid 1) has the version 1.2, but this kernel module "
        "has the version 1.3.",
        "x[1]: segfault at 7f ip 00 sp 00 error 4 in libnccl.so.2[7f7c7a+d3]",
        "INFO: task x:1 blocked for more than 120 seconds.",
        "Memory cgroup out of memory: Killed process 4 (x)",
        "Out of memory: Killed process 4 (x)",
        "VFS: file-max limit 1000 reached",
        XID + "13, pid=1, name=x, Graphics Exception",
    ]
    found = verdicts(of_log(new_judge, *texts))
    assert len(found) == len(texts)
    assert set(found.values()) == {"warning"}


def test_the_reason_for_the_scheduler_names_the_gpu_and_the_cause(
    new_judge: Callable[[], Judge],
) -> None:
    judge = new_judge()
    judge.judge(look("kernel_log", list(kernel_log.open(recorded("gpu-node")).read().readings)))
    finding = judge.findings["gpu-lost[pci_address=0000:5e:00]"]
    assert (finding.object, finding.label, finding.cause.value) == ("GPU4", "Xid79 off bus", "node")
    assert set(verdicts(judge)) == {
        "gpu-lost[pci_address=0000:5e:00]",
        "gpu-xid-application[pci_address=0000:3b:00,code=31]",
        "driver-mismatch-logged[detail=570.158.01,unit=570.124.06]",
    }


# Readings -----------------------------------------------------------------------------------------


def test_a_drifted_driver_is_critical_and_names_both_versions(
    new_judge: Callable[[], Judge],
) -> None:
    judge = new_judge()
    for seconds in (0, 60, 120):
        judge.judge(look("nvidia_driver", nvidia_driver.read(recorded("gpu-node")), seconds))
    finding = judge.findings["driver-drift"]
    assert finding.verdict.value == "critical"
    assert "570.124.06" in finding.summary
    assert "570.158.01" in finding.summary


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"library_version": "570.158.01"}, {"driver-drift": "critical"}),
        ({"library_empty": True}, {"driver-drift": "critical"}),
        ({"library_version": ""}, {"driver-drift": "warning"}),
        ({"fabric_manager_version": "535.1.1"}, {"driver-drift": "warning"}),
        ({"gpus_without_driver": 1}, {"gpu-without-driver": "critical"}),
        ({"gpus_not_answering_count": 1}, {"gpu-not-initialised": "warning"}),
        ({"module_loaded": False, "loaded_version": "", "gpus_in_pci": 0}, {}),
    ],
)
def test_parts_of_the_driver_are_judged_together(
    new_judge: Callable[[], Judge], changes: dict[str, Any], expected: Found
) -> None:
    [drifted] = nvidia_driver.read(recorded("gpu-node"))
    well = msgspec.structs.replace(
        drifted,
        library_version=drifted.loaded_version,
        cuda_library_version=drifted.loaded_version,
        gpus_not_answering_count=0,
    )
    judge = new_judge()
    for seconds in range(0, 600, 60):
        judge.judge(look("nvidia_driver", [msgspec.structs.replace(well, **changes)], seconds))
    assert verdicts(judge) == expected


WELL = nvidia_gpu.Gpu(
    pci_address="0000:3b:00",
    gpu="GPU3",
    state="ok",
    corrected_errors_volatile_total=0,
    uncorrected_errors_volatile_total=0,
    sram_uncorrected_errors_volatile_total=0,
    sram_threshold_exceeded=False,
    row_remap_pending=False,
    row_remap_failed=False,
    hw_thermal_slowdown=False,
    sw_thermal_slowdown=False,
    hw_power_brake=False,
    sw_power_cap=False,
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"sw_power_cap": True}, {}),
        ({"state": "lost"}, {"gpu-unreachable": "critical"}),
        ({"state": "InfoROM corrupt"}, {"gpu-unreachable": "warning"}),
        ({"uncorrected_errors_volatile_total": 1}, {"gpu-ecc-uncorrected": "warning"}),
        ({"sram_uncorrected_errors_volatile_total": 1}, {"gpu-ecc-uncorrected": "critical"}),
        ({"sram_threshold_exceeded": True}, {"gpu-ecc-uncorrected": "critical"}),
        ({"row_remap_pending": True}, {"gpu-row-remap": "warning"}),
        ({"row_remap_failed": True}, {"gpu-row-remap": "critical"}),
        ({"hw_thermal_slowdown": True}, {"gpu-thermal": "critical"}),
        ({"sw_thermal_slowdown": True}, {"gpu-thermal": "warning"}),
        ({"hw_power_brake": True}, {"gpu-power-brake": "warning"}),
    ],
)
def test_a_gpu_is_judged_by_what_it_says(
    new_judge: Callable[[], Judge], changes: dict[str, Any], expected: Found
) -> None:
    judge = new_judge()
    for seconds in range(0, 1800, 60):
        gpu = msgspec.structs.replace(WELL, **changes)
        judge.judge(look("nvidia_gpu", [gpu], seconds, "0000:3b:00"))
    found = {f"{key}[pci_address=0000:3b:00]": verdict for key, verdict in expected.items()}
    assert verdicts(judge) == found


def test_a_gpu_that_is_hot_now_and_then_is_quiet(new_judge: Callable[[], Judge]) -> None:
    judge = new_judge()
    for minute in range(60):
        gpu = msgspec.structs.replace(WELL, hw_thermal_slowdown=minute % 2 == 0)
        judge.judge(look("nvidia_gpu", [gpu], minute * MINUTE, "0000:3b:00"))
    assert verdicts(judge) == {}


def test_corrected_errors_are_judged_by_their_rate(new_judge: Callable[[], Judge]) -> None:
    for per_minute, expected in ((60 * 90, []), (60 * 17_700, ["warning"])):
        judge = new_judge()
        for minute in range(20):
            gpu = msgspec.structs.replace(
                WELL, corrected_errors_volatile_total=10**6 + per_minute * minute
            )
            judge.judge(look("nvidia_gpu", [gpu], minute * MINUTE, "0000:3b:00"))
        assert list(verdicts(judge).values()) == expected


def test_a_gpu_without_sensors_is_neither_wrong_nor_unknown(
    new_judge: Callable[[], Judge],
) -> None:
    judge = new_judge()
    for minute in range(30):
        gpu = nvidia_gpu.Gpu(pci_address="0000:3b:00", gpu="GPU3", state="ok")
        judge.judge(look("nvidia_gpu", [gpu], minute * MINUTE, "0000:3b:00"))
    assert verdicts(judge) == {}
    judged = [o for o in judge.outcomes() if o.verdict is not None and o.reason != NOT_YET]
    looked_at = {o.check: o.verdict for o in judged}
    assert looked_at == {"gpu-stuck": "ok", "gpu-unreachable": "ok"}


def test_a_gpu_that_hangs_nvml_is_named(new_judge: Callable[[], Judge]) -> None:
    judge = new_judge()
    for seconds in (0, 60, 310):
        judge.judge(
            Look(
                "nvidia_gpu",
                ReadStatus.STUCK,
                at(seconds),
                "0000:3b:00",
                reason="the child that reads has not answered",
                stuck_since=at(0),
            )
        )
    assert verdicts(judge)["gpu-stuck[pci_address=0000:3b:00]"] == "critical"


def test_a_device_off_the_bus_is_found_and_a_narrow_slot_is_not(
    new_judge: Callable[[], Judge],
) -> None:
    judge = new_judge()
    devices = pci.read(recorded("gpu-node"))
    for seconds in range(0, 600, 30):
        judge.judge(look("pci", devices, seconds))
    assert verdicts(judge) == {"pci-device-gone[address=0000:5e:00.0]": "critical"}


@pytest.mark.parametrize(("width", "expected"), [(16, []), (8, ["warning"]), (4, ["critical"])])
def test_lanes_that_are_missing_are_judged_by_what_both_ends_can_do(
    new_judge: Callable[[], Judge], width: int, expected: list[str]
) -> None:
    judge = new_judge()
    [gpu] = [d for d in pci.read(recorded("gpu-node")) if d.address == "0000:3b:00.0"]
    for seconds in range(0, 600, 30):
        judge.judge(look("pci", [msgspec.structs.replace(gpu, link_width=width)], seconds))
    assert list(verdicts(judge).values()) == expected


# Recordings of others -----------------------------------------------------------------------------


# Everything that each log leads to; what is over by its end is marked so.
LOGS: dict[str, Found] = {
    "devkmsg-boot-benign.txt": {},
    "no-flap-journal.txt": {},
    "ib6-six-flaps-journal.txt": {},
    "devkmsg-peermem.txt": {"gpu-direct-rdma": "warning"},
    "filemax-only.txt": {"file-table-full": "warning"},
    "nccl-segfault.txt": {"nccl-crash": "warning"},
    "xid119-gsp-timeout.txt": {"gpu-xid[pci_address=0000:9b:00,code=119]": "critical"},
    "xid13-xid43-oom-filemax.txt": {
        "gpu-xid-application[pci_address=0000:38:00,code=13]": "warning",
        "job-out-of-memory[unit=]": "warning",
        "out-of-memory": "warning",
    },
    "npd-kernel-problems.txt": {
        "file-system-failed[device=sda1]": "critical",
        "hung-task[device=umount.aufs]": "warning",
        "hung-task[device=docker]": "warning",
        "job-out-of-memory[unit=]": "warning",
        "kernel-oops": "critical",
        "kernel-trouble[kind=netdevice_stuck,device=lo]": "warning",
    },
    "modelled-mixed-a.txt": {
        "drive-failed[device=nvme1]": "over",
        "driver-mismatch-logged[detail=570.158.01,unit=570.124.06]": "warning",
        "job-out-of-memory[unit=1001]": "warning",
        "link-lost[device=mlx5_2]": "warning",
        "storage-client-evicted[device=scratch-OST0007]": "warning",
        "storage-server-lost[device=scratch-OST0007]": "over",
        "storage-server-lost[device=home1]": "over",
    },
}


@pytest.mark.parametrize("name", LOGS)
def test_each_log_leads_to_its_findings_and_to_no_other(
    new_judge: Callable[[], Judge], shared: Path, name: str
) -> None:
    judge = new_judge()
    changes = judge.judge(look("kernel_log", kernel_log.read_file(shared / "kmsg" / name)))
    over = {change.finding.key: "over" for change in changes if change.kind == "closed"}
    assert over | verdicts(judge) == LOGS[name]


@pytest.mark.parametrize("name", LOGS)
def test_what_a_log_tells_of_a_job_never_speaks_against_the_node(
    new_judge: Callable[[], Judge], shared: Path, name: str
) -> None:
    judge = new_judge()
    judge.judge(look("kernel_log", kernel_log.read_file(shared / "kmsg" / name)))
    of_jobs = [f for f in judge.findings.values() if f.cause.value == "job"]
    assert all(finding.verdict.value == "warning" for finding in of_jobs)


def test_an_xid_that_comes_again_and_again_is_one_finding(
    new_judge: Callable[[], Judge], shared: Path
) -> None:
    judge = new_judge()
    messages = kernel_log.read_file(shared / "kmsg/xid119-gsp-timeout.txt")
    judge.judge(look("kernel_log", messages))
    assert verdicts(judge) == {"gpu-xid[pci_address=0000:9b:00,code=119]": "critical"}
    assert judge.findings["gpu-xid[pci_address=0000:9b:00,code=119]"].count == 5


def test_the_shared_nodes_are_read_without_a_false_alarm(
    new_judge: Callable[[], Judge], shared: Path, tmp_path: Path
) -> None:
    judge = new_judge()
    for archive in sorted((shared / "nodes").glob("*.tar.gz")):
        subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True, timeout=60)
        host = Host.recorded(tmp_path / archive.name.removesuffix(".tar.gz"))
        for probe in ("nvidia_driver", "pci"):
            try:
                readings = registry.find(probe).read(host)
            except Absent:
                continue
            for seconds in (0, 600):
                judge.judge(look(probe, list(readings), seconds))
            assert verdicts(judge) == {}, (archive.name, probe)
