"""The template process: takes requests from the daemon, forks the children that look, passes on.

Single-threaded, never waits on anything but all of it at once, reads no hardware itself. It imports
little, because each child begins as a copy of it.
"""

import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from selectors import EVENT_READ, BaseSelector, DefaultSelector
from types import FrameType

from hpcdoctor.model.request import Follow, Read, Request
from hpcdoctor.prober.connection import Connection, read_peer_user
from hpcdoctor.prober.lanes import Find, Lanes
from hpcdoctor.probes import registry
from hpcdoctor.probes.host import Host

ROOT = 0


class Template:
    """The one connection to the daemon, and the lanes."""

    def __init__(
        self,
        listener: socket.socket,
        selector: BaseSelector,
        lanes: Lanes,
        allowed_users: frozenset[int],
    ) -> None:
        self._listener = listener
        self._selector = selector
        self._lanes = lanes
        self._allowed_users = allowed_users | {ROOT}
        self._daemon: Connection | None = None
        self.stopping = False
        listener.setblocking(False)
        selector.register(listener, EVENT_READ, self._accept)

    def run(self) -> None:
        while not self.stopping:
            daemon = self._daemon
            self._lanes.turn(daemon.gathered_at if daemon else float("inf"))
            daemon = self._daemon
            if daemon is not None and daemon.gathered_is_due():
                daemon.send()

    def stop(self) -> None:
        self.stopping = True

    def close(self) -> None:
        self._lanes.close()
        if self._daemon is not None:
            self._daemon.close()

    def _accept(self) -> None:
        try:
            connected, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        user = read_peer_user(connected)
        if user not in self._allowed_users:
            say(f"user {user} is not the daemon's and may not ask; refused")
            connected.close()
            return
        if self._daemon is not None:  # it was started again, and the old one has not noticed yet
            self._daemon.close()
        self._daemon = Connection(connected, self._selector, asked=self._asked, closed=self._closed)

    def _asked(self, connection: Connection, request: Request) -> None:
        match request:
            case Read():
                self._lanes.read(request, connection)
            case Follow():
                self._lanes.follow(request, connection)

    def _closed(self, connection: Connection, reason: str) -> None:
        if reason:
            say(f"the connection to the daemon is closed: {reason}")
        if connection is self._daemon:
            self._daemon = None
            self._lanes.stop_following()


def serve(
    listener: socket.socket,
    host: Host,
    *,
    allowed_users: frozenset[int],
    mounts: Sequence[str] = (),
    lifeline: int | None = None,
    find: Find = registry.find,
) -> int:
    """Serve until SIGTERM or SIGINT, or until the other end of `lifeline` closes; return 0.

    `mounts` are the mount points that the profile names. Children that cannot be killed are left
    to the kernel: nothing waits for them.
    """
    host.extra_mounts = list(mounts)
    with DefaultSelector() as selector:
        template = Template(listener, selector, Lanes(host, find, selector), allowed_users)
        if lifeline is not None:
            selector.register(lifeline, EVENT_READ, template.stop)
        with woken_by_signals(selector, template.stop):
            try:
                template.run()
            finally:
                template.close()
    return 0


@contextlib.contextmanager
def woken_by_signals(selector: BaseSelector, stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the wait in which they arrive."""

    def note(_number: int, _frame: FrameType | None) -> None:
        stop()

    waker, wakes = socket.socketpair()
    with waker, wakes:
        waker.setblocking(False)
        wakes.setblocking(False)
        selector.register(wakes, EVENT_READ, stop)
        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        signal.set_wakeup_fd(waker.fileno())
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)


def say(sentence: str) -> None:
    sys.stderr.write(f"hpcdoctor prober: {sentence}\n")
    sys.stderr.flush()
