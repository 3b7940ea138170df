"""What does the publisher do when the broker, the network or the disk is ill?

With the real Mosquitto, and for what it never does, with a socket that does it.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import structlog.testing

from hpcdoctor.definitions.settings import Mqtt
from hpcdoctor.events import connection, credentials, publisher
from hpcdoctor.events.spool import Outgoing, SpoolUnusable
from hpcdoctor.events.vocabulary import NodeChanged
from hpcdoctor.model.node import State
from tests.doubles.certificates import Authority
from tests.doubles.mosquitto import Mosquitto, Subscriber
from tests.events.test_publisher import NOW, TOPICS, Node, numbers, running, settings, until

pytestmark = pytest.mark.real

OWN = "topic read #\ntopic write hpcdoctor/lab/n1/alive\ntopic write hpcdoctor/lab/n1/state\n"
CHANGE = "hpcdoctor.node.state"


def tell_change(node: Node) -> None:
    change = NodeChanged(from_state=State.HEALTHY, to=State.DRAINING, because="a test")
    node.executor.submit(node.spool.append, CHANGE, change, "", NOW).result()
    node.publisher.wake()


async def test_a_type_that_is_denied_holds_nothing_else_back(tmp_path: Path) -> None:
    acl = OWN + f"topic write hpcdoctor/lab/n1/event/{CHANGE}\n"
    with (
        Mosquitto(tmp_path / "broker", acl=acl) as broker,
        Subscriber(broker, "hpcdoctor/#") as heard,
    ):
        async with running(Node(tmp_path, settings(broker))) as node:
            for number in range(30):  # more than one batch
                node.tell(number)
            await until("the denial", lambda: node.publisher.health.denied)
            tell_change(node)
            await until("the change", lambda: [e["type"] for e in heard.events()] == [CHANGE])
            node.state = b'{"state":"draining"}'
            node.publisher.wake()
            await until("the state", lambda: heard.on(TOPICS.state)[-1].payload == node.state)
            assert node.counts.pending == 30


async def test_what_was_denied_is_sent_once_it_is_allowed_and_the_trouble_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "DENIED_PAUSE_SECONDS", 0.5)
    with (
        Mosquitto(tmp_path / "broker", acl=OWN) as broker,
        Subscriber(broker, "hpcdoctor/#") as heard,
        structlog.testing.capture_logs() as logs,
    ):
        async with running(Node(tmp_path, settings(broker))) as node:
            for number in range(30):
                node.tell(number)
            await until("two rounds of denials", lambda: node.publisher.health.denied > 30)
            broker.change_acl("topic readwrite #\n")
            await until("all of them", lambda: len(heard.events()) == 30)
            assert numbers(heard) == list(range(30))
            await until("an end of the trouble", lambda: not node.publisher.health.trouble)
    assert [log["event"] for log in logs].count("broker.denied") == 1


async def test_a_denied_event_is_not_taken_for_published_beside_one_that_is_sent_again(
    tmp_path: Path,
) -> None:
    acl = OWN + f"topic write hpcdoctor/lab/n1/event/{CHANGE}\ntopic write {TOPICS.resend}\n"
    with (
        Mosquitto(tmp_path / "broker", acl=acl) as broker,
        Subscriber(broker, "hpcdoctor/#") as heard,
    ):
        async with running(Node(tmp_path, settings(broker))) as node:
            for _ in range(60):
                tell_change(node)
            await until("the changes", lambda: node.counts.pending == 0)
            ask = f'{{"stream":"{node.spool.stream}","first":1,"last":60}}'
            await asyncio.to_thread(heard.publish, TOPICS.resend, ask.encode())
            for number in range(60):
                node.tell(number)
                await asyncio.sleep(0)
            await until("the second time", lambda: len(heard.events()) == 120)
            assert node.counts.pending == 60


async def test_a_crash_between_publish_and_mark_sends_the_same_id_again(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Subscriber(broker, "hpcdoctor/#") as heard:
        first = Node(tmp_path, settings(broker))

        async def never(_sequences: Sequence[int]) -> None:
            await asyncio.Event().wait()

        first.publisher._spool.mark_published = never  # type: ignore[method-assign, assignment]
        async with running(first):
            first.tell(1)
            await until("the first time", lambda: len(heard.events()) == 1)
        async with running(Node(tmp_path, settings(broker))) as second:
            await until("the second time", lambda: len(heard.events()) == 2)
            await until("the mark", lambda: second.counts.pending == 0)
        ids = {event["id"] for event in heard.events()}
        assert len(ids) == 1


async def test_a_disk_that_takes_no_mark_neither_breaks_the_connection_nor_repeats_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "SPOOL_PAUSE_SECONDS", 0.2)
    with Mosquitto(tmp_path / "broker") as broker, Subscriber(broker, "hpcdoctor/#") as heard:
        node = Node(tmp_path, settings(broker))
        well = node.publisher._spool.mark_published
        full = True

        async def sometimes(sequences: Sequence[int]) -> None:
            if full:
                raise SpoolUnusable("the spool cannot be used: disk is full")
            await well(sequences)

        node.publisher._spool.mark_published = sometimes  # type: ignore[method-assign]
        async with running(node):
            node.tell(1)
            await until("the trouble", lambda: "disk is full" in node.publisher.health.trouble)
            node.tell(2)
            await until("the second", lambda: numbers(heard) == [1, 2])
            assert node.publisher.health.connected
            full = False
            await until("the marks", lambda: node.counts.pending == 0)
            await until("an end of the trouble", lambda: not node.publisher.health.trouble)
            assert numbers(heard) == [1, 2]


async def test_a_backlog_is_not_read_again_at_each_wake_up(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker", acl=OWN) as broker:
        node = Node(tmp_path, settings(broker))
        asked: list[int] = []
        well = node.publisher._spool.unpublished

        async def counted(limit: int, after: int) -> Sequence[Outgoing]:
            asked.append(after)
            return await well(limit, after)

        node.publisher._spool.unpublished = counted  # type: ignore[method-assign]
        async with running(node):
            for number in range(100):
                node.tell(number)
            await until("the denial", lambda: node.publisher.health.denied)
            await until("the end of the queue", lambda: asked[-1:] == [100])
            asked.clear()
            node.publisher.wake()
            await until("another look", lambda: asked)
            await asyncio.sleep(0.2)
            assert asked == [100]


async def test_an_event_that_is_too_large_for_the_broker_does_not_break_the_connection(
    tmp_path: Path,
) -> None:
    with (
        Mosquitto(tmp_path / "broker", options=["max_packet_size 2000"]) as broker,
        Subscriber(broker, "hpcdoctor/#") as heard,
    ):
        async with running(Node(tmp_path, settings(broker))) as node:
            large = NodeChanged(from_state=State.HEALTHY, to=State.DRAINING, because="x" * 3000)
            node.executor.submit(node.spool.append, CHANGE, large, "", NOW).result()
            node.tell(1)
            await until("the next event", lambda: numbers(heard) == [1])
            assert "0x95" in node.publisher.health.trouble
            assert node.publisher.health.connected


async def test_a_crash_is_told_by_the_last_will(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from hpcdoctor.definitions.settings import Mqtt
from tests.events.test_publisher import Node, running
async def main():
    async with running(Node(Path(sys.argv[1]), Mqtt(host="127.0.0.1", port=int(sys.argv[2])))):
        await asyncio.sleep(60)
asyncio.run(main())
"""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker, TOPICS.alive) as heard,
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(broker.port)]) as node,
    ):
        try:
            await asyncio.to_thread(heard.wait_for_count, 1)
        finally:
            os.kill(node.pid, signal.SIGKILL)
        await asyncio.to_thread(heard.wait_for_count, 2)
    assert [message.json()["alive"] for message in heard.messages] == [True, False]
    assert heard.messages[-1].json()["because"] == "the connection broke"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_frozen_broker_costs_no_sockets_and_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(connection, "PUBLISH_SECONDS", 0.3)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE_SECONDS", 0.1)
    with Mosquitto(tmp_path / "broker") as broker, Subscriber(broker, "hpcdoctor/#") as heard:
        async with running(Node(tmp_path, settings(broker))) as node:
            await until("the connection", lambda: node.publisher.health.connected)
            broker.freeze()
            node.tell(1)
            await until("the loss", lambda: not node.publisher.health.connected)
            before = open_files()
            await asyncio.sleep(2)
            assert open_files() <= before + 1
            names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
            assert names.count("Client._misc_loop") <= 1
            broker.thaw()
            await until("the event", lambda: 1 in numbers(heard))
            alive = heard.on(TOPICS.alive)
            await until("a word of life", lambda: heard.on(TOPICS.alive)[-1].json()["alive"])
            assert alive


