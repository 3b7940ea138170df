"""Does every event reach the broker once and in order, whatever the broker does meanwhile?

With the real Mosquitto, and the spool in a real database.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hpcdoctor.daemon.outlet import StoreThread
from hpcdoctor.definitions.settings import Mqtt
from hpcdoctor.events.publisher import Publisher
from hpcdoctor.events.spool import Counts, Spool, create_tables
from hpcdoctor.events.topics import Topics
from hpcdoctor.events.vocabulary import LogGap
from hpcdoctor.model.instant import Instant
from tests.doubles.certificates import Authority
from tests.doubles.mosquitto import Mosquitto, Subscriber

pytestmark = pytest.mark.real

TOPICS = Topics(cluster="lab", node="n1")
NOW = Instant("boot", 100.0, 1_800_000_000.0)
GAP = "hpcdoctor.log.gap"
PATIENCE_SECONDS = 30.0


class Node:
    """The outbox and the publisher of one node."""

    def __init__(self, folder: Path, settings: Mqtt) -> None:
        self.connection = sqlite3.connect(
            folder / "spool.db", isolation_level=None, check_same_thread=False
        )
        create_tables(self.connection)
        self.spool = Spool(self.connection, TOPICS.source)
        self.executor = ThreadPoolExecutor(1)
        self.state = b'{"state":"healthy"}'
        store: Any = SimpleNamespace(spool=self.spool)
        self.publisher = Publisher(
            settings, TOPICS, StoreThread(store, self.executor), lambda: self.state
        )

    def tell(self, number: int) -> None:
        """Add an event that can be known by its number."""
        gap = LogGap(lost=number, because="a test")
        self.executor.submit(self.spool.append, GAP, gap, "", NOW).result()
        self.publisher.wake()

    @property
    def counts(self) -> Counts:
        """Asked in the store's own thread: a connection serves one at a time."""
        return self.executor.submit(self.spool.counts).result()


@asynccontextmanager
async def running(node: Node) -> AsyncIterator[Node]:
    task = asyncio.create_task(node.publisher.run())
    try:
        yield node
    finally:
        assert task.cancel(), "the publisher has ended of itself"
        await asyncio.gather(task, return_exceptions=True)
        node.executor.shutdown()
        node.connection.close()


async def until(what: str, condition: Any) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


def settings(broker: Mosquitto, **more: Any) -> Mqtt:
    return Mqtt(host=broker.host, port=broker.port, **more)


def numbers(heard: Subscriber) -> list[int]:
    return [event["data"]["lost"] for event in heard.events()]


async def test_events_arrive_in_order_and_leave_the_queue(
    tmp_path: Path, broker: Mosquitto
) -> None:
    with Subscriber(broker, "hpcdoctor/#") as heard:
        async with running(Node(tmp_path, settings(broker))) as node:
            for number in range(50):
                node.tell(number)
            await until("all of them", lambda: len(heard.events()) == 50)
            assert numbers(heard) == list(range(50))
            await until("an empty queue", lambda: node.counts.pending == 0)
            assert node.counts.kept == 50, "kept until the controller's receipt"


async def test_a_broker_killed_meanwhile_gets_the_rest_later_once_and_in_order(
    tmp_path: Path, broker: Mosquitto
) -> None:
    with Subscriber(broker, "hpcdoctor/#") as heard:
        async with running(Node(tmp_path, settings(broker))) as node:
            node.tell(0)
            await until("the first", lambda: numbers(heard) == [0])
            broker.kill()
            for number in range(1, 30):
                node.tell(number)
            await until("the loss to be noticed", lambda: not node.publisher.health.connected)
            broker.start()
            await until("the rest", lambda: len(set(numbers(heard))) == 30)
            assert list(dict.fromkeys(numbers(heard))) == list(range(30))


async def test_a_publish_that_the_acl_denies_is_noticed_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    readable = "topic read #\ntopic readwrite hpcdoctor/lab/n1/alive\n"
    readable += "topic readwrite hpcdoctor/lab/n1/state\n"
    with Mosquitto(tmp_path / "broker", acl=readable) as broker:
        async with running(Node(tmp_path, settings(broker))) as node:
            node.tell(1)
            await until("the denial", lambda: node.publisher.health.denied)
            assert node.counts.pending == 1
            assert "see its ACL" in node.publisher.health.trouble
            assert node.publisher.health.connected, "all else goes on"


async def test_the_state_is_there_for_a_late_reader_also_after_a_broker_that_forgot(
    tmp_path: Path,
) -> None:
    with Mosquitto(tmp_path / "broker", persistence=False) as broker:
        async with running(Node(tmp_path, settings(broker))) as node:
            await until("the connection", lambda: node.publisher.health.connected)
            broker.kill()
            await until("the loss", lambda: not node.publisher.health.connected)
            broker.start()
            await until("the new connection", lambda: node.publisher.health.connected)
            with Subscriber(broker, "hpcdoctor/lab/n1/state", name="late") as late:
                (message,) = await asyncio.to_thread(late.wait_for_count, 1)
            assert message.retained
            assert message.payload == node.state


