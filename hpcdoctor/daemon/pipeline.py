"""How does a look become a finding, a decision, a state and a transaction? The flow, on one screen.

    async for looks in prober:
        changes = judge(looks), and which findings explain others
        decided = decide(rules, findings)
        node, asks = step(node, decided, now)
        store.save(node, findings, events, actions)    # one transaction

One task owns all of it, so nothing here needs a lock. Inputs of every kind come through one queue.
"""

import asyncio
import random
import secrets
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import msgspec
import structlog

from hpcdoctor.checks.affected import jobs_of, of_node
from hpcdoctor.checks.history import History
from hpcdoctor.checks.judge import Change, Judge
from hpcdoctor.daemon.evidence import Evidence
from hpcdoctor.daemon.job_news import concerns_everybody, news
from hpcdoctor.daemon.maintenance import why_in_maintenance
from hpcdoctor.daemon.readings import JOBS
from hpcdoctor.daemon.record import Recorder
from hpcdoctor.daemon.repairs import facts_of, why_unverified
from hpcdoctor.daemon.store import Saved, Store, StoreUnusable
from hpcdoctor.daemon.story import Told, shout, tell
from hpcdoctor.daemon.tally import Tally
from hpcdoctor.events.vocabulary import LogGap, NodeStarted
from hpcdoctor.knowledge import Knowledge
from hpcdoctor.lifecycle.inputs import (
    Acknowledge,
    Answered,
    Context,
    Decision,
    Granted,
    Input,
    Reloaded,
    Started,
    Tick,
)
from hpcdoctor.lifecycle.machine import step
from hpcdoctor.model.action import Action, ActionResult, SchedulerView
from hpcdoctor.model.decision import Decided
from hpcdoctor.model.grant import Grant, Request
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.job import AffectedJob
from hpcdoctor.model.node import NOTHING_KNOWN, Node, State
from hpcdoctor.model.quantity import parse_duration
from hpcdoctor.model.reading import Look
from hpcdoctor.rules.circumstances import Circumstances, opening, trimmed
from hpcdoctor.rules.decide import decide

log = structlog.get_logger()

HISTORY_SECONDS = 300.0
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # read aloud without mistakes


class Job(msgspec.Struct, frozen=True):
    """Something to be done in the pipeline's own turn; `done` hears when it is committed."""

    work: Callable[[], list[Input]]
    done: "asyncio.Future[str]"  # why it could not be written; "" where it was


class Words(msgspec.Struct, frozen=True):
    """Events about ourselves: they go to the spool and pass neither the judge nor the rules."""

    told: list[Told]


