import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import filesystem_latency, mounts
from hpcdoctor.probes.filesystem_latency import FilesystemLatency, Round, look, percentile
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.mount_table import Entry
from tests.doubles.fuse import FuseMount, needs_fuse

TABLE = """
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:40 / /home rw,relatime - nfs4 server:/home rw,hard
31 27 0:41 / /apps rw,relatime - autofs systemd-1 rw
32 27 0:42 / /work rw,nosuid - fuse.sshfs eve@far: rw,user_id=1000
34 27 0:44 / /other rw - nfs4 server:/other rw
"""
FSTAB = """
server:/home /home nfs4 defaults
server:/apps /apps nfs4 x-systemd.automount
x            /work fuse.sshfs user
server:/gone /gone nfs4 defaults
"""


def entry_of(folder: Path, options: str = "rw") -> Entry:
    return Entry(0, "0:0", "/", str(folder), [options], "ext4", "none", [options])


@pytest.fixture
def unmounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a plain folder pass for a mount."""
    monkeypatch.setattr(filesystem_latency, "read_mount_id", lambda _descriptor: None)


def look_at(folder: Path, options: str = "rw") -> Round:
    done = Round(first=True)
    host = Host(Path("/"), live=True, clock=Host.this_machine().clock)
    look(host, entry_of(folder, options), done)
    return done


def test_only_named_mounts_are_touched_and_never_a_users_own_or_an_automount(
    tmp_path: Path,
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(TABLE)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text(FSTAB)
    host = Host(tmp_path, live=True, clock=Host.this_machine().clock)
    assert filesystem_latency.subjects(host) == ["/", "/home"]
    host.extra_mounts = ["/other"]
    assert filesystem_latency.subjects(host) == ["/", "/home", "/other"]


def test_a_recorded_machine_is_not_timed(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="recorded"):
        filesystem_latency.subjects(Host.recorded(tmp_path))


@pytest.mark.usefixtures("unmounted")
def test_a_round_times_each_step_and_leaves_only_its_folder(tmp_path: Path) -> None:
    done = look_at(tmp_path)
    assert set(done.seconds) >= {"create", "write", "fsync", "rename", "stat", "unlink"}
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith(".hpcdoctor-")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("unmounted")
def test_nothing_is_written_where_the_mount_is_read_only(tmp_path: Path) -> None:
    done = look_at(tmp_path, "ro")
    assert set(done.seconds) == {"open", "statvfs", "readdir"}
    assert done.refuses_writes is None
    assert done.why_not_written == "it is mounted read-only"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("unmounted")
def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    look_at(tmp_path)
    (folder,) = tmp_path.iterdir()
    folder.chmod(0o777)
    done = look_at(tmp_path)
    assert "create" not in done.seconds
    assert "not a folder of ours alone" in done.why_not_written
    assert done.error is None


@pytest.mark.usefixtures("unmounted")
def test_a_link_in_place_of_our_folder_is_not_followed(tmp_path: Path) -> None:
    mount, elsewhere = tmp_path / "mount", tmp_path / "elsewhere"
    mount.mkdir()
    elsewhere.mkdir(mode=0o700)
    look_at(mount)
    (folder,) = mount.iterdir()
    folder.rmdir()
    folder.symlink_to(elsewhere)
    done = look_at(mount)
    assert "create" not in done.seconds
    assert "cannot be used" in done.why_not_written
    assert list(elsewhere.iterdir()) == []


@pytest.mark.usefixtures("unmounted")
def test_what_a_killed_child_left_behind_is_swept_and_a_living_one_s_stays(tmp_path: Path) -> None:
    look_at(tmp_path)
    (folder,) = tmp_path.iterdir()
    (folder / f"round-{2**22 + 1}").write_text("left behind")
    (folder / f"round-{os.getppid()}").write_text("in use")
    look_at(tmp_path)
    assert [path.name for path in folder.iterdir()] == [f"round-{os.getppid()}"]


def test_a_mount_that_has_gone_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="not mounted any more"):
        look_at(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("unmounted")
def test_an_error_is_a_value_with_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(os, "fsync", fail)
    done = Round(first=True)
    host = Host.this_machine()
    with pytest.raises(OSError, match="Stale"):
        look(host, entry_of(tmp_path), done)
    assert done.error == "fsync: ESTALE (Stale file handle)"
    (folder,) = tmp_path.iterdir()
    assert list(folder.iterdir()) == []


def test_a_percentile_is_a_sample_that_was_seen() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.95) == 3.0
    hundred = [float(number) for number in range(1, 101)]
    assert percentile(hundred, 0.5) == 50.0
    assert percentile(hundred, 0.95) == 95.0


@pytest.mark.usefixtures("unmounted")
def test_where_nothing_may_be_written_the_first_plain_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "empty").touch()
    assert "read" not in look_at(tmp_path, "ro").seconds
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    assert "read" in look_at(tmp_path, "ro").seconds


@pytest.mark.usefixtures("unmounted")
def test_a_file_that_only_an_archive_holds_is_not_fetched(tmp_path: Path) -> None:
    with (tmp_path / "on-tape").open("wb") as file:
        file.truncate(1 << 20)  # a size and no blocks, as a released file has
    assert "read" not in look_at(tmp_path, "ro").seconds


@pytest.mark.usefixtures("unmounted")
def test_what_is_read_back_has_to_be_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem_latency, "read_uncached", lambda _folder, _name: b"zeros")
    done = Round(first=True)
    with pytest.raises(OSError, match="other data"):
        look(Host.this_machine(), entry_of(tmp_path), done)
    assert done.error_code == "EIO"
    assert done.error == "read: EIO (it gave back other data than had been written)"


@pytest.mark.usefixtures("unmounted")
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_refusal_is_no_error_and_only_read_only_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(os, "mkdir", refuse)
    done = look_at(tmp_path)
    assert (done.error, done.error_code) == (None, "")
    assert "cannot be used" in done.why_not_written
    assert done.refuses_writes is (True if number == errno.EROFS else None)


def test_each_step_has_its_percentiles() -> None:
    history = [{"fsync": number / 1000, "open": 0.0001} for number in range(1, 101)]
    assert list(filesystem_latency.percentile_texts(history)) == [
        "open 0.1 / 0.1 / 0.1 / 0.1 ms",
        "fsync 50.0 / 95.0 / 99.0 / 100.0 ms",
    ]


def test_nodes_do_not_all_look_in_the_same_moment() -> None:
    spread = [filesystem_latency.spread_of(f"node{number:04}") for number in range(1000)]
    assert all(0 <= each < 1 for each in spread)
    assert all(50 < sum(low <= 10 * each < low + 1 for each in spread) < 150 for low in range(10))


def read_mount(mount: FuseMount, host: Host) -> FilesystemLatency:
    (seen,) = filesystem_latency.read(host, str(mount.mount_point))
    return seen


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first look of a child begin at once."""
    monkeypatch.setattr(filesystem_latency, "FIRST_LOOK_SPREAD_SECONDS", 0.0)


