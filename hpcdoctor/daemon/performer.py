"""Who carries out what was committed? Takes intended actions from the store to the helper.

Judging never waits for this: a slow scheduler holds up only the next action. Each answer, also
"no answer", goes back into the pipeline as an input.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path

import msgspec
import structlog

from hpcdoctor.daemon.repairs import longest_seconds
from hpcdoctor.daemon.store import Store, StoreUnusable
from hpcdoctor.definitions.settings import SchedulerName
from hpcdoctor.knowledge import Knowledge
from hpcdoctor.lifecycle.inputs import Answered
from hpcdoctor.model.action import Action, ActionResult, Operation, Result

log = structlog.get_logger()

# Longer than all of the helper's own bounds together: a read, a count, a write, two reads back.
ANSWER_SECONDS = 180.0
LONGEST_LINE = 1 << 20


class Performer:
    """One action at a time, in the order in which they were committed."""

    def __init__(
        self,
        knowledge: Callable[[], Knowledge],
        store: Store,
        answer: Callable[[Answered], Awaitable[None]],
        executor: Executor,
    ) -> None:
        self._knowledge = knowledge
        self._store = store
        self._answer = answer
        self._executor = executor
        self.on_result: list[Callable[[ActionResult], None]] = []
        self.trouble = ""  # why the helper could not be reached the last time it was asked
        self._news = asyncio.Event()
        self._news.set()

    def wake(self) -> None:
        """There may be something new to do."""
        self._news.set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                while action := await loop.run_in_executor(self._executor, self._store.next_action):
                    result = await self.perform(action)
                    await self._answer(Answered(result))
            except StoreUnusable as error:
                # What cannot be read is not done; the next commit that succeeds wakes us.
                log.warning("store.unusable", reason=str(error))

    async def perform(self, action: Action) -> ActionResult:
        """Return how it ended; whatever goes wrong on the way is "no answer"."""
        result = await self._perform(action)
        for hear in self.on_result:
            hear(result)
        return result

    async def _perform(self, action: Action) -> ActionResult:
        settings = self._knowledge().settings
        repairing = action.operation is Operation.REMEDIATE
        if settings.scheduler is SchedulerName.NONE and not repairing:
            return ActionResult(
                id=action.id,
                operation=action.operation,
                result=Result.NONE,
                message="no scheduler is configured",
            )
        seconds = self._patience(action)
        result = Result.NO_ANSWER
        try:
            async with asyncio.timeout(seconds):
                answer = await ask_helper(settings.helper_socket, action)
                self.trouble = ""
                return answer
        except TimeoutError:
            reason = f"the helper has not answered within {seconds:.0f} s"
            result = Result.TOO_LONG if repairing else result
        except (OSError, EOFError) as error:
            reason = f"the helper cannot be reached at {settings.helper_socket}: {error}"
            self.trouble = reason
        except msgspec.MsgspecError as error:
            reason = f"the helper's answer is not understood: {error}"
        log.warning("helper.no-answer", action=action.id, reason=reason)
        return ActionResult(id=action.id, operation=action.operation, result=result, message=reason)

    def _patience(self, action: Action) -> float:
        """Return how long the helper may take: a repair as long as its steps may, and no longer."""
        remediation = self._knowledge().remediations.get(action.remediation)
        return longest_seconds(remediation) if remediation else ANSWER_SECONDS


async def ask_helper(path: Path, action: Action) -> ActionResult:
    """Ask once, over a connection of its own."""
    reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_LINE)
    try:
        writer.write(msgspec.json.encode(action) + b"\n")
        await writer.drain()
        line = await reader.readuntil(b"\n")
    finally:
        writer.close()
    result = msgspec.json.decode(line, type=ActionResult)
    if result.id != action.id:
        raise EOFError(f"it answered {result.id}")
    return result
