"""How does the template talk with the daemon? Lines of JSON, bounded, without ever waiting."""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector

import msgspec

from hpcdoctor.model.request import Request

REQUEST_LIMIT_BYTES = 1 << 16
# A daemon that does not read for so long is told to connect anew; it knows where its streams were.
UNREAD_LIMIT_BYTES = 8 << 20
CHUNK_BYTES = 1 << 16
# Looks that are ready wait so long for those that are not: one wake-up of the daemon, not twenty.
GATHER_SECONDS = 0.25

_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_PEER = struct.Struct("3i")  # struct ucred: process, user, group


def read_peer_user(connection: socket.socket) -> int:
    """Return the user id of the process at the other end, as the kernel knows it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    user: int = _PEER.unpack(credentials)[1]
    return user


class Connection:
    """The daemon, as the sink of what the lanes say."""

    def __init__(
        self,
        connected: socket.socket,
        selector: BaseSelector,
        *,
        asked: Callable[["Connection", Request], None],
        closed: Callable[["Connection", str], None],
    ) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._selector = selector
        self._asked = asked
        self._closed = closed
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._ready: list[bytes] = []
        self.gathered_at = float("inf")  # monotonic: when what is ready goes out at the latest
        self.is_open = True
        selector.register(connected, EVENT_READ, self._on_ready)

    # As a Sink

    def add(self, look: bytes) -> None:
        if not self._ready:
            self.gathered_at = time.monotonic() + GATHER_SECONDS
        self._ready.append(look)

    def settle(self) -> None:
        self.send()

    def gathered_is_due(self) -> bool:
        return time.monotonic() >= self.gathered_at

    def send(self) -> None:
        """Write what is ready, as one line."""
        if self._ready:
            self._outgoing += b"[" + b",".join(self._ready) + b"]\n"
            self._ready.clear()
        self.gathered_at = float("inf")
        self._flush()

    # As a socket

    def close(self, reason: str = "") -> None:
        if self.is_open:
            self.is_open = False
            self.gathered_at = float("inf")
            self._selector.unregister(self._socket)
            self._socket.close()
            self._closed(self, reason)

    def _on_ready(self) -> None:
        self._flush()
        if not self.is_open:
            return
        try:
            data = self._socket.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(os.strerror(error.errno or 0))
            return
        if not data:
            self.close()
            return
        self._incoming += data
        self._take_lines()

    def _take_lines(self) -> None:
        while self.is_open and b"\n" in self._incoming:
            line, _, rest = self._incoming.partition(b"\n")
            self._incoming = rest
            if len(line) > REQUEST_LIMIT_BYTES:
                break
            try:
                request = _REQUEST.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self.close(f"a line that is no request: {error}")
                return
            self._asked(self, request)
        if len(self._incoming) > REQUEST_LIMIT_BYTES:
            self.close("a request that is longer than 64 KiB")

    def _flush(self) -> None:
        if not self.is_open:
            self._outgoing.clear()
            return
        try:
            with contextlib.suppress(BlockingIOError):
                while self._outgoing:
                    sent = self._socket.send(self._outgoing)
                    del self._outgoing[:sent]
        except OSError as error:
            self.close(os.strerror(error.errno or 0))
            return
        if len(self._outgoing) > UNREAD_LIMIT_BYTES:
            self.close("it does not read what it asked for")
            return
        wanted = EVENT_READ | EVENT_WRITE if self._outgoing else EVENT_READ
        if self._selector.get_key(self._socket).events != wanted:
            self._selector.modify(self._socket, wanted, self._on_ready)
