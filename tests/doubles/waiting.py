"""How does a test wait for a real program? With a bound, and saying what did not come."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_SECONDS = 0.02


def wait_for(what: str, condition: Callable[[], T | None], timeout_seconds: float = 10.0) -> T:
    """Return the condition's first true answer; fail with `what` when there is none in time."""
    end = time.monotonic() + timeout_seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout_seconds:g} s in vain for {what}")
        time.sleep(PAUSE_SECONDS)


def free_port() -> int:
    """Return a TCP port of the loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
