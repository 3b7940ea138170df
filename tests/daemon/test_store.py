"""Does the store keep all of a change or nothing, and does it say when it cannot?"""

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from hpcdoctor.daemon.store import FILE, FORM, Store, StoreUnusable
from hpcdoctor.daemon.story import Told
from hpcdoctor.events.vocabulary import LogGap
from hpcdoctor.migration import WrittenByNewer
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from hpcdoctor.model.finding import Cause, Finding, Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node, State
from tests.doubles.dump import form, make_newer, restore

NOW = Instant("boot", 1000.0, 1_800_000_000.0)
NODE = Node(name="n1", state=State.DRAINING, since=NOW, because="GPU3")
FINDING = Finding("gpu-lost", {}, Verdict.CRITICAL, Cause.NODE, "GPU3 is lost", NOW)
DRAIN = Action(id="k3f9.1.1", operation=Operation.DRAIN, reason="hd:k3f9.1 GPU3")
GAP = Told("hpcdoctor.log.gap", LogGap(lost=3, because="a test"))


def open_store(folder: Path, node: str = "n1") -> Store:
    return Store(folder, f"/hpcdoctor/lab/{node}", age_seconds=3600, size_bytes=1 << 20)


def save(store: Store, told: list[Told], actions: list[Action]) -> int:
    return store.save(NODE, [FINDING], {"kernel_log": "boot:7"}, told, actions, [], NOW)


