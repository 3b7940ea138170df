"""Who may ask the helper, and how do lines come in and answers go out?

One thread, one request at a time, in the order of each connection. The caller's user is the
kernel's word (SO_PEERCRED), not the caller's.
"""

import logging
import select
import selectors
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from hpcdoctor.helper.requests import LINE_MAXIMUM, refusal
from hpcdoctor.model.action import ActionResult

SEND_SECONDS = 5.0  # a caller that does not read its answer is not waited for
CONNECTIONS_MAXIMUM = 8

log = logging.getLogger(__name__)


class Connection:
    """One caller, and what it has sent so far."""

    def __init__(self, peer: socket.socket, user: int) -> None:
        self.peer = peer
        self.user = user
        self.received = bytearray()
        self.gone = False

    def next_line(self) -> bytes | None:
        """Return a whole line, if one is there and its sender still waits for the answer.

        What a caller has asked and then not waited for is not started: it may be the last word of
        a daemon that is dead, and whoever came after it has decided anew.
        """
        if has_hung_up(self.peer):
            self.gone = True
            return None
        if b"\n" not in self.received and len(self.received) <= LINE_MAXIMUM:
            with suppress(BlockingIOError, ConnectionError):
                self.received += self.peer.recv(LINE_MAXIMUM, socket.MSG_DONTWAIT)
        line, newline, rest = self.received.partition(b"\n")
        if len(line) > LINE_MAXIMUM:
            self.send(refusal(b"", f"a request has at most {LINE_MAXIMUM} bytes"))
            self.gone = True
            return None
        if not newline:
            return None
        self.received = rest
        return bytes(line)

    def send(self, result: ActionResult) -> None:
        self.peer.settimeout(SEND_SECONDS)
        try:
            self.peer.sendall(msgspec.json.encode(result) + b"\n")
        except OSError as error:
            log.warning("the answer to %s was not taken: %s", result.id, error)
            self.gone = True


class Server:
    """The listening socket and its callers, one action at a time."""

    def __init__(
        self,
        listener: socket.socket,
        ending: socket.socket,
        answer: Callable[[bytes, int], ActionResult],
        allowed_users: frozenset[int],
    ) -> None:
        self._answer = answer
        self._allowed_users = allowed_users
        self._listener = listener
        self._ending = ending
        self._selector = selectors.DefaultSelector()
        self._connections: set[Connection] = set()

    def run(self, idle_seconds: float) -> None:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._ending, selectors.EVENT_READ)
        try:
            self._run(idle_seconds)
        finally:
            for connection in list(self._connections):
                self._drop(connection)
            self._selector.close()

    def _run(self, idle_seconds: float) -> None:
        idle_since = time.monotonic()
        while True:
            left = idle_since + idle_seconds - time.monotonic()
            ready = [key.fileobj for key, _ in self._selector.select(max(0.0, left))]
            if self._ending in ready:
                return
            if self._listener in ready:
                self._accept()
            asked = [self._serve(one) for one in list(self._connections) if one.peer in ready]
            if any(asked):
                idle_since = time.monotonic()
            elif not ready:
                log.info("nobody has asked for %g s; ending until somebody does", idle_seconds)
                return

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return  # the caller is gone again
        user = peer_user(peer)
        connection = Connection(peer, user)
        if user not in self._allowed_users or len(self._connections) >= CONNECTIONS_MAXIMUM:
            why = (
                "too many callers"
                if user in self._allowed_users
                else f"user {user} may not ask the helper; the daemon's user and root may"
            )
            log.warning("turned a caller away: %s", why)
            connection.send(refusal(b"", why))
            peer.close()
            return
        self._connections.add(connection)
        self._selector.register(peer, selectors.EVENT_READ)

    def _serve(self, connection: Connection) -> bool:
        """Answer what this caller has asked; tell whether it had asked anything."""
        asked = False
        while not is_readable(self._ending) and (line := connection.next_line()) is not None:
            asked = True
            connection.send(self._answer(line, connection.user))
        if connection.gone:
            self._drop(connection)
        return asked

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.peer)
        connection.peer.close()


def peer_user(peer: socket.socket) -> int:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, user, _group = struct.unpack("3i", credentials)
    return int(user)


def has_hung_up(peer: socket.socket) -> bool:
    poll = select.poll()
    poll.register(peer, select.POLLRDHUP)
    return bool(poll.poll(0))


def is_readable(end: socket.socket) -> bool:
    with suppress(BlockingIOError):
        return bool(end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    return False
