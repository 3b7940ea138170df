"""Is every fault in the kernel log recognised, and nothing that only looks like one?"""

import collections
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.definitions.kernel_message import GROUPS, load, why_not
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.kernel_record import Record
from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.prober import looking
from hpcdoctor.probes import kernel_log, registry
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.kernel_messages import Message, Reader, catalogue
from tests.conftest import recorded
from tests.doubles.waiting import wait_for


def said(*texts: str, usec: int = 1_000_000) -> list[Message]:
    """Return what the kernel is understood to say when it logs these texts, a microsecond apart."""
    records = [f"4,{n},{usec + n},-;{text}\n" for n, text in enumerate(texts)]
    return kernel_log.parse("".join(records).encode())


def kind(text: str) -> str:
    found = said(text)
    return found[0].kind if found else ""


# Xids ---------------------------------------------------------------------------------------------

BUS = "NVRM: Xid (PCI:0000:3b:00): "


@pytest.mark.parametrize(
    ("text", "code", "address", "mig"),
    [
        (BUS + "79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.", 79, "3b", ""),
        (BUS + "13, pid=4711, name=python, Graphics Exception: ESR 0x5=0x1", 13, "3b", ""),
        (BUS + "62, 0a3e(31e0) 00000000 00000000", 62, "3b", ""),
        ("NVRM: Xid (0000:03:00): 14, Channel 00000001", 14, "03", ""),
        ("NVRM: Xid (PCI:0000:04:00): 69", 69, "04", ""),
        (
            "NVRM: Xid (PCI:0000:01:00 GPU-I:05 GPU-CI:00): 31, pid=1",
            31,
            "01",
            "GPU-I:05 GPU-CI:00",
        ),
        ("NVRM: Xid (PCI:0000:01:00 GPU-I:05): 31, pid=1", 31, "01", "GPU-I:05"),
        ("NVRM: Xid (PCI:00000000:AF:00): 48, pid=1, name=x, DBE", 48, "af", ""),
        (BUS + "999, something new", 999, "3b", ""),
    ],
)
def test_every_form_of_an_xid_is_read(text: str, code: int, address: str, mig: str) -> None:
    [message] = said(text)
    assert (message.kind, message.code, message.mig) == ("xid", code, mig)
    assert message.pci_address == f"0000:{address}:00"


def test_an_xid_of_nvlink_5_tells_its_unit_and_severity() -> None:
    tail = "NETIR_LINK_EVT  Fatal   XC0 i0  Link 08 (0x004505c6 0x00000000 0x00000000)"
    for before in ("", "pid=1234, name=python, "):
        [message] = said(f"NVRM: Xid (PCI:0018:01:00): 149, {before}{tail}")
        assert (message.code, message.unit, message.severity) == (149, "NETIR_LINK_EVT", "fatal")
        assert (message.pci_address, message.number) == ("0018:01:00", 8)
    [message] = said(BUS + "145, RLW_REMAP Nonfatal XC1 i1 Link -1 (0x1 0x2)")
    assert (message.severity, message.number) == ("nonfatal", -1)


def test_a_process_cannot_name_itself_into_another_severity() -> None:
    text = "149, pid=1, name=A Fatal XC0 i0, NETIR_LINK_EVT Nonfatal XC0 i0 Link 08 (0x1)"
    [message] = said(BUS + text)
    assert (message.unit, message.severity) == ("NETIR_LINK_EVT", "nonfatal")


def test_the_recovery_action_is_a_kind_of_its_own() -> None:
    text = "154, GPU recovery action changed from 0x4 (Drain and Reset) to 0x1 (GPU Reset Required)"
    [message] = said("NVRM: Xid (PCI:0008:01:00): " + text)
    assert (message.kind, message.code, message.number) == ("recovery_action", 154, 1)
    assert message.detail == "GPU Reset Required"
    [message] = said(
        BUS + "154, pid=1, name=x, GPU recovery action changed from 0x1 (Reset) to 0x0 (None)"
    )
    assert (message.kind, message.code, message.detail) == ("gpu_recovered", None, "None")


def test_the_detail_is_what_follows_the_process() -> None:
    [message] = said(BUS + "31, pid=4711, name=python3, Ch 00000008, intr 0")
    assert message.detail == "Ch 00000008, intr 0"


