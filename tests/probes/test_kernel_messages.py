"""Are the lines of every family read as what they are, and what only looks like them as nothing?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpcdoctor.probes import kernel_log
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.kernel_messages import Message
from tests.doubles.waiting import wait_for

PCI = "0000:5e:00"


def said(*texts: str) -> list[Message]:
    records = [f"4,{n},{1_000_000 + n},-;{text}\n" for n, text in enumerate(texts)]
    return kernel_log.parse("".join(records).encode())


FAULTS = {
    "gpu_init_failed": [
        f"NVRM: GPU {PCI}.0: RmInitAdapter failed! (0x62:0x40:2393)",
        f"NVRM: GPU at PCI:{PCI}: rm_init_adapter failed! (0x24:0xffff:1220)",
    ],
    "amd_gpu_reset": [f"amdgpu {PCI}.0: amdgpu: GPU reset begin!. Source:  1"],
    "amd_gpu_uncorrected": [
        f"amdgpu {PCI}.0: amdgpu: 3 uncorrectable hardware errors detected in umc block",
        f"amdgpu {PCI}.0: amdgpu: socket: 0, die: 0, 1 new uncorrectable hardware errors "
        "detected in gfx block",
    ],
    "machine_check": [
        "mce: [Hardware Error]: CPU 3: Machine Check Exception: 5 Bank 12: be00000000800400",
        "mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 4: b200000000070f0f",
        "mce: [Hardware Error]: Machine check: Processor context corrupt",
        "mce: [Hardware Error]: Processor context corrupt",
        "mce: Uncorrected hardware memory error in user-access at 12345000",
        "[Hardware Error]: System Fatal error.",
        "[Hardware Error]: Uncorrected, software restartable error.",
        "[Hardware Error]: Deferred error, no action required.",
    ],
    "machine_check_logged": ["mce: [Hardware Error]: Machine check events logged"],
    "edac_ce": [
        "EDAC MC0: 1 CE FAKE ERROR on mc#0memory#0 (csrow:0 channel:0 page:0x0 offset:0x0 "
        "grain:1 syndrome:0x0 - for EDAC testing only)",
        "EDAC MC0: 2 CE memory read error on any memory ( page:0x0 offset:0x0 grain:1)",
        'EDAC MC1: CE page 0x12, offset 0x0, row 1, channel 0, label "A1": x',
    ],
    "edac_ue": ['EDAC MC1: UE row 3, channel-a= 0 channel-b= 1 labels "A1": x'],
    "aer_corrected": [
        f"pcieport {PCI}.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, id=00e5(Recei",
        f"pcieport {PCI}.0: PCIe Bus Error: severity=Correctable, type=Data Link Layer, (Receiver",
        f"pcieport 0000:00:1c.0: AER: Multiple Corrected error received: {PCI}.0",
        f"pcieport 0000:00:1c.0: AER: Multiple Correctable error message received from {PCI}.0",
    ],
    "aer_uncorrected": [
        f"pcieport {PCI}.0: AER: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transactio",
        f"nvme {PCI}.0: PCIe Bus Error: severity=Uncorrectable (Fatal), type=Inaccessible, (Unre",
    ],
    "pcie_contained": [f"pcieport {PCI}.0: DPC: containment event, status:0x1f01 source:0x0000"],
    "pcie_recovery_failed": [f"pcieport {PCI}.0: AER: device recovery failed"],
    "pcie_slot_lost": [
        f"pcieport {PCI}.0: pciehp: Slot(400): Link Down",
        f"pcieport {PCI}.0: pciehp: Slot(0-2): Card not present",
    ],
    "pcie_slot_back": [f"pcieport {PCI}.0: pciehp: Slot(0-2): Link Up"],
    "thermal_throttle": [
        "CPU3: Package temperature is above threshold, cpu clock is throttled (total events = 8)"
    ],
    "thermal_normal": [
        "mce: CPU14: Core temperature/speed normal",
        "CPU3: Package temperature/speed normal",
    ],
    "thermal_critical": [
        "thermal thermal_zone1: critical temperature reached (104 C), shutting down",
        "thermal thermal_zone0: acpitz: critical temperature reached, shutting down",
    ],
    "oom_service": [
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
        "oom_memcg=/system.slice/node-exporter.service,task_memcg=/system.slice/"
        "node-exporter.service,task=node_exporter,pid=7,uid=0"
    ],
    "page_allocation_failed": [
        "kworker/u64:1: page allocation failure: order:4, mode:0x40cc0(GFP_KERNEL|__GFP_COMP)"
    ],
    "oops": [
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
        "Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI",
        "Oops: invalid opcode: 0000 [#1] PREEMPT SMP",
        "Internal error: Oops: 0000000096000005 [#1] SMP",
        "kernel BUG at drivers/misc/lkdtm/bugs.c:77!",
        "BUG: unable to handle page fault for address: ffffb24d403e5010",
    ],
    "kernel_corruption": [
        "BUG: Bad page state in process python  pfn:12345",
        "BUG: Bad rss-counter state mm:00000000abcd type:MM_ANONPAGES val:3",
        "list_del corruption. prev->next should be ffff8881, but was dead0000",
    ],
    "lustre_bug": [
        "LustreError: 3121:0:(osc_cache.c:1141:osc_extent_make_ready()) LBUG",
        "LustreError: 1:0:(client.c:1:ptlrpc_x()) ASSERTION( list_empty(&x) ) failed: ",
    ],
    "network_table_full": [
        "nf_conntrack: nf_conntrack: table full, dropping packet",
        "nf_conntrack: table full, dropping packet",
        "neighbour: arp_cache: neighbor table overflow!",
    ],
    "clocksource_unstable": ["tsc: Marking TSC unstable due to clocksource watchdog"],
    "nvme_timeout": [
        "nvme nvme2: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0xffff"
    ],
    "nvme_ready": ["nvme nvme1: 32/0/0 default/read/poll queues"],
    "nvme_disabled": [
        "nvme nvme0: Device not ready; aborting reset, CSTS=0x1",
        "nvme nvme0: Disabling device after reset failure: -19",
    ],
    "block_io_error": [
        "print_req_error: I/O error, dev sda, sector 8",
        "end_request: I/O error, dev sda, sector 8",
        "critical medium error, dev sda, sector 4660 op 0x0:(READ) flags 0x80700 phys_seg 1",
        "blk_update_request: critical medium error, dev sda, sector 4660",
        "device offline error, dev sdb, sector 2048 op 0x1:(WRITE) flags 0x800 phys_seg 1",
        "Buffer I/O error on dev dm-0, logical block 17, lost async page write",
        "I/O error, dev dm-3, sector 0 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
    ],
    "scsi_error": [
        "sd 0:0:0:0: [sda] tag#12 Sense Key : Medium Error [current] ",
        "sd 0:0:0:0: [sda] Sense Key : Hardware Error [current] [descriptor]",
        "sd 10:0:0:0: [sdaa] tag#0 Add. Sense: Unrecovered read error",
    ],
    "scsi_offline": [
        "sd 0:0:0:0: rejecting I/O to offline device",
        "sd 0:0:0:0: [sda] tag#0 rejecting I/O to offline device",
        "sd 2:0:0:0: Device offlined - not ready after error recovery",
    ],
    "ata_error": [
        "ata1.00: failed command: READ DMA EXT",
        "ata1: hard resetting link",
        "ata12: COMRESET failed (errno=-16)",
    ],
    "ata_disabled": ["ata1.00: disabled", "ata1.00: disable device"],
    "controller_reset": [
        f"megaraid_sas {PCI}.0: FW detected to be in fault state, restarting it...",
        f"megaraid_sas {PCI}.0: Found FW in FAULT state, will reset adapter scsi0.",
        "mpt3sas_cm0: fault_state(0x5854)!",
        "mpt2sas0: sending diag reset !!",
    ],
    "controller_ready": [
        f"megaraid_sas {PCI}.0: Reset successful for scsi0.",
        "mpt3sas_cm0: diag reset: SUCCESS",
    ],
    "raid_event": [
        f"megaraid_sas {PCI}.0: 1234 (7000000s/0x0002/FATAL) - Unrecoverable medium error on PD 04"
    ],
    "path_lost": [
        "device-mapper: multipath: 253:3: Failing path 8:48.",
        "device-mapper: multipath: Failing path 8:48.",
        "nvme nvme2: starting error recovery",
        " connection1:0: ping timeout of 5 secs expired, recv timeout 5, last rx 1",
        " rport-1:0-3: blocked FC remote port time out: removing target and saving binding",
    ],
    "path_back": [
        "device-mapper: multipath: 253:3: Reinstating path 8:48.",
        "nvme nvme2: Successfully reconnected (1 attempt)",
    ],
    "md_disk_failure": [
        "md/raid:md127: not enough operational devices (2/4 failed)",
        "md/raid1:md0: Disk failure on sda1, disabling device.",
    ],
    "md_disk_left_out": ["md: kicking non-fresh sda1 from array!"],
    "fs_error": [
        "EXT4-fs error (device dm-0) in ext4_reserve_inode_write:5724: Journal has aborted",
        "EXT4-fs warning (device dm-0): ext4_end_bio:343: I/O error 10 writing to inode 12 start",
        "EXT4-fs (sda1): This should not happen!! Data will be lost",
        "Aborting journal on device dm-0-8.",
        "JBD2: Detected IO errors while flushing file data on sda1-8",
        'XFS (dm-0): metadata I/O error in "xfs_imap_to_bp+0x5c/0x70 [xfs]" at daddr 0x4',
        "XFS (dm-0): log I/O error -5",
        "XFS (sdb1): writeback error on inode 135, offset 0, sector 1234",
        "BTRFS warning (device sda1): csum failed root 5 ino 257 off 0 csum 0x1 expected csum 0x2",
        "BTRFS error (device sda1): bdev /dev/sda1 errs: wr 1, rd 0, flush 0, corrupt 0, gen 0",
    ],
    "fs_shutdown": [
        "XFS (dm-0): Log I/O Error (0x2) detected at xlog_ioend. Shutting down filesystem.",
        "XFS (dm-3): xfs_do_force_shutdown(0x1) called from line 1292 of file fs/xfs/xfs_log.c",
    ],
    "fs_read_only": ["device-mapper: thin: 253:4: switching pool to read-only mode"],
    "fs_damaged_before": ["EXT4-fs (sda1): error count since last fsck: 12"],
    "nfs_not_responding": [
        "nfs: server 10.0.2.2 not responding, timed out",
        "lockd: server home1 not responding, still trying",
    ],
    "nfs_ok": ["nfs: server 10.0.2.2 OK", "lockd: server home1 OK"],
    "nfs_state_lost": [
        "NFS: nfs4_reclaim_open_state: Lock reclaim failed!",
        "NFS: __nfs4_reclaim_open_state: Lock reclaim failed!",
        "nfs4_reclaim_open_state: Lock reclaim failed!",
        "NFS: nfs4_reclaim_open_state: unhandled error -116",
        "NFS: state manager: check lease failed on NFSv4 server home1 with error 13",
        "NFSv4: state recovery failed for open file data/x, error = -116",
        "NFS: server home1 error: fileid changed",
    ],
    "lustre_evicted": [
        "LustreError: 167-0: s-OST0007-osc-ffff9b3c41a7d000: This client was evicted by s-OST0007; "
        "in progress operations using this service will fail."
    ],
    "lustre_error": [
        "LustreError: 11-0: s-MDT0000-mdc-ffff8881: operation mds_statfs to node 10.9.0.1@o2ib "
        "failed: rc = -107"
    ],
    "lnet_timeout": [
        "LNet: 2345:0:(o2iblnd_cb.c:3364:kiblnd_check_conns()) Timed out RDMA with 10.9.0.17@o2ib "
        "(5): c: 7, oc: 0, rc: 8"
    ],
    "link_down": [
        "e1000: eth0 NIC Link is Down",
        f"e1000e {PCI}.6 eno1: NIC Link is Down",
        f"ice {PCI}.0 ens1f0: NIC Link is Down",
        f"bnxt_en {PCI}.0 eth0: NIC Link is Down",
        f"tg3 {PCI}.0 eth0: Link is down",
        f"hfi1 {PCI}.0: hfi1_0: Link down reason: Unexpected link down",
        "bond0: (slave eth0): link status definitely down, disabling slave",
    ],
    "link_up": [
        f"i40e {PCI}.0 eth0: NIC Link is Up, 25 Gbps Full Duplex, Flow Control: None",
        f"hfi1 {PCI}.0: hfi1_0: logical state changed to PORT_ACTIVE (0x4)",
        "bond0: (slave eth0): link status definitely up, 25000 Mbps full duplex",
    ],
    "nic_cable": [
        f"mlx5_core {PCI}.0: temp_warn:182:(pid 0): High temperature on sensors with bit set 0 1",
    ],
    "nic_health": [
        f"mlx5_core {PCI}.0: poll_health:798:(pid 0): device's health compromised - reached miss "
        "count",
        f"mlx5_core {PCI}.0: print_health_info:431:(pid 0): Health issue observed, firmware "
        "internal error, severity(3) ERROR:",
        f"mlx5_core {PCI}.0: print_health_info:427:(pid 0): assert_var[0] 0x00000c01",
        f"mlx5_core {PCI}.0: print_health_info:444:(pid 0): synd 0x1: firmware internal error",
        f"mlx5_core {PCI}.0: poll_health:803:(pid 0): Fatal error 3 detected",
        f"mlx5_core {PCI}.0: wait_func:1148:(pid 12): CREATE_CQ(0x400) timeout. Will cause a leak "
        "of a command resource",
        f"bnxt_en {PCI}.0 eth0: Firmware fatal reset event received, max_dsecs 10",
        f"i40e {PCI}.0: PF reset failed, -15",
    ],
    "nic_healthy": [
        f"mlx5_core {PCI}.0: mlx5_health_try_recover:340:(pid 9): health recovery succeeded"
    ],
    "transmit_timeout": [
        f"mlx5_core {PCI}.0 ens1f0: NETDEV WATCHDOG: CPU: 3: transmit queue 4 timed out 5060 ms",
        f"mlx5_core {PCI}.0 ens1f0: TX timeout detected",
        f"i40e {PCI}.0 eth0: tx_timeout: VSI_seid: 390, Q 3, NTC: 0x1",
        f"e1000e {PCI}.6 eno1: Detected Hardware Unit Hang:",
    ],
}


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in FAULTS.items() for text in texts]
)
def test_each_form_of_a_message_is_known(kind: str, text: str) -> None:
    assert [message.kind for message in said(text)] == [kind]


@pytest.mark.parametrize(
    "text",
    [
        # start-up
        "mce: CPU0 supports 32 MCE banks",
        "EDAC MC: Ver: 3.0.0",
        "EDAC MC0: Giving out device to module ie31200 controller IE31200: DEV 0000:00:00.0",
        "EDAC ie31200: No ECC support",
        "RAS: Correctable Errors collector initialized.",
        "ERST: Error Record Serialization Table (ERST) support is initialized.",
        "GHES: APEI firmware first mode is enabled by APEI bit and WHEA _OSC.",
        "HEST: Table parsing has been initialized.",
        "pcieport 0000:16:00.0: AER: enabled with IRQ 34",
        "pcieport 0000:16:00.0: DPC: enabled with IRQ 34",
        "pcieport 0000:16:00.0: pciehp: Slot #4 AttnBtn- PwrCtrl- MRL- AttnInd- PwrInd-",
        "acpi PNP0A08:00: _OSC: OS now controls [PCIeHotplug SHPCHotplug PME AER PCIeCapability]",
        "ACPI BIOS Error (bug): Could not resolve symbol [_SB.PCI0], AE_NOT_FOUND (20210730)",
        "ACPI Error: Aborting method _SB._OSC due to previous error (AE_NOT_FOUND)",
        "pci 0000:00:1f.0: BAR 13: failed to assign [io size 0x1000]",
        "ata3: SATA link down (SStatus 0 SControl 300)",
        "ata1: SATA link up 6.0 Gbps (SStatus 133 SControl 300)",
        "ata1.00: configured for UDMA/133",
        "nvme nvme0: missing or invalid SUBNQN field.",
        "nvme nvme0: failed to set APST feature (2)",
        "megaraid_sas 0000:18:00.0: FW now in Ready state",
        "mpt3sas_cm0: log_info(0x31110d00): originator(PL), code(0x11), sub_code(0x0d00)",
        "EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: errors=remount-ro",
        "EXT4-fs (sda1): re-mounted. Opts: errors=remount-ro. Quota mode: none.",
        "EXT4-fs (sda1): error count since last fsck: 0",
        "EXT4-fs warning (device sda1): ext4_dx_add_entry:2516: Directory index full!",
        "BTRFS info (device sda1): bdev /dev/sda1 errs: wr 3, rd 0, flush 0, corrupt 0, gen 0",
        "XFS (sda1): Mounting V5 Filesystem",
        "XFS (sda1): Ending clean mount",
        "md: data-check of RAID array md0",
        "md: md0: recovery done.",
        "md/raid1:md0: active with 2 out of 2 mirrors",
        "tsc: Refined TSC clocksource calibration: 2593.906 MHz",
        "clocksource: Switched to clocksource tsc",
        "Clock: inserting leap second 23:59:60 UTC",
        "clocksource: timekeeping watchdog on CPU3: hpet wd-wd read-back delay of 62us",
        "thermal thermal_zone0: failed to read out thermal zone (-61)",
        "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  570.158.01",
        "nvidia: probe of 0000:3b:00.0 failed with error -1",
        "amdgpu 0000:c1:00.0: amdgpu: 0 uncorrectable hardware errors detected in umc block",
        "mlx5_core 0000:5e:00.0: Port module event: module 0, Cable unplugged",
        "mlx5_core 0000:5e:00.0: print_health_info:427:(pid 0): assert_var[1] 0x00000000",
        "mlx5_core 0000:5e:00.0: mlx5_cmd_out_err:808:(pid 1): REG(0x805) op_mod failed",
        "mlx5_core 0000:5e:00.0: E-Switch: Total vports 2, per vport: max uc(128) max mc(2048)",
        "IPv6: ADDRCONF(NETDEV_CHANGE): ib2: link becomes ready",
        # in service
        "usb 1-14.1: device descriptor read/64, error -71",
        "usb usb1-port3: unable to enumerate USB device",
        "ipmi_si IPI0001:00: The BMC does not support setting the recv irq bit",
        "hid-generic 0003:046B:FF10.0001: usb_submit_urb(ctrl) failed: -1",
        "mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 7: 8c00004000010090",
        "mce: [Hardware Error]: TSC 0 ADDR 12340 MISC 90004000400e8c",
        "mce: [Hardware Error]: PROCESSOR 0:406f1 TIME 1700000000 SOCKET 1 APIC 20 microcode b0",
        "mce: [Hardware Error]: Run the above through 'mcelog --ascii'",
        "[Hardware Error]: Corrected error, no action required.",
        "EDAC sbridge MC1: HANDLING MCE MEMORY ERROR",
        "EDAC sbridge MC1: TSC 0 ",
        "EDAC sbridge MC1: ADDR 9c41a0000 ",
        "EDAC sbridge MC1: PROCESSOR 0:406f1 TIME 1700000000 SOCKET 1 APIC 20",
        "{1}[Hardware Error]:  Error 0, type: corrected",
        "{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 4",
        "Memory failure: 0x12ab: already hardware poisoned",
        "Soft offlining pfn 0x12ab at process virtual address 0x7f0",
        "pcieport 0000:00:1c.0: AER: Corrected error received: id=00e4",
        "pcieport 0000:00:1c.0: AER: Corrected error received: 0000:02:00.0",
        "pcieport 0000:00:1c.0: AER: Uncorrected (Fatal) error received: 0000:02:00.0",
        "pcieport 0000:00:1c.0: AER: device recovery successful",
        "pcieport 0000:00:03.0: aer_inject: Injecting errors 00000001/00000000 into device 0000:01",
        "pcieport 0000:00:03.0: pciehp: Slot(31): Attention button pressed",
        "CPU2: Core power limit notification (total events = 9)",
        "mce: CPU2: Package power limit notification (total events = 9)",
        "CPU2: Package power limit normal",
        "python invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
        "INFO: task python:12 is blocked on a mutex likely owned by task sh:11.",
        "WARNING: CPU: 3 PID: 1 at net/core/dev.c:1 foo+0x1/0x2",
        "WARNING: kernel stack frame pointer at 00000000 in x:1 has bad value",
        "Kernel panic timeout set",
        "sd 0:0:0:0: [sda] Synchronizing SCSI cache",
        "sd 0:0:0:0: [sda] tag#12 Sense Key : Recovered Error [current]",
        "sd 0:0:0:0: [sda] tag#12 Sense Key : Illegal Request [current]",
        "sd 0:0:0:0: [sda] tag#3 FAILED Result: hostbyte=DID_OK driverbyte=DRIVER_OK",
        "ata2.00: failed command: PACKET",
        "blk_update_request: operation not supported error, dev sda, sector 0 op 0x9",
        "blk_update_request: critical target error, dev nvme0n1, sector 0 op 0x3:(DISCARD)",
        "reservation conflict error, dev sdb, sector 0 op 0x1:(WRITE)",
        "blk_update_request: I/O error, dev loop0, sector 2",
        "I/O error, dev sr0, sector 0 op 0x0:(READ)",
        "Buffer I/O error on dev fd0, logical block 0, async page read",
        "pcieport 0000:a9:10.0: pciehp: pciehp_check_link_active: lnk_status = 2044",
        "nfs: RPC call returned error 13",
        "rpcbind: server localhost not responding, timed out",
        "NFS: bad mount option value specified: vers=5",
        "LustreError: 11-0: s-OST0001-osc-ff: operation ost_x to node 1@tcp failed: rc = -2",
        "Lustre: 3121:0:(client.c:2289:ptlrpc_expire_one_request()) @@@ Request sent has timed out",
        "hfi1 0000:5e:00.0: hfi1_0: Link down reason: Host requested link to go offline",
        "x: NIC Link is Down",
        "TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.",
        "neighbour: ndisc_cache: something else",
        "perf: interrupt took too long (2501 > 2500), lowering kernel.perf_event_max_sample_rate",
        "traps: error[12] general protection fault ip:7f sp:7f error:0 in libc.so",
        "Error: Driver 'pcspkr' is already registered, aborting...",
        'audit: type=1400 audit(1700000000.1:2): apparmor="DENIED" operation="open" error=-13',
        "systemd[1]: Failed to start x.service: hardware error",
    ],
)
def test_what_only_looks_like_a_fault_is_silent(text: str) -> None:
    assert [m.kind for m in said(text) if m.kind not in ("machine_check_logged",)] == []


@pytest.mark.parametrize("level", range(8))
def test_the_level_decides_nothing(level: int) -> None:
    head = f"{level},1,1000000,-;"
    assert (
        kernel_log.parse(f"{head}nvidia: module license 'NVIDIA' taints kernel.\n".encode()) == []
    )
    [message] = kernel_log.parse(
        f"{head}nvme nvme4: Disabling device after reset failure: -19".encode()
    )
    assert message.kind == "nvme_disabled"


@pytest.mark.parametrize(
    ("path", "kind", "whose"),
    [
        ("/system.slice/slurmstepd.scope/job_1001/step_0/user/task_0", "oom_job", "1001"),
        ("/slurm/uid_5001/job_77/step_batch", "oom_job", "77"),
        ("/pbs_jobs.service/jobs/12.server", "oom_job", "12.server"),
        ("/lsf/hpc/job.77.1700000000/x", "oom_job", "77.1700000000"),
        ("/kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice", "oom_job", ""),
        ("/system.slice/docker-4f.scope", "oom_job", "docker-4f.scope"),
        ("/user.slice/user-1000.slice/session-3.scope", "oom_job", "session-3.scope"),
        ("/system.slice/slurmd.service", "oom_service", "slurmd.service"),
        (
            "/system.slice/system-getty.slice/getty@tty1.service",
            "oom_service",
            "getty@tty1.service",
        ),
    ],
)
def test_whose_limit_was_reached_stands_in_the_control_group(
    path: str, kind: str, whose: str
) -> None:
    text = (
        f"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0-1,oom_memcg="
        f"{path},task_memcg={path},task=python,pid=441231,uid=5001"
    )
    [message] = said(text, "Memory cgroup out of memory: Killed process 441231 (python)")
    assert (message.kind, message.unit, message.number) == (kind, whose, 441231)
    assert message.detail.startswith(path[:12])


def test_a_target_of_lustre_has_one_name_in_all_its_messages() -> None:
    client = "scratch-OST0007-osc-ffff9b3c41a7d000"
    messages = said(
        f"Lustre: {client}: Connection to scratch-OST0007 (at 10.9.0.17@o2ib) was lost; in",
        f"LustreError: 167-0: {client}: This client was evicted by scratch-OST0007; in progress",
        f"Lustre: {client}: Connection restored to 10.9.0.17@o2ib (at 10.9.0.17@o2ib)",
        "Lustre: MGC10.9.0.1@o2ib: Connection to MGS (at 10.9.0.1@o2ib) was lost; in progress",
    )
    assert [m.device for m in messages] == ["scratch-OST0007"] * 3 + ["MGC10.9.0.1@o2ib"]


def test_a_package_that_is_hot_is_one_thing_however_many_processors_say_so() -> None:
    texts = [
        f"mce: CPU{n}: Package temperature above threshold, cpu clock throttled (total events = 3)"
        for n in range(32)
    ]
    assert [(m.device, m.count_in_day) for m in said(*texts)] == [("Package", 1)]


def test_a_reset_of_a_drive_is_one_event_however_many_requests_waited() -> None:
    texts = [f"nvme nvme1: I/O {n} QID 6 timeout, aborting" for n in range(30)]
    ready = "nvme nvme1: 32/0/0 default/read/poll queues"
    kinds = [m.kind for m in said(*texts, ready, *texts, ready)]
    assert kinds == ["nvme_timeout", "nvme_ready"] * 2


def test_a_bond_and_its_slaves_driver_tell_of_one_drop() -> None:
    messages = said(
        f"ice {PCI}.0 eth0: NIC Link is Down",
        "bond0: (slave eth0): link status definitely down, disabling slave",
    )
    assert [(m.kind, m.device) for m in messages] == [("link_down", "eth0")]


def test_several_corrected_errors_in_one_message_count_as_more_than_one() -> None:
    messages = said(
        f"pcieport 0000:00:1c.0: AER: Multiple Corrected error received: {PCI}.0",
        f"nvme {PCI}.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)",
    )
    assert [(m.pci_address, m.count_in_day) for m in messages] == [(PCI, 1), (PCI, 2)]


@pytest.mark.parametrize(
    "unit", ["TLW_RX/TLW_RX_PIPE0", "NETIR/NETIR_INT", "NETIR_LINK_EVT/NETIR_LINK_DOWN"]
)
def test_a_unit_of_nvlink_5_may_have_two_names(unit: str) -> None:
    [message] = said(f"NVRM: Xid (PCI:{PCI}): 149, {unit} Fatal XC0 i0 Link 00 (0x18 0x0)")
    assert (message.unit, message.severity, message.number) == (unit, "fatal", 0)


@pytest.mark.real
def test_the_kernel_tells_which_job_reached_its_limit(as_root: None) -> None:
    memory = Path("/sys/fs/cgroup/memory")
    if not (memory / "memory.limit_in_bytes").exists():
        pytest.skip("needs the memory controller of cgroup v1")
    job = memory / f"slurm_test/uid_0/job_{os.getpid()}"
    job.mkdir(parents=True)
    stream = kernel_log.open(Host.this_machine())
    try:
        (job / "memory.limit_in_bytes").write_text(str(32 << 20))
        greedy = f"echo $$ > {job}/cgroup.procs; exec {sys.executable} -c 'bytearray(200 << 20)'"
        subprocess.run(["sh", "-c", greedy], timeout=30, check=False)

        def heard() -> list[Message]:
            return [m for m in stream.read().readings if m.unit == str(os.getpid())]

        [message] = wait_for("the kernel to say so", heard)
        assert (message.kind, message.facility) == ("oom_job", 0)
    finally:
        stream.close()
        for folder in (job, job.parent, job.parent.parent):
            folder.rmdir()