@pytest.mark.real
@needs_fuse
@pytest.mark.usefixtures("still")
def test_a_real_file_system_is_timed_slow_and_broken(tmp_path: Path) -> None:
    host = Host.this_machine()
    with FuseMount(tmp_path) as mount:
        host.extra_mounts = [str(mount.mount_point)]
        good = read_mount(mount, host)
        assert good.wrote
        assert good.network
        assert (good.error, good.error_code, good.refuses_writes) == (None, "", False)
        assert good.size_bytes is not None
        assert good.size_bytes > 0
        mount.set("slow:0.05")
        slow = read_mount(mount, host)
        for seconds in (slow.fsync_seconds, slow.read_seconds, slow.metadata_seconds):
            assert seconds is not None
            assert seconds >= 0.05
        assert slow.looks == 2
        mount.set("eio")
        broken = read_mount(mount, host)
        assert broken.error_code == "EIO"
        assert not broken.wrote
        mount.set("ok")
        assert read_mount(mount, host).wrote


@pytest.mark.real
@needs_fuse
@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("step_seconds", [0.3, 1.0])
def test_what_is_very_slow_is_not_taken_for_what_hangs(tmp_path: Path, step_seconds: float) -> None:
    host = Host.this_machine()
    with FuseMount(tmp_path) as mount:
        host.extra_mounts = [str(mount.mount_point)]
        mount.set(f"slow:{step_seconds}")
        start = time.monotonic()
        seen = read_mount(mount, host)
        assert time.monotonic() - start < 4.0, "well before anybody calls it stuck"
        assert seen.metadata_seconds is not None
        assert seen.metadata_seconds >= step_seconds
        assert (seen.error, seen.wrote) == (None, False)
        assert seen.why_not_written == "it was too slow to go on"
        mount.set("ok")
        assert read_mount(mount, host).wrote
        (folder,) = mount.mount_point.iterdir()
        assert list(folder.iterdir()) == []


