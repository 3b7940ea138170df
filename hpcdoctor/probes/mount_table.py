"""Which file systems does the kernel say are mounted, and which ought to be? Touches no server.

The kernel's word is mountinfo; what ought to be there stands in fstab, in systemd's mount units
and in the profile. Paths and options come with octal escapes (man 5 proc, man 5 fstab).
"""

import re
from pathlib import Path
from typing import NamedTuple

from hpcdoctor.probes.files import list_names, read_text_or_none
from hpcdoctor.probes.host import Host

# Lists without an entry of their own in a directory, or none that could be slow or full.
PSEUDO_TYPES = frozenset(
    {
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts"),
        *("devtmpfs", "efivarfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "overlay", "proc"),
        *("pstore", "ramfs", "rootfs", "rpc_pipefs", "securityfs", "selinuxfs", "squashfs"),
        *("sysfs", "tmpfs", "tracefs", "fuse.lxcfs", "fuse.portal", "fuse.gvfsd-fuse"),
    }
)
NETWORK_TYPES = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "cvmfs", "glusterfs", "gpfs", "lustre", "nfs"),
        *("nfs4", "orangefs", "panfs", "pvfs2", "smb3", "virtiofs", "wekafs"),
        *("fuse.beegfs-fuse", "fuse.ceph", "fuse.ceph-fuse", "fuse.cvmfs2", "fuse.gcsfuse"),
        *("fuse.glusterfs", "fuse.juicefs", "fuse.s3fs", "fuse.sshfs"),
    }
)
# Served by a process of this node from this node's own disks.
LOCAL_FUSE_TYPES = frozenset(
    {
        *("fuseblk", "fuse.bindfs", "fuse.encfs", "fuse.gocryptfs", "fuse.mergerfs"),
        *("fuse.ntfs", "fuse.ntfs-3g", "fuse.overlayfs", "fuse.fuse-overlayfs", "fuse.unionfs"),
    }
)

# The first that has a unit wins, as it does for systemd.
UNIT_FOLDERS = (
    *("etc/systemd/system", "run/systemd/system", "run/systemd/generator"),
    *("usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"),
)

NO_WRITES = frozenset({"ro", "emergency_ro", "shutdown"})

_ESCAPE = re.compile(r"\\([0-7]{3})")


class Entry(NamedTuple):
    """One line of mountinfo."""

    mount_id: int
    device: str  # "major:minor"
    root: str  # which folder of the file system is mounted; "/" but for binds and subvolumes
    mount_point: str
    options: list[str]  # of this mount
    type: str
    source: str
    super_options: list[str]  # of the file system itself: an error turns these to `ro`

    @property
    def read_only(self) -> bool:
        return "ro" in self.options or self.read_only_beneath

    @property
    def read_only_beneath(self) -> bool:
        """Tell whether the file system itself takes no writes, whatever its mounts say.

        Up to Linux 6.14 an error turned its own option to `ro`; since then ext4 says it by a word
        more, beside an `rw` that stays.
        """
        return not NO_WRITES.isdisjoint(self.super_options)

    @property
    def network(self) -> bool:
        """Tell whether what answers is elsewhere, or may be, as with any other type of FUSE."""
        return is_network(self.type)

    @property
    def a_users_own(self) -> bool:
        """Tell whether somebody other than root mounted it, which only FUSE allows."""
        owner = [option for option in self.super_options if option.startswith("user_id=")]
        return self.type.startswith("fuse") and owner != ["user_id=0"]


def is_network(type_: str) -> bool:
    if type_.startswith("fuse"):
        return type_ not in LOCAL_FUSE_TYPES
    return type_ in NETWORK_TYPES


class Wanted(NamedTuple):
    """A mount that somebody wrote down."""

    mount_point: str
    by: str  # "fstab", "systemd" or "profile"
    at_boot: bool  # False: `noauto`, an automount, or a unit that nothing pulls in
    source: str = ""
    type: str = ""
    options: tuple[str, ...] = ()


