"""A stand-in for the daemon's control socket: answers one text, or misbehaves as it is told.

with StandIn(folder / "control.sock", b"0\\nall well\\n") as daemon: ...; daemon.questions
"""

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self


class StandIn:
    """Listens until the end of the `with`; `answer` None: never says a word."""

    def __init__(self, path: Path, answer: bytes | None) -> None:
        self._answer = answer
        self.questions: list[bytes] = []
        self._kept: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection.makefile("rb") as stream:
                self.questions.append(stream.readline())
            if self._answer is None:
                self._kept.append(connection)
                continue
            with connection, contextlib.suppress(OSError):  # the other end may have given up
                connection.sendall(self._answer)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for connection in self._kept:
            connection.close()
