"""Does the helper know what it has already started, also after it has ended?"""

import sqlite3
from pathlib import Path

import pytest

from hpcdoctor.helper.journal import FILE, FORM, AlreadyStarted, Journal, JournalUnusable
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from tests.doubles.dump import form, make_newer, restore

DAY_SECONDS = 86_400.0
DRAIN = Action("k3f9.1.1", Operation.DRAIN, "hd:k3f9.1 x", "hd:k3f9.1")


def rows(folder: Path) -> list[tuple[object, ...]]:
    database = sqlite3.connect(folder / FILE)
    try:
        return database.execute(
            "SELECT id, operation, user, started, ended, result, message FROM actions ORDER BY id"
        ).fetchall()
    finally:
        database.close()


def test_an_action_is_on_disk_before_it_ends_and_then_with_its_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", clock=lambda: 1000.0)
    journal.start(DRAIN, 998)
    assert rows(tmp_path / "journal") == [("k3f9.1.1", "drain", 998, 1000.0, None, None, None)]
    journal.end(ActionResult("k3f9.1.1", Operation.DRAIN, Result.DONE, "drained"))
    assert rows(tmp_path / "journal") == [
        ("k3f9.1.1", "drain", 998, 1000.0, 1000.0, "done", "drained")
    ]
    journal.close()


def test_an_id_is_started_once_also_by_the_next_helper(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal", clock=lambda: 0.0)
    first.start(DRAIN, 998)
    first.close()
    second = Journal(tmp_path / "journal", clock=lambda: 60.0)
    with pytest.raises(AlreadyStarted, match="1970-01-01T00:00:00Z; ask again with a new attempt"):
        second.start(DRAIN, 998)
    second.close()


def test_a_helper_that_has_ended_leaves_one_file_with_all_of_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", clock=lambda: 0.0)
    journal.start(DRAIN, 998)
    journal.close()
    assert [path.name for path in (tmp_path / "journal").iterdir()] == [FILE]


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state" / "journal")
    journal.start(DRAIN, 0)
    journal.close()
    assert (tmp_path / "state" / "journal").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_enter_is_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir(mode=0o755)
    with pytest.raises(JournalUnusable, match="mode 0700"):
        Journal(folder).start(DRAIN, 0)


def test_a_link_to_a_folder_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "journal").symlink_to("elsewhere")
    with pytest.raises(JournalUnusable):
        Journal(tmp_path / "journal").start(DRAIN, 0)


def test_a_broken_journal_says_so_and_works_again_when_it_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir(mode=0o700)
    (folder / FILE).write_bytes(b"this is no database, whatever it is " * 100)
    journal = Journal(folder)
    with pytest.raises(JournalUnusable, match="not usable"):
        journal.start(DRAIN, 0)
    (folder / FILE).unlink()
    journal.start(DRAIN, 0)
    journal.close()


def test_what_is_older_than_90_days_is_forgotten(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal", clock=lambda: 0.0)
    first.start(DRAIN, 0)
    first.close()
    before = Journal(tmp_path / "journal", clock=lambda: 89 * DAY_SECONDS)
    with pytest.raises(AlreadyStarted):
        before.start(DRAIN, 0)
    before.close()
    after = Journal(tmp_path / "journal", clock=lambda: 91 * DAY_SECONDS)
    after.start(DRAIN, 0)
    after.close()


@pytest.mark.parametrize(
    "dump", sorted((Path(__file__).parent / "databases").glob("*.sql")), ids=lambda dump: dump.stem
)
def test_what_an_older_helper_has_started_is_not_started_again(dump: Path, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir(mode=0o700)
    path = restore(dump, folder / FILE)
    journal = Journal(folder, clock=lambda: 1_790_000_060.0)
    with pytest.raises(AlreadyStarted, match="k3f9.1.1 was already started at 2026-09-21"):
        journal.start(DRAIN, 998)
    again = Action("k3f9.1.3", Operation.REMEDIATE, "", "hd:k3f9.1", remediation="gpu-reset")
    journal.start(again, 998)
    assert journal.times(3600, "gpu-reset") == 1
    journal.close()
    assert form(path) == FORM
    assert [row[0] for row in rows(folder)] == ["k3f9.1.1", "k3f9.1.2", "k3f9.1.3"]


def test_a_journal_of_a_newer_helper_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    first = Journal(folder)
    first.start(DRAIN, 0)
    first.close()
    make_newer(folder / FILE, "9.1.0")
    before = (folder / FILE).read_bytes()
    with pytest.raises(JournalUnusable, match=r"written by hpcdoctor 9\.1\.0 .* newer one again"):
        Journal(folder).start(DRAIN, 0)
    assert (folder / FILE).read_bytes() == before
