"""What do Prometheus and a load balancer get over real HTTP?"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from hpcdoctor.daemon import web
from hpcdoctor.daemon.web import Web
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.node import State
from hpcdoctor.report.metrics import Snapshot
from tests.doubles.waiting import free_port

WELL = Snapshot(
    version="1.2.3",
    state=State.DRAINING,
    verdict=Verdict.CRITICAL,
    findings={("gpu-lost", "critical"): 2},
    held=False,
    would_have_drained_total=3,
    prober_connected=True,
    looks_total={("edac", "absent"): 7},
    broker_connected=None,
    denied_total=0,
    spool_pending=5,
    spool_lost_total=0,
    store_usable=True,
    scheduler_failures=1,
    history_bytes=100,
    resident_bytes=1000,
)


@asynccontextmanager
async def served(snapshot: Snapshot) -> AsyncIterator[str]:
    port = free_port()
    task = asyncio.create_task(Web("127.0.0.1", port, lambda: snapshot).run())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session:
        for _ in range(100):
            try:
                async with session.get(url) as answer:
                    return answer.status, await answer.text()
            except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError):
                await asyncio.sleep(0.02)
    raise AssertionError(f"nobody answers at {url}")


async def test_metrics_are_what_prometheus_reads() -> None:
    async with served(WELL) as url:
        status, text = await get(f"{url}/metrics")
    assert status == 200
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["hpcdoctor_node_state", "draining"] == 1
    assert samples["hpcdoctor_node_state", "healthy"] == 0
    assert samples["hpcdoctor_findings", "critical", "gpu-lost"] == 2
    assert samples["hpcdoctor_shadow_drains_total",] == 3
    assert samples["hpcdoctor_looks_total", "absent", "edac"] == 7
    assert ("hpcdoctor_broker_connected",) not in samples, "none is configured"


@pytest.mark.parametrize(
    ("snapshot", "status"),
    [
        (WELL, 200),
        (structs.replace(WELL, prober_connected=False), 503),
        (structs.replace(WELL, store_usable=False), 503),
    ],
)
async def test_healthz_tells_of_the_doctor_and_not_of_the_patient(
    snapshot: Snapshot, status: int
) -> None:
    async with served(snapshot) as url:
        assert (await get(f"{url}/healthz"))[0] == status


async def test_a_port_that_a_job_has_taken_is_used_as_soon_as_it_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "RETRY_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as squatter, capture_logs() as logs:
        port = squatter.getsockname()[1]
        task = asyncio.create_task(Web("127.0.0.1", port, lambda: WELL).run())
        await asyncio.sleep(0.1)
        assert not task.done()
        assert [log["event"] for log in logs] == ["metrics.off"]  # told once
        squatter.close()
        assert (await get(f"http://127.0.0.1:{port}/healthz"))[0] == 200
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_job_that_opens_many_connections_uses_up_no_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "MOST_CONNECTIONS", 3)
    async with served(WELL) as url:
        await get(f"{url}/healthz")
        port = int(url.rpartition(":")[2])
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
        closed = 0
        for reader, _ in opened[3:]:
            async with asyncio.timeout(5):
                closed += await reader.read(1) == b""
        assert closed == 3
        for _, writer in opened:
            writer.close()
        assert (await get(f"{url}/healthz"))[0] == 200


async def test_the_end_is_clean_and_leaves_the_port_free() -> None:
    async with served(WELL) as url:
        await get(f"{url}/metrics")
    port = int(url.rpartition(":")[2])
    with pytest.raises(OSError, match="refused|Connect"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_the_http_library_is_imported_only_when_it_is_asked_for() -> None:
    program = "import hpcdoctor.daemon.main, sys; print('aiohttp' in sys.modules)"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    assert output.strip() == b"False"
