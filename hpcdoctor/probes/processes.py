"""Which processes wait without end, have ended and are not let go, are wanted or forbidden?

Source:  /proc/PID/stat of every process, once a look; /proc/PID/wchan of those that wait
Units:   seconds, as far as successive looks have seen them
Cost:    some ten microseconds a process (class a): looked at once a minute
Absent:  in a recording that holds no process
Trust:   any user can make a process wait, or a name: nothing here is more than a warning but for
         what the profile wants
"""

from pathlib import Path
from typing import NamedTuple

from hpcdoctor.definitions.profile import list_of
from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.model.text import visible
from hpcdoctor.probes.files import list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

MEMORY = "processes.waiting"
SHOWN = 3


class Processes(Reading, frozen=True):
    """All processes of the machine together."""

    processes_count: int
    process_limit: int | None  # of the kernel; threads count too
    waiting_count: int  # in uninterruptible sleep now
    waiting_longest_seconds: float  # the same process, in every look since
    waiting: str  # the longest, with what they wait in: "tar (pid 47) in nfs_wait_bit_killable"
    zombies_count: int
    zombies_parent: str  # who has not asked after most of them: "slurmstepd (pid 12)"
    missing: list[str]  # what the profile wants and does not run
    forbidden: list[str]  # what the profile forbids and runs


class _Seen(NamedTuple):
    pid: int
    name: str
    state: str
    parent: int
    started: int


def read(host: Host) -> list[Processes]:
    seen = [row for row in map(_stat, _folders(host.root)) if row is not None]
    if not seen:
        raise Absent("no process can be seen here")
    since = _since(host, seen)
    by_pid = {row.pid: row for row in seen}
    zombies = [row for row in seen if row.state == "Z"]
    parents: dict[int, int] = {}
    for row in zombies:
        parents[row.parent] = parents.get(row.parent, 0) + 1
    worst = max(parents, key=lambda pid: (parents[pid], -pid), default=None)
    names = {row.name for row in seen if row.state != "Z"}
    now = host.clock().boottime
    waiting = sorted(since, key=lambda key: since[key])
    return [
        Processes(
            processes_count=len(seen),
            process_limit=read_int_or_none(host.root / "proc/sys/kernel/pid_max"),
            waiting_count=len(since),
            waiting_longest_seconds=now - min(since.values()) if since else 0.0,
            waiting=", ".join(_described(host.root, by_pid[pid]) for pid, _ in waiting[:SHOWN]),
            zombies_count=len(zombies),
            zombies_parent=_named(by_pid, worst) if worst is not None else "",
            missing=[
                n for n in list_of(host.profile, "processes", "wanted") if n[:15] not in names
            ],
            forbidden=[
                n for n in list_of(host.profile, "processes", "forbidden") if n[:15] in names
            ],
        )
    ]


def _folders(root: Path) -> list[Path]:
    return [root / "proc" / name for name in list_names(root / "proc") if name.isdigit()]


def _since(host: Host, seen: list[_Seen]) -> dict[tuple[int, int], float]:
    """Return since when each waiting process has waited, as far as every look has seen it so."""
    before: dict[tuple[int, int], float] = host.memory.get(MEMORY, {})
    now = host.clock().boottime
    waiting = {
        (row.pid, row.started): before.get((row.pid, row.started), now)
        for row in seen
        if row.state == "D"
    }
    host.memory[MEMORY] = waiting
    return waiting


def _stat(folder: Path) -> _Seen | None:
    text = read_text_or_none(folder / "stat")
    if text is None or ")" not in text:
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    try:
        return _Seen(int(folder.name), name, fields[0], int(fields[1]), int(fields[19]))
    except (IndexError, ValueError):
        return None


def _described(root: Path, row: _Seen) -> str:
    where = read_text_or_none(root / f"proc/{row.pid}/wchan")
    inside = f" in {visible(where, 60)}" if where and where != "0" else ""
    return f"{visible(row.name, 32)} (pid {row.pid}){inside}"


def _named(by_pid: dict[int, _Seen], pid: int) -> str:
    row = by_pid.get(pid)
    return f"{visible(row.name, 32) if row else 'a process'} (pid {pid})"
