"""How is one window kept in bounded room: the increase of a counter, the values of a gauge?

Times are seconds of CLOCK_BOOTTIME. A series never holds more than 288 points, however long its
window and however often it is looked at.
"""

import math
from array import array
from bisect import bisect_right

from hpcdoctor.expressions.types import Known, Unknown

LIMIT_POINTS = 288
COUNTER_FUNCTIONS = frozenset({"increase", "rate"})
FIRST = Unknown("needs a second reading", first=True)

# Negative numbers that a driver printed as unsigned 64 bit (seen in NFS mountstats).
WRAPPED_NEGATIVE = 17 * 10**18

# Measured on CPython 3.11, with the keys and the allocators' reserve.
SERIES_BYTES = 640
COUNTER_POINT_BYTES = 52
SAMPLE_POINT_BYTES = 27


def why_discarded(name: str, value: Known, is_counter: bool) -> str:
    """Say why a number cannot be what the machine meant; "" where it can."""
    if not isinstance(value, int | float):
        return f"{name} is no number"
    if value >= WRAPPED_NEGATIVE:
        return f"{name} reads {value}, a negative number printed as an unsigned one"
    if not -WRAPPED_NEGATIVE < value < WRAPPED_NEGATIVE:  # which NaN is not either
        return f"{name} reads {value}"
    if is_counter and value < 0:
        return f"{name} reads {value}, and a counter is never negative"
    return ""


class CounterSeries:
    """How a counter grew: its total since the first look, at up to 288 moments.

    Between two moments it is taken to have grown evenly, which matters after a gap: of ten hours
    without a look, a window of one hour gets a tenth, rounded up so that no single error is lost.
    """

    __slots__ = ("last", "name", "reset_at", "seconds", "times", "totals", "trouble")

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        self.last: int | float | None = None  # as the machine gave it, never through a float
        self.times = array("d")
        self.totals: list[int | float] = []
        self.reset_at: float | None = None
        self.trouble = ""  # why the newest reading could not be used

    @property
    def looked_at(self) -> float:
        return self.times[-1] if self.times else 0.0

    @property
    def size_bytes(self) -> int:
        return SERIES_BYTES + COUNTER_POINT_BYTES * len(self.times)

    def observe(self, value: Known, time: float, maximum: int | None) -> None:
        self.trouble = why_discarded(self.name, value, is_counter=True)
        if self.trouble or not isinstance(value, int | float):
            return
        if maximum is not None and value >= maximum:
            self.trouble = (
                f"{self.name} stands at its maximum of {maximum} and counts no further; "
                "reset it (InfiniBand: `perfquery -R`)"
            )
        if self.last is None:
            self._append(time, 0)
        else:
            time = max(time, self.times[-1])
            if value < self.last:  # reset or wrapped: what it shows now came after that
                self.reset_at = time
                self._append(time, self.totals[-1] + value)
            else:
                self._append(time, self.totals[-1] + (value - self.last))
        self.last = value

    def _append(self, time: float, total: float) -> None:
        times, totals = self.times, self.totals
        # Two neighbours of a point lie more than `width` apart: at most 2 x 143 of them fit.
        width = self.seconds / (LIMIT_POINTS / 2 - 1)
        stands_still = len(times) >= 2 and totals[-2] == totals[-1] == total
        if stands_still or (len(times) >= 2 and time - times[-2] <= width):
            times[-1] = time
            totals[-1] = total
        else:
            times.append(time)
            totals.append(total)
        # One point from before the window stays, to know the total where the window begins.
        gone = bisect_right(times, time - self.seconds) - 1
        if gone > 0:
            del times[:gone], totals[:gone]

    def result(self, function: str, now: float) -> float | Unknown:
        start = now - self.seconds
        known = len(self.times) >= 2 and self.times[-1] > start
        covered = self.covered_seconds(now)
        grown: float = self.totals[-1] - self._total_at(start, function) if known else 0
        if function == "rate":
            known = known and covered > 0
            grown = grown / covered if known else 0
        if self.trouble:
            return Unknown(self.trouble, at_least=grown)
        return grown if known else FIRST

    def _total_at(self, start: float, function: str) -> float:
        after = bisect_right(self.times, start)
        if after == 0:
            return self.totals[0]
        before = after - 1
        step = self.totals[after] - self.totals[before]
        part = (start - self.times[before]) / (self.times[after] - self.times[before])
        if isinstance(step, int) and function == "increase":
            return self.totals[before] + int(step * part)
        return self.totals[before] + step * part

    def covered_seconds(self, now: float) -> float:
        if not self.times:
            return 0.0
        return max(0.0, self.times[-1] - max(self.times[0], now - self.seconds))

    def reset_seen(self, now: float) -> bool:
        return self.reset_at is not None and self.reset_at > now - self.seconds


