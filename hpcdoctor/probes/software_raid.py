"""Is every member of the Linux software RAIDs at work?

Source:  /sys/block/md*/md/ (kernel: admin-guide/md.rst), /proc/mdstat where that is all there is
Units:   numbers of members
Cost:    class a: some six small files an array and two a member
Absent:  where there is no array
"""

import re
from pathlib import Path

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import list_folders, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

HEAD = re.compile(r"^(md\S+) : (\S+)( \((?:auto-)?read-only\))? (.*)$")
MEMBER = re.compile(r"^(\S+)\[(\d+)\]((?:\([A-Z]\))*)$")
PLACES = re.compile(r"\[(\d+)/(\d+)\] \[([U_]+)\]")
# Nothing is stored twice there: no member can be missed.
WITHOUT_SPARE_DATA = frozenset({"raid0", "linear"})


class Array(Reading, frozen=True):
    array: str  # "md0"
    level: str  # "raid1"; "container" holds the arrays of a firmware RAID, and no data itself
    state: str  # "clean", "active", "read-auto", "inactive", "broken"
    members: int | None  # that it ought to have
    degraded: int | None  # of those, how many are missing; None where the level can miss none
    missing: list[str]  # their places: "1" of 0, 1
    faulty: list[str]  # devices that were thrown out: "sdb1"
    spares: list[str]
    sync_action: str  # "idle", "check", "resync", "recover", "reshape"
    mismatches: int | None  # found by the last check: blocks whose copies differ
    redundant: bool  # data is stored so that a member may be missed


def read(host: Host) -> list[Array]:
    base = host.root / "sys/block"
    folders = [path / "md" for path in list_folders(base, "md") if (path / "md").is_dir()]
    arrays = [read_array(folder) for folder in folders]
    if not arrays:
        arrays = parse(read_text_or_none(host.root / "proc/mdstat") or "")
    arrays = [array for array in arrays if array.state not in ("clear", "")]
    if not arrays:
        raise Absent("there is no software RAID")
    return arrays


def read_array(folder: Path) -> Array:
    level = read_text_or_none(folder / "level") or ""
    metadata = read_text_or_none(folder / "metadata_version") or ""
    if not level and metadata.startswith("external:") and metadata[9:10] not in ("/", "-"):
        level = "container"
    faulty, spares, at_work = [], [], set()
    for member in list_folders(folder, "dev-"):
        device = member.name.removeprefix("dev-").replace("!", "/")
        states = (read_text_or_none(member / "state") or "").split(",")
        slot = read_int_or_none(member / "slot")
        if "faulty" in states:
            faulty.append(device)
        elif "in_sync" in states:
            at_work.add(slot)
        elif "spare" in states:
            spares.append(device)
    count = read_int_or_none(folder / "raid_disks")
    degraded = read_int_or_none(folder / "degraded")
    places = range(count if count is not None and count < 1024 else 0)
    known = None not in at_work and bool(degraded)
    return Array(
        array=folder.parent.name,
        level=level,
        state=read_text_or_none(folder / "array_state") or "",
        members=count,
        degraded=degraded,
        missing=[str(place) for place in places if place not in at_work] if known else [],
        faulty=faulty,
        spares=spares,
        sync_action=read_text_or_none(folder / "sync_action") or "",
        mismatches=read_int_or_none(folder / "mismatch_cnt"),
        redundant=is_redundant(level),
    )


def is_redundant(level: str) -> bool:
    return level not in WITHOUT_SPARE_DATA and level not in ("container", "")


def parse(text: str) -> list[Array]:
    """Read /proc/mdstat: less than sysfs says, and all that some old recordings have."""
    arrays: list[Array] = []
    for paragraph in re.split(r"\n(?=md\S+ : )", text):
        lines = paragraph.splitlines()
        head = HEAD.match(lines[0]) if lines else None
        if head is not None:
            arrays.append(parse_array(head, paragraph))
    return arrays


def parse_array(head: re.Match[str], paragraph: str) -> Array:
    words = head[4].split()
    members = [match for word in words if (match := MEMBER.match(word))]
    level = words[0] if words and not MEMBER.match(words[0]) else ""
    if not level and "super external:" in paragraph and "super external:/" not in paragraph:
        level = "container"
    places = PLACES.search(paragraph)
    missing = [str(index) for index, mark in enumerate(places[3]) if mark == "_"] if places else []
    action = re.search(r"\b(recovery|resync|check|reshape|repair)\b *=", paragraph)
    return Array(
        array=head[1],
        level=level,
        state="read-auto" if head[3] else head[2],
        members=int(places[1]) if places else None,
        degraded=int(places[1]) - int(places[2]) if places else None,
        missing=missing,
        faulty=[match[1] for match in members if "(F)" in match[3]],
        spares=[match[1] for match in members if "(S)" in match[3]],
        sync_action=(action[1].replace("recovery", "recover") if action else "idle"),
        mismatches=None,
        redundant=is_redundant(level),
    )
