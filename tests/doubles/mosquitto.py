"""A real Mosquitto on 127.0.0.1, and a subscriber that collects what comes out of it.

    with Mosquitto(tmp_path / "broker") as broker, Subscriber(broker, "hpcdoctor/#") as heard:
        ...
        broker.kill()     # as by kill -9
        broker.start()    # on the same port
        heard.wait_for_count(3)

With persistence (the default) a Subscriber's session is on disk as soon as it has subscribed, so
that it misses nothing over a kill: what is published before it is back is queued for it. save()
does the same for whatever is in memory now. `persistence=False` forgets all of it.
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.doubles.certificates import Authority, Certificate
from tests.doubles.waiting import free_port, wait_for

PROGRAM = "/usr/sbin/mosquitto"
ATTEMPTS = 5  # another program may take the free port before the broker does
PATIENCE_SECONDS = 20.0
SESSION_SECONDS = 3600


class Mosquitto:
    """One broker, with its configuration, log and persistence in `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        acl: str | None = None,
        passwords: dict[str, str] | None = None,
        authority: Authority | None = None,
        persistence: bool = True,
        options: Sequence[str] = (),
    ) -> None:
        """Prepare a broker; `authority` turns on TLS with client certificates as user names."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = free_port()
        self.authority = authority
        self.log_file = folder / "mosquitto.log"
        self.database = folder / "mosquitto.db" if persistence else None
        self._process: subprocess.Popen[bytes] | None = None
        self._lines = self._configuration(acl, passwords, persistence=persistence) + list(options)

    def _configuration(
        self, acl: str | None, passwords: dict[str, str] | None, *, persistence: bool
    ) -> list[str]:
        lines = ["log_dest stderr", "log_type all", "connection_messages true"]
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes a user who may not enter this folder
        if persistence:
            lines += ["persistence true", f"persistence_location {self.folder}/"]
            # After each second change; 0 would mean never.
            lines += ["autosave_on_changes true", "autosave_interval 1"]
        if acl is not None:
            (self.folder / "acl").write_text(acl)
            lines.append(f"acl_file {self.folder / 'acl'}")
        if passwords is not None:
            lines.append(f"password_file {self._password_file(passwords)}")
        lines.append(f"allow_anonymous {'false' if passwords is not None else 'true'}")
        if self.authority is not None:
            server = self.authority.server()
            lines += [f"cafile {self.authority.ca_file}", f"certfile {server.certificate}"]
            lines += [f"keyfile {server.key}", "require_certificate true"]
            lines += ["use_identity_as_username true"]
        return lines

    def _password_file(self, passwords: dict[str, str]) -> Path:
        file = self.folder / "passwords"
        file.write_text("".join(f"{user}:{word}\n" for user, word in passwords.items()))
        file.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True, timeout=30)
        return file

    def __enter__(self) -> Self:
        """Start on a free port; look for another one where it was taken meanwhile."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(PortTaken):
                self.start()
                return self
            self.port = free_port()
        raise AssertionError(f"mosquitto found no free port in {ATTEMPTS} attempts")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start, also after kill() or stop(), always on the same port; return when it listens."""
        assert not self.running, "the broker is running already"
        # `listener` ends the general options, so that what follows belongs to it.
        listener = f"listener {self.port} {self.host}"
        (self.folder / "mosquitto.conf").write_text("\n".join([listener, *self._lines]) + "\n")
        with self.log_file.open("ab") as log:
            position = log.tell()
            self._process = subprocess.Popen(
                [PROGRAM, "-c", str(self.folder / "mosquitto.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the test, which then stops the broker
            )
        # Its own word, not a connection of ours: a stranger may answer on the port.
        wait_for("mosquitto to start", lambda: self._has_started(position), PATIENCE_SECONDS)

    def _has_started(self, position: int) -> bool:
        said = self.log()[position:]
        if self.running:
            return " running" in said
        if "Address already in use" in said:
            raise PortTaken(said)
        raise AssertionError(f"mosquitto ended instead of starting:\n{said}")

    def kill(self) -> None:
        """End it as kill -9 does: what it had in memory is gone."""
        if self._process is not None:
            self._process.kill()  # also where it is frozen
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def stop(self) -> None:
        """End it in good order: it says goodbye and saves."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)
        self._process = None

    def freeze(self) -> None:
        """Let it answer nothing while its port stays open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def change_acl(self, acl: str) -> None:
        """Let another ACL hold from now on, also for those who are connected."""
        (self.folder / "acl").write_text(acl)
        position = len(self.log())
        os.kill(self.pid, signal.SIGHUP)
        wait_for("mosquitto to reload", lambda: "eload" in self.log()[position:], PATIENCE_SECONDS)

    def save(self) -> None:
        """Write subscriptions and messages to disk now; nothing to do without persistence."""
        if self.database is None or not self.running:
            return
        saved = self.database
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        os.kill(self.pid, signal.SIGUSR1)
        wait_for(
            "mosquitto to save",
            lambda: saved.exists() and saved.stat().st_mtime_ns > before,
            PATIENCE_SECONDS,
        )

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")


class PortTaken(Exception):
    """Somebody else listens on this port."""


class Received(NamedTuple):
    """One message as it came."""

    topic: str
    payload: bytes
    retained: bool

    def json(self) -> Any:  # noqa: ANN401 - a test asserts what it is
        return json.loads(self.payload)


class Subscriber:
    """Collects messages in a thread of its own; it reconnects and keeps its session."""

    def __init__(
        self,
        broker: Mosquitto,
        *topics: str,
        name: str = "subscriber",
        username: str | None = None,
        password: str | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self._broker = broker
        self._topics = topics or ("#",)
        self._messages: list[Received] = []
        self._changed = threading.Condition()
        self._subscribed = False
        # Not clean: the broker saves no session that began clean, whatever its expiry.
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        if username is not None:
            self._client.username_pw_set(username, password)
        if broker.authority is not None:
            certificate = certificate or broker.authority.client(name)
            self._client.tls_set(
                str(broker.authority.ca_file), str(certificate.certificate), str(certificate.key)
            )
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
        session.SessionExpiryInterval = SESSION_SECONDS
        self._client.connect(
            self._broker.host,
            self._broker.port,
            keepalive=10,
            clean_start=False,
            properties=session,
        )
        self._client.loop_start()
        self.wait_until_subscribed()
        self._broker.save()  # it saves of its own accord for a message, not for a subscription
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def messages(self) -> list[Received]:
        with self._changed:
            return list(self._messages)

    def on(self, topic: str) -> list[Received]:
        """Return what came on the topics that match, which may hold + and #."""
        return [one for one in self.messages if paho.topic_matches_sub(topic, one.topic)]

    def events(self) -> list[Any]:
        """Return the CloudEvents that came, in order, as parsed JSON."""
        return [one.json() for one in self.on("hpcdoctor/+/+/event/#")]

    def clear(self) -> None:
        with self._changed:
            self._messages.clear()

    def wait_until(
        self,
        what: str,
        condition: Callable[[list[Received]], bool],
        timeout_seconds: float = PATIENCE_SECONDS,
    ) -> list[Received]:
        """Return all messages as soon as the condition holds for them."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self._messages), timeout_seconds):
                came = "\n".join(f"  {one.topic} {one.payload[:200]!r}" for one in self._messages)
                raise AssertionError(
                    f"waited {timeout_seconds:g} s in vain for {what}; there came:\n{came}"
                )
            return list(self._messages)

    def wait_for_count(
        self, count: int, topic: str = "#", timeout_seconds: float = PATIENCE_SECONDS
    ) -> list[Received]:
        """Return the messages on these topics as soon as there are at least `count` of them."""
        self.wait_until(
            f"{count} messages on {topic}",
            lambda all_of_them: (
                sum(paho.topic_matches_sub(topic, one.topic) for one in all_of_them) >= count
            ),
            timeout_seconds,
        )
        return self.on(topic)

    def wait_until_subscribed(self, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for the connection; after a broker's restart too."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._subscribed, timeout_seconds):
                raise AssertionError(f"no subscription within {timeout_seconds:g} s")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Say something, as the controller would; return when the broker has it."""
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        info.wait_for_publish(PATIENCE_SECONDS)
        assert info.is_published(), f"the broker did not take a message on {topic}"

    def _on_connect(
        self,
        client: paho.Client,
        _userdata: object,
        _flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if not reason_code.is_failure:
            client.subscribe([(topic, 1) for topic in self._topics])

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: object,
        _flags: paho.DisconnectFlags,
        _reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        with self._changed:
            self._subscribed = False

    def _on_subscribe(
        self,
        _client: paho.Client,
        _userdata: object,
        _mid: int,
        reason_codes: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        with self._changed:
            self._subscribed = not any(code.is_failure for code in reason_codes)
            self._changed.notify_all()

    def _on_message(
        self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage
    ) -> None:
        with self._changed:
            self._messages.append(Received(message.topic, bytes(message.payload), message.retain))
            self._changed.notify_all()
