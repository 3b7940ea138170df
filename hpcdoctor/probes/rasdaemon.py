"""Which hardware errors does rasdaemon remember that the kernel's own counters do not show?

Source:  /var/lib/rasdaemon/ras-mc_event.db (SQLite; tables mc_event, mce_record and
         memory_failure_event), opened read-only and without waiting for its writer
Units:   events; wall time, as rasdaemon wrote it
Cost:    one query a table over its last few thousand rows (c)
Absent:  where rasdaemon keeps no database
Trust:   root's alone on a live machine; in a recording the file is hostile, and work is bounded

Every error has one teller. What EDAC's counters hold since this boot is theirs, and is left out
here. There remain the errors of earlier boots, which no counter survives; all memory errors where
no EDAC driver counts; and machine checks that no memory error goes along with.
"""

import datetime
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import check_inside, list_names
from hpcdoctor.probes.host import Host

if TYPE_CHECKING:
    import sqlite3

DATABASE = "var/lib/rasdaemon/ras-mc_event.db"
DAY_SECONDS = 86400.0
WEEK_SECONDS = 7 * DAY_SECONDS
MOST_ROWS = 5000
MOST_PLACES = 200
# SQLite asks back after so many steps of its machine; so often is enough for the rows above.
STEPS, MOST_STEPS = 10_000, 500
MOST_LENGTH = 100_000  # of one value
# Two reports of one error come within moments.
TOGETHER_SECONDS = 5.0
UNCORRECTED = 1 << 61  # of a machine check's status (Intel SDM 15.3.2.2, AMD APM 2)

COLUMNS = {
    "mc_event": ("timestamp", "err_count", "err_type", "err_msg", "label"),
    "mce_record": (
        "timestamp",
        "status",
        "socketid",
        "bank",
        "bank_name",
        "error_msg",
        "mcistatus_msg",
        "mc_location",
    ),
    "memory_failure_event": ("timestamp", "page_type", "action_result"),
}

Row = tuple[object, ...]


class Remembered(Reading, frozen=True):
    """One DIMM, bank of a processor, or kind of page failure; and one for the database itself."""

    kind: str  # "memory", "machine check", "page failure"; "database" for the file itself
    name: str  # the DIMM's label, "CPU0 bank 7", "page failures"
    corrected_in_day: int  # within the last 24 hours
    corrected_days: int  # of the last seven, those with any
    uncorrected_now: int  # within the last seven days, since this boot
    uncorrected_before: int  # within the last seven days, before this boot
    last: str  # what was written last: message and place
    last_time: str  # when, as rasdaemon wrote it


class Place(msgspec.Struct):
    """What is gathered of one place."""

    kind: str
    name: str
    corrected_in_day: int = 0
    days: set[int] = set()
    uncorrected_now: int = 0
    uncorrected_before: int = 0
    last: str = ""
    last_time: str = ""


class Times(msgspec.Struct, frozen=True):
    now: float
    booted: float


def read(host: Host) -> list[Remembered]:
    path = host.root / DATABASE
    try:
        check_inside(path)
        present = path.is_file()
    except OSError:
        present = False
    if not present:
        raise Absent("rasdaemon keeps no database here")
    import sqlite3  # noqa: PLC0415 - only where there is a database

    try:
        tables = read_tables(path)
    except sqlite3.Error as error:
        raise Unavailable(f"{path}: {error}") from None
    counted = any(
        name[:2] == "mc" and name[2:].isdecimal()
        for name in list_names(host.root / "sys/devices/system/edac/mc")
    )
    return gather(tables, times_of(host, tables), counted)


def read_tables(path: Path) -> dict[str, list[Row]]:
    """Return the newest rows of each table, the newest first; none of a table that is not there."""
    import sqlite3  # noqa: PLC0415

    last = sqlite3.OperationalError("it cannot be opened")
    for how in ("mode=ro", "mode=ro&immutable=1"):  # the second where its writer holds it
        try:
            connection = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=0.2)
            try:
                return query(connection)
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            last = error
    raise last


