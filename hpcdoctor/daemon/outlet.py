"""What leaves the daemon unasked? Events and state to the broker, metrics over HTTP."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hpcdoctor.daemon.pipeline import Pipeline
from hpcdoctor.daemon.readings import Readings
from hpcdoctor.daemon.scheduler_watch import SchedulerWatch
from hpcdoctor.daemon.selfwatch import SelfWatch
from hpcdoctor.daemon.snapshot import take
from hpcdoctor.daemon.store import Store
from hpcdoctor.daemon.story import node_state
from hpcdoctor.daemon.textfile import Textfile
from hpcdoctor.daemon.web import Web
from hpcdoctor.definitions.settings import Authority, Settings
from hpcdoctor.events.publisher import Publisher
from hpcdoctor.events.spool import Backlog, Counts, Outgoing, SpoolUnusable
from hpcdoctor.events.topics import Topics
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.quantity import parse_duration, parse_size
from hpcdoctor.report.illness import Facts
from hpcdoctor.report.metrics import Snapshot

T = TypeVar("T")

COUNT_SECONDS = 30.0


class StoreThread:
    """The store, asked from the loop: each call runs in the store's own thread."""

    def __init__(self, store: Store, executor: Executor) -> None:
        self._store = store
        self._executor = executor

    async def unpublished(self, limit: int, after: int) -> Sequence[Outgoing]:
        return await self._do(lambda: self._store.spool.unpublished(limit, after))

    async def mark_published(self, sequences: Sequence[int]) -> None:
        await self._do(lambda: self._store.spool.mark_published(sequences))

    async def range(self, stream: str, first: int, last: int) -> Sequence[Outgoing]:
        return await self._do(lambda: self._store.spool.range(stream, first, last))

    async def receive_receipt(self, stream: str, through: int) -> None:
        await self._do(lambda: self._store.spool.receive_receipt(stream, through))

    async def counts(self) -> Counts:
        return await self._do(self._store.spool.counts)

    async def backlog(self, now: Instant) -> Backlog:
        return await self._do(lambda: self._store.spool.backlog(now))

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except sqlite3.Error as error:
            raise SpoolUnusable(f"the spool cannot be used: {error}") from error


class Outlet:
    """The way out, as far as the settings ask for one."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        store: Store,
        pipeline: Pipeline,
        readings: Readings,
        executor: Executor,
        watch: SelfWatch,
        scheduler: SchedulerWatch,
    ) -> None:
        self._settings = settings
        self._watch = watch
        self._scheduler = scheduler
        self._stream = store.spool.stream
        self._pipeline = pipeline
        spool = StoreThread(store, executor)
        self._publisher = (
            Publisher(
                settings.mqtt,
                topics,
                spool,
                self._state,
                pipeline.grant if settings.authority is Authority.FLEET else None,
            )
            if settings.mqtt
            else None
        )
        self._spool = spool
        self.spool_counts = Counts(0, 0, 0, 0)
        self.backlog = Backlog(0, None)
        self._count_due = 0.0  # monotonic
        self._web: Web | None = None
        self._textfile: Textfile | None = None
        if (asked := settings.metrics) is not None:
            if (port := asked.http_port) is not None:
                self._web = Web(asked.address, port, lambda: self._snapshot(readings))
            if asked.textfile is not None:
                path = Path(asked.textfile)
                self._textfile = Textfile(path, lambda: self._snapshot(readings))

    def wake(self) -> None:
        """Something new is in the tables."""
        if self._publisher is not None:
            self._publisher.wake()

    def parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what has to run, by name."""
        parts: dict[str, Coroutine[Any, Any, None]] = {}
        if self._publisher is not None:
            parts["publisher"] = self._publisher.run()
        if self._web is not None:
            parts["web"] = self._web.run()
        return parts

    async def tick(self) -> None:
        """Count what waits in the spool, now and then: a long one is read from end to end."""
        if time.monotonic() >= self._count_due:
            self._count_due = time.monotonic() + COUNT_SECONDS
            with contextlib.suppress(SpoolUnusable):  # the store's trouble is told elsewhere
                self.spool_counts = await self._spool.counts()
                self.backlog = await self._spool.backlog(self._pipeline.clock())
        if self._textfile is not None:
            self._textfile.tick()

    def close(self) -> None:
        """Leave nothing behind that would be taken for today's numbers."""
        if self._textfile is not None:
            self._textfile.close()

    def add_facts(self, facts: Facts) -> Facts:
        """Add what is not as it should be on the way out."""
        settings = self._settings
        return msgspec.structs.replace(
            facts,
            broker_configured=self._publisher is not None,
            broker_trouble=self._broker_trouble(),
            spool_pending=self.spool_counts.pending,
            spool_oldest_seconds=self.backlog.oldest_seconds,
            spool_age_seconds=parse_duration(settings.spool_age),
            spool_bytes=self.backlog.size_bytes,
            spool_limit_bytes=parse_size(settings.spool_size),
            spool_lost_recently=self._watch.lost_lately(self.spool_counts.lost),
            web_trouble=self._web.trouble if self._web else "",
            textfile_trouble=self._textfile.trouble if self._textfile else "",
        )

    def _broker_trouble(self) -> str:
        if self._publisher is None:
            return ""
        health = self._publisher.health
        if not health.connected:
            why = f": {health.trouble}" if health.trouble else ""
            return f"the broker is not connected, events wait in the spool{why}"
        return health.trouble

    def counts(self) -> dict[str, Any]:
        if self._publisher is None:
            return {"broker": "none is configured"}
        health = self._publisher.health
        return {
            "broker": "connected" if health.connected else "away",
            "last_event": self._pipeline.last_sequence,
        }

    def _snapshot(self, readings: Readings) -> Snapshot:
        return take(
            self._pipeline,
            readings,
            self.spool_counts,
            self.backlog,
            self._publisher.health if self._publisher else None,
            scheduler_failures=self._scheduler.failures,
            notices=self._watch.notices(),
            free_bytes=self._watch.outside.free_bytes,
            started=self._watch.started,
        )

    def _state(self) -> bytes:
        settings = self._pipeline.knowledge.settings
        judge = self._pipeline.judge
        document = node_state(
            self._pipeline.node,
            judge.findings.values(),
            judge.verdict(),
            self._pipeline.clock(),
            cluster=settings.cluster,
            mode=settings.mode,
            authority=settings.authority.value,
            stream=self._stream,
            sequence=self._pipeline.last_sequence,
            accept_user_kernel_log=self._pipeline.accept_user_kernel_log,
        )
        return msgspec.json.encode(document)
