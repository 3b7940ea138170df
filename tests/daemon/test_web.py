"""What do Prometheus and a load balancer get over real HTTP?"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from hpcdoctor.daemon.web import Snapshot, Web
from hpcdoctor.definitions.settings import Metrics
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.node import State
from tests.doubles.waiting import free_port

WELL = Snapshot(
    version="1.2.3",
    state=State.DRAINING,
    verdict=Verdict.CRITICAL,
    findings={("gpu-lost", "critical"): 2},
    skipped_checks=4,
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
    task = asyncio.create_task(Web(Metrics(port=port), lambda: snapshot).run())
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
            except aiohttp.ClientConnectorError:
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
    assert samples["hpcdoctor_would_have_drained_total",] == 3
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


async def test_an_address_that_is_taken_does_not_end_the_daemon() -> None:
    async with served(WELL) as url:
        await get(f"{url}/healthz")
        taken = Metrics(port=int(url.rpartition(":")[2]))
        await Web(taken, lambda: WELL).run()  # returns, and does not raise


async def test_the_http_library_is_imported_only_when_it_is_asked_for() -> None:
    program = "import hpcdoctor.daemon.main, sys; print('aiohttp' in sys.modules)"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    assert output.strip() == b"False"
