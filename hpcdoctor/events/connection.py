"""How is one connection to the broker made? All that is private to the MQTT libraries is here.

A Client is used for one connection only: entered again, it would send what paho kept from the last
one, including messages whose `publish` had raised.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time
import traceback
from collections.abc import AsyncIterator

import aiomqtt
import msgspec
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from hpcdoctor.definitions.settings import Mqtt
from hpcdoctor.events.credentials import check_files, located, read_password
from hpcdoctor.events.envelope import timestamp
from hpcdoctor.events.topics import Topics
from hpcdoctor.events.vocabulary import Alive

CONNECT_SECONDS = 10.0
PUBLISH_SECONDS = 30.0
DISCONNECT_SECONDS = 1.0
SESSION_SECONDS = 3600  # how long the broker keeps receipts for us while we are away
LARGEST_PACKET_BYTES = 65536  # of what others may send to a node
IN_FLIGHT = 20  # mosquitto's receive maximum, which paho does not obey
HEADER_BYTES = 16  # of a PUBLISH packet beside topic and payload, at most
REFUSED = 0x80  # reason codes from here on are failures (MQTT 5.0, section 2.4)
TOO_LARGE = 0x95
NOBODY_SUBSCRIBED = 0x10

# Errors only: it would warn of each message that does not fit into the bounded queue.
library_log = logging.getLogger("hpcdoctor.mqtt")
library_log.setLevel(logging.CRITICAL)


class Connection:
    """One connection to the broker."""

    def __init__(self, client: aiomqtt.Client) -> None:
        """Listen beside aiomqtt to what it does not pass on; before connecting."""
        self._client = client
        self._paho = client._client  # noqa: SLF001
        self._codes: dict[int, asyncio.Future[int]] = {}
        self._in_flight = asyncio.Semaphore(IN_FLIGHT)
        self._largest_bytes: int | None = None  # that the broker takes
        heard_publish = client._on_publish  # noqa: SLF001
        heard_connect = client._on_connect  # noqa: SLF001
        heard_disconnect = client._on_disconnect  # noqa: SLF001

        def on_connect(
            inner: paho.Client,
            data: object,
            flags: paho.ConnectFlags,
            code: ReasonCode,
            properties: Properties | None,
        ) -> None:
            # paho obeys neither of the two: the broker would end the connection, again and again.
            self._largest_bytes = getattr(properties, "MaximumPacketSize", None)
            room = min(IN_FLIGHT, getattr(properties, "ReceiveMaximum", IN_FLIGHT))
            self._in_flight = asyncio.Semaphore(room)
            heard_connect(inner, data, flags, code, properties)

        def on_publish(
            inner: paho.Client, data: object, mid: int, code: ReasonCode, properties: Properties
        ) -> None:
            future = self._codes.pop(mid, None)
            if future is not None and not future.done():
                future.set_result(int(code.value))
            heard_publish(inner, data, mid, code, properties)

        def on_disconnect(
            inner: paho.Client,
            data: object,
            flags: paho.DisconnectFlags,
            code: ReasonCode,
            properties: Properties | None,
        ) -> None:
            # aiomqtt would wait in vain for the answer of a broker that has hung up.
            connected = client._connected  # noqa: SLF001
            if not connected.done():
                connected.set_exception(
                    aiomqtt.MqttError(
                        "the broker closed the connection before it answered; does it ask for a "
                        "client certificate (mqtt.cert_file, mqtt.key_file), or for TLS?"
                    )
                )
            heard_disconnect(inner, data, flags, code, properties)

        self._paho.on_connect = on_connect
        self._paho.on_publish = on_publish
        self._paho.on_disconnect = on_disconnect

    async def open(self) -> None:
        """Connect, in a thread of our own that the end of the program does not wait for.

        The default executor's would be waited for: as long as a name server or a handshake takes.
        """
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()

        def finish(error: Exception | None) -> None:
            if opened.done():  # too late: nobody waits any more
                self._paho._sock_close()  # noqa: SLF001
            elif error is not None:
                opened.set_exception(error)
            else:
                opened.set_result(None)

        def work() -> None:
            failure: Exception | None = None
            try:
                self._client._client_connect()  # noqa: SLF001
            except (OSError, ValueError, RuntimeError) as error:
                _close_sockets(error)
                failure = error.with_traceback(None)
            with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
                loop.call_soon_threadsafe(finish, failure)

        threading.Thread(target=work, name="mqtt-connect", daemon=True).start()
        async with asyncio.timeout(CONNECT_SECONDS):
            await opened
            connected = self._client._connected  # noqa: SLF001
            await asyncio.wait((connected,))  # which, unlike `await`, does not cancel it in the end
            connected.result()

    async def close(self, *, will: bool) -> None:
        """End it; with `will`, the broker tells the others that we are gone."""
        gone = self._client._disconnected  # noqa: SLF001
        if not will:
            self._paho.disconnect()
            await asyncio.wait((gone,), timeout=DISCONNECT_SECONDS)
        # paho has asked the loop to watch the socket's number; the loop must do so before the
        # number is free, and perhaps somebody else's.
        await asyncio.sleep(0)
        self._paho._sock_close()  # noqa: SLF001
        for future in (self._client._connected, gone):  # noqa: SLF001
            if future.done() and not future.cancelled():
                future.exception()  # seen: else Python reports that nobody looked

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Return the broker's reason code: 0x80 and above means that it did not take it.

        Messages go out in the order of the calls, also where several wait here at once.
        """
        if (
            self._largest_bytes is not None
            and len(topic) + len(payload) + HEADER_BYTES > self._largest_bytes
        ):
            return TOO_LARGE
        async with self._in_flight:
            sent = self._paho.publish(topic, payload, qos=1, retain=retain)
            # aiomqtt's own `publish` is silent about the reason code.
            if sent.rc != paho.MQTT_ERR_SUCCESS:
                raise aiomqtt.MqttCodeError(sent.rc, "the connection to the broker broke")
            code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._codes[sent.mid] = code
            gone = self._client._disconnected  # noqa: SLF001
            try:
                await asyncio.wait(
                    (code, gone),
                    timeout=PUBLISH_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                self._codes.pop(sent.mid, None)
            if code.done():
                return code.result()
            if gone.done():
                raise aiomqtt.MqttError("the connection to the broker broke")
            raise TimeoutError

    async def subscribe(self, *topics: str) -> list[int]:
        """Return the reason code for each topic; from 0x80 on it was refused."""
        codes = await self._client.subscribe([(topic, 1) for topic in topics])
        return [code if isinstance(code, int) else int(code.value) for code in codes]

    @property
    def messages(self) -> AsyncIterator[aiomqtt.Message]:
        """Yield what comes; raise MqttError when the connection breaks."""
        return self._client.messages

    async def keep_alive(self) -> None:
        """Do every third of the keepalive what aiomqtt does every second."""
        misc = self._client._misc_task  # noqa: SLF001  # 1 Hz for ever: most of our idle CPU
        if misc is not None:
            misc.cancel()
        while True:
            # The broker may have asked for a shorter one than ours.
            await asyncio.sleep(self._paho.keepalive / 3)
            self._paho.loop_misc()  # pings, and notices a dead peer


@contextlib.asynccontextmanager
async def connect(settings: Mqtt, topics: Topics) -> AsyncIterator[Connection]:
    """Connect with a last will, which speaks at the end unless the connection was closed before.

    Raise MqttError, OSError (TimeoutError too) or BadCredentials.
    """
    password = await asyncio.to_thread(_secrets, settings)
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
    properties.SessionExpiryInterval = SESSION_SECONDS
    properties.MaximumPacketSize = LARGEST_PACKET_BYTES
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        identifier=topics.client_id("daemon"),
        logger=library_log,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=False,
        properties=properties,
        will=aiomqtt.Will(topics.alive, alive(False, "the connection broke"), 1, True),  # noqa: FBT003
        keepalive=settings.keepalive_seconds,
        max_inflight_messages=IN_FLIGHT,
        max_queued_incoming_messages=100,
        tls_params=_tls(settings),
        username=settings.username,
        password=password,
        timeout=CONNECT_SECONDS,
    )
    connection = Connection(client)
    try:
        await connection.open()
        yield connection
    finally:
        await connection.close(will=True)


def _close_sockets(error: Exception) -> None:
    """Close the socket of a failed handshake, which paho leaves to the garbage collector."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, socket.socket):
                value.close()


def alive(is_alive: bool, because: str = "") -> bytes:  # noqa: FBT001  # one word of a document
    since = timestamp(time.time())
    return msgspec.json.encode(Alive(alive=is_alive, since=since, because=because))


def _secrets(settings: Mqtt) -> str | None:
    check_files(settings)
    return None if settings.password_file is None else read_password(settings.password_file)


def _tls(settings: Mqtt) -> aiomqtt.TLSParameters | None:
    if settings.ca_file is None:
        return None
    files = located(settings)
    return aiomqtt.TLSParameters(
        ca_certs=files["ca_file"], certfile=files["cert_file"], keyfile=files["key_file"]
    )
