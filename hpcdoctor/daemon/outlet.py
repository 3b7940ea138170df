"""What leaves the daemon unasked? Events and state to the broker, metrics over HTTP."""

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

import msgspec

from hpcdoctor import __version__
from hpcdoctor.daemon.pipeline import Pipeline
from hpcdoctor.daemon.readings import Readings
from hpcdoctor.daemon.store import Store
from hpcdoctor.daemon.story import node_state
from hpcdoctor.daemon.web import Snapshot, Web
from hpcdoctor.definitions.settings import Authority, Settings
from hpcdoctor.events.publisher import Publisher
from hpcdoctor.events.spool import Counts, Outgoing, SpoolUnusable
from hpcdoctor.events.topics import Topics

T = TypeVar("T")


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
    ) -> None:
        self._settings = settings
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
        self._spool_counts = Counts(0, 0, 0, 0)
        self._web = (
            Web(settings.metrics, lambda: self._snapshot(readings)) if settings.metrics else None
        )

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
        """Count what waits in the spool, for the metrics."""
        if self._web is not None:
            with contextlib.suppress(SpoolUnusable):  # the store's trouble is told elsewhere
                self._spool_counts = await self._spool.counts()

    def notices(self) -> list[str]:
        """Return what is not as it should be on the way out."""
        if self._publisher is None:
            return []
        health = self._publisher.health
        if not health.connected:
            why = f": {health.trouble}" if health.trouble else ""
            return [f"the broker is not connected, events wait in the spool{why}"]
        return [health.trouble] if health.trouble else []

    def counts(self) -> dict[str, Any]:
        if self._publisher is None:
            return {"broker": "none is configured"}
        health = self._publisher.health
        return {
            "broker": "connected" if health.connected else "away",
            "last_event": self._pipeline.last_sequence,
        }

    def _snapshot(self, readings: Readings) -> Snapshot:
        import psutil  # only where metrics are on

        pipeline = self._pipeline
        findings = Counter((f.check, f.verdict.value) for f in pipeline.judge.findings.values())
        health = self._publisher.health if self._publisher else None
        return Snapshot(
            version=__version__,
            state=pipeline.node.state,
            verdict=pipeline.judge.verdict(),
            findings=dict(findings),
            skipped_checks=sum(o.verdict is None for o in pipeline.judge.outcomes()),
            held=pipeline.node.hold is not None,
            would_have_drained_total=pipeline.node.would_have_drained,
            prober_connected=readings.connected,
            looks_total=dict(readings.looks),
            broker_connected=health.connected if health else None,
            denied_total=health.denied if health else 0,
            spool_pending=self._spool_counts.pending,
            spool_lost_total=self._spool_counts.lost,
            store_usable=not pipeline.trouble,
            scheduler_failures=pipeline.node.failures,
            history_bytes=pipeline.judge.history.used_bytes,
            resident_bytes=psutil.Process().memory_info().rss,
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
