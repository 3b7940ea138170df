"""Which file systems are mounted, how, and which of those written down are missing?

Source:  /proc/1/mountinfo (else /proc/self/mountinfo), fstab, systemd's mount units, the profile
Units:   none; options are told as the kernel prints them
Cost:    one file of the kernel and the unit files; never touches a mount or a server
Absent:  in a recording without a mount table
Trust:   pseudo file systems, second mounts of the same folder and what users mounted by FUSE are
         left out
"""

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import read_text_or_none
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.mount_table import (
    PSEUDO_TYPES,
    Entry,
    Wanted,
    is_network,
    on_top,
    parse_mountinfo,
    read_wanted,
)

READ_ONLY_TYPES = frozenset({"cramfs", "erofs", "iso9660", "romfs", "squashfs", "udf"})


class Mount(Reading, frozen=True):
    mount_point: str
    mounted: bool  # False: it was written down and is not there
    expected_by: str  # "fstab", "systemd", "profile": mounted at boot by their word; else ""
    source: str
    type: str
    # None where it is not mounted.
    options: list[str] | None
    super_options: list[str] | None
    read_only: bool | None  # by the mount's options or by the file system's own
    # True where the mount itself says `rw` and the file system beneath turned to `ro`, as ext4 does
    # after an error; or where fstab or the unit has it read-write, and it came up read-only.
    turned_read_only: bool | None
    # True where a network mount comes from elsewhere than fstab or the unit says.
    other_source: bool | None
    wanted_source: str  # by fstab or the unit; "" where nobody says
    network: bool | None


def read(host: Host) -> list[Mount]:
    table = read_text_or_none(host.root / "proc/1/mountinfo") or read_text_or_none(
        host.root / "proc/self/mountinfo"
    )
    if table is None and not host.live:
        raise Absent("the recording holds no mount table")
    if table is None:
        raise Unavailable("neither /proc/1/mountinfo nor /proc/self/mountinfo can be read")
    entries = on_top(parse_mountinfo(table))
    wanted = read_wanted(host)
    mounted = [
        describe(entry, wanted.get(entry.mount_point)) for entry in worth_telling(entries, wanted)
    ]
    missing = [
        describe_missing(mount)
        for mount in wanted.values()
        if mount.at_boot and not is_there(entries.get(mount.mount_point))
    ]
    return sorted(mounted + missing, key=lambda mount: mount.mount_point)


def is_there(entry: Entry | None) -> bool:
    """Tell whether something real is mounted; an automount alone only waits for a visitor."""
    return entry is not None and entry.type != "autofs"


def worth_telling(entries: dict[str, Entry], wanted: dict[str, Wanted]) -> list[Entry]:
    """Leave out what is no file system of its own; the root and what is written down stay."""
    kept: dict[tuple[str, str], Entry] = {}
    named = []
    for entry in entries.values():
        if is_there(entry) and (entry.mount_point == "/" or entry.mount_point in wanted):
            named.append(entry)
            kept[entry.device, entry.root] = entry
    for entry in entries.values():
        if entry.type not in PSEUDO_TYPES and not entry.a_users_own:
            kept.setdefault((entry.device, entry.root), entry)
    return named + [entry for entry in kept.values() if entry not in named]


def describe(entry: Entry, wanted: Wanted | None) -> Mount:
    return Mount(
        mount_point=entry.mount_point,
        mounted=True,
        expected_by=wanted.by if wanted and wanted.at_boot else "",
        source=entry.source,
        type=entry.type,
        options=entry.options,
        super_options=entry.super_options,
        read_only=entry.read_only,
        turned_read_only=(entry.read_only_beneath and "rw" in entry.options)
        or (entry.read_only and wanted is not None and wants_writing(wanted)),
        other_source=wanted is not None and is_other_source(entry.source, wanted),
        wanted_source=wanted.source if wanted else "",
        network=entry.network,
    )


def describe_missing(wanted: Wanted) -> Mount:
    return Mount(
        mount_point=wanted.mount_point,
        mounted=False,
        expected_by=wanted.by,
        source=wanted.source,
        type=wanted.type,
        options=None,
        super_options=None,
        read_only=None,
        turned_read_only=None,
        other_source=None,
        wanted_source=wanted.source,
        network=None,
    )


def wants_writing(wanted: Wanted) -> bool:
    """Tell whether it is written down as a mount for writing: that is what leaving `ro` out says.

    Of the profile we have only the mount point; and a CD can be mounted in no other way.
    """
    known = bool(wanted.type) and wanted.type not in READ_ONLY_TYPES
    return known and wanted.at_boot and "ro" not in wanted.options


def is_other_source(source: str, wanted: Wanted) -> bool:
    """Tell where two servers or exports differ; a disk has many names that all mean the same."""
    if not is_network(wanted.type) or ":" not in wanted.source or ":" not in source:
        return False
    return source.rstrip("/") != wanted.source.rstrip("/")
