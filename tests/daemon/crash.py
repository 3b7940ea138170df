"""A whole node's story that can die between any two statements, and goes on where its store stands.

Real: the pipeline, the judge, the rules, the lifecycle, and SQLite on disk. On paper: the machine,
the scheduler and the helper, which live on while the daemon dies.
"""

import asyncio
import json
import random
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import msgspec

from hpcdoctor.daemon.pipeline import Pipeline
from hpcdoctor.daemon.store import Store
from hpcdoctor.knowledge import Knowledge, load
from hpcdoctor.lifecycle.inputs import Answered, Started, Tick
from hpcdoctor.model.action import Action, ActionResult, Operation, Result, SchedulerView
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node, State
from hpcdoctor.model.reading import Look, ReadStatus
from tests.doubles.machines import written

SITE = {
    "hpcdoctor.yaml": "mode: act\nscheduler: slurm\nremediations: [mend, mend-more]\n"
    "probation: 1m\ntick: 5s\n",
    "checks/our-fault.yaml": """\
check: our-fault
summary: Memory is gone
probe: memory
every: 5s
critical: {when: total_bytes < 1000, label: gone}
cause: node
why: It matters.
next_steps: [Look]
""",
    "rules/our-rule.yaml": """\
rule: our-rule
summary: Memory is gone
when: {any: {our-fault: critical}}
decide: {node: drain, remediate: [mend, mend-more], hand_over: hardware}
mode: act
""",
}
REMEDIATION = """\
remediation: {name}
summary: Mend it
disrupts: node
steps: [{{run: [mend]}}]
verify: {{within: 20s}}
limit: 9 per 24h
trust: unproven
"""


class Crash(BaseException):
    """kill -9: nothing that was not written is left."""


class Inline(Executor):
    """Runs at once, so that a crash in a statement is a crash of the whole daemon."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*args, **more))
        return future


class Statements:
    """A connection that can be interrupted before and after each statement."""

    def __init__(self, real: sqlite3.Connection, boundary: Callable[[], None]) -> None:
        self._real = real
        self._boundary = boundary

    def execute(self, *arguments: Any) -> Any:
        self._boundary()
        result = self._real.execute(*arguments)
        self._boundary()
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def knowledge(folder: Path) -> Knowledge:
    names = {"mend", "mend-more"}
    files = {f"remediations/{name}.yaml": REMEDIATION.format(name=name) for name in names}
    known = load(written(folder, {**SITE, **files}))
    only = {name: check for name, check in known.checks.items() if name == "our-fault"}
    return msgspec.structs.replace(known, checks=only)


class World:
    """What outlives the daemon: the machine, its scheduler, the helper's books, the clock."""

    def __init__(self, folder: Path, known: Knowledge, helps: str, crash_at: set[int]) -> None:
        random.seed(1)  # the jitter of retries: the same boundaries in every run
        self.folder = folder
        self.known = known
        self.helps = helps  # which remediation mends the fault
        self.crash_at = crash_at
        self.boundaries = 0
        self.crashes = 0
        self.broken = False
        self.reason = ""  # the drain at the scheduler
        self.done: list[Action] = []
        self.seconds = 1000.0
        self.dead = False
        self.events: dict[str, str] = {}
        self.nodes: list[Node] = []

    def clock(self) -> Instant:
        return Instant("boot", self.seconds, 1.8e9 + self.seconds)

    def boundary(self) -> None:
        if self.dead:
            return  # what happens now is only our own tidying up
        self.boundaries += 1
        if self.boundaries in self.crash_at:
            self.dead = True
            self.crashes += 1
            raise Crash

    def view(self) -> SchedulerView:
        drained = bool(self.reason)
        return SchedulerView(drained, reason=self.reason, reason_by="root", reason_at="then")

    def perform(self, action: Action) -> ActionResult:
        """Do what the helper does, which refuses an action that it has started before."""
        result, message = Result.DONE, "done"
        if action.operation is Operation.DRAIN:
            self.reason = self.reason or action.reason
        elif action.operation is Operation.RESUME:
            if self.view().marked(action.mark):
                self.reason = ""
            else:
                result = Result.NOT_OURS
        elif action.operation is Operation.REMEDIATE:
            if not self.view().marked(action.mark):
                result, message = Result.REFUSED, "not drained"
            else:
                self.done.append(action)
                self.broken = self.broken and action.remediation != self.helps
        return ActionResult(action.id, action.operation, result, message, self.view())

    def live(self, rounds: int, happens: Callable[[int], None]) -> None:
        """Let the daemon run, and start it again each time that it has died."""
        self.happens = happens
        self.round = 0
        while self.round < rounds:
            self.dead = False
            store = self._store()
            try:
                asyncio.run(self._daemon(store, rounds))
            except Crash:
                pass
            finally:
                self.dead = True
                self._collect(store)
                store.close()

    def _store(self) -> Store:
        self.folder.mkdir(exist_ok=True)
        return Store(self.folder, "/hpcdoctor/lab/n1", age_seconds=1e6, size_bytes=1 << 26)

    async def _daemon(self, store: Store, rounds: int) -> None:
        interrupted: Any = Statements(store.connection, self.boundary)
        store.connection = store.spool._connection = interrupted  # noqa: SLF001
        saved = store.load()
        pipeline = Pipeline(
            self.known,
            store,
            saved,
            name="n1",
            version="0",
            clock=self.clock,
            executor=Inline(),
        )
        await pipeline.take(Started(empty_store=saved.node is None))
        while self.round < rounds:
            self.happens(self.round)
            self.round += 1
            self.seconds += 5.0
            await pipeline.take([self._look()])
            await pipeline.take(Tick())
            while (action := store.next_action()) is not None:
                self.boundary()
                result = self.perform(action)
                self.boundary()
                await pipeline.take(Answered(result))
            self.nodes.append(pipeline.node)

    def _look(self) -> Look:
        reading: dict[str, Any] = {"total_bytes": 500 if self.broken else 5000}
        return Look("memory", ReadStatus.READ, self.clock(), readings=[reading])

    def _collect(self, store: Store) -> None:
        for entry in store.spool.unpublished(10_000):
            event = json.loads(entry.payload)
            self.events[event["id"]] = event["type"].removeprefix("hpcdoctor.")

    @property
    def node(self) -> Node:
        return self.nodes[-1]

    @property
    def is_out(self) -> bool:
        return self.node.state in (State.DRAINING, State.DRAINED, State.HANDED_OVER)
