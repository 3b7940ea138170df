"""Does rasdaemon tell what EDAC's counters do not, each error once, whatever the file is?"""

import datetime
import sqlite3
import time
from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import rasdaemon
from hpcdoctor.probes.host import Host
from tests.doubles.machines import written

NOW = 1_700_000_000.0
UPTIME = 40_000.0
UNCORRECTED = 0xBD80000000100134 - (1 << 64)  # as SQLite keeps 64 bits: signed
CORRECTED = 0x8C00004000010091 - (1 << 64)

# As rasdaemon 0.6.8 makes them, but for columns that nobody reads.
TABLES = """
CREATE TABLE mc_event (id INTEGER PRIMARY KEY, timestamp TEXT, err_count INTEGER, err_type TEXT,
    err_msg TEXT, label TEXT, mc INTEGER, top_layer INTEGER, address INTEGER);
CREATE TABLE mce_record (id INTEGER PRIMARY KEY, timestamp TEXT, status INTEGER, socketid INTEGER,
    bank INTEGER, bank_name TEXT, error_msg TEXT, mcistatus_msg TEXT, mc_location TEXT);
CREATE TABLE memory_failure_event (id INTEGER PRIMARY KEY, timestamp TEXT, pfn TEXT,
    page_type TEXT, action_result TEXT);
"""


class Machine:
    """A machine with a database, that has been up for half a day."""

    def __init__(self, folder: Path, tables: str = TABLES) -> None:
        self.root = folder
        self.path = folder / rasdaemon.DATABASE
        self.path.parent.mkdir(parents=True)
        self.database = sqlite3.connect(self.path, isolation_level=None)
        self.database.executescript(tables)
        self.host = Host(folder, live=False, clock=lambda: Instant("boot", UPTIME, NOW))

    def memory(
        self, ago: float, kind: str = "Corrected", label: str = "A1", count: int = 1
    ) -> None:
        self.database.execute(
            "INSERT INTO mc_event (timestamp, err_count, err_type, err_msg, label)"
            " VALUES (?, ?, ?, 'memory read error', ?)",
            (stamp(ago), count, kind, label),
        )

    def check(self, ago: float, status: int, bank_name: str | None = "bank=7") -> None:
        self.database.execute(
            "INSERT INTO mce_record (timestamp, status, socketid, bank, bank_name, error_msg)"
            " VALUES (?, ?, 0, 7, ?, 'L2 cache error')",
            (stamp(ago), status, bank_name),
        )

    def count_with_edac(self) -> None:
        written(self.root, {"sys/devices/system/edac/mc/mc0/ce_count": "0"})

    def told(self) -> dict[str, rasdaemon.Remembered]:
        readings = {one.name: one for one in rasdaemon.read(self.host)}
        assert readings.pop("rasdaemon").kind == "database"
        return readings


def stamp(ago: float) -> str:
    east = datetime.timezone(datetime.timedelta(hours=1))
    return datetime.datetime.fromtimestamp(NOW - ago, east).strftime("%Y-%m-%d %H:%M:%S %z")


HOUR, DAY = 3600.0, 86400.0


def test_a_machine_without_the_database_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no database"):
        rasdaemon.read(Host.recorded(tmp_path))


def test_what_edac_counts_since_boot_is_left_to_edac(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.memory(HOUR, count=40)
    assert machine.told()["A1"].corrected_in_day == 40  # nobody else counts
    machine.count_with_edac()
    assert machine.told() == {}


def test_errors_of_an_earlier_boot_are_told_by_dimm(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.count_with_edac()
    machine.memory(3 * DAY, "Uncorrected", "B2")
    for ago in (13 * HOUR, 14 * HOUR, 2.5 * DAY, 6.5 * DAY, 8 * DAY):
        machine.memory(ago, count=4)
    told = machine.told()
    assert (told["A1"].corrected_in_day, told["A1"].corrected_days) == (8, 3)
    assert (told["B2"].uncorrected_before, told["B2"].uncorrected_now) == (1, 0)
    assert told["B2"].last == "Uncorrected, memory read error"
    assert told["B2"].last_time.endswith("+0100")


def test_a_machine_check_that_no_memory_error_goes_with_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.count_with_edac()
    machine.memory(2 * HOUR)
    machine.check(2 * HOUR + 2, CORRECTED)  # the same error
    machine.check(HOUR, CORRECTED)
    machine.check(HOUR - 60, UNCORRECTED)
    (told,) = machine.told().values()
    assert (told.kind, told.name) == ("machine check", "CPU0 bank=7")
    assert (told.corrected_in_day, told.uncorrected_now) == (1, 1)
    assert told.last == "L2 cache error"


def test_a_bank_without_a_name_is_known_by_its_number(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.check(HOUR, UNCORRECTED, bank_name=None)
    assert list(machine.told()) == ["CPU0 bank 7"]


def test_pages_that_failed_are_told_together(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for pfn in ("0x1", "0x2"):
        machine.database.execute(
            "INSERT INTO memory_failure_event (timestamp, pfn, page_type, action_result)"
            " VALUES (?, ?, 'free buddy page', 'Recovered')",
            (stamp(2 * DAY), pfn),
        )
    told = machine.told()["page failures"]
    assert (told.kind, told.uncorrected_before) == ("page failure", 2)


def test_a_database_that_its_writer_holds_is_read_all_the_same(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.memory(HOUR)
    machine.database.execute("BEGIN EXCLUSIVE")
    before = machine.path.stat().st_mtime_ns
    assert machine.told()["A1"].corrected_in_day == 1
    assert machine.path.stat().st_mtime_ns == before


def test_a_version_without_some_columns_and_tables_is_read(tmp_path: Path) -> None:
    table = "CREATE TABLE mc_event (id INTEGER PRIMARY KEY, timestamp TEXT, label TEXT);"
    machine = Machine(tmp_path, table)
    machine.database.execute(
        "INSERT INTO mc_event (timestamp, label) VALUES (?, 'A1')", (stamp(HOUR),)
    )
    assert machine.told()["A1"].uncorrected_now == 1  # not said to be corrected


def test_odd_rows_are_passed_over(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for odd in (None, "", "yesterday", "9999-99-99 00:00:00 +0000", b"\xff", 7):
        machine.database.execute("INSERT INTO mc_event (timestamp) VALUES (?)", (odd,))
    machine.database.execute(
        "INSERT INTO mc_event VALUES (NULL, ?, 'x', NULL, NULL, NULL, NULL, NULL, NULL)",
        (stamp(HOUR),),
    )
    assert list(machine.told()) == ["memory without a label"]


def test_a_recording_without_a_clock_is_of_the_moment_of_its_last_event(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.memory(5 * DAY)
    told = {one.name: one for one in rasdaemon.read(Host.recorded(tmp_path))}
    assert told["A1"].corrected_in_day == 1


@pytest.mark.parametrize("content", [b"no database at all", b"SQLite format 3\x00" + b"\xff" * 500])
def test_a_damaged_file_is_unavailable(tmp_path: Path, content: bytes) -> None:
    written(tmp_path, {rasdaemon.DATABASE: content})
    with pytest.raises(Unavailable, match=r"ras-mc_event\.db"):
        rasdaemon.read(Host.recorded(tmp_path))


def test_a_hostile_database_costs_bounded_time(tmp_path: Path) -> None:
    endless = (
        "CREATE VIEW mc_event AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
        " SELECT id, 'x' AS timestamp FROM n;"
    )
    machine = Machine(tmp_path, endless)
    before = time.process_time()
    with pytest.raises(Unavailable, match="interrupted"):
        machine.told()
    assert time.process_time() - before < 10
