"""What does the helper do for a daemon that it does not trust?"""

from pathlib import Path

import msgspec
import pytest

from hpcdoctor.actions.schedulers.slurm import SlurmScheduler
from hpcdoctor.actions.slurm_commands import Commands
from hpcdoctor.definitions.settings import Authority, Limit, Slurm
from hpcdoctor.helper.journal import Journal
from hpcdoctor.helper.main import Helper
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from tests.doubles.paper_slurm import PaperNode, PaperSlurm

MARK = "hd:k3f9.1"
DRAIN = Action("k3f9.1.1", Operation.DRAIN, "hd:k3f9.1 GPU3 lost; rule r", MARK)
RESUME = Action(
    "k3f9.1.2", Operation.RESUME, mark=MARK, claimed_by="root", claimed_at="2026-11-21T02:00:00"
)
READ = Action("look.0.1", Operation.READ, mark=MARK)


class Room:
    """A helper, its journal's folder and the controller it talks to."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder / "journal"
        self.slurm = PaperSlurm({"n1": PaperNode(), "n2": PaperNode()})
        self.journal = Journal(self.folder)
        scheduler = SlurmScheduler(
            Commands(Slurm(node_name="n1"), self.slurm), Limit(), clock=lambda: 0.0
        )
        self.helper = Helper(authority, scheduler, self.journal)

    def ask(self, action: Action) -> ActionResult:
        return self.helper.answer(msgspec.json.encode(action), 998)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path, Authority.NODE)


def test_a_drain_a_look_and_a_resume(room: Room) -> None:
    assert room.ask(DRAIN).result is Result.DONE
    assert room.ask(READ).result is Result.DONE
    assert room.ask(RESUME).result is Result.DONE
    room.journal.close()


def test_an_action_is_started_once_but_a_read_as_often_as_asked(room: Room) -> None:
    room.ask(DRAIN)
    again = room.ask(DRAIN)
    assert again.result is Result.REFUSED
    assert "already started" in again.message
    assert [room.ask(READ).result for _ in range(2)] == [Result.DONE, Result.DONE]
    assert len(room.slurm.updates) == 1
    room.journal.close()


def test_an_id_of_a_drain_is_not_good_for_a_resume(room: Room) -> None:
    room.ask(DRAIN)
    other = msgspec.structs.replace(RESUME, id=DRAIN.id)
    assert room.ask(other).result is Result.REFUSED
    assert len(room.slurm.updates) == 1
    room.journal.close()


def test_a_bad_reason_is_answered_as_the_drain_it_was(room: Room) -> None:
    answer = room.ask(msgspec.structs.replace(DRAIN, reason="because I can"))
    assert (answer.id, answer.operation) == (DRAIN.id, Operation.DRAIN)
    assert answer.result is Result.REFUSED
    assert room.slurm.commands == []


def test_an_unlisted_operation_asks_nothing_of_the_scheduler(room: Room) -> None:
    answer = room.helper.answer(b'{"id": "k3f9.1.1", "operation": "reboot"}', 998)
    assert answer.result is Result.REFUSED
    assert room.slurm.commands == []


@pytest.mark.parametrize("authority", [Authority.FLEET, Authority.CONSUMER])
def test_where_others_write_to_the_scheduler_the_helper_only_reads(
    tmp_path: Path, authority: Authority
) -> None:
    room = Room(tmp_path, authority)
    room.slurm.nodes["n1"].drain(DRAIN.reason)
    room.slurm.nodes["n2"].drain("hd:aaaa.1 x", "2026-11-21T01:00:00")
    for action in (DRAIN, RESUME):
        answer = room.ask(action)
        assert answer.result is Result.REFUSED
        assert authority.value in answer.message
    assert room.ask(READ).result is Result.DONE  # and gives nothing back
    assert room.slurm.updates == []


def test_without_a_journal_a_drain_is_done_and_a_resume_refused(room: Room) -> None:
    room.folder.mkdir(mode=0o755)  # open to others
    assert room.ask(DRAIN).result is Result.DONE
    answer = room.ask(RESUME)
    assert answer.result is Result.REFUSED
    assert "journal" in answer.message
    assert len(room.slurm.updates) == 1