@pytest.mark.parametrize(
    "text",
    [
        "nvidia: NVRM: Xid (PCI:0000:3b:00): 79, quoted",
        " NVRM: Xid (PCI:0000:3b:00): 79, indented",
        "NVRM: Xid (PCI:0000:3b:00: 79, no bracket",
        "NVRM: Xid (PCI:zz:3b:00): 79, no address",
        "NVRM: Xid (PCI:0000:3b:00): 79x",
        "NVRM: GPU at PCI:0000:9b:00: GPU-509665ad-b600-ac93-3616-d754b23d636d",
        "NVRM: GPU Board Serial Number: 1650124014249",
        "NVRM: Rate limiting GSP RPC error prints for GPU at PCI:0000:9b:00 (printing 1 of 30).",
        "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  535.129.03",
        "audit: NVRM: GPU 0000:29:00.0: GPU has fallen off the bus.",
    ],
)
def test_what_only_looks_like_an_xid_is_silent(text: str) -> None:
    assert said(text) == []


def test_a_gpu_off_the_bus_without_an_xid_counts_as_79() -> None:
    [message] = said("NVRM: GPU 0000:29:00.0: GPU has fallen off the bus.")
    assert (message.kind, message.code, message.pci_address) == ("gpu_fallen_off", 79, "0000:29:00")


THREE = [
    "NVRM: The NVIDIA GPU 0000:18:00.0",
    "NVRM: (PCI ID: 10de:2901) installed in this system has",
    "NVRM: fallen off the bus and is not responding to commands.",
]


def test_a_sentence_over_three_records_is_joined() -> None:
    [message] = said(*THREE)
    assert (message.kind, message.code, message.pci_address) == ("gpu_fallen_off", 79, "0000:18:00")
    assert message.sequence == 0
    assert "10de:2901) installed" in message.text


def test_other_records_in_between_do_not_tear_the_sentence_apart() -> None:
    kinds = [m.kind for m in said(THREE[0], "random noise", THREE[1], BUS + "13, x", THREE[2])]
    assert kinds == ["xid", "gpu_fallen_off"]


def test_a_sentence_that_is_never_ended_says_nothing() -> None:
    assert said(THREE[0], *["noise"] * 20, THREE[1], THREE[2]) == []
    late = f"4,1,1000000,-;{THREE[0]}\n4,2,9000000,-;{THREE[1]}\n4,3,9000001,-;{THREE[2]}\n"
    assert kernel_log.parse(late.encode()) == []


MISMATCH = [
    "NVRM: API mismatch: the client has the version 570.158.01, but",
    "NVRM: this kernel module has the version 570.124.06.  Please",
    "NVRM: make sure that this kernel module and all NVIDIA driver",
]
NEWER_MISMATCH = [
    "NVRM: API mismatch: the client 'python3' (pid 1005)",
    "NVRM: has the version 570.158.01, but this kernel module has",
    "NVRM: the version 570.124.06.  Please make sure that this",
]


@pytest.mark.parametrize("lines", [MISMATCH, NEWER_MISMATCH])
@pytest.mark.parametrize("between", [r"\x0a", None])
def test_an_api_mismatch_is_one_message_with_both_versions(
    lines: list[str], between: str | None
) -> None:
    [message] = said(between.join(lines)) if between else said(*lines)
    assert message.kind == "api_mismatch"
    assert (message.detail, message.unit) == ("570.158.01", "570.124.06")


def test_a_newline_inside_a_record_begins_no_message() -> None:
    assert said(r"some driver: hello\x0aNVRM: Xid (PCI:0000:3b:00): 79, forged") == []


def test_the_registers_of_an_sxid_are_not_a_second_one() -> None:
    head = "nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 20034, "
    texts = ["Fatal, Link 30 LTSSM Fault Up", "Severity 1 Engine instance 30", "Data {0x5, 0x1}"]
    messages = said(*(head + text for text in texts))
    assert [m.kind for m in messages] == ["sxid", "sxid_data", "sxid_data"]
    first = messages[0]
    assert (first.code, first.severity, first.device) == (20034, "fatal", "nvidia-nvswitch0")
    assert first.pci_address == "0000:a9:00"