def query(connection: "sqlite3.Connection") -> dict[str, list[Row]]:
    import sqlite3  # noqa: PLC0415

    steps = iter(range(MOST_STEPS))
    connection.set_progress_handler(lambda: next(steps, None) is None, STEPS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_LENGTH)
    connection.execute("PRAGMA trusted_schema=OFF")
    tables = {}
    for table, wanted in COLUMNS.items():
        there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if there:  # versions differ in their columns
            listed = ", ".join(name if name in there else "NULL" for name in wanted)
            text = f"SELECT {listed} FROM {table} ORDER BY id DESC LIMIT {MOST_ROWS}"  # noqa: S608  # names of ours
            tables[table] = connection.execute(text).fetchall()
    return tables


def times_of(host: Host, tables: dict[str, list[Row]]) -> Times:
    """Return now and the start of this boot; of a recording without a clock, the newest event."""
    now = host.clock()
    if now.wall:
        return Times(now.wall, now.wall - now.boottime)
    newest = max((moment(row[0]) or 0.0 for rows in tables.values() for row in rows), default=0.0)
    return Times(newest, 0.0)


def gather(tables: dict[str, list[Row]], times: Times, counted: bool) -> list[Remembered]:
    places: dict[tuple[str, str], Place] = {}
    memory_moments: set[int] = set()
    for row in tables.get("mc_event", ()):
        at = moment(row[0])
        if at is None or at < times.now - WEEK_SECONDS:
            continue
        memory_moments.add(int(at // TOGETHER_SECONDS))
        count, what = row[1] if isinstance(row[1], int) else 1, text(row[2])
        if counted and at >= times.booted:
            continue  # EDAC's counters tell of it
        place = place_of(places, "memory", text(row[4]) or "memory without a label")
        uncorrected = not what.lower().startswith(("corrected", "info", "deferred"))
        note(place, row, at, times, max(1, count), uncorrected, [what, text(row[3])])
    for row in tables.get("mce_record", ()):
        at = moment(row[0])
        if at is None or at < times.now - WEEK_SECONDS or near(memory_moments, at):
            continue
        bank = text(row[4]) or f"bank {text(row[3])}"
        place = place_of(places, "machine check", f"CPU{text(row[2])} {bank}")
        status = row[1] if isinstance(row[1], int) else 0
        uncorrected = bool(status & UNCORRECTED)
        note(place, row, at, times, 1, uncorrected, [text(part) for part in row[5:8]])
    for row in tables.get("memory_failure_event", ()):
        at = moment(row[0])
        if at is None or at < times.now - WEEK_SECONDS:
            continue
        place = place_of(places, "page failure", "page failures")
        note(place, row, at, times, 1, True, [text(row[1]), text(row[2])])
    whole = Place("database", "rasdaemon")
    return [to_reading(place) for place in (whole, *places.values())]


def place_of(places: dict[tuple[str, str], Place], kind: str, name: str) -> Place:
    key = (kind, name[:120])
    if key not in places and len(places) >= MOST_PLACES:
        key = (kind, "others")
    return places.setdefault(key, Place(*key))


def note(
    place: Place,
    row: Row,
    at: float,
    times: Times,
    count: int,
    uncorrected: bool,
    words: Iterable[str],
) -> None:
    if not place.last_time:  # the newest comes first
        place.last_time = text(row[0])
        place.last = ", ".join(word for word in words if word)[:200]
    if uncorrected and at >= times.booted:
        place.uncorrected_now += count
    elif uncorrected:
        place.uncorrected_before += count
    else:
        place.days.add(int((times.now - at) // DAY_SECONDS))
        if at > times.now - DAY_SECONDS:
            place.corrected_in_day += count


def to_reading(place: Place) -> Remembered:
    return Remembered(
        kind=place.kind,
        name=place.name,
        corrected_in_day=place.corrected_in_day,
        corrected_days=len(place.days),
        uncorrected_now=place.uncorrected_now,
        uncorrected_before=place.uncorrected_before,
        last=place.last,
        last_time=place.last_time,
    )


def near(moments: set[int], at: float) -> bool:
    """Tell whether a memory error was written about the same time."""
    middle = int(at // TOGETHER_SECONDS)
    return not moments.isdisjoint((middle - 1, middle, middle + 1))


def moment(value: object) -> float | None:
    """Return "2026-11-20 23:59:01 +0100" as seconds of the epoch."""
    parse: Callable[[str, str], datetime.datetime] = datetime.datetime.strptime
    try:
        return parse(text(value)[:40], "%Y-%m-%d %H:%M:%S %z").timestamp()
    except (ValueError, OverflowError):
        return None


def text(value: object) -> str:
    return "" if value is None else str(value)[:200].strip()
