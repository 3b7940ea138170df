"""Does the store keep all of a change or nothing, and does it say when it cannot?"""

import json
import sqlite3
from pathlib import Path

import pytest

from hpcdoctor.daemon.store import Store, StoreUnusable
from hpcdoctor.daemon.story import Told
from hpcdoctor.events.vocabulary import LogGap
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from hpcdoctor.model.finding import Cause, Finding, Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node, State

NOW = Instant("boot", 1000.0, 1_800_000_000.0)
NODE = Node(name="n1", state=State.DRAINING, since=NOW, because="GPU3")
FINDING = Finding("gpu-lost", {}, Verdict.CRITICAL, Cause.NODE, "GPU3 is lost", NOW)
DRAIN = Action(id="k3f9.1.1", operation=Operation.DRAIN, reason="hd:k3f9.1 GPU3")
GAP = Told("hpcdoctor.log.gap", LogGap(lost=3, because="a test"))


def open_store(folder: Path) -> Store:
    return Store(folder, "/hpcdoctor/lab/n1", age_seconds=3600, size_bytes=1 << 20)


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


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.connection.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(StoreUnusable, match="newer hpcdoctor"):
        open_store(tmp_path)
    connection = sqlite3.connect(tmp_path / "hpcdoctor.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (99,)
    connection.close()


def test_a_folder_that_is_not_there_is_told_as_unusable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="unable to open"):
        open_store(tmp_path / "nowhere")


def test_the_history_is_kept_beside(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    save(store, [], [])
    store.save_history(b"windows", {"kernel_log": "boot:9"}, NOW)
    saved = store.load()
    assert (saved.history, saved.positions) == (b"windows", {"kernel_log": "boot:9"})
