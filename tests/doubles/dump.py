"""How does a test get a database that an older program wrote? From its dump, kept as text."""

import sqlite3
from pathlib import Path


def restore(dump: Path, path: Path) -> Path:
    """Make the database that the dump was taken of."""
    connection = sqlite3.connect(path)
    connection.executescript(dump.read_text())
    connection.close()
    return path


def form(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
    finally:
        connection.close()
    return int(found)


def make_newer(path: Path, version: str = "") -> None:
    """Turn the database into one of a later program, in a form that nobody here knows."""
    connection = sqlite3.connect(path)
    if version:
        connection.execute("UPDATE program SET version = ?", (version,))
    else:
        connection.execute("DROP TABLE IF EXISTS program")
    connection.execute("CREATE TABLE what_nobody_here_knows (x TEXT)")
    connection.execute("PRAGMA user_version=99")
    connection.commit()
    connection.close()
