"""Is the clock kept in step with others, and is it read from a good source? One reading.

Source:  adjtimex(2), read only; /sys/devices/system/clocksource/clocksource0/; the time of day
         beside the time since boot
Units:   seconds; the kernel's own estimates, as the time daemon last told it
Cost:    one system call and two small files (a)
Absent:  in a recording that has no clock source; what adjtimex said then was not recorded

A machine whose host keeps its time (some virtual machines) can read as not synchronised.
"""

import ctypes
import os

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import read_text_or_none
from hpcdoctor.probes.host import Host

UNSYNCHRONISED = 0x0040  # STA_UNSYNC
IN_NANOSECONDS = 0x2000  # STA_NANO: the offset's unit
TIME_ERROR = 5  # the call's answer: not synchronised

Numbers = tuple[bool, float, float, float]


class Clock(Reading, frozen=True):
    synchronised: bool | None  # None in a recording, like the three numbers
    offset_seconds: float | None  # what is still being corrected
    estimated_error_seconds: float | None
    maximum_error_seconds: float | None  # grows by 0.5 ms a second while nobody corrects
    step_seconds: float | None  # by how much it was moved since the last look; None at the first
    source: str | None  # "tsc"
    sources: list[str]  # that the kernel could use


class Timex(ctypes.Structure):
    """struct timex of 64-bit Linux (linux/timex.h)."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    ]


def read(host: Host) -> list[Clock]:
    base = str(host.root / "sys/devices/system/clocksource/clocksource0")
    source = read_text_or_none(f"{base}/current_clocksource")
    sources = (read_text_or_none(f"{base}/available_clocksource") or "").split()
    if not host.live:
        if source is None:
            raise Absent("the recording does not tell of the clock")
        return [Clock(None, None, None, None, None, source, sources)]
    synchronised, offset, estimated, maximum = ask_kernel()
    step = read_step(host)
    return [Clock(synchronised, offset, estimated, maximum, step, source, sources)]


def read_step(host: Host) -> float | None:
    """Return how far the time of day has moved against the time since boot."""
    now = host.clock()
    began = now.wall - now.boottime
    last: tuple[str, float] | None = host.memory.get("clock")
    host.memory["clock"] = (now.boot_id, began)
    if last is None or last[0] != now.boot_id:
        return None
    return round(began - last[1], 6)


def ask_kernel() -> Numbers:
    timex = Timex()  # modes 0: asks and sets nothing
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if state < 0:
        raise Unavailable(f"adjtimex: {os.strerror(ctypes.get_errno())}")
    return from_timex(state, timex)


def from_timex(state: int, timex: Timex) -> Numbers:
    """Return whether it is synchronised, the offset, the estimated and the largest error."""
    unit = 1e-9 if timex.status & IN_NANOSECONDS else 1e-6
    return (
        state != TIME_ERROR and not timex.status & UNSYNCHRONISED,
        timex.offset * unit,
        timex.esterror * 1e-6,
        timex.maxerror * 1e-6,
    )
