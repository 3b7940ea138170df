"""What do Prometheus and load balancers read? /metrics and /healthz, on the loopback.

aiohttp and prometheus_client are imported only when this is asked for: together they cost more
memory than the rest of the daemon. The loopback is shared with jobs, so nothing here names a user,
a command line or a job.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from hpcdoctor.report.metrics import Snapshot, render

if TYPE_CHECKING:
    import asyncio

    from aiohttp import web

log = structlog.get_logger()

SHUTDOWN_SECONDS = 1.0
RETRY_SECONDS = 60.0
# Every job on the node can connect: without a bound it could use up the daemon's descriptors.
MOST_CONNECTIONS = 32


class Web:
    """The HTTP server of one daemon."""

    def __init__(self, address: str, port: int, snapshot: Callable[[], Snapshot]) -> None:
        self.trouble = ""  # why nobody can connect now
        self._address = address
        self._port = port
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
        try:
            while listener is None:
                try:
                    listener = await self._listen(runner)
                except OSError as error:
                    trouble = f"/metrics is not served at {self._address}:{self._port}: {error}"
                    if trouble != self.trouble:
                        self.trouble = trouble
                        log.warning("metrics.off", reason=trouble)
                    # A job may have been first at the port, and jobs end.
                    await asyncio.sleep(RETRY_SECONDS)
            self.trouble = ""
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

        return await asyncio.get_running_loop().create_server(accept, self._address, self._port)

    async def _metrics(self, _request: "web.Request") -> "web.Response":
        from aiohttp import web

        return web.Response(
            body=render(self._snapshot()),
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
