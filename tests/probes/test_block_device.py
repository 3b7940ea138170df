import subprocess
import time
from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import block_device
from hpcdoctor.probes.block_device import BlockDevice
from hpcdoctor.probes.disk_kind import kind_of, name_of
from hpcdoctor.probes.host import Host
from tests.doubles.fuse import FuseMount, needs_fuse
from tests.doubles.machines import host_of, written

OLD_STAT = "  100 0 800 2000   50 0 400 9000   3 1500 11000\n"
NEW_STAT = OLD_STAT.rstrip() + " 7 0 56 70 9 450\n"


def test_a_disk_is_read_with_its_waits(tmp_path: Path) -> None:
    disk = "sys/block/sda"
    files: dict[str, str | bytes] = {
        f"{disk}/stat": NEW_STAT,
        f"{disk}/inflight": "       2        1\n",
        f"{disk}/size": "2048\n",
        f"{disk}/ro": "0\n",
        f"{disk}/device/state": "running\n",
        f"{disk}/device/model": "Made Disk 2     \n",
    }
    (seen,) = block_device.read(host_of(written(tmp_path, files)))
    assert (seen.device, seen.name, seen.model) == ("sda", "sda", "Made Disk 2")
    assert (seen.size_bytes, seen.read_only, seen.state) == (1 << 20, False, "running")
    assert (seen.reads_total, seen.read_wait_seconds_total) == (100, 2.0)
    assert (seen.writes_total, seen.write_wait_seconds_total) == (50, 9.0)
    assert (seen.flushes_total, seen.flush_wait_seconds_total) == (9, 0.45)
    assert (seen.completed_total, seen.busy_seconds_total, seen.in_flight) == (166, 1.5, 3)


def test_an_old_kernel_has_fewer_columns(tmp_path: Path) -> None:
    (seen,) = block_device.read(host_of(written(tmp_path, {"sys/block/sda/stat": OLD_STAT})))
    assert (seen.completed_total, seen.in_flight) == (150, 3)
    assert (seen.flushes_total, seen.flush_wait_seconds_total) == (None, None)


def test_what_says_nothing_is_none_and_not_zero(tmp_path: Path) -> None:
    (seen,) = block_device.read(host_of(written(tmp_path, {"sys/block/sda/stat": "what\n"})))
    assert (seen.reads_total, seen.completed_total, seen.in_flight) == (None, None, None)
    assert (seen.state, seen.size_bytes, seen.read_only) == ("", None, None)


def test_loops_and_memory_are_no_disks(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        f"sys/block/{name}/stat": OLD_STAT for name in ("loop0", "zram0", "ram12", "sr0", "nbd0")
    }
    host = host_of(written(tmp_path, files))
    assert [seen.device for seen in block_device.read(host)] == ["nbd0"]
    with pytest.raises(Absent, match="no block device"):
        block_device.read(host_of(tmp_path / "nothing"))


def machine_with_layers(tmp_path: Path) -> Path:
    """Return a machine with an NVMe drive, a disk that turns, and three layers on them."""
    files: dict[str, str | bytes] = {
        "sys/class/block/nvme0n1/queue/rotational": "0\n",
        "sys/class/block/sda/queue/rotational": "1\n",
        "sys/class/block/sdb/queue/rotational": "0\n",
        "sys/class/block/dm-0/slaves/nvme0n1/size": "1\n",
        "sys/class/block/dm-0/dm/name": "fast\n",
        "sys/class/block/dm-1/slaves/dm-0/size": "1\n",
        "sys/class/block/md0/slaves/sda/size": "1\n",
        "sys/class/block/md0/slaves/nvme0n1/size": "1\n",
    }
    written(tmp_path, files)
    block = tmp_path / "sys/block"
    block.symlink_to("class/block")
    return tmp_path


def test_a_layer_is_as_slow_as_the_slowest_below_it(tmp_path: Path) -> None:
    root = machine_with_layers(tmp_path)
    names = ["nvme0n1", "sda", "sdb", "dm-0", "dm-1", "md0", "unknown"]
    assert [kind_of(root, name) for name in names] == [
        *("nvme", "turning", "ssd", "nvme", "nvme", "turning", ""),
    ]
    seen = {each.device: each for each in block_device.read(host_of(root))}
    assert (seen["dm-0"].name, seen["dm-0"].beneath) == ("fast", "nvme0n1")
    assert (seen["md0"].beneath, seen["sda"].beneath) == ("", "")


def test_layers_in_a_circle_end(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "sys/class/block/dm-0/slaves/dm-1/size": "1\n",
        "sys/class/block/dm-1/slaves/dm-0/size": "1\n",
    }
    assert kind_of(written(tmp_path, files), "dm-0") == ""


def test_a_number_of_mountinfo_becomes_a_name(tmp_path: Path) -> None:
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/8:1").symlink_to("../../devices/x/block/sda/sda1")
    assert name_of(tmp_path, "8:1") == "sda1"
    assert name_of(tmp_path, "0:40") == name_of(tmp_path, "8:2") == ""


def loop_over(file: Path) -> str:
    made = subprocess.run(
        ["losetup", "--find", "--show", "--direct-io=on", file],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no loop device can be made here: {made.stderr}")
    return made.stdout.strip()


def read_disk(name: str) -> BlockDevice:
    return next(seen for seen in block_device.read(Host.this_machine()) if seen.device == name)


@pytest.mark.real
@needs_fuse
def test_a_real_disk_that_is_slow_and_then_answers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_device, "LEFT_OUT", ())
    with FuseMount(tmp_path) as mount:
        with (mount.mount_point / "image").open("wb") as file:
            file.truncate(4 << 20)
        device = loop_over(mount.mount_point / "image")
        name = Path(device).name
        look = ["dd", f"if={device}", "of=/dev/null", "bs=4k", "iflag=direct", "status=none"]
        waiting = None
        try:
            subprocess.run([*look, "count=4"], check=True)
            good = read_disk(name)
            mount.set("slow:0.15")
            subprocess.run([*look, "count=4"], check=True)
            slow = read_disk(name)
            assert slow.reads_total is not None
            assert good.reads_total is not None
            assert slow.read_wait_seconds_total is not None
            assert good.read_wait_seconds_total is not None
            reads = slow.reads_total - good.reads_total
            assert reads == 4
            assert (slow.read_wait_seconds_total - good.read_wait_seconds_total) / reads > 0.1
            mount.set("hang")
            waiting = subprocess.Popen([*look, "count=1", "skip=100"])
            time.sleep(0.5)
            first = read_disk(name)
            time.sleep(0.5)
            stuck = read_disk(name)
            assert (first.in_flight, stuck.in_flight) == (1, 1)
            assert stuck.completed_total == first.completed_total == slow.completed_total
        finally:
            mount.set("ok")
            if waiting is not None:
                waiting.wait(10)
            subprocess.run(["losetup", "--detach", device], check=True)