@pytest.mark.parametrize("tls", [False, True])
def test_a_broker_that_never_answers_does_not_delay_the_end(tmp_path: Path, tls: bool) -> None:  # noqa: FBT001
    authority = Authority(tmp_path / "ca") if tls else None

    async def briefly(silent: Mqtt) -> None:
        async with running(Node(tmp_path, silent)):
            await asyncio.sleep(0.5)

    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = Mqtt(
            host="127.0.0.1",
            port=server.getsockname()[1],
            ca_file=str(authority.ca_file) if authority else None,
        )
        started = time.monotonic()
        asyncio.run(briefly(silent))
        assert time.monotonic() - started < 3


async def test_the_connection_outlives_its_keepalive_and_nothing_turns_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's own loop would look every second; ours does a third of the keepalive."""
    with Mosquitto(tmp_path / "broker", options=["max_keepalive 10"]) as broker:
        async with running(Node(tmp_path, settings(broker))) as node:
            await until("the connection", lambda: node.publisher.health.connected)
            since = node.publisher.health.since
            await asyncio.sleep(0.5)
            turns = 0
            loop = asyncio.get_running_loop()
            turn = loop._run_once  # type: ignore[attr-defined]

            def counted() -> None:
                nonlocal turns
                turns += 1
                turn()

            monkeypatch.setattr(loop, "_run_once", counted)
            await asyncio.sleep(17)  # past the 15 s after which the broker ends it
            # 5 looks after 10/3 s, 1 ping and its answer, and our own sleep.
            assert turns <= 20
            assert node.publisher.health.connected
            assert node.publisher.health.since == since


