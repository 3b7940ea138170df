"""Which probes can be told by a test what to do? The same shapes as the shipped ones.

Each reads its order from the file of its name in the folder $MADE_PROBES.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from hpcdoctor.model.reading import Absent, Chunk, NeedsSecondReading, Reading, Unavailable
from hpcdoctor.probes import registry
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.registry import Probe, Shape


class Seen(Reading, frozen=True):
    probe: str
    process: int
    looks: int  # by this process: what host.memory holds
    subject: str = ""


def order(name: str) -> str:
    path = Path(os.environ["MADE_PROBES"]) / name
    return path.read_text() if path.exists() else ""


def obey(host: Host, name: str, subject: str = "") -> list[Seen]:
    word, _, number = order(subject or name).partition(":")
    match word:
        case "hang":
            time.sleep(3600)
        case "sleep":
            time.sleep(float(number))
        case "spin":
            end = time.monotonic() + float(number)
            while time.monotonic() < end:
                pass
        case "absent":
            raise Absent("this machine has none")
        case "unavailable":
            raise Unavailable("it cannot be read")
        case "first":
            raise NeedsSecondReading("this is the first look")
        case "broken":
            raise ZeroDivisionError("a bug")
        case "exit":
            os._exit(3)
        case _:
            pass
    key = f"{name} {subject}"
    host.memory[key] = host.memory.get(key, 0) + 1
    return [Seen(name, os.getpid(), host.memory[key], subject)]


class Ticker:
    """A stream of the bytes that somebody writes into a FIFO: one reading a byte."""

    def __init__(self, path: Path, position: int) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._position = position

    def fileno(self) -> int:
        return self._descriptor

    def read(self) -> Chunk[Reading]:
        try:
            count = len(os.read(self._descriptor, 4096))
        except BlockingIOError:
            count = 0
        start, self._position = self._position, self._position + count
        seen = [Seen("ticker", os.getpid(), start + index + 1) for index in range(count)]
        return Chunk(seen, str(self._position))


def make(name: str, shape: Shape, **functions: Callable[..., object]) -> Probe:
    module = ModuleType(name)
    for function, code in functions.items():
        setattr(module, function, code)
    return Probe(name, shape, Seen, module)


def plain(name: str) -> Probe:
    return make(name, Shape.PLAIN, read=lambda host: obey(host, name))


def read_one(host: Host, subject: str) -> list[Seen]:
    return obey(host, "many", subject)


def read_names(_host: Host) -> list[str]:
    return order("many").split()


def open_ticker(_host: Host, position: str) -> Ticker:
    return Ticker(Path(os.environ["MADE_PROBES"]) / "fifo", int(position or 0))


def find(name: str) -> Probe:
    """Return a made probe, or else a shipped one."""
    if name in ("one", "two", "three", "four"):
        return plain(name)
    if name == "many":
        return make(name, Shape.PER_SUBJECT, read=read_one, subjects=read_names)
    if name == "ticker":
        return make(name, Shape.STREAM, open=open_ticker)
    return registry.find(name)