@pytest.mark.real
@needs_fuse
@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("code", ["ESTALE", "ENOSPC", "EDQUOT"])
def test_a_real_error_keeps_its_name(tmp_path: Path, code: str) -> None:
    host = Host.this_machine()
    with FuseMount(tmp_path) as mount:
        host.extra_mounts = [str(mount.mount_point)]
        read_mount(mount, host)
        mount.set(code.lower())
        seen = read_mount(mount, host)
        assert (seen.error_code, seen.wrote) == (code, False)
        mount.set("ok")
        assert read_mount(mount, host).wrote


@pytest.mark.real
@needs_fuse
@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(("word", "refuses"), [("erofs", True), ("eacces", None)])
def test_a_real_refusal_is_told_and_no_error(
    tmp_path: Path, word: str, refuses: bool | None
) -> None:
    host = Host.this_machine()
    with FuseMount(tmp_path) as mount:
        host.extra_mounts = [str(mount.mount_point)]
        mount.set(word)
        seen = read_mount(mount, host)
        assert (seen.error, seen.wrote, seen.refuses_writes) == (None, False, refuses)
        assert seen.why_not_written


@pytest.fixture
def small_disk(tmp_path: Path, as_root: None) -> Iterator[Path]:
    """Mount a real ext4 of 16 MB and 64 inodes by a loop device."""
    image, mount_point = tmp_path / "image", tmp_path / "small"
    mount_point.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-N", "64", "-m", "0", image], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, mount_point], check=False)
    if mounted.returncode:
        pytest.skip("no loop device can be mounted here")
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "-l", mount_point], check=True)


def look_at_disk(folder: Path) -> FilesystemLatency:
    host = Host.this_machine()
    host.extra_mounts = [str(folder)]
    (seen,) = filesystem_latency.read(host, str(folder))
    return seen


@pytest.mark.real
def test_a_real_disk_that_is_full_says_so(small_disk: Path) -> None:
    good = look_at_disk(small_disk)
    assert (good.wrote, good.network, good.medium != "") == (True, False, True)
    for size in (1 << 16, 1 << 10):
        with contextlib.suppress(OSError), (small_disk / f"fill-{size}").open("wb", 0) as file:
            while file.write(b"x" * size) == size:
                pass
    full = look_at_disk(small_disk)
    assert full.free_bytes is not None
    assert full.size_bytes is not None
    assert full.free_bytes < 0.03 * full.size_bytes
    assert full.error_code == "ENOSPC"


@pytest.mark.real
def test_a_real_disk_without_inodes_says_so(small_disk: Path) -> None:
    with contextlib.suppress(OSError):
        for number in range(100):
            (small_disk / str(number)).touch()
    seen = look_at_disk(small_disk)
    assert seen.files_free == 0
    assert seen.files_total is not None
    assert seen.error_code == "ENOSPC"


@pytest.mark.real
def test_a_real_disk_that_the_kernel_took_out_of_use_after_an_error_says_so(
    small_disk: Path,
) -> None:
    host = Host.this_machine()
    host.extra_mounts = [str(small_disk)]
    assert look_at_disk(small_disk).refuses_writes is False
    mount = next(each for each in mounts.read(host) if each.mount_point == str(small_disk))
    assert (mount.turned_read_only, mount.read_only) == (False, False)
    subprocess.run(["mount", "-o", "remount,errors=remount-ro", small_disk], check=True)
    trigger = Path("/sys/fs/ext4", Path(mount.source).name, "trigger_fs_error")
    trigger.write_text("an error for a test\n")
    mount = next(each for each in mounts.read(host) if each.mount_point == str(small_disk))
    assert (mount.turned_read_only, mount.read_only) == (True, True)
    assert look_at_disk(small_disk).why_not_written == "it is mounted read-only"
