"""A child does not answer: does it wait on what it reads, or did it merely get no CPU?

The first is the machine's illness, the second our own. The kernel keeps both times: how long a
process ran and how long it stood in the queue of a CPU (/proc/PID/schedstat, in nanoseconds).
"""

from enum import Enum
from typing import NamedTuple

from hpcdoctor.probes.files import read_text_or_none

# More than this share of the time spent in a CPU's queue, and the child never had its chance.
STARVED_RATIO = 0.5


class Silence(Enum):
    STUCK = "stuck"
    STARVED = "starved"


class CpuTimes(NamedTuple):
    """A process as the scheduler sees it. None: this kernel does not count that."""

    state: str  # the letter of /proc/PID/stat
    running_seconds: float | None
    queued_seconds: float | None


def read_cpu_times(pid: int) -> CpuTimes:
    # The name in parentheses may hold anything, blanks and parentheses too: look from the right.
    text = read_text_or_none(f"/proc/{pid}/stat") or ""
    state = text.rpartition(")")[2].split()[:1]
    fields = (read_text_or_none(f"/proc/{pid}/schedstat") or "").split()
    if len(fields) < 2:
        return CpuTimes(state[0] if state else "?", None, None)
    return CpuTimes(state[0] if state else "?", int(fields[0]) / 1e9, int(fields[1]) / 1e9)


def judge_silence(before: CpuTimes, after: CpuTimes, waited_seconds: float) -> Silence:
    """Tell why there was no answer for so long. Who stopped or waits in the kernel is stuck."""
    if after.state in ("T", "t", "Z", "X"):
        return Silence.STUCK
    if (
        before.running_seconds is None
        or before.queued_seconds is None
        or after.running_seconds is None
        or after.queued_seconds is None
    ):
        return Silence.STARVED if after.state == "R" else Silence.STUCK
    enough = waited_seconds * STARVED_RATIO
    if after.queued_seconds - before.queued_seconds >= enough:
        return Silence.STARVED
    # The wait that still goes on is booked only when it ends: whoever is runnable and hardly ran
    # stands in the queue now.
    runnable = after.state == "R"
    if runnable and after.running_seconds - before.running_seconds < enough:
        return Silence.STARVED
    return Silence.STUCK


def describe_wait(pid: int, after: CpuTimes) -> str:
    """Say where a stuck child waits, as far as the kernel tells."""
    place = read_text_or_none(f"/proc/{pid}/wchan")
    where = f" in {place}" if place and place != "0" else ""
    return f"the reading process {pid} is in state {after.state}{where}"
