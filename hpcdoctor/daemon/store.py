"""What survives a restart of the daemon? One SQLite file, one transaction for each change.

State, events and intended actions are committed together with synchronous=FULL; the performer and
the publisher work from these tables. All of it blocks and runs in one thread, never in the loop.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from hpcdoctor.daemon.story import Told
from hpcdoctor.events.spool import Spool, create_tables
from hpcdoctor.events.topics import NAME
from hpcdoctor.migration import Step, WrittenByNewer, bring_up_to_date, refuse_newer, transaction
from hpcdoctor.model.action import Action, ActionResult
from hpcdoctor.model.finding import Finding
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node
from hpcdoctor.rules.circumstances import Opening

FORM = 1
STEPS: Mapping[int, Step] = {}  # the first step will lead from form 1 to 2
FILE = "hpcdoctor.db"
ACTIONS_KEPT = 1000
CLOSE_BUSY_MILLISECONDS = 500

TABLES = (
    """CREATE TABLE IF NOT EXISTS document (
        name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT""",
    """CREATE TABLE IF NOT EXISTS action (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL,
        asked REAL NOT NULL, state TEXT NOT NULL, result BLOB) STRICT""",
)


class Saved(msgspec.Struct, frozen=True):
    """What a restart finds."""

    node: Node | None  # None: the store is empty
    findings: list[Finding] = []
    positions: dict[str, str] = {}  # of the streams
    history: bytes = b""
    openings: list[Opening] = []


class _Named(msgspec.Struct, frozen=True):
    name: str


class StoreUnusable(Exception):
    """Nothing can be written now; nothing was."""


class Store:
    """The database of one daemon."""

    def __init__(self, folder: Path, source: str, *, age_seconds: float, size_bytes: int) -> None:
        """Open or make the database; one that is damaged is set aside and told by `rebuilt`.

        One of another node, which an image or a new name has brought, is put aside and told by
        `of_another`; it is taken up again when the node has its name back.
        `source` ends with the node's name.
        Raise WrittenByNewer where a newer program wrote it, StoreUnusable where it cannot be used.
        """
        self.path = folder / FILE
        self.rebuilt = ""
        self.of_another = ""
        self._source, self._age_seconds, self._size_bytes = source, age_seconds, size_bytes
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StoreUnusable(f"{self.path}: {error}") from error
            self._set_aside(error)
        owner, node = self._owner(), source.rpartition("/")[2]
        if owner not in ("", node):
            self._change_places(owner, node)

    def _set_aside(self, error: Exception) -> None:
        """Keep what cannot be read for whoever wants to look, and begin with an empty database."""
        aside = self.path.with_name(f"{FILE}.damaged-{int(time.time())}")
        self.connection.close()
        self.path.rename(aside)
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        self.rebuilt = f"the database was damaged ({error}) and set aside as {aside.name}"
        self._open()

    def _owner(self) -> str:
        """Return the name of the node whose state this is; "" where it is empty or cannot tell."""
        row = self.connection.execute("SELECT value FROM document WHERE name = 'node'").fetchone()
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            name = msgspec.json.decode(row[0], type=_Named).name if row else ""
            return name if NAME.fullmatch(name) else ""
        return ""  # a damaged one; load() sets it aside

    def _change_places(self, owner: str, node: str) -> None:
        """Put another node's database away under its name, and take up our own if it lies there."""
        ours_again = ""
        aside, ours = (self.path.with_name(f"{FILE}.of-{name}") for name in (owner, node))
        self.connection.close()
        if ours.exists():
            ours_again = "; the state of this name was there and was taken up again"
        try:
            for here, there in ((self.path, aside), (ours, self.path)):
                for suffix in ("-wal", ""):  # a log without its file is lost, not the other way
                    if (old := Path(f"{here}{suffix}")).exists():
                        old.rename(f"{there}{suffix}")
        except OSError as error:
            raise StoreUnusable(f"{self.path} belongs to node {owner}: {error}") from error
        self.of_another = (
            f"the database belonged to node {owner}, and this is {node}: it was put aside as "
            f"{aside.name}, undamaged{ours_again}"
        )
        self._open()

    def _open(self) -> None:
        self.connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=10
        )
        try:
            refuse_newer(self.connection, self.path, FORM)  # before anything is written
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "temp_store=MEMORY",
                "cache_size=-256",
                "wal_autocheckpoint=200",
            ):
                self.connection.execute(f"PRAGMA {pragma}")
            with transaction(self.connection):
                bring_up_to_date(self.connection, self.path, FORM, STEPS)
                for table in TABLES:
                    self.connection.execute(table)
                create_tables(self.connection)
        except WrittenByNewer:
            self.connection.close()
            raise
        self.spool = Spool(
            self.connection,
            self._source,
            age_seconds=self._age_seconds,
            size_bytes=self._size_bytes,
        )

    def load(self) -> Saved:
        """Return what the last transaction left; mark actions without an answer as unknown.

        A database whose documents nobody can read is a damaged one, and is set aside as such.
        """
        try:
            return self._load()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._set_aside(error)
            return Saved(node=None)
        except sqlite3.OperationalError as error:  # no room to mark anything
            raise StoreUnusable(f"{self.path}: {error}") from error

    def _load(self) -> Saved:
        documents = dict(self.connection.execute("SELECT name, value FROM document"))
        self.connection.execute("UPDATE action SET state = 'unknown' WHERE state = 'asked'")
        if "node" not in documents:
            return Saved(node=None)
        return Saved(
            node=msgspec.json.decode(documents["node"], type=Node),
            findings=msgspec.json.decode(documents.get("findings", b"[]"), type=list[Finding]),
            positions=msgspec.json.decode(documents.get("positions", b"{}"), type=dict[str, str]),
            history=documents.get("history", b""),
            openings=msgspec.json.decode(documents.get("openings", b"[]"), type=list[Opening]),
        )

    def save(
        self,
        node: Node,
        findings: Iterable[Finding],
        positions: dict[str, str],
        told: Sequence[Told],
        actions: Sequence[Action],
        ended: Sequence[ActionResult],
        now: Instant,
        openings: Sequence[Opening] | None = None,
    ) -> int:
        """Commit one change; return the last event's number. StoreUnusable: nothing was."""
        encode = msgspec.json.encode
        last = 0
        try:
            with transaction(self.connection):
                self._write("node", encode(node))
                self._write("findings", encode(list(findings)))
                self._write("positions", encode(positions))
                if openings is not None:  # it has changed
                    self._write("openings", encode(openings))
                for result in ended:
                    self.connection.execute(
                        "UPDATE action SET state = 'ended', result = ? WHERE id = ?",
                        (encode(result), result.id),
                    )
                for action in actions:
                    self.connection.execute(
                        "INSERT INTO action (id, body, asked, state) VALUES (?, ?, ?, 'asked')",
                        (action.id, encode(action), now.wall),
                    )
                for one in told:
                    last = self.spool.append(one.type, one.data, one.subject, now).sequence
        except sqlite3.Error as error:
            raise StoreUnusable(f"{self.path}: {error}") from error
        return last

    def save_history(self, history: bytes, positions: dict[str, str], now: Instant) -> None:
        """Write what may be lost without harm, and trim what is too old."""
        try:
            with transaction(self.connection):
                self._write("history", history)
                self._write("positions", msgspec.json.encode(positions))
                self.connection.execute(
                    "DELETE FROM action WHERE number <= (SELECT max(number) FROM action) - ?",
                    (ACTIONS_KEPT,),
                )
            self.spool.trim(now)
        except sqlite3.Error as error:
            raise StoreUnusable(f"{self.path}: {error}") from error

    def next_action(self) -> Action | None:
        """Return the oldest action that has been asked for and not answered."""
        try:
            row = self.connection.execute(
                "SELECT body FROM action WHERE state = 'asked' ORDER BY number LIMIT 1"
            ).fetchone()
        except sqlite3.Error as error:
            raise StoreUnusable(f"{self.path}: {error}") from error
        return msgspec.json.decode(row[0], type=Action) if row else None

    def close(self) -> None:
        """Bring everything into the one file, so that whoever moves or copies it has all of it.

        Where somebody reads meanwhile the log stays, and nothing of it is lost.
        """
        with contextlib.suppress(sqlite3.Error):
            self.connection.execute(f"PRAGMA busy_timeout={CLOSE_BUSY_MILLISECONDS}")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()

    def _write(self, name: str, value: bytes) -> None:
        self.connection.execute(
            "INSERT INTO document VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )
