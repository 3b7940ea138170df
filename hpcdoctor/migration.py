"""Which form does a database of ours have, and how does an older one get the present form?

SQLite's `user_version` carries the number of the form. It goes up only where an older program would
misread what a newer one writes: a new table that old programs pass over, or a new key with a
default, is no new form. A step from one form to the next runs in the transaction that also raises
the number, so that a crash leaves the old form whole.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from hpcdoctor import __version__
from hpcdoctor.model.text import visible

Step = Callable[[sqlite3.Connection], None]

LONGEST_VERSION = 64
PROGRAM = """CREATE TABLE IF NOT EXISTS program (
    one INTEGER PRIMARY KEY CHECK (one = 1), version TEXT NOT NULL) STRICT"""


class WrittenByNewer(Exception):
    """A newer program wrote this database; nothing in it was touched. The text says what to do."""


def refuse_newer(connection: sqlite3.Connection, path: Path, form: int) -> None:
    """Raise WrittenByNewer where the database has a form that this program does not know."""
    found = form_of(connection)
    if found > form:
        raise WrittenByNewer(
            f"{path} was written by {_writer(connection)} (form {found}); this is hpcdoctor "
            f"{__version__}, which knows form {form} and older, so nothing in it was touched. "
            f"Install the newer one again, or move the file away, and {path.name}-wal and "
            f"{path.name}-shm with it where they are, to start without its past"
        )


def bring_up_to_date(
    connection: sqlite3.Connection, path: Path, form: int, steps: Mapping[int, Step]
) -> None:
    """Take the database to `form`, inside the caller's transaction.

    `steps[n]` leads from form n to n+1; 0 is an empty database too, so step 0 has to bear that.
    """
    refuse_newer(connection, path, form)  # again: here nobody else can write in between
    for number in range(form_of(connection), form):
        if number in steps:
            steps[number](connection)
    connection.execute(f"PRAGMA user_version={form}")
    connection.execute(PROGRAM)
    connection.execute(
        "INSERT INTO program VALUES (1, ?1) ON CONFLICT (one) DO UPDATE"
        " SET version = excluded.version WHERE version <> excluded.version",
        (__version__,),
    )


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing, on a connection that commits each statement by itself otherwise."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def form_of(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def _writer(connection: sqlite3.Connection) -> str:
    """Return who wrote last, as far as a form that nobody here knows tells it."""
    try:
        row = connection.execute("SELECT version FROM program").fetchone()
    except sqlite3.OperationalError:
        row = None
    if row is None or not isinstance(row[0], str):
        return "a newer hpcdoctor"
    return f"hpcdoctor {visible(row[0], LONGEST_VERSION)}"
