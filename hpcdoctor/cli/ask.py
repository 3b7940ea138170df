"""How does a command ask the daemon? One line over its socket; imports next to nothing.

`hpcdoctor check` on a busy node has to cost less than a shell script, so the daemon has done the
work already and this only carries its answer.
"""

import os
import sys
import time
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as Socket  # noqa: N812  # the module `socket` costs six times as much

EAGAIN = 11
DEFAULT_SOCKET = "/run/hpcdoctor/control.sock"
PATIENCE_SECONDS = 5.0  # for the whole answer
LONGEST_ANSWER = 64 << 20


class NoDaemon(Exception):
    """Nobody listens there."""


class SilentDaemon(Exception):
    """Somebody listens and does not answer."""


def ask(path: str, question: bytes) -> tuple[int, bytes]:
    """Return the exit code and the text that the daemon answers."""
    connection = Socket(AF_UNIX, SOCK_STREAM)
    try:
        connection.settimeout(PATIENCE_SECONDS)
        try:
            connection.connect(path)
        except OSError as error:
            if isinstance(error, TimeoutError) or error.errno == EAGAIN:  # its queue is full
                raise SilentDaemon(f"the daemon at {path} does not answer") from None
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise NoDaemon(f"{path}: {reason}") from None
        try:
            end = time.monotonic() + PATIENCE_SECONDS
            connection.sendall(question + b"\n")
            parts = []
            size = 0
            while part := connection.recv(1 << 16):
                parts.append(part)
                size += len(part)
                left = end - time.monotonic()
                if left <= 0 or size > LONGEST_ANSWER:
                    raise OSError
                connection.settimeout(left)
        except OSError:
            raise SilentDaemon(f"the daemon at {path} does not answer") from None
    finally:
        connection.close()
    code, _, text = b"".join(parts).partition(b"\n")
    if not code.isdigit() or len(code) > 3:
        raise SilentDaemon(f"the daemon at {path} ended while answering")
    return int(code), text


def print_answer(text: bytes) -> None:
    """Write the daemon's text as it is."""
    sys.stdout.flush()
    view = memoryview(text)
    while view:
        view = view[os.write(1, view) :]


def print_refusal(text: bytes) -> None:
    """Write what the daemon said instead of an answer, to where mistakes are told."""
    view = memoryview(text)
    while view:
        view = view[os.write(2, view) :]


def terminal_width() -> int:
    """Return the columns of the terminal, or 80 where there is none or it does not say."""
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def wants_colour() -> bool:
    return os.isatty(1) and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def ascii_only() -> bool:
    """Tell whether the reader's terminal is one that shows ASCII, and no more, for certain.

    The locale says it, and the names of real terminals, which serial lines go by.
    """
    words = os.environ
    locale = words.get("LC_ALL") or words.get("LC_CTYPE") or words.get("LANG") or ""
    unicode = "utf-8" in locale.lower() or "utf8" in locale.lower()
    return not unicode or words.get("TERM", "")[:2] == "vt"
