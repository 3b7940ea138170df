"""Are recordings of storage that nobody made for us read without a crash, and read right?"""

import itertools
import subprocess
from pathlib import Path

import msgspec
import pytest

from hpcdoctor.checks.compiled import compile_check
from hpcdoctor.checks.judge import Judge
from hpcdoctor.definitions.loader import load_definitions
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, Look, ReadStatus
from hpcdoctor.probes import block_device, lustre, lustre_client, mounts, nfs, registry
from hpcdoctor.probes import nvme as nvme_probe
from hpcdoctor.probes import software_raid as raid
from hpcdoctor.probes.host import Host

PLAIN = ["block_device", "lustre", "lustre_client", "mounts", "nfs", "nvme", "software_raid"]


@pytest.fixture(scope="module")
def nodes(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the recordings that have storage in them, unpacked."""
    folder = tmp_path_factory.mktemp("shared-storage")
    for name in ("lustre-2.10", "mixed-procfs", "power9-v100", "xe9680-h100-host"):
        archive = shared / "nodes" / f"{name}.tar.gz"
        subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True)
    return folder


def opened(root: Path) -> dict[str, str]:
    """Return what all checks of these probes open over two looks: finding, verdict."""
    definitions = load_definitions()
    catalogs = {name: defined.value for name, defined in definitions.catalogs.items()}
    checks = {
        name: compile_check(defined, registry.find(defined.value.probe), catalogs)
        for name, defined in definitions.checks.items()
        if defined.value.probe in PLAIN
    }
    judge = Judge(checks, {}, patient=False)
    for number, name in itertools.product(range(2), PLAIN):
        try:
            readings = registry.find(name).read(Host.recorded(root))
        except Absent:
            continue
        taken = Instant("boot", 10_000.0 + 60 * number, 1e9 + 60 * number)
        values = [msgspec.to_builtins(reading) for reading in readings]
        judge.judge(Look(name, ReadStatus.READ, taken, None, values))
    return {key: finding.verdict.value for key, finding in judge.findings.items()}


def test_no_storage_that_worked_when_recorded_is_found_wrong(nodes: Path) -> None:
    wrong = {root.name: opened(root) for root in sorted(nodes.iterdir())}
    gallery = wrong.pop("mixed-procfs")
    assert {name: findings for name, findings in wrong.items() if findings} == {}
    # A gallery of many machines, with a disk that was offline and two arrays short of a member.
    assert gallery == {
        "disk-offline[device=sdc]": "critical",
        "software-raid-degraded[array=md5]": "warning",
        "software-raid-degraded[array=md6]": "warning",
    }


def test_the_mounts_of_a_kubernetes_host_are_read(nodes: Path) -> None:
    root = nodes / "xe9680-h100-host"
    (table,) = root.rglob("mountinfo")
    seen = {mount.mount_point: mount for mount in mounts.read(host_with_table(root, table))}
    assert "/" in seen
    assert not any(mount.turned_read_only for mount in seen.values())
    assert not any(mount.type.startswith(("overlay", "fuse.lxcfs")) for mount in seen.values())


def host_with_table(root: Path, table: Path) -> Host:
    place = root / "proc/1/mountinfo"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(table.read_bytes())
    return Host.recorded(root)


def test_the_targets_of_a_lustre_client_are_those_of_the_client(nodes: Path) -> None:
    host = Host.recorded(nodes / "lustre-2.10")
    targets = {target.target: target for target in lustre.read(host)}
    assert len(targets) == 9
    assert all(target.connected for target in targets.values())
    busy = targets["lustrefs-OST0000"]
    assert busy.average_wait_seconds == pytest.approx(0.006054)
    assert busy.sibling_wait_seconds == pytest.approx(0.000336)
    assert busy.requests_total == 18215581
    (client,) = lustre_client.read(host)
    assert (client.healthy, client.lnet_catastrophe, client.lnet_dropped_total) == (True, False, 0)


def test_a_real_nfs_client_s_wrapped_numbers_are_left_out(nodes: Path) -> None:
    (mount,) = nfs.read(Host.recorded(nodes / "mixed-procfs"))
    assert (mount.server, mount.version, mount.hard) == ("192.168.1.1", "4.0", True)
    assert mount.queue_seconds_total == pytest.approx(0.006)
    assert mount.retransmissions_total == 0
    assert (mount.read_total, mount.metadata_total) == (1298, 2927395007)


def test_disks_arrays_and_drives_of_the_gallery_are_read(nodes: Path) -> None:
    host = Host.recorded(nodes / "mixed-procfs")
    disks = {disk.device: disk for disk in block_device.read(host)}
    assert (disks["sda"].reads_total, disks["sdc"].state) == (9652963, "offline")
    assert (disks["dm-1"].name, disks["dm-1"].completed_total) == ("mpathA", 1802457)
    arrays = {array.array: array for array in raid.read(host)}
    assert (arrays["md5"].faulty, arrays["md5"].degraded) == (["sdp"], 1)
    assert (arrays["md7"].level, arrays["md7"].redundant) == ("container", False)
    (drive,) = nvme_probe.read(host)
    assert (drive.state, drive.model) == ("live", "Samsung SSD 970 PRO 512GB")
