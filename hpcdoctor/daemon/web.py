"""What do Prometheus and load balancers read? /metrics and /healthz, on the loopback.

aiohttp and prometheus_client are imported only when this is asked for: together they cost more
memory than the rest of the daemon. The loopback is shared with jobs, so nothing here names a user,
a command line or a job.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import structlog

from hpcdoctor.definitions.settings import Metrics
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.node import State

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from aiohttp import web
    from prometheus_client.core import Metric

log = structlog.get_logger()

SHUTDOWN_SECONDS = 1.0
RETRY_SECONDS = 60.0
# Every job on the node can connect: without a bound it could use up the daemon's descriptors.
MOST_CONNECTIONS = 32


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What one scrape shows."""

    version: str
    state: State
    verdict: Verdict
    findings: dict[tuple[str, str], int]  # (check, verdict): how many are open
    skipped_checks: int
    held: bool
    would_have_drained_total: int
    prober_connected: bool
    looks_total: dict[tuple[str, str], int]  # (probe, status)
    broker_connected: bool | None  # None: no broker is configured
    denied_total: int
    spool_pending: int
    spool_lost_total: int
    store_usable: bool
    scheduler_failures: int  # in a row
    history_bytes: int
    resident_bytes: int


class Web:
    """The HTTP server of one daemon."""

    def __init__(self, settings: Metrics, snapshot: Callable[[], Snapshot]) -> None:
        self._settings = settings
        self._snapshot = snapshot

    async def run(self) -> None:
        """Serve until cancelled. An address that is taken costs the metrics, not the doctor."""
        import asyncio  # with the two below: only where metrics are on

        from aiohttp import web

        application = web.Application(client_max_size=1024)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
        runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, keepalive_timeout=5.0
        )
        await runner.setup()
        listener = None
        trouble = ""
        try:
            while listener is None:
                try:
                    listener = await self._listen(runner)
                except OSError as error:
                    if str(error) != trouble:
                        trouble = str(error)
                        log.warning("metrics.off", reason=trouble)
                    # A job may have been first at the port, and jobs end.
                    await asyncio.sleep(RETRY_SECONDS)
            await asyncio.Event().wait()
        finally:
            if listener is not None:
                listener.close()
            await runner.cleanup()

    async def _listen(self, runner: "web.AppRunner") -> "asyncio.Server":
        import asyncio

        class Refused(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transport.close()

        def accept() -> asyncio.Protocol:
            server = runner.server
            if server is None or len(server.connections) >= MOST_CONNECTIONS:
                return Refused()
            return server()

        return await asyncio.get_running_loop().create_server(
            accept, self._settings.address, self._settings.port
        )

    async def _metrics(self, _request: "web.Request") -> "web.Response":
        from aiohttp import web
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(self._snapshot()))
        return web.Response(
            body=generate_latest(registry),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def _healthz(self, _request: "web.Request") -> "web.Response":
        """Tell whether the doctor works, which is not whether the node is well."""
        from aiohttp import web

        now = self._snapshot()
        well = now.store_usable and now.prober_connected
        return web.json_response(
            {"well": well, "state": now.state.value}, status=200 if well else 503
        )


class _Collector:
    """One snapshot in Prometheus' terms."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._now = snapshot

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            InfoMetricFamily,
        )

        now = self._now
        yield InfoMetricFamily("hpcdoctor", "The version.", {"version": now.version})
        state = GaugeMetricFamily("hpcdoctor_node_state", "1 for the state.", labels=["state"])
        for each in State:
            state.add_metric([each.value], float(each is now.state))
        yield state
        verdict = GaugeMetricFamily("hpcdoctor_verdict", "1 for the verdict.", labels=["verdict"])
        for one in Verdict:
            verdict.add_metric([one.value], float(one is now.verdict))
        yield verdict
        findings = GaugeMetricFamily(
            "hpcdoctor_findings", "Findings that are open.", labels=["check", "verdict"]
        )
        for labels, number in sorted(now.findings.items()):
            findings.add_metric(list(labels), number)
        yield findings
        looks = CounterMetricFamily(
            "hpcdoctor_looks", "Looks of a probe by how they ended.", labels=["probe", "status"]
        )
        for labels, number in sorted(now.looks_total.items()):
            looks.add_metric(list(labels), number)
        yield looks
        for name, meaning, value in (
            ("checks_skipped", "Checks that were not judged.", now.skipped_checks),
            ("held", "1 while an administrator holds the node.", now.held),
            ("prober_connected", "1 while the prober answers.", now.prober_connected),
            ("spool_pending", "Events that the broker has not taken.", now.spool_pending),
            ("store_usable", "1 while the database can be written.", now.store_usable),
            ("scheduler_failures", "Failures of the scheduler in a row.", now.scheduler_failures),
            ("history_bytes", "Memory behind the windows.", now.history_bytes),
            ("resident_bytes", "Resident memory of the daemon.", now.resident_bytes),
        ):
            yield GaugeMetricFamily(f"hpcdoctor_{name}", meaning, float(value))
        if now.broker_connected is not None:
            yield GaugeMetricFamily(
                "hpcdoctor_broker_connected",
                "1 while the broker is connected.",
                float(now.broker_connected),
            )
        for name, meaning, value in (
            ("would_have_drained", "Drains that shadow mode kept.", now.would_have_drained_total),
            ("broker_denied", "Messages that the broker refused.", now.denied_total),
            ("spool_lost", "Events dropped before anybody had them.", now.spool_lost_total),
        ):
            yield CounterMetricFamily(f"hpcdoctor_{name}", meaning, float(value))
