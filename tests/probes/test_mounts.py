from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import mounts
from hpcdoctor.probes.host import Host

TABLE = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
28 27 254:1 / /local rw,relatime - ext4 /dev/vdb ro,errors=remount-ro
29 27 254:1 / /bind rw,relatime - ext4 /dev/vdb ro,errors=remount-ro
30 27 0:40 / /home rw,relatime - nfs4 server:/home rw,hard
31 27 0:41 / /apps rw,relatime - autofs systemd-1 rw,fd=40
32 27 0:42 / /home/eve/x rw,nosuid - fuse.sshfs eve@far: rw,user_id=1000
33 27 0:43 / /run rw - tmpfs tmpfs rw
"""
FSTAB = """
server:/home     /home     nfs4   defaults
server:/scratch  /scratch  nfs4   ro
/dev/vdb         /local    ext4   defaults
server:/apps     /apps     nfs4   x-systemd.automount
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "proc/1/mountinfo").write_text(TABLE)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text(FSTAB)
    return Host.recorded(tmp_path)


def by_point(host: Host) -> dict[str, mounts.Mount]:
    return {mount.mount_point: mount for mount in mounts.read(host)}


def test_only_file_systems_of_their_own_are_told(host: Host) -> None:
    assert list(by_point(host)) == ["/", "/home", "/local", "/scratch"]


def test_an_expected_mount_that_is_missing_is_told_as_missing(host: Host) -> None:
    scratch = by_point(host)["/scratch"]
    assert (scratch.mounted, scratch.expected_by) == (False, "fstab")
    assert scratch.source == "server:/scratch"
    assert scratch.read_only is None


def test_a_mount_says_who_expects_it_and_whether_it_hangs_on_a_network(host: Host) -> None:
    seen = by_point(host)
    assert (seen["/home"].expected_by, seen["/home"].network) == ("fstab", True)
    assert (seen["/"].expected_by, seen["/"].network) == ("", False)


def test_a_file_system_that_turned_read_only_is_told_apart(host: Host) -> None:
    seen = by_point(host)
    assert (seen["/local"].read_only, seen["/local"].turned_read_only) == (True, True)
    assert (seen["/"].read_only, seen["/"].turned_read_only) == (False, False)


def test_newer_kernels_say_it_by_a_word_more(host: Host) -> None:
    table = host.root / "proc/1/mountinfo"
    table.write_text(TABLE.replace("ro,errors=remount-ro", "rw,errors=remount-ro,emergency_ro"))
    seen = by_point(host)
    assert (seen["/local"].read_only, seen["/local"].turned_read_only) == (True, True)


def test_what_fstab_has_for_writing_and_came_up_read_only_is_told(host: Host) -> None:
    table = host.root / "proc/1/mountinfo"
    table.write_text(TABLE.replace("/local rw,relatime", "/local ro,relatime"))
    assert by_point(host)["/local"].turned_read_only is True
    fstab = host.root / "etc/fstab"
    fstab.write_text(FSTAB.replace("/local    ext4   defaults", "/local    ext4   ro,noatime"))
    assert by_point(host)["/local"].turned_read_only is False


def test_a_mount_from_another_server_is_told(host: Host) -> None:
    assert by_point(host)["/home"].other_source is False
    assert by_point(host)["/local"].other_source is False
    table = host.root / "proc/1/mountinfo"
    table.write_text(TABLE.replace("server:/home", "other:/home"))
    home = by_point(host)["/home"]
    assert (home.other_source, home.wanted_source) == (True, "server:/home")


def test_only_an_automount_where_the_profile_wants_a_mount_is_missing(host: Host) -> None:
    host.extra_mounts = ["/apps"]
    apps = by_point(host)["/apps"]
    assert (apps.mounted, apps.expected_by) == (False, "profile")


def test_the_prober_s_own_table_serves_where_init_s_cannot_be_read(host: Host) -> None:
    (host.root / "proc/self").mkdir()
    (host.root / "proc/1/mountinfo").rename(host.root / "proc/self/mountinfo")
    assert "/home" in by_point(host)


def test_no_table_is_unavailable_not_empty(tmp_path: Path) -> None:
    here = Host(tmp_path, live=True, clock=Host.recorded(tmp_path).clock)
    with pytest.raises(Unavailable, match="mountinfo"):
        mounts.read(here)


def test_a_recording_without_a_table_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no mount table"):
        mounts.read(Host.recorded(tmp_path))
