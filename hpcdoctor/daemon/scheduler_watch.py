"""Could the node be drained if it had to be? Asks the scheduler at the start, and until it answers.

Without this a node whose scheduler cannot be asked looks healthy until the day of its incident.
Every answer to the lifecycle's own actions counts as well, so on a node whose scheduler answers
there is one question in the life of a daemon. It only reads, and waits while an action is under
way, so that it holds up no drain and no repair holds it up.
"""

import asyncio
import random
from collections.abc import Callable

from hpcdoctor.daemon.performer import Performer
from hpcdoctor.definitions.settings import Authority, SchedulerName, Settings, Slurm
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from hpcdoctor.model.decision import Mode
from hpcdoctor.model.instant import Instant

AGAIN_SECONDS = 300.0
FIRST_WITHIN_SECONDS = 10.0  # a thousand nodes that are started or reloaded by one command


class SchedulerWatch:
    """How the scheduler answered last."""

    def __init__(
        self,
        performer: Performer,
        settings: Callable[[], Settings],
        is_busy: Callable[[], bool],
        clock: Callable[[], Instant],
    ) -> None:
        """`is_busy` tells whether the lifecycle waits for an answer of its own."""
        self._performer = performer
        self._settings = settings
        self._is_busy = is_busy
        self._clock = clock
        self._trouble = ""
        self._failures = 0
        self._answered = False  # well or badly, once
        self._due: Instant | None = self._soon()
        self._wake = asyncio.Event()
        self.questions = 0
        self._asked_with = self._way()

    @property
    def trouble(self) -> str:
        """Why the scheduler did not answer the last question; "" where it did, or nobody asks."""
        return self._trouble if self._is_wanted() else ""

    @property
    def failures(self) -> int:
        """How many questions in a row got no answer."""
        return self._failures if self._is_wanted() else 0

    @property
    def is_due(self) -> bool:
        """Tell whether a question is to be asked now, or is under way."""
        return self._wake.is_set()

    def reloaded(self) -> None:
        """Ask anew where it did not answer, or where it is to be asked in another way."""
        if self._trouble or self._way() != self._asked_with:
            self._asked_with = self._way()
            self._answered, self._due = False, self._soon()

    def _soon(self) -> Instant:
        seconds = FIRST_WITHIN_SECONDS * random.random()  # noqa: S311  # spreads nodes
        return self._clock().plus(seconds)

    def tick(self) -> None:
        now = self._clock()
        asked_enough = self._answered and not self._trouble
        waits = self._due is not None and not now.reached(self._due)
        if not (asked_enough or waits or self._is_busy()) and self._is_wanted():
            self._wake.set()

    async def run(self) -> None:
        """Ask whenever a tick finds it due; one question at a time."""
        while True:
            await self._wake.wait()
            self.questions += 1
            spread = 0.75 + random.random() / 2  # noqa: S311  # spreads nodes, guards nothing
            self._due = self._clock().plus(AGAIN_SECONDS * spread)
            action = Action(id=f"watch.0.{self.questions}", operation=Operation.READ)
            await self._performer.perform(action)
            self._wake.clear()

    def heard(self, result: ActionResult) -> None:
        """Take note of an answer to any action."""
        if result.operation is Operation.REMEDIATE:
            return  # a repair says nothing of the scheduler
        if result.result is Result.NO_ANSWER or (
            # Another action may be refused by the helper's own books.
            result.result is Result.REFUSED and result.operation is Operation.READ
        ):
            self._trouble = result.message or "the scheduler did not answer"
            self._failures += 1
            if self._due is None:
                self._due = self._clock().plus(AGAIN_SECONDS)
        elif result.result is not Result.REFUSED:
            self._trouble, self._failures, self._due = "", 0, None
        self._answered = True

    def _way(self) -> tuple[SchedulerName, Slurm, Authority]:
        settings = self._settings()
        return settings.scheduler, settings.slurm, settings.authority

    def _is_wanted(self) -> bool:
        settings = self._settings()
        return (
            settings.scheduler is not SchedulerName.NONE
            and settings.authority is Authority.NODE
            and settings.mode is not Mode.DISABLED
        )