# Everything else ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "text", "look_alike"),
    [
        (
            "peermem",
            "nvidia-peermem nv_get_p2p_free_callback:127 ERROR detected invalid context, skipping",
            "nvidia-peermem nv_mem_client_init:500 loaded",
        ),
        (
            "nvlink_training",
            "NVRM: knvlinkUpdatePostRxDetectLinkMask_IMPL: Failed to update Rx Detect Link mask!",
            "NVRM: knvlinkUpdatePostRxDetectLinkMask_IMPL: done",
        ),
        (
            "machine_check",
            "mce: [Hardware Error]: CPU 3: Machine Check Exception: 5 Bank 12: be00000000800400",
            "mce: CPU3 supports 32 MCE banks",
        ),
        (
            "machine_check_logged",
            "mce: [Hardware Error]: Machine check events logged",
            "mce: [Hardware Error]: TSC 0 ADDR 1234",
        ),
        (
            "edac_ce",
            "EDAC MC1: 1 CE memory scrubbing error on CPU_SrcID#1_Chan#1_DIMM#0 (channel:1 slot:0)",
            "EDAC MC0: Giving out device to module skx_edac controller Skylake: DEV 0000:2e:0a.0",
        ),
        (
            "edac_ue",
            "EDAC MC0: 1 UE memory read error on CPU_SrcID#0_DIMM#0 (channel:0 slot:0)",
            "EDAC sbridge MC1: HANDLING MCE MEMORY ERROR",
        ),
        (
            "memory_failure",
            "Memory failure: 0x12ab: recovery action for dirty LRU page: Recovered",
            "Memory failure: 0x12ab: already hardware poisoned",
        ),
        (
            "apei",
            "{1}[Hardware Error]: event severity: fatal",
            "{1}[Hardware Error]: section_type: PCIe error",
        ),
        (
            "aer_corrected",
            "nvidia 0000:19:00.0: PCIe Bus Error: severity=Corrected, type=Data Link Layer, (Rec",
            "pcieport 0000:16:00.0: AER: enabled with IRQ 34",
        ),
        (
            "aer_corrected",
            "pcieport 0000:00:1c.5: AER: PCIe Bus Error: severity=Corrected, type=Physical Layer",
            "pcieport 0000:15:02.0: AER: Corrected error received: 0000:19:00.0",
        ),
        (
            "aer_uncorrected",
            "nvme 0000:02:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Lay",
            "user: PCIe Bus Error: severity=Uncorrected (Fatal), type=x",
        ),
        (
            "thermal_throttle",
            "mce: CPU14: Core temperature above threshold, cpu clock throttled (total events = 7)",
            "mce: CPU14: Core power limit normal",
        ),
        (
            "thermal_throttle",
            "CPU2: Core temperature is above threshold, cpu clock is throttled (total events = 9)",
            "CPU2: Core power limit notification (total events = 9)",
        ),
        (
            "oom_job",
            "Memory cgroup out of memory: Killed process 441231 (python) total-vm:812233412kB",
            "python invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
        ),
        (
            "oom_node",
            "Out of memory: Killed process 123 (httpd) total-vm:1kB",
            "oom_reaper: reaped process 345646 (vector), now anon-rss:0kB",
        ),
        (
            "hung_task",
            "INFO: task jfsmount:136986 blocked for more than 120 seconds.",
            "INFO: task list printed",
        ),
        (
            "soft_lockup",
            "watchdog: BUG: soft lockup - CPU#18 stuck for 27s! [python3:2254956]",
            "watchdog: Delayed init of the lockup detector failed: -19",
        ),
        (
            "hard_lockup",
            "NMI watchdog: Watchdog detected hard LOCKUP on cpu 3",
            "NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.",
        ),
        (
            "rcu_stall",
            "rcu: INFO: rcu_sched self-detected stall on CPU",
            "rcu: INFO: rcu_tasks holdout list",
        ),
        (
            "oops",
            "BUG: unable to handle kernel NULL pointer dereference at 0000000000000078",
            "BUG: workqueue lockup - pool",
        ),
        (
            "oops",
            "general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP",
            "traps: python[12] general protection fault ip:7f sp:7f error:0 in libc.so",
        ),
        ("panic", "Kernel panic - not syncing: Fatal exception", "Kernel panic timeout set"),
        ("panic", "Kernel panic - not syncing", "Kernel panic - not syncing anything"),
        ("file_max", "VFS: file-max limit 1000000 reached", "VFS: Disk quotas dquot_6.6.0"),
        (
            "netdevice_stuck",
            "unregister_netdevice: waiting for lo to become free. Usage count = 1",
            "unregister_netdevice: done",
        ),
        (
            "clocksource_unstable",
            "clocksource: timekeeping watchdog on CPU3: Marking clocksource 'tsc' as unstable bec",
            "clocksource: Long readout interval, skipping watchdog check: cs_nsec: 1584036171",
        ),
        (
            "nvme_timeout",
            "nvme nvme1: I/O 411 QID 6 timeout, reset controller",
            "nvme nvme1: 32 queues of another form",
        ),
        (
            "nvme_timeout",
            "nvme nvme1: I/O tag 12 (f00c) opcode 0x2 (I/O Cmd) QID 3 timeout, aborting req_op",
            "nvme nvme1: I/O tag 12 (f00c) QID 3 timeout, completion polled",
        ),
        (
            "nvme_disabled",
            "nvme nvme4: Disabling device after reset failure: -19",
            "nvme nvme4: Abort status: 0x0",
        ),
        (
            "block_io_error",
            "blk_update_request: I/O error, dev nvme0n1, sector 2048 op 0x0:(READ) flags 0x0",
            "blk_update_request: I/O error, dev fd0, sector 0",
        ),
        (
            "block_io_error",
            "Buffer I/O error on dev dm-0, logical block 17, async page read",
            "Buffer I/O error on dev sr0, logical block 0",
        ),
        (
            "md_disk_failure",
            "md/raid0md0: Disk failure on nvme0n1p1 detected, failing array.",
            "md/raid1:md0: active with 2 out of 2 mirrors",
        ),
        (
            "fs_error",
            "EXT4-fs error (device sda1): ext4_lookup:1855: inode #2: comm ls: deleted inode",
            "EXT4-fs (vda): mounted filesystem 0 r/w without journal. Quota mode: none.",
        ),
        (
            "fs_read_only",
            "EXT4-fs (md0): Remounting filesystem read-only",
            "EXT4-fs (sda1): re-mounted. Opts: errors=remount-ro",
        ),
        (
            "fs_shutdown",
            "XFS (dm-0): Corruption of in-memory data (0x8) detected. Shutting down filesystem.",
            "XFS (dm-0): Unmounting Filesystem",
        ),
        (
            "nfs_not_responding",
            "nfs: server home1 not responding, still trying",
            "nfs: Deprecated parameter 'intr'",
        ),
        (
            "lustre_evicted",
            "LustreError: 167-0: s-OST0007-osc-ff: This client was evicted by s-OST0007; in pro",
            "Lustre: Mounted scratch-client",
        ),
        (
            "lustre_lost",
            "Lustre: s-OST0007-osc-ff: Connection to s-OST0007 (at 10.9.0.17@o2ib) was lost; in",
            "Lustre: Lustre: Build Version: 2.15.4",
        ),
        (
            "link_down",
            "mlx5_core 0000:5e:00.0 mlx5_2: Port: 1 Link DOWN",
            "mlx5_core 0000:5e:00.0 mlx5_2: Port: 1 Link INIT",
        ),
        (
            "link_down",
            "mlx5_core 0000:5e:00.0 ens1f0np0: Link down",
            "IPv6: ADDRCONF(NETDEV_CHANGE): ib2: link becomes ready",
        ),
        (
            "link_down",
            "igb 0000:01:00.0 eth0: igb: eth0 NIC Link is Down",
            "igb 0000:01:00.0 eth0: renamed from eth1",
        ),
        (
            "nic_power",
            "mlx5_core 0000:5e:00.0: Detected insufficient power on the PCIe slot (27W).",
            "mlx5_core 0000:5e:00.0: firmware version: 28.41.1000",
        ),
        (
            "nic_cable",
            "mlx5_core 0000:5e:00.0: Port module event[error]: module 0, Cable error, High Temp",
            "mlx5_core 0000:5e:00.0: Port module event: module 0, Cable plugged",
        ),
        (
            "transmit_timeout",
            "NETDEV WATCHDOG: eth0 (mlx5_core): transmit queue 3 timed out",
            "mlx5_cmd_out_err: ACCESS_REG(0x805) op_mod(0x1) failed, status bad resource(0x5)",
        ),
        (
            "nccl_segfault",
            "pt_main_thread[25]: segfault at 7f ip 00 sp 00 error 4 in libnccl.so.2[7f7c7a+d3]",
            "python[25]: segfault at 7f ip 00 sp 00 error 4 in libc.so.6[7f7c7a+d3]",
        ),
    ],
)
def test_a_fault_is_known_and_what_looks_like_it_is_silent(
    expected: str, text: str, look_alike: str
) -> None:
    assert kind(text) == expected
    assert kind(look_alike) == ""


