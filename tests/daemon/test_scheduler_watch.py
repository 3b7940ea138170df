"""Is a scheduler that cannot be asked known before the day on which it is needed?

The performer is the real one; what stands at the helper's socket answers as it is told.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from hpcdoctor.daemon.performer import Performer
from hpcdoctor.daemon.scheduler_watch import AGAIN_SECONDS, FIRST_WITHIN_SECONDS, SchedulerWatch
from hpcdoctor.daemon.store import Store
from hpcdoctor.definitions.settings import Authority, SchedulerName, Settings
from hpcdoctor.knowledge import Knowledge, load
from hpcdoctor.lifecycle.inputs import Answered
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from hpcdoctor.model.instant import Instant


class Place:
    """A helper that answers READ with `answer`, and the watch that asks it."""

    def __init__(self, folder: Path) -> None:
        self.knowledge: Knowledge = load()
        self.set(scheduler=SchedulerName.SLURM, run_directory=str(folder / "run"))
        self.answer, self.message = Result.REFUSED, "there is no scontrol"
        self.asked: list[Action] = []
        self.now = Instant("boot", 5000.0, 1_800_000_000.0)
        self.busy = False
        self.executor = ThreadPoolExecutor(1)
        self.store = Store(folder, "/hpcdoctor/lab/n1", age_seconds=60, size_bytes=1 << 20)
        self.performer = Performer(lambda: self.knowledge, self.store, self._no, self.executor)
        self.watch = SchedulerWatch(
            self.performer, lambda: self.settings, lambda: self.busy, lambda: self.now
        )
        self.performer.on_result.append(self.watch.heard)

    async def _no(self, _answered: Answered) -> None: ...

    @property
    def settings(self) -> Settings:
        return self.knowledge.settings

    def set(self, **changes: object) -> None:
        settings = msgspec.structs.replace(self.knowledge.settings, **changes)
        self.knowledge = msgspec.structs.replace(self.knowledge, settings=settings)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        action = msgspec.json.decode(await reader.readline(), type=Action)
        result = ActionResult(action.id, action.operation, self.answer, self.message)
        self.asked.append(action)
        writer.write(msgspec.json.encode(result) + b"\n")
        writer.close()

    async def tick(self, later: float = FIRST_WITHIN_SECONDS) -> int:
        """Let a tick pass, and return how often was asked until all is quiet."""
        self.now = self.now.plus(later)
        before = self.watch.questions
        self.watch.tick()
        if self.watch.is_due:
            async with asyncio.timeout(10):
                while self.watch.is_due:
                    await asyncio.sleep(0.01)
        return self.watch.questions - before


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path)
    server = await asyncio.start_unix_server(place.serve, place.settings.helper_socket)
    task = asyncio.create_task(place.watch.run())
    yield place
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    server.close()
    place.executor.shutdown()
    place.store.close()


async def test_it_is_asked_at_the_start_and_told_until_it_answers(place: Place) -> None:
    assert await place.tick() == 1
    assert place.asked[0].operation is Operation.READ
    assert (place.watch.trouble, place.watch.failures) == ("there is no scontrol", 1)
    assert await place.tick() == 0, "not each tick"
    assert await place.tick(2 * AGAIN_SECONDS) == 1
    assert place.watch.failures == 2, "which the shipped alert counts"
    place.answer, place.message = Result.DONE, ""
    assert await place.tick(2 * AGAIN_SECONDS) == 1
    assert (place.watch.trouble, place.watch.failures) == ("", 0)
    assert await place.tick(2 * AGAIN_SECONDS) == 0, "who answers is left in peace"


async def test_an_answer_to_the_lifecycle_counts_and_a_repair_does_not(place: Place) -> None:
    place.watch.heard(ActionResult("look.0.1", Operation.READ, Result.DONE))
    assert await place.tick() == 0
    place.watch.heard(ActionResult("k3f9.1.1", Operation.REMEDIATE, Result.NO_ANSWER, "cut off"))
    assert place.watch.trouble == ""
    place.watch.heard(ActionResult("k3f9.1.2", Operation.DRAIN, Result.NO_ANSWER, "timed out"))
    assert place.watch.trouble == "timed out"


async def test_it_waits_while_the_lifecycle_waits_for_an_answer(place: Place) -> None:
    place.busy = True
    assert await place.tick() == 0
    place.busy = False
    assert await place.tick() == 1


async def test_a_reload_asks_anew_where_it_did_not_answer(place: Place) -> None:
    await place.tick()
    place.watch.reloaded()
    assert await place.tick() == 1
    place.answer = Result.DONE
    place.watch.reloaded()
    await place.tick()
    place.watch.reloaded()
    assert await place.tick() == 0, "ten thousand nodes may be reloaded at once"


@pytest.mark.parametrize(
    "changes", [{"scheduler": SchedulerName.NONE}, {"authority": Authority.FLEET}]
)
async def test_where_another_drains_nobody_asks(place: Place, changes: dict[str, object]) -> None:
    await place.tick()
    place.set(**changes)
    place.watch.reloaded()
    assert await place.tick() == 0
    assert (place.watch.trouble, place.watch.failures) == ("", 0)


async def test_a_helper_that_is_not_there_is_no_answer_either(place: Place) -> None:
    place.settings.helper_socket.unlink()
    assert await place.tick() == 1
    assert "cannot be reached" in place.watch.trouble