async def test_a_stop_is_told_as_a_stop(tmp_path: Path, broker: Mosquitto) -> None:
    with Subscriber(broker, "hpcdoctor/lab/n1/alive") as heard:
        async with running(Node(tmp_path, settings(broker))) as node:
            await until("the connection", lambda: node.publisher.health.connected)
        await until("the goodbye", lambda: len(heard.messages) >= 2)
    assert [m.json()["alive"] for m in heard.messages] == [True, False]
    assert heard.messages[-1].json()["because"] == "stopped"


async def test_a_consumer_that_saw_a_gap_gets_the_range_again(
    tmp_path: Path, broker: Mosquitto
) -> None:
    with Subscriber(broker, "hpcdoctor/#") as heard:
        async with running(Node(tmp_path, settings(broker))) as node:
            for number in range(5):
                node.tell(number)
            await until("all of them", lambda: len(heard.events()) == 5)
            ids = [event["id"] for event in heard.events()]
            heard.clear()
            ask = f'{{"stream":"{node.spool.stream}","first":2,"last":3}}'
            await asyncio.to_thread(heard.publish, TOPICS.resend, ask.encode())
            await until("both of them", lambda: len(heard.events()) == 2)
            assert [event["id"] for event in heard.events()] == ids[1:3]


async def test_a_receipt_lets_go_of_what_the_controller_has(
    tmp_path: Path, broker: Mosquitto
) -> None:
    with Subscriber(broker, "hpcdoctor/#") as heard:
        async with running(Node(tmp_path, settings(broker))) as node:
            for number in range(5):
                node.tell(number)
            await until("all of them", lambda: node.counts.pending == 0)
            receipt = f'{{"stream":"{node.spool.stream}","through_sequence":4}}'
            await asyncio.to_thread(heard.publish, TOPICS.receipt, receipt.encode())
            await until("the rest", lambda: node.counts.kept == 1)


HOSTILE = [
    b"",
    b"\xff\xfe",
    b"[" * 3000,
    b'{"stream":"x","first":1,"last":2}',
    b'{"stream":"0000000000000000","first":-1,"last":2}',
    b'{"stream":"0000000000000000","first":1,"last":2,"command":"reboot"}',
    b'{"stream":"0000000000000000","first":3,"last":2}',
    b"x" * 10_000,
]


async def test_hostile_messages_are_counted_and_do_nothing(
    tmp_path: Path, broker: Mosquitto
) -> None:
    with Subscriber(broker, "hpcdoctor/lab/n1/event/#") as heard:
        async with running(Node(tmp_path, settings(broker))) as node:
            await until("the connection", lambda: node.publisher.health.connected)
            for payload in HOSTILE:
                await asyncio.to_thread(heard.publish, TOPICS.resend, payload)
            await until("their number", lambda: node.publisher.health.refused == len(HOSTILE))
            node.tell(7)
            await until("the next event", lambda: numbers(heard) == [7])


async def test_tls_with_a_client_certificate_and_a_wrong_authority_is_named(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path / "ca")
    with Mosquitto(tmp_path / "broker", authority=authority) as broker:
        mine = authority.client("n1")
        good = settings(
            broker,
            ca_file=str(authority.ca_file),
            cert_file=str(mine.certificate),
            key_file=str(mine.key),
        )
        async with running(Node(tmp_path, good)) as node:
            await until("the connection", lambda: node.publisher.health.connected)
        stranger = Authority(tmp_path / "other-ca")
        (tmp_path / "two").mkdir()
        bad = settings(broker, ca_file=str(stranger.ca_file))
        async with running(Node(tmp_path / "two", bad)) as node:
            await until("the refusal", lambda: node.publisher.health.trouble)
            assert "is not signed by" in node.publisher.health.trouble
            assert not node.publisher.health.connected


async def test_a_password_file_that_others_may_read_is_refused_by_name(
    tmp_path: Path, broker: Mosquitto
) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o644)
    more = settings(broker, username="n1", password_file=str(password))
    async with running(Node(tmp_path, more)) as node:
        await until("the refusal", lambda: node.publisher.health.trouble)
        assert f"chmod 0600 {password}" in node.publisher.health.trouble
        assert "secret" not in node.publisher.health.trouble


async def test_at_rest_the_loop_of_the_library_does_not_turn(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """The one private access: aiomqtt's own loop, once a second for ever, is gone."""
    async with running(Node(tmp_path, settings(broker))) as node:
        await until("the connection", lambda: node.publisher.health.connected)
        await asyncio.sleep(0)
        code = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
        assert "Connection.keep_alive" in code
        assert "Client._misc_loop" not in code
