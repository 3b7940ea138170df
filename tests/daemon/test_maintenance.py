from datetime import datetime

import pytest

from hpcdoctor.daemon.maintenance import why_in_maintenance
from hpcdoctor.definitions.settings import Maintenance

ONCE = Maintenance(why="new switch", start="2026-11-28T08:00", until="2026-11-28T12:00")
WEEKLY = Maintenance(why="patches", every="sat 22:00", lasts="5h")


def at(text: str) -> float:
    return datetime.fromisoformat(text).astimezone().timestamp()


@pytest.mark.parametrize(
    ("when", "window", "inside"),
    [
        ("2026-11-28T07:59", ONCE, False),
        ("2026-11-28T08:00", ONCE, True),
        ("2026-11-28T11:59", ONCE, True),
        ("2026-11-28T12:00", ONCE, False),
        ("2026-11-28T21:59", WEEKLY, False),
        ("2026-11-28T22:00", WEEKLY, True),  # a Saturday
        ("2026-11-29T02:59", WEEKLY, True),
        ("2026-11-29T03:00", WEEKLY, False),
        ("2026-11-27T22:30", WEEKLY, False),
        ("2026-12-05T23:00", WEEKLY, True),
    ],
)
def test_a_window_begins_and_ends_by_the_nodes_own_time(
    when: str, window: Maintenance, inside: bool
) -> None:
    reason = why_in_maintenance([window], at(when))
    assert (reason != "") is inside


def test_the_sentence_says_until_when_and_why() -> None:
    said = why_in_maintenance([ONCE], at("2026-11-28T09:00"))
    assert said == "maintenance until 2026-11-28 12:00: new switch"


def test_a_window_of_a_whole_week_is_always_open() -> None:
    always = Maintenance(why="x", every="wed 00:00", lasts="7d")
    for day in range(23, 30):
        assert why_in_maintenance([always], at(f"2026-11-{day}T12:00"))