def test_a_dimm_is_named_with_the_number_of_errors() -> None:
    [message] = said(
        "EDAC MC1: 12 CE memory read error on CPU0_DIMM_B2 (channel:1 slot:0 page:0x9)"
    )
    assert (message.device, message.count, message.unit) == ("CPU0_DIMM_B2", 12, "MC1")


def test_one_kill_that_the_kernel_tells_twice_is_one() -> None:
    messages = said(
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=task_0,mems_allowed=0-1,"
        "oom_memcg=/slurm/job_1001/step_0,task_memcg=/slurm/job_1001/step_0/task_0,task=python,"
        "pid=441231,uid=5001",
        "Memory cgroup out of memory: Killed process 441231 (python) total-vm:8kB",
    )
    assert [(m.kind, m.number, m.detail) for m in messages] == [
        ("oom_job", 441231, "/slurm/job_1001/step_0")
    ]


def test_a_link_goes_down_once_however_many_say_so_and_again_after_it_was_up() -> None:
    down, up = (f"mlx5_core 0000:5e:00.0 mlx5_2: Port: 1 Link {x}" for x in ("DOWN", "ACTIVE"))
    assert [m.kind for m in said(down, down, up, up, down)] == ["link_down", "link_up", "link_down"]


def test_two_ports_that_go_down_are_two() -> None:
    texts = [f"mlx5_core 0000:5e:00.0 mlx5_2: Port: {port} Link DOWN" for port in (1, 2)]
    assert [m.number for m in said(*texts)] == [1, 2]


