"""How does what a probe returned, or raised, become a Look?

Here is the prober's `except Exception`: one broken probe must not take the others along.
"""

import contextlib
import os
import resource
import select
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hpcdoctor.model.reading import (
    Absent,
    Chunk,
    Look,
    NeedsSecondReading,
    Reading,
    ReadStatus,
    Unavailable,
)
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.registry import Probe, Stream

REASON_LIMIT = 500
# A stream is drained at most this far when it is read only once; no ring of the kernel is longer.
DRAINED_CHUNKS = 1000
DRAINED_READINGS = 20_000

_STATUS = {
    Absent: ReadStatus.ABSENT,
    Unavailable: ReadStatus.UNAVAILABLE,
    NeedsSecondReading: ReadStatus.FIRST,
}


class Meter:
    """What has this process used since it was asked last?"""

    def __init__(self) -> None:
        self._then, self._cpu = time.monotonic(), _cpu_seconds()

    def put_on(self, seen: Look) -> Look:
        """Return the Look with what it cost, and begin anew."""
        now, cpu = time.monotonic(), _cpu_seconds()
        took, used = round(now - self._then, 6), round(cpu - self._cpu, 6)
        self._then, self._cpu = now, cpu
        return msgspec.structs.replace(seen, took_seconds=took, cpu_seconds=used)


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of the tools that it has waited for."""
    tools = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + tools.ru_utime + tools.ru_stime


def look(probe: Probe, host: Host, subject: str | None = None) -> Look:
    """Return what the probe sees now; never raises."""
    try:
        readings = [msgspec.to_builtins(reading) for reading in probe.read(host, subject)]
    except Exception as error:  # noqa: BLE001 - any bug of one probe ends here, as a Look
        return explain(error, probe.name, host, subject)
    return Look(probe.name, ReadStatus.READ, host.clock(), subject, readings)


def name_subjects(probe: Probe, host: Host) -> list[str] | Look:
    """Return what the probe can look at, or the Look that says why there is nothing."""
    try:
        return probe.subjects(host)
    except Exception as error:  # noqa: BLE001 - as in look
        return explain(error, probe.name, host)


def drain(probe: Probe, host: Host) -> Look:
    """Return all that a stream has to say now, as one Look."""
    try:
        stream = probe.open(host, "")
        with closed_at_the_end(stream):
            chunks = list(read_until_quiet(stream))
    except Exception as error:  # noqa: BLE001 - as in look
        return explain(error, probe.name, host)
    return Look(
        probe.name,
        ReadStatus.READ,
        host.clock(),
        readings=[msgspec.to_builtins(reading) for chunk in chunks for reading in chunk.readings],
        lost=sum(chunk.lost for chunk in chunks),
        suppressed=sum(chunk.suppressed for chunk in chunks),
        position=chunks[-1].position if chunks else "",
    )


def read_until_quiet(stream: Stream) -> Iterator[Chunk[Reading]]:
    """Yield chunks while there are any; a plain file always polls readable, its end stays."""
    position, readings = "", 0
    for _ in range(DRAINED_CHUNKS):
        if not is_readable(stream.fileno()):
            return
        chunk = stream.read()
        yield chunk
        readings += len(chunk.readings)
        moved = chunk.position != position or chunk.readings or chunk.lost or chunk.suppressed
        if not moved or readings >= DRAINED_READINGS:
            return
        position = chunk.position


def is_readable(*descriptors: int, timeout_seconds: float | None = 0) -> bool:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN | select.POLLPRI)
    return bool(poll.poll(None if timeout_seconds is None else timeout_seconds * 1000))


@contextlib.contextmanager
def closed_at_the_end(stream: Stream) -> Iterator[None]:
    """Close a stream that knows how; the others go with the process that opened them."""
    try:
        yield
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


def explain(error: Exception, probe: str, host: Host, subject: str | None = None) -> Look:
    """Return the Look for a probe that raised."""
    status = _STATUS.get(type(error), ReadStatus.BROKEN)
    reason = str(error)
    if status is ReadStatus.BROKEN:
        reason = f"{type(error).__name__} at {find_line(error)}: {reason}"
    denied = status is ReadStatus.UNAVAILABLE and was_denied(error)
    return Look(probe, status, host.clock(), subject, reason=clean(reason), denied=denied)


def was_denied(error: BaseException | None) -> bool:
    """Tell whether the kernel refused something on the way to this error."""
    for _ in range(10):  # no chain of ours is longer
        if error is None or isinstance(error, PermissionError):
            break
        error = error.__cause__ or error.__context__
    return isinstance(error, PermissionError)


def clean(text: str) -> str:
    """Return a text that can be written as JSON and is not endless; a file's name may be both."""
    return text.encode(errors="backslashreplace").decode()[:REASON_LIMIT]


def find_line(error: BaseException) -> str:
    """Return "probes/edac.py:47", the innermost line that the error came from."""
    trace = error.__traceback__
    if trace is None:
        return "an unknown line"
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = Path(trace.tb_frame.f_code.co_filename)
    return f"{os.path.join(file.parent.name, file.name)}:{trace.tb_lineno}"  # noqa: PTH118


def encode(seen: Look) -> bytes:
    """Return the Look as JSON; one that cannot be written is a bug of its probe, and says so."""
    try:
        return msgspec.json.encode(seen)
    except (TypeError, ValueError) as error:
        reason = clean(f"{type(error).__name__}: its readings cannot be written as JSON: {error}")
        broken = Look(seen.probe, ReadStatus.BROKEN, seen.taken, reason=reason)
        return msgspec.json.encode(broken)
