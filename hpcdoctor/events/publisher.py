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
from hpcdoctor.events.connection import NOBODY_SUBSCRIBED, REFUSED, Connection, alive, connect
from hpcdoctor.events.credentials import BadCredentials
from hpcdoctor.events.messages import Receipt, Unfit, parse_grant, parse_receipt, parse_resend
from hpcdoctor.events.spool import Outgoing, SpoolUnusable
from hpcdoctor.events.topics import Topics
from hpcdoctor.events.trouble import explain
from hpcdoctor.model.grant import Grant

log = structlog.get_logger()

BATCH = 20  # events that are under way to the broker at once
SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
DENIED_PAUSE_SECONDS = 60.0
SPOOL_PAUSE_SECONDS = 10.0
RECEIPT_PAUSE_SECONDS = 1.0
GOODBYE_SECONDS = 1.0
RESENDS_A_MINUTE = 6
LONGEST_RESEND = 10_000  # events for one request

# In Health.trouble beside the topics that are denied.
BROKER, SPOOL = "broker", "spool"


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
    troubles: dict[str, str] = {}  # what is wrong now, by where
    denied: int = 0  # messages that the broker did not take, by its own word
    unheard: int = 0  # messages that it took and nobody had subscribed to
    refused: int = 0  # messages from outside that a node does not accept

    @property
    def trouble(self) -> str:
        """Return what is wrong now, empty where nothing is."""
        return "; ".join(self.troubles.values())


