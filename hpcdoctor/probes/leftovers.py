"""What have ended jobs left behind in shared memory? Files and segments of users without a process.

Source:  /dev/shm (its top, never a link), /proc/sysvipc/shm, the owners of all processes
Units:   bytes
Cost:    a stat for each file there and each process (class a): looked at every few minutes
Absent:  where there is neither /dev/shm nor System V shared memory
Trust:   files of users are counted and never named; a user below 1000 is the system's
"""

import os
import stat
from pathlib import Path

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import check_inside, list_names, read_text_or_none
from hpcdoctor.probes.host import Host

FIRST_USER = 1000
NOBODY = 65534
MOST_FILES = 10_000
# Columns of /proc/sysvipc/shm: shmid, size, nattch, uid.
SIZE, ATTACHED, OWNER = 3, 6, 7


class Leftovers(Reading, frozen=True):
    """All that lies in shared memory and belongs to a user who has no process here."""

    files_count: int
    files_bytes: int
    segments_count: int  # System V, attached by nobody
    segments_bytes: int
    users: list[str]  # whose: user numbers
    memory_ratio: float | None  # of the machine's memory, files and segments together


def read(host: Host) -> list[Leftovers]:
    folder, table = host.root / "dev/shm", read_text_or_none(host.root / "proc/sysvipc/shm")  # noqa: S108
    if table is None and not folder.is_dir():
        raise Absent("this machine has no shared memory to look at")
    living = users_with_processes(host.root)
    files = _files(folder, living)
    segments = _segments(table or "", living)
    size = sum(files.values()) + sum(segments.values())
    total = _total_bytes(host.root)
    return [
        Leftovers(
            files_count=len(files),
            files_bytes=sum(files.values()),
            segments_count=len(segments),
            segments_bytes=sum(segments.values()),
            users=sorted({str(key[0]) for key in (*files, *segments)}),
            memory_ratio=size / total if total else None,
        )
    ]


def users_with_processes(root: Path) -> set[int]:
    users = set()
    for name in list_names(root / "proc"):
        if name.isdigit():
            try:
                users.add((root / "proc" / name).lstat().st_uid)
            except OSError:  # gone meanwhile
                continue
    return users


def processes_of(root: Path, user: int) -> list[int]:
    """Return the process ids that belong to this user."""
    found = []
    for name in list_names(root / "proc"):
        if name.isdigit():
            try:
                if (root / "proc" / name).lstat().st_uid == user:
                    found.append(int(name))
            except OSError:  # gone meanwhile
                continue
    return found


def belongings(root: Path, user: int) -> list[str]:
    """Say what of shared memory belongs to this user; nobody of his is asked whether he lives."""
    said = []
    files = [n for key, n in _files(root / "dev/shm", set()).items() if key[0] == user]  # noqa: S108
    if files:
        said.append(f"{len(files)} files with {sum(files)} bytes in /dev/shm")
    table = read_text_or_none(root / "proc/sysvipc/shm") or ""
    segments = [size for key, size in _segments(table, set()).items() if key[0] == user]
    if segments:
        said.append(f"{len(segments)} System V segments with {sum(segments)} bytes")
    return said


def _files(folder: Path, living: set[int]) -> dict[tuple[int, str], int]:
    """Return the bytes of each file of a user who is gone; what is allocated, not what is said."""
    found = {}
    for name in list_names(folder)[:MOST_FILES]:
        try:
            check_inside(folder)
            status = os.lstat(folder / name)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and is_leftover(status.st_uid, living):
            found[status.st_uid, name] = status.st_blocks * 512
    return found


def _segments(table: str, living: set[int]) -> dict[tuple[int, str], int]:
    found = {}
    for line in table.splitlines()[1:]:
        columns = line.split()
        if len(columns) <= OWNER or not all(text.lstrip("-").isdigit() for text in columns):
            continue
        owner = int(columns[OWNER])
        if columns[ATTACHED] == "0" and is_leftover(owner, living):
            found[owner, columns[1]] = int(columns[SIZE])
    return found


def is_leftover(user: int, living: set[int]) -> bool:
    return user >= FIRST_USER and user != NOBODY and user not in living


def _total_bytes(root: Path) -> int | None:
    for line in (read_text_or_none(root / "proc/meminfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key == "MemTotal" and value.split()[:1] and value.split()[0].isdigit():
            return int(value.split()[0]) * 1024
    return None