async def test_a_flood_of_receipts_writes_once_in_a_while(
    tmp_path: Path,
) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Subscriber(broker, "none") as controller:
        node = Node(tmp_path, settings(broker))
        written: list[int] = []
        well = node.publisher._spool.receive_receipt

        async def counted(stream: str, through: int) -> None:
            written.append(through)
            await well(stream, through)

        node.publisher._spool.receive_receipt = counted  # type: ignore[method-assign]
        async with running(node):
            for number in range(100):
                node.tell(number)
            await until("an empty queue", lambda: node.counts.pending == 0)
            for through in range(1, 101):
                receipt = {"stream": node.spool.stream, "through_sequence": through}
                await asyncio.to_thread(
                    controller.publish, TOPICS.receipt, json.dumps(receipt).encode()
                )
            await until("the last one", lambda: node.counts.kept == 0)
            assert len(written) <= 5


async def test_a_request_for_everything_is_answered_in_order_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "LONGEST_RESEND", 200)
    with Mosquitto(tmp_path / "broker") as broker, Subscriber(broker, "hpcdoctor/#") as heard:
        async with running(Node(tmp_path, settings(broker))) as node:
            for number in range(250):
                node.tell(number)
            await until("all of them", lambda: node.counts.pending == 0)
            await until("all of them", lambda: len(heard.events()) == 250)
            heard.clear()
            ask = f'{{"stream":"{node.spool.stream}","first":1,"last":{2**53}}}'
            await asyncio.to_thread(heard.publish, TOPICS.resend, ask.encode())
            await until("the range", lambda: len(heard.events()) >= 200)
            await asyncio.sleep(0.3)
            assert numbers(heard) == list(range(200))