def test_errors_of_the_same_thing_are_added_up_over_a_day() -> None:
    dimm = "EDAC MC1: {} CE memory read error on {} (channel:1 slot:0 page:0x9)"
    messages = said(dimm.format(3, "A1"), dimm.format(1, "B2"), dimm.format(2, "A1"))
    assert [m.count_in_day for m in messages] == [3, 1, 5]
    days = [f"4,{n},{n * 50_000_000_000},-;{dimm.format(1, 'A1')}\n" for n in range(4)]
    assert [m.count_in_day for m in kernel_log.parse("".join(days).encode())] == [1, 2, 2, 2]


def test_very_many_errors_are_still_counted() -> None:
    reader = Reader(catalogue(), None)
    text = "EDAC MC1: 1 CE memory read error on A1 (channel:1 slot:0 page:0x9)"
    records = [Record(text, 0, 4, n, float(n), float(n)) for n in range(2000)]
    messages = [m for m in map(reader.read, records) if m]
    assert messages[-1].count_in_day == 2000


# Trust and bounds ---------------------------------------------------------------------------------


def test_only_the_kernel_itself_is_believed() -> None:
    xid = BUS + "79, GPU has fallen off the bus."
    assert len(kernel_log.parse(f"4,1,1,-;{xid}\n".encode())) == 1
    for facility in range(1, 24):
        assert kernel_log.parse(f"{facility * 8 + 4},1,1,-;{xid}\n".encode()) == []


def test_an_address_has_to_be_in_this_machines_tree() -> None:
    chunk = kernel_log.open(recorded("gpu-node")).read()
    found = {(m.pci_address, m.code): m.in_pci_tree for m in chunk.readings if m.kind == "xid"}
    assert found == {
        ("0000:3b:00", 31): True,
        ("0000:5e:00", 79): True,
        ("0000:ee:00", 79): False,
    }


def test_a_gpu_has_the_name_that_its_driver_gives_it() -> None:
    chunk = kernel_log.open(recorded("gpu-node")).read()
    names = [message.gpu for message in chunk.readings if message.code == 79]
    assert names == ["GPU4", "GPU ee:00"]


def test_control_characters_are_written_out_and_texts_are_bounded() -> None:
    [message] = said(BUS + r"13, \x1b[2J\x07" + "x" * 3000)
    assert r"\x1b[2J\x07" in message.text
    assert "\x1b" not in message.text + message.detail
    assert len(message.text) <= 520


def test_a_flood_of_the_same_is_counted_and_other_things_pass() -> None:
    host = recorded("gpu-node")
    reader = Reader(catalogue(), host.root)
    texts = [BUS + "45, Ch 00000001"] * 5000 + [BUS + "48, DBE"]
    records = [Record(text, 0, 4, n, 5.0, 5.0) for n, text in enumerate(texts)]
    messages = [m for m in map(reader.read, records) if m]
    assert collections.Counter(m.code for m in messages) == {45: 50, 48: 1}
    assert reader.suppressed == 4950


def test_a_flood_of_ever_new_things_is_bounded_too() -> None:
    texts = [f"NVRM: Xid (PCI:0000:{n % 256:02x}:{n // 256:02x}): 13, x" for n in range(5000)]
    assert len(said(*texts, usec=0)) < 500


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_fail(data: bytes) -> None:
    kernel_log.parse(b"4,1,1,-;" + data)
    kernel_log.parse(data)


HOSTILE = st.sampled_from(
    [literal for entry in load().entries for literal in [*entry.begins, entry.contains] if literal]
)


@given(HOSTILE, st.text(max_size=200))
def test_no_text_after_a_known_beginning_makes_the_patterns_fail(start: str, rest: str) -> None:
    record = Record(start + rest, 0, 4, 1, 1.0, 1.0)
    Reader(catalogue(), None).read(record)


# Position -----------------------------------------------------------------------------------------


