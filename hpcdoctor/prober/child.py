"""What does a child of the template do? It looks, task by task, and says what it saw at once."""

import os
import time
from collections.abc import Callable

import msgspec

from hpcdoctor.model.reading import Chunk, Look, Reading, ReadStatus
from hpcdoctor.prober import looking
from hpcdoctor.prober.looking import is_readable
from hpcdoctor.prober.task import Kind, Task, read_tasks, write_answer
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.registry import Probe, Stream

PIPE_BYTES = 1 << 16
# A flood must not wake the daemon for every record; 50 ms is what a fault may wait for company.
PAUSE_SECONDS = 0.05
READINGS_A_SECOND = 1000


class Requests:
    """The lines that come down the pipe."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._data = b""

    def next(self) -> list[Task] | None:
        """Return the next list of tasks; None when the template wants no more of us."""
        while b"\n" not in self._data:
            data = os.read(self.descriptor, PIPE_BYTES)
            if not data:
                return None
            self._data += data
        line, _, self._data = self._data.partition(b"\n")
        return read_tasks(line)

    def more(self) -> bool:
        return b"\n" in self._data or is_readable(self.descriptor)


def work(find: Callable[[str], Probe], host: Host, requests: int, answers: int) -> None:
    """Do what is asked until there is nobody left who asks."""
    incoming = Requests(requests)
    while (tasks := incoming.next()) is not None:
        for task in tasks:
            probe = find(task.probe)
            if task.kind is Kind.FOLLOW:
                follow(probe, host, task, incoming, answers)
            else:
                word, body = do(probe, host, task)
                write(answers, write_answer(task.number, word, body))
            if incoming.more():  # the rest has been given to somebody else
                break


def do(probe: Probe, host: Host, task: Task) -> tuple[str, bytes]:
    """Return the answer's word and body; this process does nothing else meanwhile."""
    if task.kind is Kind.SUBJECTS:
        named = looking.name_subjects(probe, host)
        if isinstance(named, list):
            return ReadStatus.READ, msgspec.json.encode(named)
        return named.status, looking.encode(named)
    meter = looking.Meter()
    if task.kind is Kind.DRAIN:
        seen = looking.drain(probe, host)
    else:
        seen = looking.look(probe, host, task.subject)
    seen = meter.put_on(seen)
    return seen.status, looking.encode(seen)


def write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def follow(probe: Probe, host: Host, task: Task, incoming: Requests, answers: int) -> None:
    """Pass a stream on until told to stop. The first Look says that it runs, with what is there."""
    try:
        stream = probe.open(host, task.position)
        with looking.closed_at_the_end(stream):
            pass_on(stream, probe, host, task, incoming, answers)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - a stream's bug is told as a Look, as any other's
        seen = looking.explain(error, probe.name, host)
        write(answers, write_answer(task.number, seen.status, looking.encode(seen)))


def pass_on(
    stream: Stream, probe: Probe, host: Host, task: Task, incoming: Requests, answers: int
) -> None:
    allowance = Allowance(READINGS_A_SECOND)
    meter = looking.Meter()
    first = True
    while first or not incoming.more():
        chunk = stream.read()
        if first or chunk.readings or chunk.lost or chunk.suppressed:
            seen = tell(probe, host, chunk, allowance.take(len(chunk.readings)))
            # A stream waits in between; what counts is the CPU.
            seen = msgspec.structs.replace(meter.put_on(seen), took_seconds=0.0)
            write(answers, write_answer(task.number, seen.status, looking.encode(seen)))
        first = False
        time.sleep(PAUSE_SECONDS)
        is_readable(stream.fileno(), incoming.descriptor, timeout_seconds=None)


def tell(probe: Probe, host: Host, chunk: Chunk[Reading], most: int) -> Look:
    return Look(
        probe.name,
        ReadStatus.READ,
        host.clock(),
        readings=[msgspec.to_builtins(reading) for reading in chunk.readings[:most]],
        lost=chunk.lost,
        suppressed=chunk.suppressed + len(chunk.readings[most:]),
        position=chunk.position,
    )


class Allowance:
    """So many readings a second and no more, saved up for one second at most."""

    def __init__(self, a_second: int) -> None:
        self._a_second = a_second
        self._left = float(a_second)
        self._then = time.monotonic()

    def take(self, wanted: int) -> int:
        """Return how many of those wanted may pass."""
        now = time.monotonic()
        self._left = min(self._a_second, self._left + (now - self._then) * self._a_second)
        self._then = now
        given = min(wanted, int(self._left))
        self._left -= given
        return given
