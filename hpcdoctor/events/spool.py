"""Where do events wait until the controller has them? A durable outbox with sequence numbers.

It lives in the daemon's own database, so that an event is committed together with the change that
it tells. The daemon opens the connection (autocommit, WAL, synchronous=FULL) and calls all of this
from one thread, inside its own transaction where there is one.

An event is kept until the controller's receipt: that the broker took it means only that it is in
the broker's memory. Without a receipt it is kept for a time, and within a size. When that is full,
findings go before state changes, and the loss is itself an event.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from hpcdoctor.events.envelope import timestamp, to_wire
from hpcdoctor.events.vocabulary import LOST, TYPES, EventData, SpoolLost
from hpcdoctor.model.event import Event
from hpcdoctor.model.instant import Instant

AGE_SECONDS = 7 * 86400.0
SIZE_BYTES = 64 * 2**20
# A full spool is emptied this far, so that one loss is told for many events and not one for each.
EMPTIED_TO_RATIO = 0.9
OVERHEAD_BYTES = 128  # of a row in the file beside its payload: numbers, boot id, indexes
LONGEST_RANGE = 100  # events of a range that are in memory at once

TABLES = """
CREATE TABLE IF NOT EXISTS spool_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    stream TEXT NOT NULL,
    next_sequence INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    receipt_through INTEGER NOT NULL,
    lost_total INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS spool (
    sequence INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    droppable INTEGER NOT NULL,
    published INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    boottime REAL NOT NULL,
    wall REAL NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS spool_unpublished ON spool (sequence) WHERE published = 0;
"""


class SpoolUnusable(Exception):
    """The database cannot be read or written now."""


class Outgoing(NamedTuple):
    """One event as it is published."""

    sequence: int
    type: str
    payload: bytes


class Counts(NamedTuple):
    """How the spool stands."""

    pending: int  # not published yet
    kept: int  # in all
    size_bytes: int
    lost: int  # ever dropped before anybody had acknowledged them


class Backlog(NamedTuple):
    """What the broker has not taken."""

    size_bytes: int
    oldest_seconds: float | None  # None where nothing waits


class _Dropped(NamedTuple):
    """What one round of dropping took away, and how much of it was a loss."""

    events: int = 0
    lost: int = 0
    told_before: int = 0  # losses whose own event was among the lost
    first: int = 0
    last: int = 0

    def with_loss(self, first: int, last: int, *, told_before: int = 0) -> "_Dropped":
        return self._replace(
            lost=self.lost + (0 if told_before else 1),
            told_before=self.told_before + told_before,
            first=min(self.first, first) if self.lost else first,
            last=max(self.last, last) if self.lost else last,
        )


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables where they are missing, and with them the stream's id."""
    for statement in TABLES.split(";"):
        connection.execute(statement)  # one by one: executescript would commit the caller's work
    connection.execute(
        "INSERT OR IGNORE INTO spool_head VALUES (1, ?, 1, 0, 0, 0)", (secrets.token_hex(8),)
    )


class Spool:
    """The outbox of one node."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        source: str,
        *,
        age_seconds: float = AGE_SECONDS,
        size_bytes: int = SIZE_BYTES,
    ) -> None:
        """Take up the outbox in this database; `source` is that of the node's Topics."""
        self._connection = connection
        self._source = source
        self._age_seconds = age_seconds
        self._size_bytes = size_bytes
        (self.stream,) = connection.execute("SELECT stream FROM spool_head").fetchone()

    def append(self, type_name: str, data: EventData, subject: str, now: Instant) -> Event:
        """Number an event and store it; it is there when the caller's transaction is."""
        kind = TYPES.get(type_name)
        if kind is None or not isinstance(data, kind.data):
            raise ValueError(
                f"`{type_name}` is no type of event that carries {type(data).__name__}"
            )
        with self._transaction():
            (sequence,) = self._connection.execute(
                "UPDATE spool_head SET next_sequence = next_sequence + 1 "
                "RETURNING next_sequence - 1"
            ).fetchone()
            event = Event(
                sequence=sequence,
                id=f"{self.stream}-{sequence}",
                type=type_name,
                source=self._source,
                time=timestamp(now.wall),
                data=msgspec.to_builtins(data),
                subject=subject,
            )
            payload = to_wire(event, self.stream)
            self._connection.execute(
                "INSERT INTO spool VALUES (?, ?, ?, 0, ?, ?, ?, ?)",
                (
                    sequence,
                    type_name,
                    kind.droppable,
                    now.boot_id,
                    now.boottime,
                    now.wall,
                    payload,
                ),
            )
            self._connection.execute(
                "UPDATE spool_head SET bytes = bytes + ?", (len(payload) + OVERHEAD_BYTES,)
            )
        return event

    def unpublished(self, limit: int, after: int = 0) -> list[Outgoing]:
        """Return the first events beyond `after` that the broker has not taken, in order."""
        rows = self._connection.execute(
            "SELECT sequence, type, payload FROM spool WHERE published = 0 AND sequence > ? "
            "ORDER BY sequence LIMIT ?",
            (after, limit),
        )
        return [Outgoing(*row) for row in rows]

    def mark_published(self, sequences: Iterable[int]) -> None:
        """Record that the broker took these; those that have their receipt already are done."""
        with self._transaction():
            self._connection.executemany(
                "UPDATE spool SET published = 1 WHERE sequence = ?", [(one,) for one in sequences]
            )
            self._drop_received()

    def receive_receipt(self, stream: str, through_sequence: int) -> bool:
        """Let go of what the controller has; False, and nothing, where that cannot be."""
        with self._transaction():
            (next_sequence,) = self._connection.execute(
                "SELECT next_sequence FROM spool_head"
            ).fetchone()
            if stream != self.stream or not 0 < through_sequence < next_sequence:
                return False
            # An older receipt may come late and takes nothing back.
            self._connection.execute(
                "UPDATE spool_head SET receipt_through = max(receipt_through, ?)",
                (through_sequence,),
            )
            self._drop_received()
        return True

    def range(
        self, stream: str, first: int, last: int, limit: int = LONGEST_RANGE
    ) -> list[Outgoing]:
        """Return the first of what is still there of a range; nothing of a foreign stream."""
        if stream != self.stream:
            return []
        rows = self._connection.execute(
            "SELECT sequence, type, payload FROM spool WHERE sequence BETWEEN ? AND ? "
            "ORDER BY sequence LIMIT ?",
            (first, last, limit),
        )
        return [Outgoing(*row) for row in rows]

    def counts(self) -> Counts:
        (pending,) = self._connection.execute(
            "SELECT count(*) FROM spool WHERE published = 0"
        ).fetchone()
        (kept,) = self._connection.execute("SELECT count(*) FROM spool").fetchone()
        size_bytes, lost = self._connection.execute(
            "SELECT bytes, lost_total FROM spool_head"
        ).fetchone()
        return Counts(pending, kept, size_bytes, lost)

    def backlog(self, now: Instant) -> Backlog:
        (size_bytes,) = self._connection.execute(
            "SELECT coalesce(sum(length(payload) + ?), 0) FROM spool WHERE published = 0",
            (OVERHEAD_BYTES,),
        ).fetchone()
        oldest = self._connection.execute(
            "SELECT boot_id, boottime, wall FROM spool WHERE published = 0 "
            "ORDER BY sequence LIMIT 1"
        ).fetchone()
        return Backlog(size_bytes, now.seconds_since(Instant(*oldest)) if oldest else None)

    def trim(self, now: Instant) -> int:
        """Drop what is too old or too much, tell a loss as an event; return how many went.

        To be called once a tick: `append` itself never drops anything.
        """
        with self._transaction():
            old = self._drop_old(now)
            if old.lost:
                self._tell(old, "older than the spool keeps events without a receipt", now)
            full = self._drop_over_size()
            if full.lost:
                self._tell(full, "the spool was full", now)
            return old.events + full.events

    def _drop_received(self) -> None:
        """Let go of what was published and has its receipt: no receipt drops what never left."""
        self._forget("published = 1 AND sequence <= (SELECT receipt_through FROM spool_head)", ())

    def _drop_old(self, now: Instant) -> _Dropped:
        # Within a boot by the clock that no step moves, as Instant.seconds_since does.
        return self._forget(
            "CASE boot_id WHEN ? THEN ? - boottime ELSE ? - wall END > ?",
            (now.boot_id, now.boottime, now.wall, self._age_seconds),
        )

    def _drop_over_size(self) -> _Dropped:
        (size_bytes,) = self._connection.execute("SELECT bytes FROM spool_head").fetchone()
        if size_bytes <= self._size_bytes:
            return _Dropped()
        excess = size_bytes - round(self._size_bytes * EMPTIED_TO_RATIO)
        # The first rows, in the order in which we can do without them, that make up the excess.
        return self._forget(
            "sequence IN (SELECT sequence FROM (SELECT sequence, length(payload) + ? AS size, "
            "sum(length(payload) + ?) OVER (ORDER BY droppable DESC, published DESC, sequence "
            "ROWS UNBOUNDED PRECEDING) AS through FROM spool) WHERE through - size < ?)",
            (OVERHEAD_BYTES, OVERHEAD_BYTES, excess),
        )

    def _forget(self, where: str, values: tuple[str | float, ...]) -> _Dropped:
        """Delete rows, keep the books; `where` is one of the three constants above."""
        (received,) = self._connection.execute("SELECT receipt_through FROM spool_head").fetchone()
        rows = self._connection.execute(
            f"DELETE FROM spool WHERE {where} "  # noqa: S608 - constants of this file
            "RETURNING sequence, published, type, length(payload), "
            f"CASE type WHEN '{LOST}' THEN payload END",
            values,
        ).fetchall()
        if not rows:
            return _Dropped()
        dropped = _Dropped(events=len(rows))
        size_bytes = 0
        for sequence, published, type_name, length, payload in rows:
            size_bytes += length + OVERHEAD_BYTES
            # Where no receipt ever came there is no controller, and the broker's word must do.
            acknowledged = sequence <= received if received else published
            if acknowledged:
                continue
            dropped = dropped.with_loss(sequence, sequence)
            if type_name == LOST:  # what it told is told again by the next one
                told = _told(payload)
                dropped = dropped.with_loss(told.first, told.last, told_before=told.events)
        self._connection.execute(
            "UPDATE spool_head SET bytes = bytes - ?, lost_total = lost_total + ?",
            (size_bytes, dropped.lost),
        )
        return dropped

    def _tell(self, dropped: _Dropped, because: str, now: Instant) -> None:
        told = SpoolLost(
            first=dropped.first,
            last=dropped.last,
            events=dropped.lost + dropped.told_before,
            because=because,
        )
        self.append(LOST, told, "", now)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Be one with the caller's transaction, or make one where there is none."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


class _Envelope(msgspec.Struct):
    data: SpoolLost


def _told(payload: bytes) -> SpoolLost:
    return msgspec.json.decode(payload, type=_Envelope).data