class Pipeline:
    """The judge, the node and the store of one daemon."""

    def __init__(
        self,
        knowledge: Knowledge,
        store: Store,
        saved: Saved,
        *,
        name: str,
        version: str,
        clock: Callable[[], Instant],
        executor: Executor,
        accept_user_kernel_log: bool = False,
        why_no_repair: str = "",
        recorder: Recorder | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        self.knowledge = knowledge
        self.clock = clock
        self.accept_user_kernel_log = accept_user_kernel_log
        self.why_no_repair = why_no_repair  # the store does not outlive a reboot
        self.queue: asyncio.Queue[list[Look] | Input | Job | Words] = asyncio.Queue(maxsize=1000)
        self.recorder = recorder
        self.evidence = evidence
        self.progress = 0  # turns made, for the watchdog
        self.trouble = ""  # why nothing can be written, as last seen
        self.last_sequence = 0
        self.tally = Tally()
        self.on_commit: list[Callable[[], None]] = []
        self._store = store
        self._executor = executor
        self._untold: list[Told] = []
        self._unsaved_actions: list[Action] = []
        self._unsaved_results: list[ActionResult] = []
        self._history_due = clock().plus(HISTORY_SECONDS)
        now = clock()
        history = History()
        if saved.history:
            history.load(saved.history, now)
        self.judge = Judge(
            knowledge.checks, knowledge.profile, history=history, findings=saved.findings
        )
        self.positions = dict(saved.positions)
        self.openings = list(saved.openings)
        self._openings_changed = False
        self._reloaded = False  # since the last turn
        self._view: SchedulerView | None = None  # the scheduler as it answered last
        self.node = saved.node or Node(
            name=name, state=State.HEALTHY, since=now, because=NOTHING_KNOWN
        )
        self.decided = Decided()
        self._empty_store = saved.node is None
        settings = knowledge.settings
        self._untold.append(
            Told(
                "hpcdoctor.node.started",
                NodeStarted(
                    version=version,
                    boot_id=now.boot_id,
                    mode=settings.mode,
                    authority=settings.authority.value,
                    state=self.node.state,
                ),
            )
        )

        self.tally.count(self._untold, [], self.node)

    async def run(self) -> None:
        """Take one input after the other, for ever."""
        await self.take(Started(empty_store=self._empty_store))
        while True:
            await self.take(await self.queue.get())

    async def take(self, item: "list[Look] | Input | Job | Words") -> None:
        """Give one input its turn, and return when what follows from it is committed."""
        match item:
            case Job(work=work, done=done):
                try:
                    await self._turn([], work())
                except ValueError as error:
                    done.set_exception(error)
                else:
                    if not done.cancelled():
                        done.set_result(self.trouble)
            case list():
                await self._turn(item, [])
            case Words(told=told):
                await self._commit(told, [], [], self.clock())
            case _:
                await self._turn([], [item])
        self.progress += 1

    async def ask(self, work: Callable[[], list[Input]]) -> str:
        """Have a person's order carried out in turn; raise ValueError as `work` does.

        Return why it could not be written, "" where it was: unwritten, it is in force until the
        daemon ends, and is written by itself as soon as that can be.
        """
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await self.queue.put(Job(work, done))
        return await done

    def adopt(self, knowledge: Knowledge) -> None:
        """Go on with another configuration, and with everything that was known."""
        self.knowledge = knowledge
        self._reloaded = True
        jobs = self.judge.jobs
        self.judge = Judge(
            knowledge.checks,
            knowledge.profile,
            history=self.judge.history,
            findings=self.judge.findings.values(),
            before=self.judge,
        )
        self.judge.jobs = jobs

    async def tick(self) -> None:
        """Let time pass: what has been quiet closes, what was put off is tried again."""
        await self.queue.put(Tick())

    def grant(self, grant: Grant) -> None:
        """Take the fleet's answer in its turn.

        In a flood it is dropped: the request stays in the state, and is answered again.
        """
        if not self.queue.full():
            self.queue.put_nowait(Granted(grant))

    async def save_history(self) -> None:
        """Write what may be lost without harm."""
        self._history_due = self.clock().plus(HISTORY_SECONDS)
        data, positions = self.judge.history.dump(), dict(self.positions)
        await self._write(lambda: self._store.save_history(data, positions, self.clock()))

    async def _turn(self, looks: list[Look], inputs: list[Input]) -> None:
        """One turn: judge, decide, step, and one transaction for all that follows."""
        now = self.clock()
        if self._reloaded:
            self._reloaded, inputs = False, [Reloaded(), *inputs]
        before, acknowledging = self.node, False
        changes: list[Change] = []
        told: list[Told] = []
        if self.recorder is not None:
            self.recorder.take(looks)
        for look in looks:  # first: what opens now carries the jobs as they are
            self._count_jobs(look)
        for look in looks:
            changes += self.judge.judge(look)
            told += self._stream(look)
        if any(isinstance(one, Tick) for one in inputs):
            changes += self.judge.tick(now)
        changes += self.judge.explain()
        self._note(changes, inputs, now)
        asks: list[Action] = []
        requests: list[Request] = []
        pending = list(inputs)
        while True:
            decided = decide(
                self.knowledge.rules,
                list(self.judge.findings.values()),
                self.knowledge.settings.mode,
                self._circumstances(now),
            )
            if changes or decided != self.decided or acknowledging:
                pending.append(Decision(decided))
            self.decided, acknowledging = decided, False
            for one in pending:
                self.node, more = step(self.node, one, now, self.context())
                for ask in more:
                    if isinstance(ask, Acknowledge):
                        changes += self.judge.acknowledge(ask.who)
                        acknowledging = True
                    elif isinstance(ask, Request):
                        requests.append(ask)
                    else:
                        asks.append(ask)
            if not acknowledging:
                break
            pending = []
        ended = [one.result for one in inputs if isinstance(one, Answered)]
        jobs = self._concerned()
        self.node, affected = news(before, self.node, jobs)
        told += tell(
            before,
            self.node,
            changes,
            self.decided.shadow,
            asks,
            ended,
            requests,
            jobs,
            affected,
        )
        if told or asks or ended or changes or before != self.node:
            await self._commit(told, asks, ended, now)
        elif now.reached(self._history_due):
            await self.save_history()
        if self.evidence is not None:
            await self._capture(self.evidence, looks, changes, now)
        if self.recorder is not None and self.recorder.is_due(now.wall):
            await self._record(self.recorder.block(now.wall))

    async def _capture(
        self, evidence: Evidence, looks: list[Look], changes: list[Change], now: Instant
    ) -> None:
        """Keep what will be gone later; the scene is asked for in `Daemon._tick`."""
        files = evidence.scene(looks)
        if evidence.begins(self.node, changes, now):
            files |= evidence.files(self.node, list(self.judge.findings.values()))
        if files:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._executor, evidence.write, files)

    async def _record(self, block: bytes) -> None:
        """Write what may be lost without harm; a full disk is told by what may not."""
        recorder = self.recorder
        if recorder is None:
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, recorder.write, block)
        except OSError as error:
            log.warning("record.unusable", reason=str(error))

    def _note(self, changes: list[Change], inputs: list[Input], now: Instant) -> None:
        """Remember what rules may count or ask for."""
        # Where one job has the node to itself, what happens here happened to it.
        jobs = self.judge.jobs or ()
        alone = jobs[0].job if len(jobs) == 1 else ""
        opened = [opening(each.finding, alone) for each in changes if each.kind == "opened"]
        if opened:
            self.openings = trimmed([*self.openings, *opened], now)
            self._openings_changed = True
        for one in inputs:
            if isinstance(one, Answered) and one.result.view is not None:
                self._view = one.result.view

    def _count_jobs(self, look: Look) -> None:
        """Remember which jobs are here; what cannot be seen is not known, and not none."""
        if look.probe == JOBS:
            self.judge.know_jobs(jobs_of(look))

    def _concerned(self) -> list[AffectedJob] | None:
        """Return the jobs that the incident concerns."""
        incident = self.node.incident
        if incident is None:
            return None
        names = [*incident.decision.findings, *incident.decision.explains]
        findings = [self.judge.findings[name] for name in names if name in self.judge.findings]
        return of_node(findings, self.judge.jobs, everybody=concerns_everybody(incident))

    def _circumstances(self, now: Instant) -> Circumstances:
        return Circumstances(
            now=now,
            jobs=None if self.judge.jobs is None else len(self.judge.jobs),
            maintenance=bool(self._maintenance(now)),
            incidents=self.node.ended,
            repairs=[repair.asked for repair in self.node.repairs],
            openings=self.openings,
        )

    def _maintenance(self, now: Instant) -> str:
        """Return why the node is in people's hands now; "" where it is not."""
        if self._view is not None and self._view.maintenance:
            return "the scheduler has a maintenance reservation on this node"
        return why_in_maintenance(self.knowledge.settings.maintenance, now.wall)

    async def _commit(
        self, told: list[Told], asks: list[Action], ended: list[ActionResult], now: Instant
    ) -> None:
        """One transaction. Where it fails nothing is acted upon, and all of it is tried again."""
        self._untold += shout(told) if self.accept_user_kernel_log else told
        self._unsaved_actions += asks
        self._unsaved_results += ended
        self.tally.count(told, ended, self.node)
        for one in told:
            log.info(one.type, subject=one.subject, **_for_the_log(one, self.node))
        node, findings = self.node, list(self.judge.findings.values())
        untold, actions, results = self._untold, self._unsaved_actions, self._unsaved_results
        positions = dict(self.positions)
        openings = self.openings if self._openings_changed else None
        saved = await self._write(
            lambda: self._store.save(
                node, findings, positions, untold, actions, results, now, openings
            )
        )
        if saved is None:
            self._untold = self._untold[-10_000:]
            return
        self._untold, self._unsaved_actions, self._unsaved_results = [], [], []
        self._openings_changed = False
        self.last_sequence = saved or self.last_sequence
        for notify in self.on_commit:
            notify()

    async def _write(self, work: Callable[[], Any]) -> Any:  # noqa: ANN401  # what `work` returns
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._executor, work)
        except StoreUnusable as error:
            if not self.trouble:
                log.warning("store.unusable", reason=str(error))
            self.trouble = f"nothing can be written, so nothing is acted upon: {error}"
            return None
        if self.trouble:
            log.warning("store.usable")
        self.trouble = ""
        return result if result is not None else 0

    async def retry(self) -> None:
        """Try again what could not be written."""
        if self.trouble:
            await self._commit([], [], [], self.clock())

    def _stream(self, look: Look) -> list[Told]:
        if look.position:
            self.positions[look.probe] = look.position
        if not look.lost:
            return []
        because = "the ring was overwritten faster than it was read"
        return [Told("hpcdoctor.log.gap", LogGap(lost=look.lost, because=because))]

    def context(self) -> Context:
        """Return what the lifecycle may know besides the node."""
        settings = self.knowledge.settings
        return Context(
            incident_id="".join(secrets.choice(ALPHABET) for _ in range(4)),
            jitter=random.random(),  # noqa: S311  # spreads retries, guards nothing
            authority=settings.authority,
            probation_seconds=parse_duration(settings.probation),
            remediations=facts_of(self.knowledge),
            why_no_repair=self.why_no_repair or self.trouble,
            maintenance=self._maintenance(self.clock()),
            grace_seconds=parse_duration(settings.slurm.grace),
            act_without_fleet=frozenset(settings.act_without_fleet),
            fleet_patience_seconds=parse_duration(settings.fleet_patience),
            unverified=why_unverified(self.node, self.judge, self.knowledge),
        )


def _for_the_log(one: Told, node: Node) -> dict[str, Any]:
    """Return what a reader of the journal needs: node, incident, check, and the sentence."""
    data = msgspec.to_builtins(one.data)
    words = (
        "check verdict summary because to rule want reason result message who why lost operation "
        "happens"
    )
    fields = {key: data[key] for key in words.split() if data.get(key)}
    return {"node": node.name, "incident": data.get("incident") or None, **fields}