def test_a_restart_in_the_same_boot_tells_nothing_twice() -> None:
    host = recorded("gpu-node")
    first = kernel_log.open(host).read()
    assert first.position == "0e3b9f52-6c1d-4a3e-9a55-3f3c8e6d1b20:106"
    assert kernel_log.open(host, first.position).read().readings == []
    half = kernel_log.open(host, first.position.replace(":106", ":103")).read()
    assert [m.sequence for m in half.readings] == [104, 106]


def test_after_a_reboot_the_log_is_read_from_its_oldest_record() -> None:
    assert len(kernel_log.open(recorded("gpu-node"), "another-boot:9999").read().readings) == 4


def test_the_first_start_ever_looks_back_two_hours_and_a_person_sees_all() -> None:
    host = Host.this_machine()
    now = host.clock()
    host.clock = lambda: now
    assert kernel_log.oldest_that_counts(host, "") == now.boottime - 7200
    assert kernel_log.oldest_that_counts(host, f"{now.boot_id}:17") == 0
    host.visiting = True
    assert kernel_log.oldest_that_counts(host, "") == 0


def test_a_recording_is_read_from_its_first_record() -> None:
    boot = "0e3b9f52-6c1d-4a3e-9a55-3f3c8e6d1b20"
    later = recorded("gpu-node", Instant(boot, 9000.15 + 7200, 0.0))
    sequences = [m.sequence for m in kernel_log.open(later).read().readings]
    assert sequences[0] is not None and sequences[0] < 103


def test_a_broken_record_is_passed_over() -> None:
    """Each of the three numbers has to be one: together they may look like digits."""
    good = b"4,103,9000200000,-;NVRM: Xid (PCI:0000:5e:00): 79, pid=1, name=x, GPU has fallen off"
    assert [m.code for m in kernel_log.parse(good + b"\n4,,,;Xid\n,1,2,-;x\n4,1,,-;x\n")] == [79]


def test_a_stream_says_when_there_is_something_to_read() -> None:
    stream = kernel_log.open(recorded("gpu-node"))
    os.set_blocking(stream.fileno(), False)
    assert stream.read().readings
    with pytest.raises(BlockingIOError):
        os.read(stream.fileno(), 8)
    assert stream.read().readings == []


def test_a_recorded_log_that_grows_is_read_on(tmp_path: Path) -> None:
    file = tmp_path / "dev/kmsg"
    file.parent.mkdir()
    file.write_text(f"4,1,1000000,-;{BUS}13, x\n")
    stream = kernel_log.open(Host.recorded(tmp_path))
    assert looking.is_readable(stream.fileno())
    assert [m.sequence for m in stream.read().readings] == [1]
    assert not looking.is_readable(stream.fileno())
    with file.open("a") as log:
        log.write(f"4,2,2000000,-;{BUS}31, x\n")
    assert looking.is_readable(stream.fileno())
    assert [m.sequence for m in stream.read().readings] == [2]
    stream.close()


def test_a_machine_without_a_kernel_log_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no dev/kmsg"):
        kernel_log.open(Host.recorded(tmp_path))
    live = Host(tmp_path, live=True, clock=lambda: Instant("boot", 0.0, 0.0))
    with pytest.raises(Absent, match="no /dev/kmsg"):
        kernel_log.open(live)


