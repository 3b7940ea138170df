"""Which programs does a process start? Told by the kernel, so that none is missed.

The process events connector (kernel: Documentation/driver-api/connector.rst) reports each fork and
each exec on the machine; only root may listen.
"""

import os
import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bench.measure import NotMeasured

NETLINK_CONNECTOR = 11
NLMSG_DONE = 3
CN_IDX_PROC = CN_VAL_PROC = 1
LISTEN, IGNORE = 1, 2
FORK, EXEC = 0x00000001, 0x00000002
RECEIVE_BYTES = 1 << 20

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_MESSAGE = struct.Struct("=IIIIHH")  # cn_msg: index, value, sequence, ack, length, flags
_EVENT = struct.Struct("=IIQIIII")  # what, cpu, time; who: thread, process; child: thread, process
_EVENT_AT = _HEADER.size + _MESSAGE.size


class Execs:
    """Counts the forks and execs of these processes and all below them, while it is entered."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._family = set(pids)
        self._channel: socket.socket | None = None

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise NotMeasured("counting execs needs root")
        try:
            channel = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR)
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            channel.setblocking(False)
            channel.bind((0, CN_IDX_PROC))
        except OSError as error:
            raise NotMeasured(f"this kernel does not tell of execs: {error}") from None
        self._channel = channel
        self._ask(LISTEN)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._channel is not None:
            self._ask(IGNORE)
            self._channel.close()
            self._channel = None

    def count(self) -> tuple[int, int]:
        """Return the forks and the execs since the last call."""
        forks = execs = 0
        while (data := self._receive()) is not None:
            if len(data) < _EVENT_AT + _EVENT.size:
                continue
            what, _, _, _, process, thread, child = _EVENT.unpack_from(data, _EVENT_AT)
            if what == FORK and process in self._family and thread == child:
                forks += 1
                self._family.add(child)
            elif what == EXEC:
                execs += process in self._family
        return forks, execs

    def _receive(self) -> bytes | None:
        if self._channel is None:
            return None
        try:
            return self._channel.recv(4096)
        except BlockingIOError:
            return None
        except OSError as error:  # ENOBUFS: the machine forked more than the buffer holds
            raise NotMeasured(f"the kernel's events were lost: {error}") from None

    def _ask(self, operation: int) -> None:
        body = struct.pack("=I", operation)
        message = _MESSAGE.pack(CN_IDX_PROC, CN_VAL_PROC, 0, 0, len(body), 0) + body
        header = _HEADER.pack(_HEADER.size + len(message), NLMSG_DONE, 0, 0, 0)
        if self._channel is not None:
            self._channel.send(header + message)
