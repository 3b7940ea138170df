"""Does the outbox number, keep and drop as it says?"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcdoctor.events.spool import Outgoing, Spool, create_tables
from hpcdoctor.events.vocabulary import LOST, FindingData, LogGap, NodeChanged
from hpcdoctor.model.finding import Cause, Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import State

SOURCE = "/hpcdoctor/c1/n001"
NOW = Instant("boot-1", 1000.0, 1_800_000_000.0)
DAY_SECONDS = 86400.0
CHANGE = NodeChanged(from_state=State.HEALTHY, to=State.DRAINING, because="GPU3 fell off the bus")
FINDING = FindingData(
    key="xid",
    check="xid",
    subject={},
    verdict=Verdict.CRITICAL,
    cause=Cause.NODE,
    summary="Xid 79",
    since="2026-11-21T00:00:00Z",
)


def connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    create_tables(connection)
    return connection


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(tmp_path / "store.db")
    yield connection
    connection.close()


@pytest.fixture
def spool(connection: sqlite3.Connection) -> Spool:
    return Spool(connection, SOURCE)


def change(spool: Spool, now: Instant = NOW) -> int:
    return spool.append("hpcdoctor.node.state", CHANGE, "n001", now).sequence


def finding(spool: Spool, now: Instant = NOW) -> int:
    return spool.append("hpcdoctor.finding.opened", FINDING, "xid", now).sequence


def numbers(events: list[Outgoing]) -> list[int]:
    return [one.sequence for one in events]


def kept(spool: Spool) -> list[int]:
    return numbers(spool.range(spool.stream, 1, 2**53, limit=10_000))


def losses(spool: Spool) -> list[dict[str, Any]]:
    rows = spool.range(spool.stream, 1, 2**53, limit=10_000)
    return [json.loads(one.payload)["data"] for one in rows if one.type == LOST]


def test_what_is_published_is_a_cloud_event(spool: Spool) -> None:
    event = spool.append("hpcdoctor.node.state", CHANGE, "n001", NOW)
    (outgoing,) = spool.unpublished(10)
    assert outgoing.type == "hpcdoctor.node.state"
    assert json.loads(outgoing.payload) == {
        "specversion": "1.0",
        "id": f"{spool.stream}-1",
        "source": SOURCE,
        "type": "hpcdoctor.node.state",
        "subject": "n001",
        "time": "2027-01-15T08:00:00.000Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:hpcdoctor:event:hpcdoctor.node.state:1",
        "stream": spool.stream,
        "sequence": "0000000000000000001",
        "data": {
            "from": "healthy",
            "to": "draining",
            "because": "GPU3 fell off the bus",
            "incident": None,
        },
    }
    assert event.id == f"{spool.stream}-1"
    assert event.data == json.loads(outgoing.payload)["data"]


def test_an_event_without_a_subject_has_no_empty_one(spool: Spool) -> None:
    spool.append("hpcdoctor.log.gap", LogGap(lost=3, because="flood"), "", NOW)
    (outgoing,) = spool.unpublished(1)
    assert "subject" not in json.loads(outgoing.payload)


def test_the_test_flag_is_shouted_and_otherwise_not_there(spool: Spool) -> None:
    spool.append("hpcdoctor.log.gap", LogGap(lost=1, because="x"), "", NOW)
    spool.append(
        "hpcdoctor.log.gap", LogGap(lost=1, because="x", accept_user_kernel_log=True), "", NOW
    )
    plain, shouted = (json.loads(one.payload)["data"] for one in spool.unpublished(2))
    assert "accept_user_kernel_log" not in plain
    assert shouted["accept_user_kernel_log"] is True


def test_numbering_survives_reopening_and_an_emptied_spool(tmp_path: Path) -> None:
    first = connect(tmp_path / "store.db")
    spool = Spool(first, SOURCE)
    assert [change(spool), change(spool)] == [1, 2]
    spool.mark_published([1, 2])
    assert spool.receive_receipt(spool.stream, 2)
    first.close()
    second = connect(tmp_path / "store.db")
    again = Spool(second, SOURCE)
    assert again.stream == spool.stream
    assert kept(again) == []
    assert change(again) == 3
    second.close()


def test_another_database_is_another_stream(tmp_path: Path) -> None:
    one, other = connect(tmp_path / "1.db"), connect(tmp_path / "2.db")
    assert Spool(one, SOURCE).stream != Spool(other, SOURCE).stream
    one.close()
    other.close()


def test_an_event_shares_the_fate_of_the_change_it_tells(
    spool: Spool, connection: sqlite3.Connection
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    change(spool)
    connection.execute("ROLLBACK")
    assert spool.unpublished(10) == []
    assert spool.counts().size_bytes == 0
    assert change(spool) == 1


def test_only_known_types_with_their_own_data_are_taken(spool: Spool) -> None:
    with pytest.raises(ValueError, match="hpcdoctor.node.exploded"):
        spool.append("hpcdoctor.node.exploded", CHANGE, "", NOW)
    with pytest.raises(ValueError, match="NodeChanged"):
        spool.append("hpcdoctor.log.gap", CHANGE, "", NOW)
    assert spool.counts().kept == 0


def test_unpublished_events_come_in_order_beyond_a_number(spool: Spool) -> None:
    for _ in range(5):
        change(spool)
    spool.mark_published([2, 4])
    assert numbers(spool.unpublished(10)) == [1, 3, 5]
    assert numbers(spool.unpublished(1, after=1)) == [3]


def test_a_puback_keeps_an_event_and_a_receipt_lets_it_go(spool: Spool) -> None:
    for _ in range(3):
        change(spool)
    spool.mark_published([1, 2, 3])
    assert kept(spool) == [1, 2, 3]
    assert spool.receive_receipt(spool.stream, 2)
    assert kept(spool) == [3]
    assert spool.counts().lost == 0


def test_a_receipt_before_the_puback_drops_nothing_until_the_puback(spool: Spool) -> None:
    change(spool)
    assert spool.receive_receipt(spool.stream, 1)
    assert kept(spool) == [1]
    spool.mark_published([1])
    assert kept(spool) == []


@pytest.mark.parametrize("through", [-1, 0, 4, 2**53])
def test_a_receipt_for_what_never_was_does_nothing(spool: Spool, through: int) -> None:
    for _ in range(3):
        change(spool)
    spool.mark_published([1, 2, 3])
    assert not spool.receive_receipt(spool.stream, through)
    assert kept(spool) == [1, 2, 3]


def test_a_foreign_stream_neither_trims_nor_gets_anything(spool: Spool) -> None:
    change(spool)
    spool.mark_published([1])
    assert not spool.receive_receipt("0" * 16, 1)
    assert spool.range("0" * 16, 1, 1) == []
    assert kept(spool) == [1]


def test_a_late_older_receipt_takes_nothing_back(spool: Spool) -> None:
    for _ in range(2):
        change(spool)
    assert spool.receive_receipt(spool.stream, 2)
    assert spool.receive_receipt(spool.stream, 1)
    spool.mark_published([1, 2])
    assert kept(spool) == []


def test_a_range_is_what_is_still_there(spool: Spool) -> None:
    for _ in range(5):
        change(spool)
    spool.mark_published([1, 2])
    spool.receive_receipt(spool.stream, 1)
    assert numbers(spool.range(spool.stream, 1, 3)) == [2, 3]


def test_without_any_receipt_seven_days_suffice_and_are_no_loss(spool: Spool) -> None:
    change(spool)
    spool.mark_published([1])
    assert spool.trim(NOW.plus(7 * DAY_SECONDS)) == 0
    assert spool.trim(NOW.plus(7 * DAY_SECONDS + 1)) == 1
    assert kept(spool) == []
    assert spool.counts().lost == 0


def test_what_never_left_in_seven_days_is_a_loss_that_is_told(spool: Spool) -> None:
    for _ in range(3):
        change(spool)
    spool.mark_published([1])
    spool.trim(NOW.plus(8 * DAY_SECONDS))
    (loss,) = losses(spool)
    assert (loss["first"], loss["last"], loss["events"]) == (2, 3, 2)
    assert spool.counts().lost == 2


def test_with_a_controller_only_its_receipt_counts_as_heard(spool: Spool) -> None:
    for _ in range(3):
        change(spool)
    spool.mark_published([1, 2, 3])
    spool.receive_receipt(spool.stream, 1)
    spool.trim(NOW.plus(8 * DAY_SECONDS))
    (loss,) = losses(spool)
    assert (loss["first"], loss["last"], loss["events"]) == (2, 3, 2)


def test_a_clock_step_within_a_boot_ages_nothing(spool: Spool) -> None:
    change(spool)
    assert spool.trim(Instant(NOW.boot_id, NOW.boottime + 5, NOW.wall + 30 * DAY_SECONDS)) == 0
    assert spool.trim(Instant("boot-2", 5.0, NOW.wall - 30 * DAY_SECONDS)) == 0
    assert spool.trim(Instant("boot-2", 5.0, NOW.wall + 8 * DAY_SECONDS)) == 1


def small(connection: sqlite3.Connection, size_bytes: int = 20_000) -> Spool:
    return Spool(connection, SOURCE, size_bytes=size_bytes)


def test_a_full_spool_drops_findings_before_state_changes_and_says_which(
    connection: sqlite3.Connection,
) -> None:
    spool = small(connection)
    changes, findings = [], []
    while spool.counts().size_bytes <= 20_000:
        changes.append(change(spool))
        findings += [finding(spool), finding(spool)]
    dropped = spool.trim(NOW)
    left = kept(spool)
    assert dropped > 0
    assert set(changes) <= set(left)
    gone = sorted(set(findings) - set(left))
    assert len(gone) == dropped
    assert gone == findings[:dropped]  # the oldest
    (loss,) = losses(spool)
    assert (loss["first"], loss["last"], loss["events"]) == (gone[0], gone[-1], dropped)
    assert spool.counts().size_bytes <= 20_000
    assert spool.counts().lost == dropped


def test_a_full_spool_drops_what_was_published_before_what_was_not(
    connection: sqlite3.Connection,
) -> None:
    spool = small(connection)
    last = 0
    while spool.counts().size_bytes <= 20_000:
        last = finding(spool)
    spool.mark_published(range(last // 2, last + 1))
    dropped = spool.trim(NOW)
    assert 0 < dropped <= last // 2
    assert set(range(1, last // 2)) <= set(kept(spool))
    assert losses(spool) == []  # the broker had them, and no controller ever asked


def test_state_changes_go_when_nothing_else_is_left_and_no_loss_is_forgotten(
    connection: sqlite3.Connection,
) -> None:
    spool = small(connection, size_bytes=5_000)
    ever = 0
    for _ in range(300):
        ever = change(spool)
        spool.trim(NOW)
    assert spool.counts().size_bytes <= 5_000
    told = losses(spool)
    assert min(one["first"] for one in told) == 1
    gone = set(range(1, ever + 1)) - set(kept(spool))
    covered = {number for one in told for number in range(one["first"], one["last"] + 1)}
    assert gone <= covered
    assert sum(one["events"] for one in told) >= len(gone)


def test_the_books_agree_with_the_rows(connection: sqlite3.Connection) -> None:
    spool = small(connection, size_bytes=8_000)
    for number in range(60):
        change(spool)
        finding(spool)
        spool.mark_published([number])
        spool.trim(NOW)
    spool.receive_receipt(spool.stream, 80)
    (rows, size_bytes) = connection.execute(
        "SELECT count(*), total(length(payload) + 128) FROM spool"
    ).fetchone()
    counts = spool.counts()
    assert (counts.kept, counts.size_bytes) == (rows, size_bytes)


def test_a_failed_statement_leaves_no_half_done_trim(
    spool: Spool, connection: sqlite3.Connection
) -> None:
    change(spool)
    connection.execute(
        "CREATE TRIGGER no BEFORE INSERT ON spool BEGIN SELECT RAISE(ABORT,'x'); END"
    )
    with pytest.raises(sqlite3.IntegrityError):
        spool.trim(NOW.plus(8 * DAY_SECONDS))  # drops, and cannot tell
    assert not connection.in_transaction
    assert kept(spool) == [1]