class SampleSeries:
    """What a gauge showed, or how often a condition held, in up to 288 buckets.

    A bucket folds its looks into one: the least, the greatest, the sum. For p95 it keeps its
    first look: evenly spaced samples, which neither hide spikes nor make more of them.
    """

    __slots__ = ("counts", "function", "indexes", "name", "seconds", "started", "trouble", "values")

    def __init__(self, name: str, seconds: float, function: str) -> None:
        self.name = name
        self.seconds = seconds
        self.function = function
        self.started: float | None = None
        self.indexes = array("q")
        self.values = array("d")
        self.counts = array("q")  # of looks
        self.trouble = ""

    @property
    def width_seconds(self) -> float:
        return self.seconds / LIMIT_POINTS

    @property
    def looked_at(self) -> float:
        return (self.indexes[-1] + 1) * self.width_seconds if self.indexes else 0.0

    @property
    def size_bytes(self) -> int:
        return SERIES_BYTES + SAMPLE_POINT_BYTES * len(self.indexes)

    def observe(self, value: Known, time: float, maximum: int | None) -> None:
        self.trouble = why_discarded(self.name, value, is_counter=False)
        if self.trouble or not isinstance(value, int | float):
            return
        if self.started is None:
            self.started = time
        index = int(time // self.width_seconds)
        if self.indexes and index <= self.indexes[-1]:
            self.counts[-1] += 1
            self.values[-1] = self._fold(self.values[-1], float(value))
        else:
            self.indexes.append(index)
            self.counts.append(1)
            self.values.append(float(value))
        if gone := bisect_right(self.indexes, index - LIMIT_POINTS):
            del self.indexes[:gone], self.counts[:gone], self.values[:gone]

    def _fold(self, folded: float, value: float) -> float:
        match self.function:
            case "min":
                return min(folded, value)
            case "max":
                return max(folded, value)
            case "p95":
                return folded
            case _:  # mean and share divide the sum by the count
                return folded + value

    def result(self, function: str, now: float) -> float | Unknown:
        if self.trouble:
            return Unknown(self.trouble)
        first = self._first_inside(now)
        values = self.values[first:]
        looks = sum(self.counts[first:])
        if not values or (function == "share" and looks < 2):
            return FIRST
        match function:
            case "min":
                return min(values)
            case "max":
                return max(values)
            case "p95":
                return sorted(values)[math.ceil(0.95 * len(values)) - 1]
            case _:
                return sum(values) / looks

    def _first_inside(self, now: float) -> int:
        return bisect_right(self.indexes, int(now // self.width_seconds) - LIMIT_POINTS)

    def covered_seconds(self, now: float) -> float:
        first = self._first_inside(now)
        if self.started is None or first == len(self.indexes):
            return 0.0
        begin = max(self.started, self.indexes[first] * self.width_seconds)
        return max(0.0, min(now - begin, self.seconds))

    def reset_seen(self, now: float) -> bool:
        return False


Series = CounterSeries | SampleSeries


def new_series(function: str, name: str, seconds: float) -> Series:
    if function in COUNTER_FUNCTIONS:
        return CounterSeries(name, seconds)
    return SampleSeries(name, seconds, function)
