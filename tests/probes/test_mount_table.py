from pathlib import Path

from hpcdoctor.probes.host import Host
from hpcdoctor.probes.mount_table import (
    on_top,
    parse_fstab,
    parse_mountinfo,
    parse_unit,
    read_wanted,
    unescape,
)

ROOT = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard"
NFS = "50 27 0:45 / /home rw,relatime - nfs4 server:/home rw,vers=4.2,hard"


def test_escapes_of_any_alphabet_are_undone() -> None:
    assert unescape(r"/mnt/two\040words\134x") == r"/mnt/two words\x"
    assert unescape(r"/mnt/\303\251t\303\251") == "/mnt/été"
    assert unescape(r"/mnt/日本\040x") == "/mnt/日本 x"


def test_the_optional_fields_are_of_any_number() -> None:
    plain, tagged = parse_mountinfo(NFS + "\n" + ROOT + "\nnonsense\n - \n")
    assert (plain.mount_id, plain.type, plain.source) == (50, "nfs4", "server:/home")
    assert tagged.super_options == ["rw", "discard"]


def test_a_file_system_that_turned_read_only_beneath_its_mount_is_read_only() -> None:
    (entry,) = parse_mountinfo(ROOT.replace("rw,discard", "ro,discard"))
    assert entry.options[0] == "rw"
    assert entry.read_only


def test_only_the_upper_of_two_mounts_on_one_point_is_seen() -> None:
    above = NFS.replace("50 27", "60 50").replace("nfs4 server:/home", "fuse.sshfs x:")
    assert on_top(parse_mountinfo(NFS + "\n" + above))["/home"].type == "fuse.sshfs"


def test_a_fuse_mount_belongs_to_the_user_who_made_it() -> None:
    line = "70 27 0:60 / /home/eve/x rw,nosuid - fuse.sshfs eve@far: rw,user_id={},group_id=0"
    assert parse_mountinfo(line.format(1000))[0].a_users_own
    assert not parse_mountinfo(line.format(0))[0].a_users_own
    assert not parse_mountinfo(NFS)[0].a_users_own


FSTAB = r"""
# a comment
server:/home  /home          nfs4  defaults,hard        0 0
/dev/sdb1     /local\040disk  xfs   defaults,nofail
server:/apps  /apps/         nfs   x-systemd.automount
/dev/sdc1     /mnt           ext4  noauto
/dev/sdd1     none           swap  sw
tmpfs         /tmp           tmpfs size=1g
broken line
"""


def test_fstab_says_what_is_mounted_at_boot() -> None:
    wanted = {mount.mount_point: mount.at_boot for mount in parse_fstab(FSTAB)}
    assert wanted == {"/home": True, "/local disk": True, "/apps": False, "/mnt": False}


def test_a_mount_unit_says_where() -> None:
    unit = "[Unit]\nWhere=/wrong\n[Mount]\n# Where=/no\nWhat=s:/x\nWhere = /scratch\nType=lustre\n"
    mount = parse_unit(unit, at_boot=True)
    assert mount is not None
    assert (mount.mount_point, mount.source, mount.type) == ("/scratch", "s:/x", "lustre")
    assert parse_unit("[Mount]\nWhere=/dev/hugepages\nType=hugetlbfs\n", at_boot=True) is None
    assert parse_unit("", at_boot=True) is None


def test_a_unit_is_expected_where_something_pulls_it_in(tmp_path: Path) -> None:
    units = tmp_path / "etc/systemd/system"
    (units / "remote-fs.target.wants").mkdir(parents=True)
    for name in ("scratch", "idle"):
        (units / f"{name}.mount").write_text(f"[Mount]\nWhat=s:/{name}\nWhere=/{name}\n")
    (units / "remote-fs.target.wants/scratch.mount").symlink_to("../scratch.mount")
    wanted = read_wanted(Host.recorded(tmp_path))
    assert {mount.mount_point: mount.at_boot for mount in wanted.values()} == {
        "/scratch": True,
        "/idle": False,
    }


def test_the_profile_has_the_last_word_and_keeps_what_fstab_knows(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text(FSTAB)
    host = Host.recorded(tmp_path)
    host.extra_mounts = ["/mnt", "/projects"]
    wanted = read_wanted(host)
    assert wanted["/mnt"].by == "profile"
    assert wanted["/mnt"].type == "ext4"
    assert wanted["/projects"].at_boot
    assert wanted["/home"].by == "fstab"


def test_fuse_of_root_is_a_network_but_for_what_serves_a_local_disk() -> None:
    line = "70 27 0:60 / /x rw - {} source rw,user_id=0"
    types = ["fuse", "fuse.sshfs", "fuse.made-up", "fuseblk", "fuse.mergerfs", "ext4", "lustre"]
    seen = {type_: parse_mountinfo(line.format(type_))[0].network for type_ in types}
    assert [type_ for type_, network in seen.items() if network] == [
        "fuse",
        "fuse.sshfs",
        "fuse.made-up",
        "lustre",
    ]


def test_a_masked_unit_is_wanted_by_nobody(tmp_path: Path) -> None:
    unit = "[Mount]\nWhat=server:/data\nWhere=/data\nType=nfs\nOptions=ro,hard\n"
    usr, etc = (tmp_path / each for each in ("usr/lib/systemd/system", "etc/systemd/system"))
    (usr / "remote-fs.target.wants").mkdir(parents=True)
    (usr / "data.mount").write_text(unit)
    (usr / "remote-fs.target.wants/data.mount").symlink_to("../data.mount")
    wanted = read_wanted(Host.recorded(tmp_path))["/data"]
    assert (wanted.at_boot, wanted.options) == (True, ("ro", "hard"))
    etc.mkdir(parents=True)
    (etc / "data.mount").touch()  # as a link to /dev/null reads
    assert read_wanted(Host.recorded(tmp_path)) == {}


def test_a_unit_made_at_run_time_counts(tmp_path: Path) -> None:
    folder = tmp_path / "run/systemd/system"
    folder.mkdir(parents=True)
    (folder / "data.mount").write_text("[Mount]\nWhat=s:/d\nWhere=/data\nType=nfs\n")
    assert list(read_wanted(Host.recorded(tmp_path))) == ["/data"]
