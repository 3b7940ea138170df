import os
from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import filesystem_latency
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


def read_mount(mount: FuseMount, host: Host) -> FilesystemLatency:
    (seen,) = filesystem_latency.read(host, str(mount.mount_point))
    return seen


@pytest.mark.real
@needs_fuse
def test_a_real_file_system_is_timed_slow_and_broken(tmp_path: Path) -> None:
    host = Host.this_machine()
    with FuseMount(tmp_path) as mount:
        host.extra_mounts = [str(mount.mount_point)]
        good = read_mount(mount, host)
        assert good.wrote
        assert good.error is None
        assert good.size_bytes is not None
        assert good.size_bytes > 0
        mount.set("slow:0.05")
        slow = read_mount(mount, host)
        assert slow.fsync_seconds is not None
        assert slow.fsync_seconds >= 0.05
        assert slow.metadata_seconds is not None
        assert slow.metadata_seconds >= 0.05
        assert slow.looks == 2
        mount.set("eio")
        broken = read_mount(mount, host)
        assert broken.error is not None
        assert "EIO" in broken.error
        assert not broken.wrote
        mount.set("ok")
        assert read_mount(mount, host).wrote