def test_a_restart_finds_what_the_last_transaction_left(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert store.load().node is None, "empty at first"
    assert save(store, [GAP], [DRAIN]) == 1
    store.close()
    again = open_store(tmp_path)
    saved = again.load()
    assert saved.node == NODE
    assert saved.findings == [FINDING]
    assert saved.positions == {"kernel_log": "boot:7"}
    assert [json.loads(e.payload)["data"]["lost"] for e in again.spool.unpublished(10)] == [3]


def test_after_a_clean_stop_all_of_it_is_in_the_one_file(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    save(store, [GAP], [DRAIN])
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / FILE).rename(elsewhere / FILE)
    assert open_store(elsewhere).load().node == NODE


def test_a_reader_does_not_hold_up_the_end_and_loses_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM document").fetchall()
        save(store, [GAP], [DRAIN])
        store.close()
    assert open_store(tmp_path).load().node == NODE


def test_a_failure_in_the_middle_leaves_nothing_of_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    save(store, [GAP], [DRAIN])
    changed = Node(name="n1", state=State.HEALTHY, since=NOW, because="other")
    with pytest.raises(StoreUnusable, match="UNIQUE"):  # an id is never used twice
        store.save(changed, [], {}, [GAP], [DRAIN], [], NOW)
    assert store.load().node == NODE
    assert len(store.spool.unpublished(10)) == 1


def test_an_action_is_offered_until_it_is_answered(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    save(store, [], [DRAIN])
    assert store.next_action() == DRAIN
    done = ActionResult(id=DRAIN.id, operation=Operation.DRAIN, result=Result.DONE)
    store.save(NODE, [], {}, [], [], [done], NOW)
    assert store.next_action() is None


def test_after_a_crash_an_action_without_an_answer_is_unknown_and_not_offered(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path)
    save(store, [], [DRAIN])
    store.close()
    again = open_store(tmp_path)
    again.load()
    assert again.next_action() is None
    (state,) = again.connection.execute("SELECT state FROM action").fetchone()
    assert state == "unknown"


def test_a_damaged_file_is_set_aside_and_told(tmp_path: Path) -> None:
    (tmp_path / "hpcdoctor.db").write_bytes(b"not a database, and long enough " * 100)
    store = open_store(tmp_path)
    assert "set aside as hpcdoctor.db.damaged-" in store.rebuilt
    assert store.load().node is None
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_what_cannot_be_read_in_it_is_set_aside_as_damaged(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    save(store, [], [])
    store.connection.execute("UPDATE document SET value = ? WHERE name = 'node'", (b'{"name": 1}',))
    store.close()
    again = open_store(tmp_path)
    assert again.load().node is None
    assert "set aside as hpcdoctor.db.damaged-" in again.rebuilt
    save(again, [], [])
    assert again.load().node == NODE


@pytest.mark.parametrize("writer", ["", "9.1.0"])
def test_a_database_of_a_newer_program_is_refused_and_left_as_it_is(
    tmp_path: Path, writer: str
) -> None:
    store = open_store(tmp_path)
    save(store, [], [])
    store.close()
    make_newer(tmp_path / FILE, writer)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(WrittenByNewer, match=f"hpcdoctor {writer}.*Install the newer one again"):
        open_store(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE], "nothing is set aside"


def test_the_process_that_meets_a_newer_database_ends_with_78_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path)
    store.close()
    make_newer(tmp_path / FILE)
    config = tmp_path / "config"
    config.mkdir()
    (config / "hpcdoctor.yaml").write_text(f"state_directory: {tmp_path}\n")
    done = subprocess.run(
        [sys.executable, "-m", "hpcdoctor", "daemon", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr.startswith(f"hpcdoctor: {tmp_path / FILE} was written by a newer hpcdoctor")
    assert len(done.stderr.splitlines()) == 1


OLDER = sorted((Path(__file__).parent / "databases").glob("*.sql"))


@pytest.mark.parametrize("dump", OLDER, ids=lambda dump: dump.stem)
def test_the_state_that_an_older_program_left_is_taken_over(dump: Path, tmp_path: Path) -> None:
    path = restore(dump, tmp_path / FILE)
    store = open_store(tmp_path, "n017")
    saved = store.load()
    assert store.rebuilt == ""
    assert form(path) == FORM
    node = saved.node
    assert node is not None
    assert (node.name, node.state) == ("n017", State.DRAINED)
    assert node.incident is not None
    assert node.incident.mark == "hd:k3f9.2"
    assert node.quarantine is not None
    assert node.quarantine.claimed_by == "root"
    assert node.hold is not None
    assert node.hold.why == "a technician is on the way"
    assert [one.key for one in saved.findings] == ["gpu-lost[gpu=3]"]
    assert saved.positions == {"kernel_log": "boot:9"}
    assert store.next_action() is None, "what was asked has had no answer, and is unknown"
    events = store.spool.unpublished(10)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert len(events) > 0
    changed = replace(node, because="other")
    store.save(changed, [], {}, [GAP], [], [], NOW)
    store.close()
    again = open_store(tmp_path, "n017")
    assert again.load().node == changed


def test_what_0_1_0_knew_more_is_taken_over_too(tmp_path: Path) -> None:
    restore(Path(__file__).parent / "databases/0.1.0.sql", tmp_path / FILE)
    saved = open_store(tmp_path, "n017").load()
    assert saved.node is not None
    assert [repair.remediation for repair in saved.node.repairs] == ["gpu-reset"]
    assert [opening.job for opening in saved.openings] == ["4711"]


def test_the_state_of_another_node_is_put_aside_and_found_again_under_its_name(
    tmp_path: Path,
) -> None:
    """An image made of a node brings its state along; a name may also come late at boot."""
    first = open_store(tmp_path, "n1")
    save(first, [GAP], [])
    stream = first.spool.stream
    first.close()
    other = open_store(tmp_path, "n2")
    assert other.load().node is None
    assert other.rebuilt == "", "nothing is damaged"
    assert other.of_another.startswith(
        "the database belonged to node n1, and this is n2: it was put aside as hpcdoctor.db.of-n1"
    )
    assert other.spool.stream != stream, "two nodes must not number one stream"
    other.save(replace(NODE, name="n2"), [], {}, [], [], [], NOW)
    other.close()
    back = open_store(tmp_path, "n1")
    assert back.load().node == NODE
    assert "was taken up again" in back.of_another
    assert back.spool.stream == stream
    back.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, f"{FILE}.of-n2"]


def test_a_database_whose_owner_cannot_be_told_is_no_other_nodes(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    save(store, [], [])
    store.connection.execute(
        "UPDATE document SET value = ? WHERE name = 'node'", (b'{"name": "../../etc/x"}',)
    )
    store.close()
    again = open_store(tmp_path)
    assert again.load().node is None
    assert "set aside as hpcdoctor.db.damaged-" in again.rebuilt


def test_a_folder_that_is_not_there_is_told_as_unusable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="unable to open"):
        open_store(tmp_path / "nowhere")


def test_the_history_is_kept_beside(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    save(store, [], [])
    store.save_history(b"windows", {"kernel_log": "boot:9"}, NOW)
    saved = store.load()
    assert (saved.history, saved.positions) == (b"windows", {"kernel_log": "boot:9"})