Kmsg = Callable[..., kernel_log.LiveLog]


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kmsg:
    """Return open(records, position): a stream whose device gives these records, then blocks."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kmsg").touch()

    def start(records: list[bytes | OSError], position: str = "boot:0") -> kernel_log.LiveLog:
        queue = list(records)

        def read(descriptor: int, size: int) -> bytes:
            if not queue:
                raise BlockingIOError
            item = queue.pop(0)
            if isinstance(item, OSError):
                raise item
            return item

        monkeypatch.setattr(os, "read", read)
        host = Host(tmp_path, live=True, clock=lambda: Instant("boot", 10_000.0, 0.0))
        host.accept_user_kernel_log = "users" in position
        stream = kernel_log.open(host, position.replace("users", "boot"))
        assert isinstance(stream, kernel_log.LiveLog)
        return stream

    return start


def line(sequence: int, priority: int = 4) -> bytes:
    return f"{priority},{sequence},9999000000,-;{BUS}13, x\n SUBSYSTEM=pci\n".encode()


def test_records_that_were_overwritten_are_counted(live: Kmsg) -> None:
    chunk = live([line(1), BrokenPipeError(32, "overwritten"), line(10), line(12)]).read()
    assert [m.sequence for m in chunk.readings] == [1, 10, 12]
    assert (chunk.lost, chunk.position) == (8 + 1, "boot:12")


def test_an_overwritten_ring_at_the_end_of_a_look_is_counted_in_the_next(live: Kmsg) -> None:
    stream = live([line(1), BrokenPipeError(32, "overwritten")])
    assert stream.read().lost == 0
    stream = live([line(1), BrokenPipeError(32, "overwritten"), line(5)])
    assert stream.read().lost == 3


def test_a_device_that_has_been_pulled_out_was_in_the_tree(tmp_path: Path) -> None:
    device = tmp_path / "sys/bus/pci/devices/0000:3b:00.0"
    reader = Reader(catalogue(), tmp_path)

    def in_tree() -> bool:
        message = reader.read(Record(BUS + "79, gone", 0, 4, 1, 1.0, 1.0))
        assert message is not None
        return message.in_pci_tree

    assert not in_tree()
    device.mkdir(parents=True)
    assert in_tree()
    device.rmdir()
    assert in_tree()


def test_one_look_takes_a_bounded_part_of_a_flood(live: Kmsg) -> None:
    stream = live([line(n) for n in range(1, 1201)])
    assert [stream.read().position for _ in range(4)] == [
        "boot:500",
        "boot:1000",
        "boot:1200",
        "boot:1200",
    ]


def test_users_are_believed_only_where_that_is_asked_for_and_only_from_now_on(live: Kmsg) -> None:
    records: list[bytes | OSError] = [line(3, 12), line(6, 12)]
    assert live(list(records), "boot:2").read().readings == []
    assert [m.sequence for m in live(list(records), "users:3").read().readings] == [6]


@pytest.mark.real
def test_the_kernels_own_device_gives_what_was_written_to_it(as_root: None) -> None:
    """With an address that no machine has, so that nobody else here believes the line."""
    host = Host.this_machine()
    doubter = kernel_log.open(host)
    host.accept_user_kernel_log = True
    believer = kernel_log.open(host)
    before = believer.read()
    text = f"NVRM: Xid (PCI:7777:3b:00): 43, pid={os.getpid()}, name=hpcdoctor-test, Ch 00000008"

    def heard() -> list[Message]:
        Path("/dev/kmsg").write_text(text)  # again and again: the kernel drops some when it is busy
        return [m for m in believer.read().readings if text in m.text]

    message = wait_for("the line to come back", heard)[0]
    assert (message.kind, message.facility, message.in_pci_tree) == ("xid", 1, False)
    assert before.lost == 0
    resumed = kernel_log.open(host, f"{host.clock().boot_id}:{message.sequence}").read()
    assert all((m.sequence or 0) > (message.sequence or 0) for m in resumed.readings)
    assert [m for m in doubter.read().readings if text in m.text] == []


# Files --------------------------------------------------------------------------------------------

FALLEN = BUS + "79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


@pytest.mark.parametrize(
    "text",
    [
        f"[ 1234.567890] {FALLEN}",
        f"[ 1234.567890][ T4711] {FALLEN}",
        f"[Sun Feb 23 16:24:18 2025] {FALLEN}",
        f"kern  :warn  : 2025-01-21T04:41:44,283302+00:00 {FALLEN}",
        f"kern  :warn  : [ 1234.567890] {FALLEN}",
        f"2025-01-21T04:41:44,283302+00:00 {FALLEN}",
        f"Aug 17 06:18:01 node7 kernel: {FALLEN}",
        f"Aug 17 06:18:01 node7 kernel: [ 1234.567890] {FALLEN}",
        f"2025-08-17T06:18:01.123456+02:00 node7 kernel: {FALLEN}",
        f"<4>[ 1234.567890] {FALLEN}",
        f"4,1,1234567890,-;{FALLEN}",
        FALLEN,
    ],
)
def test_every_form_of_a_log_file_is_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "log"
    file.write_text(f"{text}\n")
    [message] = kernel_log.read_file(file)
    assert (message.kind, message.code, message.gpu) == ("xid", 79, "GPU 3b:00")
    assert message.in_pci_tree, "the machine of a log file is not at hand"


@pytest.mark.parametrize(
    "text",
    [
        f"user  :warn  : [ 1234.567890] {FALLEN}",
        f"Aug 17 06:18:01 node7 logger[12]: {FALLEN}",
        f"Aug 17 06:18:01 node7 root: {FALLEN}",
        f"<12>[ 1234.567890] {FALLEN}",
        f"12,1,1234567890,-;{FALLEN}",
    ],
)
def test_what_a_user_wrote_is_not_believed_where_the_form_tells(tmp_path: Path, text: str) -> None:
    file = tmp_path / "log"
    file.write_text(f"{text}\n")
    assert kernel_log.read_file(file) == []


def test_an_indented_line_belongs_to_the_record_above(tmp_path: Path) -> None:
    file = tmp_path / "log"
    indented = "\n               ".join(MISMATCH)
    file.write_text(f"[93300.100231] {indented}\n[93301.0] noise\n")
    assert [m.kind for m in kernel_log.read_file(file)] == ["api_mismatch"]
    file.write_text(f"Jun 30 11:07:05 gpu-0 kernel: {'#012'.join(MISMATCH)}\n")
    assert [m.kind for m in kernel_log.read_file(file)] == ["api_mismatch"]


def test_the_parts_of_a_pstore_file_are_put_in_order(tmp_path: Path) -> None:
    file = tmp_path / "dmesg-efi"
    file.write_text(
        "Panic#1 Part1\n<0>[  9.000000] Kernel panic - not syncing: Fatal exception\n"
        f"Panic#1 Part2\n<4>[  5.000000] {FALLEN}\n"
    )
    assert [m.kind for m in kernel_log.read_file(file)] == ["xid", "panic"]


def test_a_recorded_machine_names_the_gpus_of_its_log_file(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text(f"[ 1.000000] {FALLEN}\n")
    [message] = kernel_log.read_file(file, recorded("gpu-node"))
    assert message.gpu == "GPU3"


@pytest.mark.parametrize("data", [b"", b"hello\nworld\n", b"\x7fELF\0\0\0\0", b"a,b,c\n1,2,3\n"])
def test_a_file_that_is_no_kernel_log_is_an_error_that_says_so(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    with pytest.raises(Unavailable, match="no kernel log"):
        kernel_log.read_file(file)


def test_what_could_block_or_is_huge_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(Unavailable, match="not a plain file"):
        kernel_log.read_file(tmp_path / "fifo")
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(kernel_log.FILE_LIMIT_BYTES + 1)
    with pytest.raises(Unavailable, match="larger than 64 MiB"):
        kernel_log.read_file(tmp_path / "huge")
    with pytest.raises(Unavailable, match="cannot be read"):
        kernel_log.read_file(tmp_path / "missing")


# The catalogue ------------------------------------------------------------------------------------


def test_every_entry_of_the_catalogue_holds_together() -> None:
    for entry in load().entries:
        assert why_not(entry) is None
        assert set(entry.regex.groupindex) <= GROUPS, entry.kind
        assert not entry.opposite or entry.opposite in load().by_kind, entry.kind
        assert entry.echo_seconds >= 0


def test_entries_of_one_kind_agree_on_what_an_echo_is() -> None:
    for entry in load().entries:
        first = load().by_kind[entry.kind]
        assert (entry.echo, entry.opposite, entry.event) == (
            first.echo,
            first.opposite,
            first.event,
        ), entry.kind


def test_the_probe_is_a_stream_of_messages() -> None:
    probe = registry.find("kernel_log")
    assert (probe.shape, probe.reading) == (registry.Shape.STREAM, Message)


# Recordings of others -----------------------------------------------------------------------------

SHARED = {
    "devkmsg-boot-benign.txt": {},
    "devkmsg-peermem.txt": {"peermem": 7},
    "filemax-only.txt": {"file_max": 2},
    "ib6-six-flaps-journal.txt": {"link_down": 1, "link_up": 1},
    "nccl-segfault.txt": {"nccl_segfault": 2},
    "no-flap-journal.txt": {},
    "xid119-gsp-timeout.txt": {"xid": 5},
    "xid13-xid43-oom-filemax.txt": {"xid": 17, "oom_job": 2, "oom_node": 3},
    "npd-kernel-problems.txt": {
        "hung_task": 2,
        "oops": 2,
        "oom_job": 1,
        "fs_read_only": 1,
        "netdevice_stuck": 1,
    },
    "modelled-mixed-a.txt": {
        "machine_check_logged": 1,
        "edac_ce": 1,
        "thermal_throttle": 2,
        "thermal_normal": 2,
        "link_down": 3,
        "link_up": 4,
        "lustre_lost": 1,
        "lustre_evicted": 1,
        "lustre_restored": 1,
        "nfs_not_responding": 1,
        "nfs_ok": 1,
        "nvme_timeout": 1,
        "nvme_ready": 1,
        "aer_corrected": 1,
        "api_mismatch": 1,
        "oom_job": 1,
    },
}


@pytest.mark.parametrize("name", SHARED)
def test_the_shared_logs_say_what_their_readme_says(shared: Path, name: str) -> None:
    messages = kernel_log.read_file(shared / "kmsg" / name)
    assert collections.Counter(message.kind for message in messages) == SHARED[name]


def test_no_shared_log_is_left_out(shared: Path) -> None:
    names = {path.name for path in (shared / "kmsg").glob("*.txt")}
    assert names == set(SHARED)
