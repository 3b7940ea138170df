"""How is one connection to the broker made? All that is private to the MQTT libraries is here.

A Client is used for one connection only: entered again, it would send what paho kept from the last
one, including messages whose `publish` had raised.
"""

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import msgspec
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from hpcdoctor.definitions.settings import Mqtt
from hpcdoctor.events.envelope import timestamp
from hpcdoctor.events.topics import Topics
from hpcdoctor.events.vocabulary import Alive

CONNECT_SECONDS = 10.0
DISCONNECT_SECONDS = 1.0
PUBLISH_SECONDS = 30.0
SESSION_SECONDS = 3600  # how long the broker keeps receipts for us while we are away
LARGEST_PACKET_BYTES = 65536  # of what others may send to a node
REFUSED = 0x80  # reason codes from here on are failures (MQTT 5.0, section 2.4)


class BadCredentials(Exception):
    """A file that the settings name cannot be used; says which, and what to do."""


class Connection:
    """One connection. Everything is sent one after the other, so that order needs no thought."""

    def __init__(self, client: aiomqtt.Client, keepalive_seconds: int) -> None:
        self._client = client
        self._keepalive_seconds = keepalive_seconds
        self._code = 0
        heard = client._on_publish  # noqa: SLF001  # aiomqtt ignores the reason code of a PUBACK

        def on_publish(
            inner: paho.Client, data: object, mid: int, code: ReasonCode, properties: Properties
        ) -> None:
            self._code = int(code.value)
            heard(inner, data, mid, code, properties)

        client._client.on_publish = on_publish  # noqa: SLF001

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Return the broker's reason code: 0x80 and above means that it did not take it."""
        self._code = 0
        await self._client.publish(topic, payload, qos=1, retain=retain, timeout=PUBLISH_SECONDS)
        return self._code

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
            await asyncio.sleep(self._keepalive_seconds / 3)
            self._client._client.loop_misc()  # noqa: SLF001  # pings, and notices a dead peer


@contextlib.asynccontextmanager
async def connect(settings: Mqtt, topics: Topics) -> AsyncIterator[Connection]:
    """Connect with a last will, and disconnect at the end.

    Raise MqttError, OSError or BadCredentials.
    """
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
    properties.SessionExpiryInterval = SESSION_SECONDS
    properties.MaximumPacketSize = LARGEST_PACKET_BYTES
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        identifier=topics.client_id("daemon"),
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=False,
        properties=properties,
        will=aiomqtt.Will(topics.alive, alive(False, "the connection broke"), 1, True),  # noqa: FBT003
        keepalive=settings.keepalive_seconds,
        max_inflight_messages=20,  # mosquitto's receive maximum, which paho does not obey
        max_queued_incoming_messages=1000,
        tls_params=_tls(settings),
        username=settings.username,
        password=_password(settings),
        timeout=CONNECT_SECONDS,
    )
    await client.__aenter__()
    try:
        yield Connection(client, settings.keepalive_seconds)
    finally:
        # Not `async with`: it would wait for the connect's timeout where the broker hangs.
        with contextlib.suppress(aiomqtt.MqttError, OSError, TimeoutError):
            async with asyncio.timeout(DISCONNECT_SECONDS):
                await client.__aexit__(None, None, None)


def alive(is_alive: bool, because: str = "") -> bytes:  # noqa: FBT001  # one word of a document
    since = timestamp(time.time())
    return msgspec.json.encode(Alive(alive=is_alive, since=since, because=because))


def _tls(settings: Mqtt) -> aiomqtt.TLSParameters | None:
    if settings.ca_file is None:
        return None
    for path in (settings.ca_file, settings.cert_file, settings.key_file):
        if path is not None and not os.access(path, os.R_OK):
            raise BadCredentials(f"{path} cannot be read; the daemon's user needs to")
    return aiomqtt.TLSParameters(
        ca_certs=settings.ca_file, certfile=settings.cert_file, keyfile=settings.key_file
    )


def _password(settings: Mqtt) -> str | None:
    if settings.password_file is None:
        return None
    path = Path(settings.password_file)
    try:
        if path.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise BadCredentials(f"{path} is open to others; chmod 0600 {path}, or 0640")
        return path.read_text().strip()
    except OSError as error:
        raise BadCredentials(f"{path} cannot be read: {error.strerror}") from error
