"""What would somebody who comes later want to have seen? Kernel log and processes, at one moment.

Source:  /dev/kmsg (all that its ring still holds, the last lines of it), /proc/PID/stat
Units:   resident memory in bytes, time on cpu in seconds since the process began
Cost:    a few milliseconds; looked at only when something critical is found, by no check
Absent:  never on Linux; a recording without either gives an empty scene
Trust:   names of users' processes are left out: only whose they are, and how they stand
"""

import os
from collections import deque
from pathlib import Path

from hpcdoctor.model.reading import Reading
from hpcdoctor.model.text import visible
from hpcdoctor.probes.files import list_names, read_text_or_none
from hpcdoctor.probes.host import Host

LINES = 400
LINE_LIMIT = 500
PROCESSES = 150
RECORD_BYTES = 8192
RECORDS = 50_000
FIRST_USER = 1000
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Scene(Reading, frozen=True):
    """The node at one moment."""

    kernel_log: list[str]  # the last lines, facility and level first: "0,4 [12.345678] text"
    processes: list[str]  # "pid 12 uid 0 state D slurmd: 1.5 s on cpu, 20480 bytes": D first
    load: str
    meminfo: list[str]


def read(host: Host) -> list[Scene]:
    return [
        Scene(
            kernel_log=kernel_log(host),
            processes=processes(host.root),
            load=read_text_or_none(host.root / "proc/loadavg") or "",
            meminfo=(read_text_or_none(host.root / "proc/meminfo") or "").splitlines()[:60],
        )
    ]


def kernel_log(host: Host) -> list[str]:
    """Return the last lines of the ring; never waits for a new one."""
    lines: deque[str] = deque(maxlen=LINES)
    try:
        descriptor = os.open(
            host.root / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
        )
    except OSError:
        return []
    try:
        for _ in range(RECORDS):
            try:
                record = os.read(descriptor, RECORD_BYTES)
            except BrokenPipeError:  # overwritten while we read
                continue
            except OSError:  # all of it has been read
                break
            if not record:
                break
            lines += [line for line in map(_line, record.split(b"\n")) if line]
    finally:
        os.close(descriptor)
    return list(lines)


def _line(record: bytes) -> str:
    head, semicolon, text = record.decode(errors="backslashreplace").partition(";")
    fields = head.split(",")
    if not semicolon or not fields[0].isdigit() or len(fields) < 3 or not fields[2].isdigit():
        return ""
    priority, seconds = int(fields[0]), int(fields[2]) / 1e6
    return f"{priority >> 3},{priority & 7} [{seconds:.6f}] {visible(text, LINE_LIMIT)}"


def processes(root: Path) -> list[str]:
    """Return those that wait without end first, then those that were busiest."""
    found = []
    for name in list_names(root / "proc"):
        if name.isdigit() and (row := _process(root / "proc" / name)):
            found.append(row)
    found.sort(reverse=True)
    return [text for _, _, text in found[:PROCESSES]]


def _process(folder: Path) -> tuple[bool, float, str] | None:
    stat = read_text_or_none(folder / "stat")
    if stat is None or ")" not in stat:
        return None
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()
    try:
        user = folder.stat().st_uid
        seconds = (int(fields[11]) + int(fields[12])) / TICKS
        resident = int(fields[21]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return None
    shown = visible(name, 32) if user < FIRST_USER else "(of a user)"
    waits = read_text_or_none(folder / "wchan") if fields[0] == "D" else None
    where = f" in {visible(waits, 60)}" if waits and waits != "0" else ""
    text = (
        f"pid {folder.name} uid {user} state {fields[0]}{where} {shown}: "
        f"{seconds:.1f} s on cpu, {resident} bytes"
    )
    return fields[0] == "D", seconds, text
