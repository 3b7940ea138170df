"""How do events get from the spool to the broker, in order, none of them lost unseen?

A PUBACK means that the broker has it in memory, so the spool keeps events until the controller's
receipt. A broker that is away costs nothing but the time until it is back.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import aiomqtt
import msgspec
import structlog

from hpcdoctor.definitions.settings import Mqtt
from hpcdoctor.events.connection import REFUSED, BadCredentials, Connection, alive, connect
from hpcdoctor.events.messages import Unfit, parse_receipt, parse_resend
from hpcdoctor.events.spool import Outgoing, SpoolUnusable
from hpcdoctor.events.topics import Topics

log = structlog.get_logger()

BATCH = 20
SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
DENIED_PAUSE_SECONDS = 60.0
GOODBYE_SECONDS = 1.0
RESENDS_A_MINUTE = 6


class SpoolAccess(Protocol):
    """The spool, as the publisher may use it; each call runs in the store's own thread."""

    async def unpublished(self, limit: int, after: int) -> Sequence[Outgoing]: ...
    async def mark_published(self, sequences: Sequence[int]) -> None: ...
    async def range(self, stream: str, first: int, last: int) -> Sequence[Outgoing]: ...
    async def receive_receipt(self, stream: str, through: int) -> None: ...


class Health(msgspec.Struct):
    """How the way to the broker is."""

    connected: bool = False
    since: float = 0.0  # wall time of the last change
    trouble: str = ""  # the last error, while there is one
    denied: int = 0  # messages that the broker did not take, by its own word
    refused: int = 0  # messages from outside that a node does not accept


class Publisher:
    """One node's voice at the broker."""

    def __init__(
        self, settings: Mqtt, topics: Topics, spool: SpoolAccess, state: Callable[[], bytes]
    ) -> None:
        """`state` gives the retained document as it is at that moment."""
        self.health = Health(since=time.time())
        self._settings = settings
        self._topics = topics
        self._spool = spool
        self._state = state
        self._news = asyncio.Event()
        self._resends: asyncio.Queue[tuple[str, int, int]] = asyncio.Queue(maxsize=10)
        self._resend_times: list[float] = []
        self._denied_before: set[str] = set()

    def wake(self) -> None:
        """There is something new: events, another state, or both."""
        self._news.set()

    async def run(self) -> None:
        """Keep a connection for ever."""
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await self._while_connected()
            except* (
                aiomqtt.MqttError,
                OSError,
                BadCredentials,
                SpoolUnusable,
                ValueError,
            ) as group:
                self._note_failure(group)
            if time.monotonic() - started > LONGEST_PAUSE_SECONDS:
                failures = 0
            pause = min(LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS * 2.0**failures)
            failures = min(failures + 1, 10)
            # Half of it by chance: ten thousand nodes that lost a broker must not return at once.
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311

    async def _while_connected(self) -> None:
        async with connect(self._settings, self._topics) as connection:
            await self._greet(connection)
            self.health.connected, self.health.since = True, time.time()
            self.health.trouble = ""
            log.info("broker.connected")
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(connection.keep_alive(), name="mqtt-keepalive")
                    group.create_task(self._listen(connection.messages), name="mqtt-listen")
                    group.create_task(self._send_news(connection), name="mqtt-send")
                    group.create_task(self._send_again(connection), name="mqtt-resend")
            except asyncio.CancelledError:
                await self._say_goodbye(connection)
                raise
            finally:
                self.health.connected, self.health.since = False, time.time()

    async def _greet(self, connection: Connection) -> None:
        """Say where the node stands: after a broker's crash nothing of it may be left there."""
        codes = await connection.subscribe(self._topics.receipt, self._topics.resend)
        for topic, code in zip((self._topics.receipt, self._topics.resend), codes, strict=True):
            if code >= REFUSED:
                self._note_denied(topic, code)
        await self._publish(connection, self._topics.alive, alive(True), retain=True)  # noqa: FBT003
        await self._publish(connection, self._topics.state, self._state(), retain=True)
        self._news.set()

    async def _say_goodbye(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                gone = alive(False, "stopped")  # noqa: FBT003
                await connection.publish(self._topics.alive, gone, retain=True)
        except (aiomqtt.MqttError, TimeoutError, OSError):
            return  # then the last will says it

    async def _send_news(self, connection: Connection) -> None:
        state = b""
        while True:
            await self._news.wait()
            self._news.clear()
            taken = await self._send_events(connection)
            now = self._state()
            if now != state:
                state = now
                await self._publish(connection, self._topics.state, state, retain=True)
            if not taken:
                await asyncio.sleep(DENIED_PAUSE_SECONDS)
                self._news.set()

    async def _send_events(self, connection: Connection) -> bool:
        """Send all that waits; False where the broker refuses an event: it stays, and is next."""
        after = 0
        while batch := await self._spool.unpublished(BATCH, after):
            sent = []
            for event in batch:
                topic = self._topics.event(event.type)
                if not await self._publish(connection, topic, event.payload):
                    break
                sent.append(event.sequence)
            await self._spool.mark_published(sent)
            if len(sent) < len(batch):
                return False
            after = sent[-1]
        return True

    async def _publish(
        self, connection: Connection, topic: str, payload: bytes, *, retain: bool = False
    ) -> bool:
        code = await connection.publish(topic, payload, retain=retain)
        if code >= REFUSED:
            self._note_denied(topic, code)
            return False
        return True

    async def _send_again(self, connection: Connection) -> None:
        """Fill the gaps that a consumer has seen."""
        while True:
            stream, first, last = await self._resends.get()
            for event in await self._spool.range(stream, first, last):
                await self._publish(connection, self._topics.event(event.type), event.payload)

    async def _listen(self, messages: AsyncIterator[aiomqtt.Message]) -> None:
        """Take receipts and requests to send again; everything else is counted and dropped."""
        async for message in messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            try:
                if message.retain:
                    raise Unfit("retained, which the controller's messages never are")
                if str(message.topic) == self._topics.receipt:
                    receipt = parse_receipt(payload)
                    await self._spool.receive_receipt(receipt.stream, receipt.through_sequence)
                elif str(message.topic) == self._topics.resend:
                    asked = parse_resend(payload)
                    self._take_resend(asked.stream, asked.first, asked.last)
                else:
                    raise Unfit("on a topic that a node does not listen to")
            except Unfit as error:
                self.health.refused += 1
                if self.health.refused & (self.health.refused - 1) == 0:  # the first, then rarely
                    log.warning("broker.unfit", reason=str(error), count=self.health.refused)

    def _take_resend(self, stream: str, first: int, last: int) -> None:
        now = time.monotonic()
        self._resend_times = [t for t in self._resend_times if now - t < 60.0]
        if len(self._resend_times) >= RESENDS_A_MINUTE or self._resends.full():
            raise Unfit("asked for too often")
        self._resend_times.append(now)
        self._resends.put_nowait((stream, first, last))

    def _note_denied(self, topic: str, code: int) -> None:
        self.health.denied += 1
        self.health.trouble = f"the broker refuses {topic} (reason 0x{code:02x}); see its ACL"
        if topic not in self._denied_before:
            self._denied_before.add(topic)
            log.warning("broker.denied", topic=topic, code=code)

    def _note_failure(self, group: BaseExceptionGroup[BaseException]) -> None:
        reason = "; ".join(str(error) or type(error).__name__ for error in group.exceptions)
        if reason != self.health.trouble:
            log.warning("broker.away", reason=reason)
        self.health.trouble = reason
