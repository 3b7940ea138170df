"""Did the machine crash before it was started this time, and what did the kernel say last?

Source:  /sys/fs/pstore (what firmware or a reserved piece of memory kept), /var/lib/systemd/pstore
         (where systemd moves it), /var/crash (where kdump writes); kernel:
         Documentation/ABI/testing/pstore, admin-guide/kdump
Units:   seconds from the crash to this boot, as far as a name or a file tells the time
Cost:    class a: three folders; a record is read once
Absent:  where the machine has none of the folders
Trust:   only plain files of root: /var/crash is open to everybody on some systems

A dump is several files, the highest part the oldest. Not every dump is a crash: some kernels keep
one at each orderly restart, and a console that survives holds the log of any boot.
"""

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from hpcdoctor.model.kernel_record import Record, UnknownForm, parse_log
from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.model.text import visible
from hpcdoctor.probes.files import check_inside, list_names, read_bytes
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.kernel_messages import Message, Reader, catalogue

STORE = "sys/fs/pstore"
ARCHIVE = "var/lib/systemd/pstore"
KDUMP = "var/crash"
LIMIT_BYTES = 4 << 20
MOST_DUMPS = 50
MOST_FILES = 100
LINE_LIMIT = 200

# What the kernel was about when it wrote the dump; the others are orderly.
CRASHES = frozenset({"Panic", "Oops"})
_HEADER = re.compile(rb"(?:====[\d.]+-\w\n)?([A-Z][A-Za-z ]*)#\d{1,6} Part\d{1,6}\n")
_PART = re.compile(r"dmesg-([a-z_]+)-(\d{1,20})(?:\.enc\.z)?$")
_DATE = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)[-_T]?(\d\d):?(\d\d)")
# The words of a panic outweigh those of what led to it.
WEIGHT = {"panic": 3, "thermal_critical": 2, "machine_check": 2, "hard_lockup": 2, "oops": 1}


class Crash(Reading, frozen=True):
    """What is recorded of crashes, and of the latest of them."""

    crashes_count: int
    line: str = ""  # "Kernel panic - not syncing: Fatal exception"; "" where nothing readable says
    place: str = ""  # where its record lies
    before_boot_seconds: float | None = None  # negative: written after this boot


class Dump(msgspec.Struct, frozen=True):
    """What was written at one moment."""

    place: Path
    files: list[Path]
    wall: float | None  # seconds since 1970, where something tells


def read(host: Host) -> list[Crash]:
    if not any((host.root / folder).is_dir() for folder in (STORE, ARCHIVE, KDUMP)):
        raise Absent("no place where a crash would leave a record")
    known: dict[str, str | None] = host.memory.get("told", {})
    told: dict[str, str | None] = {}
    crashes: list[tuple[float, Dump, str]] = []
    for dump in _dumps(host):
        key = f"{dump.place} {len(dump.files)} {dump.wall}"
        told[key] = known[key] if key in known else last_words(dump.files)
        line = told[key]
        if line is not None:
            crashes.append((dump.wall or float("inf"), dump, line))
    host.memory["told"] = told
    if not crashes:
        return [Crash(crashes_count=0)]
    _, latest, line = max(crashes, key=lambda crash: crash[0])
    now = host.clock()
    booted = now.wall - now.boottime
    return [
        Crash(
            crashes_count=len(crashes),
            line=line,
            place=visible(f"/{latest.place.relative_to(host.root)}", LINE_LIMIT),
            before_boot_seconds=None if latest.wall is None else booted - latest.wall,
        )
    ]


# Where dumps lie ----------------------------------------------------------------------------------


