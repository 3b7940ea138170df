"""What has this helper done? Each action on disk before it starts, and again when it has ended.

The daemon has books of its own. These are the helper's, in a folder that only root can enter, so
that a daemon that was taken over, or has lost its store, cannot have an action started twice.
"""

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from hpcdoctor.migration import Step, WrittenByNewer, bring_up_to_date, refuse_newer, transaction
from hpcdoctor.model.action import Action, ActionResult

FILE = "journal.sqlite"
FORM = 1
KEPT_SECONDS = 90 * 86_400
BUSY_SECONDS = 5.0  # another helper, on its way out, may still be writing its last line

SCHEMA = """
CREATE TABLE IF NOT EXISTS actions (
    id TEXT PRIMARY KEY,
    operation TEXT NOT NULL,
    reason TEXT NOT NULL,
    mark TEXT NOT NULL,
    user INTEGER NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    result TEXT,
    message TEXT,
    remediation TEXT NOT NULL DEFAULT ''
) STRICT
"""
REMEDIATION = "ALTER TABLE actions ADD COLUMN remediation TEXT NOT NULL DEFAULT ''"


def add_remediation(database: sqlite3.Connection) -> None:
    """Form 0 had no number, and at first no such column."""
    columns = {row[1] for row in database.execute("PRAGMA table_info(actions)")}
    if columns and "remediation" not in columns:
        database.execute(REMEDIATION)


STEPS: Mapping[int, Step] = {0: add_remediation}


UNUSABLE = (sqlite3.Error, OSError, WrittenByNewer)


class JournalUnusable(Exception):
    """The journal cannot be read or written; the message says why."""


class AlreadyStarted(Exception):
    """An action with this id is in the journal."""


class Journal:
    """The helper's own books."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._database: sqlite3.Connection | None = None

    def start(self, action: Action, user: int) -> None:
        """Write down that this action starts now."""
        try:
            database = self._open()
            found = database.execute(
                "SELECT started FROM actions WHERE id = ?", (action.id,)
            ).fetchone()
            if found is None:
                database.execute(
                    "INSERT INTO actions (id, operation, reason, mark, user, started, remediation)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        action.id,
                        action.operation,
                        action.reason,
                        action.mark,
                        user,
                        self._clock(),
                        action.remediation,
                    ),
                )
        except UNUSABLE as error:
            raise self._unusable(error) from error
        if found is not None:
            at = datetime.fromtimestamp(found[0], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            raise AlreadyStarted(
                f"action {action.id} was already started at {at}; ask again with a new attempt"
            )

    def end(self, result: ActionResult) -> None:
        """Write down how it ended."""
        try:
            self._open().execute(
                "UPDATE actions SET ended = ?, result = ?, message = ? WHERE id = ?",
                (self._clock(), result.result, result.message, result.id),
            )
        except UNUSABLE as error:
            raise self._unusable(error) from error

    def times(self, seconds: float, remediation: str | None = None) -> int:
        """Return how often a remediation was started in the last so many seconds, or any.

        What this clock calls the future counts too: a clock set back must not lift a limit.
        """
        try:
            (count,) = (
                self._open()
                .execute(
                    "SELECT count(*) FROM actions WHERE operation = 'remediate' AND started > ?1"
                    " AND (?2 IS NULL OR remediation = ?2) AND ifnull(result, '') <> 'refused'",
                    (self._clock() - seconds, remediation),
                )
                .fetchone()
            )
        except UNUSABLE as error:
            raise self._unusable(error) from error
        return int(count)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _unusable(self, error: Exception) -> JournalUnusable:
        self.close()  # the next action tries from the start
        if isinstance(error, WrittenByNewer):
            return JournalUnusable(str(error))
        return JournalUnusable(f"the helper's journal {self._folder / FILE} is not usable: {error}")

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_owner(self._folder)
            # isolation_level None: every statement is its own transaction, on disk when it returns.
            database = sqlite3.connect(
                self._folder / FILE, isolation_level=None, timeout=BUSY_SECONDS
            )
            try:
                refuse_newer(database, self._folder / FILE, FORM)  # before anything is written
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                with transaction(database):
                    bring_up_to_date(database, self._folder / FILE, FORM, STEPS)
                    database.execute(SCHEMA)
                    database.execute(
                        "DELETE FROM actions WHERE started < ?", (self._clock() - KEPT_SECONDS,)
                    )
            except (sqlite3.Error, WrittenByNewer):
                database.close()
                raise
            self._database = database
        return self._database


def check_owner(folder: Path) -> None:
    """Refuse a folder in which somebody else can write our past."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise JournalFolderOpen(
            f"{folder} must be a folder of this process's user with mode 0700, and is not"
        )


class JournalFolderOpen(OSError):
    """Others than root may enter the journal's folder."""