@pytest.mark.parametrize("what", ["stranger", "no certificate", "other name", "nobody", "no file"])
async def test_what_is_wrong_is_said_in_a_sentence_that_helps(tmp_path: Path, what: str) -> None:
    authority = Authority(tmp_path / "ca")
    stranger = Authority(tmp_path / "other")
    with Mosquitto(tmp_path / "broker", authority=authority) as broker:
        good = settings(broker, ca_file=str(authority.ca_file))
        wrong, sentence = {
            "stranger": (
                settings(broker, ca_file=str(stranger.ca_file)),
                f"not signed by the authority in {stranger.ca_file}",
            ),
            "no certificate": (good, "closed the connection"),
            "other name": (
                Mqtt(host="127.0.0.2", port=broker.port, ca_file=str(authority.ca_file)),
                "nobody listens",
            ),
            "nobody": (Mqtt(host="127.0.0.1", port=1), "nobody listens"),
            "no file": (
                settings(broker, ca_file=str(tmp_path / "missing")),
                f"{tmp_path / 'missing'} cannot be read",
            ),
        }[what]
        async with running(Node(tmp_path, wrong)) as node:
            await until("the refusal", lambda: node.publisher.health.trouble)
            assert sentence in node.publisher.health.trouble
            assert not node.publisher.health.connected


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    with Mosquitto(tmp_path / "broker", authority=authority) as broker:
        done = asyncio.Event()
        relay = await asyncio.start_server(
            lambda reader, writer: carry(reader, writer, broker.port, done), "127.0.0.2", 0
        )
        port = relay.sockets[0].getsockname()[1]
        wrong = Mqtt(host="127.0.0.2", port=port, ca_file=str(authority.ca_file))
        async with running(Node(tmp_path, wrong)) as node:
            await until("the refusal", lambda: node.publisher.health.trouble)
            assert "for another name" in node.publisher.health.trouble
        relay.close()
        async with asyncio.timeout(10):
            await done.wait()


async def carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, done: asyncio.Event
) -> None:
    """Carry bytes between a connection and the broker until both have ended."""
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

    async def one_way(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(4096):
            sink.write(data)
        sink.close()

    await asyncio.gather(
        one_way(reader, far_writer), one_way(far_reader, writer), return_exceptions=True
    )
    for end in (writer, far_writer):
        end.close()
        await asyncio.gather(end.wait_closed(), return_exceptions=True)
    done.set()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.mkdir(), "not a plain file"),
        (os.mkfifo, "not a plain file"),
        (lambda path: path.touch(0o600), "is empty"),
        (lambda path: path.write_bytes(b"x" * 5000) and path.chmod(0o600), "too long"),
        (lambda path: path.write_text("x") and path.chmod(0o660), "chmod 0600"),
        (lambda path: path.write_text("x") and path.chmod(0o604), "chmod 0600"),
    ],
)
def test_a_password_file_that_is_not_one_is_refused(
    tmp_path: Path, make: object, sentence: str
) -> None:
    file = tmp_path / "password"
    make(file)  # type: ignore[operator]
    with pytest.raises(credentials.BadCredentials, match=sentence):
        credentials.read_password(str(file))


def test_a_password_keeps_its_spaces_and_loses_its_newline(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(" se cret \n")
    file.chmod(0o640)
    assert credentials.read_password(str(file)) == " se cret "


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.own.key.chmod(0o644)
    keys = Mqtt(host="x", ca_file=str(authority.ca_file), key_file=str(authority.own.key))
    with pytest.raises(credentials.BadCredentials, match="chmod 0600"):
        credentials.check_files(keys)
