"""Is only what came into the board's event log since we look told, and each thing once?"""

from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.probes import ipmi_events
from hpcdoctor.probes.host import Host
from tests.conftest import NODES, recorded
from tests.doubles.machines import copy_of, written

NODE = "board-controller"
FAULTS = NODES / NODE / "faults"
LOG, INFO = "commands/ipmitool_sel_elist", "commands/ipmitool_sel_info"


class Board:
    """A machine whose event log grows, and whose time passes."""

    def __init__(self, folder: Path) -> None:
        self.root = copy_of(NODE, folder)
        self.now = 1000.0
        self.host = Host(
            self.root, live=False, clock=lambda: Instant("boot", self.now, self.now + 1e9)
        )

    def write(self, text: str, *, percent: str = "3%") -> None:
        lines = text.splitlines()
        info = f"Entries : {len(lines)}\nPercent Used : {percent}\nLast Add Time : {len(lines)}\n"
        written(self.root, {LOG: text, INFO: info + "Overflow : false\n"})

    def look(self) -> list[ipmi_events.Event]:
        return list(ipmi_events.read(self.host, "BMC"))

    def told(self) -> dict[tuple[str, str], int]:
        return {(e.sensor, e.event): e.new_in_day for e in self.look() if e.sensor}


OLD = "   1 | 06/01/2024 | 10:11:12 | Memory DIMM A1 | Uncorrectable ECC | Asserted\n"


def test_what_stood_there_before_is_the_baseline(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.write(OLD)
    assert board.told() == {}
    assert board.told() == {}


def test_the_faults_of_a_board_are_told_by_sensor_and_event(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.look()
    board.write((FAULTS / "ipmitool_sel_elist").read_text())
    told = board.told()
    assert told["Memory DIMM A1", "Uncorrectable ECC"] == 2
    assert told["Fan FAN1", "Lower Non-recoverable going low"] == 2
    assert told["Power Supply PS1 Status", "Power Supply AC lost"] == 2
    assert ("Power Supply PS Redundancy", "Fully Redundant") not in told  # it ended
    (fan,) = [e for e in board.look() if e.event.startswith("Lower Non-r")]
    assert (fan.record, fan.detail) == ("12", "Reading 0 < Threshold 500 RPM")


def test_an_event_is_told_for_a_day(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.look()
    board.write(OLD)
    assert sum(board.told().values()) == 1
    board.now += 86_000
    assert sum(board.told().values()) == 1
    board.now += 500
    assert board.told() == {}


def test_a_log_that_is_emptied_and_filled_again_is_read_on(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.write(OLD * 1)
    board.look()
    board.write("")
    assert board.told() == {}
    board.write(OLD.replace("06/01/2024", "11/20/2026"))  # record 1 once more
    assert board.told() == {("Memory DIMM A1", "Uncorrectable ECC"): 1}


def test_the_log_itself_tells_how_full_it_is() -> None:
    (log,) = ipmi_events.read(recorded(NODE), "BMC")
    assert (log.answers, log.entries, log.used_ratio, log.overflow) == (True, 0, 0.0, False)
    assert (log.sensor, log.event, log.new_in_day) == ("", "", 0)


def test_a_controller_that_does_not_know_how_full_it_is(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.write(OLD, percent="unknown")
    assert board.look()[0].used_ratio is None


def test_a_controller_that_does_not_answer_is_a_reading_and_forgets_nothing(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.look()
    board.write(OLD)
    board.look()
    written(board.root, {INFO: "", f"{INFO}.status": "1"})
    log, event = board.look()
    assert (log.answers, log.entries) == (False, None)
    assert "no answer" in log.reason
    assert event.new_in_day == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  1c |  Pre-Init  |0000012940| Memory A | ECC | Asserted", ("1c", "Memory A", "ECC")),
        ("  2a | 11/20/26 | 06:47:45 AM UTC | Fan 3 | low | Asserted", ("2a", "Fan 3", "low")),
        (
            "  2b | OEM record e0 | 00013700001c | 020d0a010000",
            ("2b", "OEM record", "OEM record e0"),
        ),
    ],
)
def test_the_forms_of_a_line_are_read(line: str, expected: tuple[str, str, str]) -> None:
    entry = ipmi_events.parse_entry(line)
    assert entry is not None
    assert (entry.record, entry.sensor, entry.event) == expected


@pytest.mark.parametrize(
    "line", ["", "|||", "SEL has no entries", "zz | a | b | c | d | e", "1|2|3"]
)
def test_what_is_no_entry_is_passed_over(line: str) -> None:
    assert ipmi_events.parse_entry(line) is None
