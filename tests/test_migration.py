"""Does an older database become the present one whole, and is a newer one left alone?"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdoctor import __version__
from hpcdoctor.migration import WrittenByNewer, bring_up_to_date, form_of, transaction


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


PATH = Path("/var/lib/x.db")


def columns(database: sqlite3.Connection) -> list[str]:
    return [row[1] for row in database.execute("PRAGMA table_info(thing)")]


def make(database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE thing (a TEXT)")


def add_b(database: sqlite3.Connection) -> None:
    database.execute("ALTER TABLE thing ADD COLUMN b TEXT")


def add_c(database: sqlite3.Connection) -> None:
    database.execute("ALTER TABLE thing ADD COLUMN c TEXT")


STEPS = {0: make, 1: add_b, 2: add_c}


def migrate(database: sqlite3.Connection, form: int) -> None:
    with transaction(database):
        bring_up_to_date(database, PATH, form, STEPS)


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_every_older_form_takes_the_steps_that_it_lacks(
    database: sqlite3.Connection, start: int
) -> None:
    migrate(database, start)
    migrate(database, 3)
    assert (columns(database), form_of(database)) == (["a", "b", "c"], 3)
    migrate(database, 3)
    assert columns(database) == ["a", "b", "c"], "a second start changes nothing"


def test_a_step_that_fails_leaves_the_old_form_whole(database: sqlite3.Connection) -> None:
    migrate(database, 1)

    def fail(connection: sqlite3.Connection) -> None:
        add_c(connection)
        connection.execute("this is no SQL")

    with pytest.raises(sqlite3.OperationalError, match="syntax"), transaction(database):
        bring_up_to_date(database, PATH, 3, {1: add_b, 2: fail})
    assert (columns(database), form_of(database)) == (["a"], 1)


def test_a_newer_form_is_refused_by_name_and_left_as_it_is(database: sqlite3.Connection) -> None:
    migrate(database, 3)
    database.execute("UPDATE program SET version = '9.1'")
    with pytest.raises(WrittenByNewer) as refused:
        migrate(database, 2)
    assert str(refused.value) == (
        f"/var/lib/x.db was written by hpcdoctor 9.1 (form 3); this is hpcdoctor {__version__}, "
        "which knows form 2 and older, so nothing in it was touched. Install the newer one again, "
        "or move the file away, and x.db-wal and x.db-shm with it where they are, to start without "
        "its past"
    )
    assert form_of(database) == 3


def test_a_newer_form_without_a_writer_is_refused_all_the_same(
    database: sqlite3.Connection,
) -> None:
    database.execute("PRAGMA user_version=7")
    with pytest.raises(WrittenByNewer, match="written by a newer hpcdoctor"):
        migrate(database, 1)