def _dumps(host: Host) -> list[Dump]:
    """Return every dump there is, of a crash or not; what is there and cannot be listed is told."""
    store = host.root / STORE
    if store.is_dir() and not os.access(store, os.R_OK | os.X_OK):
        raise Unavailable(f"{store} cannot be listed; the prober needs CAP_DAC_READ_SEARCH")
    dumps = list(_in_store(host, store))
    for folder in (ARCHIVE, KDUMP):
        for name in list_names(host.root / folder)[-MOST_DUMPS:]:
            dumps += _in_archive(host, host.root / folder / name, kdump=folder == KDUMP)
    return dumps


def _in_store(host: Host, store: Path) -> Iterator[Dump]:
    """The parts of one dump are files of their own; EFI's names say when it was."""
    groups: dict[tuple[str, float | None], list[Path]] = defaultdict(list)
    for name in list_names(store)[:MOST_FILES]:
        found = _PART.match(name)
        if found and _is_trusted(host, store / name):
            groups[found[1], _efi_moment(found[1], found[2])].append(store / name)
    for (_, moment), files in groups.items():
        yield Dump(files[0], files, moment or _changed(host, files[0]))


def _in_archive(host: Host, folder: Path, *, kdump: bool) -> Iterator[Dump]:
    """One folder is one dump; beside kdump's there may lie what crashed programs of users left."""
    if not folder.is_dir() or not _is_trusted(host, folder, folder=True):
        return
    inside = [folder, *(folder / name for name in list_names(folder)[:MOST_FILES])]
    names = [(place, name) for place in inside for name in list_names(place)[:MOST_FILES]]
    texts = [place / name for place, name in names if "dmesg" in name]
    parts = [file for file in texts if _PART.match(file.name)]
    files = [file for file in parts or texts if _is_trusted(host, file)]
    if files or (kdump and any(name.startswith(("vmcore", "dump.")) for _, name in names)):
        moments = [_efi_moment(found[1], found[2]) for f in files if (found := _PART.match(f.name))]
        yield Dump(folder, files, next(filter(None, moments), None) or _changed(host, folder))


def _is_trusted(host: Host, path: Path, *, folder: bool = False) -> bool:
    try:
        check_inside(path)
        found = path.lstat()
    except OSError:
        return False
    right = stat.S_ISDIR(found.st_mode) if folder else stat.S_ISREG(found.st_mode)
    return right and (found.st_uid == 0 or not host.live)


def _efi_moment(backend: str, text: str) -> float | None:
    """The firmware keeps a name only: seconds, part and count in one number."""
    seconds = int(text) // 100_000
    return float(seconds) if "efi" in backend and 10**9 < seconds < 2**32 else None


def _changed(host: Host, path: Path) -> float | None:
    """Return when the record was made; a recording's files are as old as the recording."""
    if host.live:
        try:
            return path.lstat().st_mtime
        except OSError:
            return None
    found = _DATE.search(path.name)
    if found is None:
        return None
    year, month, day, hour, minute = (int(part) for part in found.groups())
    try:
        return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()
    except ValueError:
        return None


# What a dump says ---------------------------------------------------------------------------------


def last_words(files: list[Path]) -> str | None:
    """Return the line that tells of the crash, "" where none can be read, None if it was none."""
    texts = []
    for file in files:
        try:
            texts.append(read_bytes(file, LIMIT_BYTES))
        except OSError:
            continue
    headers = [found[1].decode() for text in texts if (found := _HEADER.match(text))]
    if headers and not CRASHES.intersection(headers):
        return None
    worst: tuple[int, str] = (0, "")
    reader = Reader(catalogue(), None)
    for record in _records(texts):
        message = reader.read(record) if record.facility in (0, None) else None
        if message and (weight := WEIGHT.get(message.kind, 0)) >= max(worst[0], 1):
            worst = (weight, _first_line(message))
    return worst[1]


def _records(texts: list[bytes]) -> list[Record]:
    lines = [line for text in texts for line in text.split(b"\n")]
    try:
        return list(parse_log(lines))
    except UnknownForm:
        return []


def _first_line(message: Message) -> str:
    return visible(message.text.partition("\\x0a")[0], LINE_LIMIT)