class Publisher:
    """One node's voice at the broker."""

    def __init__(
        self,
        settings: Mqtt,
        topics: Topics,
        spool: SpoolAccess,
        state: Callable[[], bytes],
        grant: Callable[[Grant], None] | None = None,
    ) -> None:
        """`state` gives the retained document as it is at that moment; `grant` takes one in.

        Without `grant` no answer of a fleet is listened to.
        """
        self._grant = grant
        self.health = Health(since=time.time())
        self._settings = settings
        self._topics = topics
        self._spool = spool
        self._state = state
        self._news = asyncio.Event()
        self._taken: list[int] = []  # by the broker, and not marked as published yet
        self._denied: set[str] = set()  # topics to leave alone until the next try
        self._denials_told: set[tuple[str, int]] = set()
        self._receipt: Receipt | None = None
        self._receipt_came = asyncio.Event()
        self._resends: asyncio.Queue[tuple[str, int, int]] = asyncio.Queue(maxsize=10)
        self._resend_times: list[float] = []

    def wake(self) -> None:
        """There is something new: events, another state, or both."""
        self._news.set()

    async def run(self) -> None:
        """Keep a connection for ever."""
        failures = 0
        while True:
            started = time.monotonic()
            try:
                # A task of its own: in Python 3.11.2 one whose TaskGroup has failed once counts as
                # being cancelled for ever, and every later asyncio.timeout in it would end it.
                await asyncio.create_task(self._while_connected(), name="mqtt-connection")
            except* (aiomqtt.MqttError, OSError, BadCredentials, ValueError) as group:
                self._note_failure(group)
            if time.monotonic() - started > LONGEST_PAUSE_SECONDS:
                failures = 0
            pause = min(LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS * 2.0**failures)
            failures = min(failures + 1, 10)
            # Half of it by chance: ten thousand nodes that lost a broker must not return at once.
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311

    async def _while_connected(self) -> None:
        async with connect(self._settings, self._topics) as connection:
            try:
                greeted = await self._greet(connection)
                self.health.connected, self.health.since = True, time.time()
                self.health.troubles.pop(BROKER, None)
                log.info("broker.connected")
                async with asyncio.TaskGroup() as group:
                    group.create_task(connection.keep_alive(), name="mqtt-keepalive")
                    group.create_task(self._listen(connection.messages), name="mqtt-listen")
                    group.create_task(self._send_news(connection, greeted), name="mqtt-send")
                    group.create_task(self._send_again(connection), name="mqtt-resend")
                    group.create_task(self._take_receipts(), name="mqtt-receipts")
            except asyncio.CancelledError:
                await self._say_goodbye(connection)
                raise
            finally:
                self.health.connected, self.health.since = False, time.time()

    async def _greet(self, connection: Connection) -> bytes:
        """Say where the node stands: after a broker's crash nothing of it may be left there."""
        self._denied.clear()
        wanted = [self._topics.receipt, self._topics.resend]
        wanted += [self._topics.grant] if self._grant is not None else []
        codes = await connection.subscribe(*wanted)
        for topic, code in zip(wanted, codes, strict=True):
            self._note_code(topic, code)
        await self._publish(connection, self._topics.alive, alive(True), retain=True)  # noqa: FBT003
        return await self._send_state(connection, b"")

    async def _say_goodbye(self, connection: Connection) -> None:
        gone = alive(False, "stopped")  # noqa: FBT003
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await connection.publish(self._topics.alive, gone, retain=True)
        except (aiomqtt.MqttError, OSError):
            return  # then the last will says it
        await connection.close(will=False)

    async def _send_news(self, connection: Connection, state: bytes) -> None:
        """Send the state, which is what others act on, and then what waits, for ever."""
        after = 0
        while True:
            self._news.clear()
            try:
                async for through in self._send_events(connection, after):
                    after = through
                    state = await self._send_state(connection, state)
                state = await self._send_state(connection, state)
                self.health.troubles.pop(SPOOL, None)
                pause = DENIED_PAUSE_SECONDS if self._denied else None
            except SpoolUnusable as error:
                self._note_spool(error)
                pause = SPOOL_PAUSE_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:  # try again what was denied, from the first
                self._denied.clear()
                after = 0

    async def _send_state(self, connection: Connection, last: bytes) -> bytes:
        """Return the state that is at the broker now."""
        state = self._state()
        if state != last and self._topics.state not in self._denied:
            await self._publish(connection, self._topics.state, state, retain=True)
        return state

    async def _send_events(self, connection: Connection, after: int) -> AsyncIterator[int]:
        """Send all that waits, and say how far; an event that is denied stays, the others go on."""
        while True:
            batch = await self._spool.unpublished(BATCH, after)
            if not batch:
                await self._mark()
                return
            due = [
                event
                for event in batch
                if self._topics.event(event.type) not in self._denied
                and event.sequence not in self._taken
            ]
            taken = await self._send_in_order(connection, due)
            self._taken += [event.sequence for event, was in zip(due, taken, strict=True) if was]
            after = batch[-1].sequence
            yield after
            await self._mark()

    async def _send_in_order(
        self, connection: Connection, events: Sequence[Outgoing]
    ) -> list[bool]:
        """Return which of them the broker took."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    self._publish(connection, self._topics.event(event.type), event.payload)
                )
                for event in events
            ]
        return [task.result() for task in tasks]

    async def _mark(self) -> None:
        """Record what the broker took. What cannot be recorded now is not sent again for that."""
        if self._taken:
            marked = list(self._taken)
            await self._spool.mark_published(marked)
            self._taken = self._taken[len(marked) :]

    async def _publish(
        self, connection: Connection, topic: str, payload: bytes, *, retain: bool = False
    ) -> bool:
        return self._note_code(topic, await connection.publish(topic, payload, retain=retain))

    async def _send_again(self, connection: Connection) -> None:
        """Fill the gaps that a consumer has seen."""
        while True:
            stream, first, last = await self._resends.get()
            left = LONGEST_RESEND
            try:
                while left > 0 and (events := await self._spool.range(stream, first, last)):
                    await self._send_in_order(connection, events[:left])
                    first = events[-1].sequence + 1
                    left -= len(events)
            except SpoolUnusable as error:
                self._note_spool(error)

    async def _listen(self, messages: AsyncIterator[aiomqtt.Message]) -> None:
        """Take receipts and requests to send again; everything else is counted and dropped."""
        async for message in messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            try:
                if message.retain:
                    raise Unfit("retained, which the controller's messages never are")
                if str(message.topic) == self._topics.receipt:
                    self._receipt = parse_receipt(payload)
                    self._receipt_came.set()
                elif str(message.topic) == self._topics.resend:
                    asked = parse_resend(payload)
                    self._take_resend(asked.stream, asked.first, asked.last)
                elif str(message.topic) == self._topics.grant and self._grant is not None:
                    self._grant(parse_grant(payload))
                else:
                    raise Unfit("on a topic that a node does not listen to")
            except Unfit as error:
                self.health.refused += 1
                if self.health.refused & (self.health.refused - 1) == 0:  # the first, then rarely
                    log.warning("broker.unfit", reason=str(error), count=self.health.refused)

    async def _take_receipts(self) -> None:
        """Take the newest receipt, which includes the earlier ones, at most once a second."""
        while True:
            await self._receipt_came.wait()
            self._receipt_came.clear()
            if self._receipt is not None:
                try:
                    await self._spool.receive_receipt(
                        self._receipt.stream, self._receipt.through_sequence
                    )
                except SpoolUnusable as error:
                    self._note_spool(error)
            await asyncio.sleep(RECEIPT_PAUSE_SECONDS)

    def _take_resend(self, stream: str, first: int, last: int) -> None:
        now = time.monotonic()
        self._resend_times = [t for t in self._resend_times if now - t < 60.0]
        if len(self._resend_times) >= RESENDS_A_MINUTE or self._resends.full():
            raise Unfit("asked for too often")
        self._resend_times.append(now)
        self._resends.put_nowait((stream, first, last))

    def _note_code(self, topic: str, code: int) -> bool:
        """Tell whether the broker's answer is a yes; a no is told once for each reason."""
        if code < REFUSED:
            self.health.unheard += code == NOBODY_SUBSCRIBED
            self.health.troubles.pop(topic, None)
            return True
        self.health.denied += 1
        self._denied.add(topic)
        self.health.troubles[topic] = (
            f"the broker refuses {topic} (reason 0x{code:02x}); see its ACL and limits"
        )
        if (topic, code) not in self._denials_told:
            self._denials_told.add((topic, code))
            log.warning("broker.denied", topic=topic, code=code)
        return False

    def _note_spool(self, error: SpoolUnusable) -> None:
        if SPOOL not in self.health.troubles:
            log.warning("broker.spool", reason=str(error))
        self.health.troubles[SPOOL] = str(error)

    def _note_failure(self, group: BaseExceptionGroup[BaseException]) -> None:
        reasons = {explain(error, self._settings): None for error in _leaves(group)}
        reason = "; ".join(reasons)
        if reason != self.health.troubles.get(BROKER):
            log.warning("broker.away", reason=reason)
        self.health.troubles[BROKER] = reason


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Return the errors of a group, also of the groups within."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
