"""How is the daemon put together? Builds the parts, runs them in one TaskGroup, stops them."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import structlog

from hpcdoctor import __version__, knowledge
from hpcdoctor.daemon import systemd
from hpcdoctor.daemon.answers import Answers
from hpcdoctor.daemon.control import Control
from hpcdoctor.daemon.durable import why_not_durable
from hpcdoctor.daemon.evidence import SCENE, Evidence
from hpcdoctor.daemon.gate import GateKeeper, gate_of
from hpcdoctor.daemon.no_store import why_no_store
from hpcdoctor.daemon.outlet import Outlet
from hpcdoctor.daemon.performer import Performer
from hpcdoctor.daemon.pipeline import Pipeline, Words
from hpcdoctor.daemon.readings import Readings, Schedule
from hpcdoctor.daemon.record import Recorder
from hpcdoctor.daemon.scheduler_watch import SchedulerWatch
from hpcdoctor.daemon.selfwatch import SelfWatch
from hpcdoctor.daemon.store import Store, StoreUnusable
from hpcdoctor.definitions.restart import need_restart
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.events.topics import Topics
from hpcdoctor.knowledge import Knowledge, WrongConfiguration
from hpcdoctor.lifecycle.inputs import Answered
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.quantity import parse_duration, parse_size
from hpcdoctor.probes.host import Host
from hpcdoctor.report.illness import HOUR, Facts

log = structlog.get_logger()

IN_MEMORY = 8
STOP_SECONDS = 4.0  # of the five that a stop may take
UNSAFE = (
    "--accept-user-kernel-log: lines that any user can write to the kernel log are believed; "
    "for tests only"
)


def main(configuration: Path, *, accept_user_kernel_log: bool = False) -> int:
    """Run until told to stop, and return the exit status.

    Raise at the start: WrongConfiguration, WrittenByNewer, StoreUnusable with what mends it.
    """
    known = knowledge.load(configuration)
    try:
        daemon = Daemon(known, accept_user_kernel_log=accept_user_kernel_log)
    except StoreUnusable as error:
        folder = Path(known.settings.state_directory)
        raise StoreUnusable(why_no_store(folder, str(error))) from error
    asyncio.run(daemon.run())
    return 0


def recorder_of(settings: Settings) -> Recorder:
    folder = Path(settings.state_directory)
    size = parse_size(settings.record_size)
    if why_not_durable(folder):
        size //= IN_MEMORY  # it is the jobs' memory
    return Recorder(folder / "record", parse_duration(settings.record_age), size)


class Daemon:
    """The parts of one daemon, and what holds them together."""

    def __init__(self, known: Knowledge, *, accept_user_kernel_log: bool) -> None:
        self.known = known
        self.started_with = settings = known.settings
        self.name = settings.node or socket.gethostname().partition(".")[0]
        self.clock: Callable[[], Instant] = Host.this_machine().clock
        self.accept_user_kernel_log = accept_user_kernel_log
        self.reload_trouble = ""
        self.topics = Topics(cluster=settings.cluster, node=self.name)
        # SQLite blocks, and so has a thread of its own; one, so that nothing is ever out of turn.
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self.store = Store(
            Path(settings.state_directory),
            self.topics.source,
            age_seconds=parse_duration(settings.spool_age),
            size_bytes=parse_size(settings.spool_size),
        )
        recorder = recorder_of(settings)
        self.evidence = Evidence(Path(settings.state_directory), recorder)
        self.pipeline = Pipeline(
            known,
            self.store,
            self.store.load(),
            name=self.name,
            version=__version__,
            clock=self.clock,
            executor=self.executor,
            accept_user_kernel_log=accept_user_kernel_log,
            why_no_repair=why_not_durable(Path(settings.state_directory)),
            recorder=recorder,
            evidence=self.evidence,
        )
        self.performer = Performer(self._knowledge, self.store, self._answered, self.executor)
        self.scheduler = SchedulerWatch(
            self.performer,
            lambda: self.known.settings,
            lambda: self.pipeline.node.pending is not None,
            self.clock,
        )
        self.performer.on_result.append(self.scheduler.heard)
        self.readings = Readings(
            settings.prober_socket,
            Schedule(known.checks, parse_duration(settings.tick)),
            lambda: self.pipeline.positions,
            self.pipeline.queue.put,
            self.clock,
        )
        self.watch = SelfWatch(self._knowledge, self._facts, self.clock)
        self.answers = Answers(self.pipeline, self.notices, self.parts)
        self.outlet = Outlet(
            settings,
            self.topics,
            self.store,
            self.pipeline,
            self.readings,
            self.executor,
            self.watch,
            self.scheduler,
        )
        self.control = Control(settings.control_socket, self.answers.respond, os.geteuid())
        self.gate = GateKeeper(Path(settings.run_directory))
        self.pipeline.on_commit += [self.performer.wake, self.outlet.wake, self._keep_gate]

    async def run(self) -> None:
        """Run all parts; a bug in one ends them all, and systemd starts us again."""
        if self.accept_user_kernel_log:
            log.warning("unsafe", reason=UNSAFE)
        if self.store.rebuilt:
            log.warning("store.rebuilt", reason=self.store.rebuilt)
        if self.store.of_another:
            log.warning("store.of-another", reason=self.store.of_another)
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._keep_gate()
        async with asyncio.TaskGroup() as group:
            parts = [
                group.create_task(part, name=name)
                for name, part in {
                    "pipeline": self.pipeline.run(),
                    "performer": self.performer.run(),
                    "scheduler": self.scheduler.run(),
                    "readings": self.readings.run(),
                    "ticks": self._tick(),
                    "control": self.control.run(),
                    **self.outlet.parts(),
                }.items()
            ]
            gc.collect()
            gc.freeze()  # what is there now stays: no collection has to look at it again
            systemd.ready(f"{self.name}: {self.pipeline.node.state.value}")
            log.info("started", node=self.name, mode=self.known.settings.mode.value)
            await stopped.wait()
            systemd.stopping()
            log.info("stopping", node=self.name)
            for part in parts:
                part.cancel()
        self.outlet.close()
        await self._last_words()

    async def _last_words(self) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.pipeline.save_history()
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self.executor, self.store.close)
        except TimeoutError:
            log.warning("store.slow", reason="the store was not written and closed before the end")
        self.executor.shutdown(wait=False, cancel_futures=True)

    async def _tick(self) -> None:
        """One wake-up for everything that is done on time."""
        number = progress = 0
        while True:
            await asyncio.sleep(parse_duration(self.known.settings.tick))
            number += 1
            await self.pipeline.tick()
            await self.readings.tick(number)
            if self.evidence.wants_scene(self.clock()):
                await self.readings.ask([SCENE])
            if self.pipeline.trouble:
                await self.pipeline.retry()
            self.scheduler.tick()
            await self.outlet.tick()
            if told := self.watch.tick():
                await self.pipeline.queue.put(Words(told))
            self._keep_gate()
            if self.pipeline.progress != progress:  # each tick is a turn: a stuck one is not alive
                progress = self.pipeline.progress
                systemd.alive()
            systemd.status(f"{self.pipeline.node.state.value}: {self.pipeline.node.because}")

    def _keep_gate(self) -> None:
        settings, node = self.known.settings, self.pipeline.node
        gate = gate_of(node, settings.mode, settings.authority, self.clock(), os.getpid())
        self.gate.keep(gate, self.pipeline.progress)

    def _knowledge(self) -> Knowledge:  # of the configuration in force
        return self.known

    async def _answered(self, answered: Answered) -> None:
        """Wait until the answer is committed, so that the same action is not taken up twice."""
        await self.pipeline.ask(lambda: [answered])

    def _reload(self) -> None:
        """Take up a changed configuration; a wrong one changes nothing and is told."""
        systemd.reloading()
        try:
            known = knowledge.load(self.known.configuration)
        except WrongConfiguration as error:
            self.reload_trouble = f"the configuration is wrong, the old one stays: {error}"
            log.warning("reload.refused", reason=str(error))
        else:
            self.reload_trouble = ""
            self.known = known
            self.pipeline.adopt(known)
            self.watch.reloaded()
            self.readings.adopt(Schedule(known.checks, parse_duration(known.settings.tick)))
            self.scheduler.reloaded()
            log.info("reloaded", checks=len(known.checks), mode=known.settings.mode.value)
            if keys := self._need_restart():
                log.warning("reload.needs-restart", keys=keys)
        systemd.ready()

    def _need_restart(self) -> list[str]:
        """Return the keys whose new values take effect only at the next start."""
        return need_restart(self.started_with, self.known.settings)

    def notices(self) -> list[str]:
        """Return what is not as it should be with hpcdoctor itself."""
        return [str(notice) for notice in self.watch.notices()]

    def _facts(self, facts: Facts) -> Facts:
        """Add what the parts know of themselves; what it means is report/illness.py."""
        ledger, now = self.readings.ledger, facts.now
        costs, cost_seconds = ledger.costs(now)
        facts = msgspec.structs.replace(
            facts,
            unsafe=self.accept_user_kernel_log,
            prober_connected=self.readings.connected,
            prober_silent_seconds=self.readings.silent_seconds,
            prober_losses=ledger.losses_lately(now),
            denied=dict(ledger.denied),
            broken=dict(ledger.broken),
            starved_looks=ledger.starved_lately(now),
            probe_costs=costs,
            cost_seconds=cost_seconds,
            rebuilt=self.store.rebuilt,
            of_another=self.store.of_another,
            store_trouble=self.pipeline.trouble,
            helper_trouble=facts.helper_trouble or self.performer.trouble,
            scheduler_trouble=self.scheduler.trouble,
            need_restart=self._need_restart(),
            reload_trouble=self.reload_trouble,
            never_ran=self._never_ran(now),
            gate_trouble=self.gate.trouble,
        )
        return self.outlet.add_facts(facts)

    def _never_ran(self, now: Instant) -> list[str]:
        """Return the checks of whose probe nothing was heard, once there was time enough."""
        if now.seconds_since(self.watch.started) < HOUR:
            return []
        seen = self.readings.ledger.last_look
        return [
            name for name, c in sorted(self.known.checks.items()) if c.definition.probe not in seen
        ]

    def parts(self) -> dict[str, Any]:
        """Return how hpcdoctor's own parts stand."""
        return {
            "version": __version__,
            "prober": "connected" if self.readings.connected else "away",
            "history_bytes": self.pipeline.judge.history.used_bytes,
            **self.outlet.counts(),
        }