def unescape(text: str) -> str:
    """Return a field as it was before the kernel or fstab escaped blanks and backslashes."""
    if "\\" not in text:
        return text
    raw = _ESCAPE.sub(lambda match: chr(int(match[1], 8) & 0xFF), text)
    # Octal escapes are bytes; a name that is not ASCII stands unescaped beside them.
    try:
        return raw.encode("latin-1").decode()
    except ValueError:
        return raw


def parse_mountinfo(text: str) -> list[Entry]:
    """Return the mounts in the order they were made in; lines without sense are left out."""
    entries = []
    for line in text.splitlines():
        head, separator, tail = line.partition(" - ")
        fields, rest = head.split(" "), tail.split(" ")
        if not separator or len(fields) < 6 or len(rest) < 2 or not fields[0].isdigit():
            continue
        entries.append(
            Entry(
                mount_id=int(fields[0]),
                device=fields[2],
                root=unescape(fields[3]),
                mount_point=unescape(fields[4]),
                options=fields[5].split(","),
                type=rest[0],
                source=unescape(rest[1]),
                super_options=rest[2].split(",") if len(rest) > 2 else [],
            )
        )
    return entries


def on_top(entries: list[Entry]) -> dict[str, Entry]:
    """Return what a path leads to: of several mounts on one point, the last."""
    return {entry.mount_point: entry for entry in entries}


def read_wanted(host: Host) -> dict[str, Wanted]:
    """Return the mounts that fstab, the host's mount units or the profile name."""
    wanted = {mount.mount_point: mount for mount in _read_units(host.root)}
    fstab = read_text_or_none(host.root / "etc/fstab") or ""
    wanted.update({mount.mount_point: mount for mount in parse_fstab(fstab)})
    for mount_point in host.extra_mounts:
        known = wanted.get(mount_point)
        wanted[mount_point] = Wanted(
            mount_point,
            "profile",
            at_boot=True,
            source=known.source if known else "",
            type=known.type if known else "",
            options=known.options if known else (),
        )
    return wanted


def parse_fstab(text: str) -> list[Wanted]:
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        source, mount_point, type_ = (unescape(field) for field in fields[:3])
        options = fields[3].split(",") if len(fields) > 3 else []
        if not mount_point.startswith("/") or type_ in PSEUDO_TYPES or type_ == "swap":
            continue
        at_boot = "noauto" not in options and "x-systemd.automount" not in options
        found.append(Wanted(_normal(mount_point), "fstab", at_boot, source, type_, tuple(options)))
    return found


def parse_unit(text: str, at_boot: bool) -> Wanted | None:
    """Return what a mount unit mounts; None where it does not say where."""
    section = ""
    values: dict[str, str] = {}
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Mount]" and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            values[key.strip()] = value.strip().strip('"').replace("%%", "%")
    where, type_ = values.get("Where", ""), values.get("Type", "")
    if not where.startswith("/") or type_ in PSEUDO_TYPES:
        return None
    options = tuple(values.get("Options", "").split(","))
    return Wanted(_normal(where), "systemd", at_boot, values.get("What", ""), type_, options)


def _read_units(root: Path) -> list[Wanted]:
    found: dict[str, Wanted] = {}
    for folder in reversed(UNIT_FOLDERS):
        if folder.startswith("lib/") and (root / "lib").is_symlink():
            continue  # the same as usr/lib, as on most systems of today
        names = list_names(root / folder)
        pulled_in = {
            unit
            for name in names
            if name.endswith((".wants", ".requires"))
            for unit in list_names(root / folder / name)
        }
        for unit in {name for name in (*names, *pulled_in) if name.endswith(".mount")}:
            text = read_text_or_none(root / folder / unit) or ""
            mount = parse_unit(text, unit in pulled_in)
            if mount is not None:
                known = found.get(unit)
                at_boot = mount.at_boot or (known is not None and known.at_boot)
                found[unit] = mount._replace(at_boot=at_boot)
            elif unit in names and not text:
                found.pop(unit, None)  # masked: a link to /dev/null, or an empty file
            elif unit in found and unit in pulled_in:
                found[unit] = found[unit]._replace(at_boot=True)
    return list(found.values())


def _normal(mount_point: str) -> str:
    return mount_point.rstrip("/") or "/"
