"""What did earlier readings show? The memory behind `increase(x, 1h)` and the other windows.

Counters (reference: kernel and InfiniBand counters):
- The first reading is the baseline; there is a result from the second on.
- A value below the last one is a reset or a wrap: the new value is the increase, never less than
  nothing, and `reset_seen` tells of it.
- A new boot empties everything, gauges too, but what `before_boot` asks for. What stood there
  speaks of another start: drivers count their own links' training, a DIMM may have been changed,
  and the check that verifies a reboot has to be able to succeed. An open finding keeps its own
  `clear_after`.
- At a maximum where it stops, the increase is unknown but for "at least what was seen"; a
  condition that this much already fulfils is true.
- `increase` and `rate` need two readings, `share` two looks, `min`, `max`, `mean` and `p95` one.
- A window older than its history answers with what was seen so far; `covered_seconds` says how
  much of it that is.

Pure: no clock and no I/O of its own.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import isfinite

import msgspec

from hpcdoctor.checks.past import Past, Remembered
from hpcdoctor.checks.series import (
    COUNTER_FUNCTIONS,
    FIRST,
    LIMIT_POINTS,
    SERIES_BYTES,
    CounterSeries,
    SampleSeries,
    Series,
    new_series,
)
from hpcdoctor.expressions.expression import Window
from hpcdoctor.expressions.functions import BEFORE_BOOT, WINDOWS
from hpcdoctor.expressions.types import Known, Unknown
from hpcdoctor.model.instant import Instant

LIMIT_BYTES = 4_000_000
FORMAT = 2

Key = tuple[str, str, str]  # check, subject, window


class History:
    """All series of one node, within a bound."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0  # as estimated from the number of points
        self.dropped = 0  # series given up for room
        self.refused = 0  # looks at series for which there was no room
        self._boot_id = ""
        self._series: dict[Key, Series] = {}  # the longest not touched first
        self._full = False
        self._past = Past()

    @property
    def series_count(self) -> int:  # no __len__: an empty history must not be false
        return len(self._series)

    def observe(
        self,
        check: str,
        subject_key: str,
        window_values: Mapping[Window, Known | Unknown | None],
        now: Instant,
        maximums: Mapping[str, int] | None = None,
    ) -> None:
        """Take in what each window's `evaluate` gave for this look; what is not known is left out.

        `maximums` has the fields that stop there (expressions/fields.py: maximums_of).
        """
        if now.boot_id != self._boot_id:
            self._clear()
            self._boot_id = now.boot_id
        for window, value in window_values.items():
            if value is None or isinstance(value, Unknown):
                continue
            key = (check, subject_key, window.key)
            if window.function == BEFORE_BOOT:
                self._past.observe(key, value, now.boot_id)
                continue
            series = self._series.pop(key, None)
            if series is None:
                if not self._make_room(now.boottime):
                    self.refused += 1
                    self._full = True
                    continue
                self._full = False
                series = new_series(
                    window.function, window.field or window.argument, window.seconds
                )
                self.used_bytes += _cost(key, series)
            before = series.size_bytes
            maximum = maximums.get(window.field) if maximums and window.field else None
            series.observe(value, now.boottime, maximum)
            self._series[key] = series  # now the last
            self.used_bytes += series.size_bytes - before
            while self.used_bytes > self.limit_bytes and len(self._series) > 1:
                self._drop_oldest()

    def window(self, check: str, subject_key: str, window: Window, now: Instant) -> Known | Unknown:
        """Return what the window shows; Unknown with `first` where it needs another look."""
        if window.function == BEFORE_BOOT:
            return self._past.before((check, subject_key, window.key), now.boot_id)
        series = self._find(check, subject_key, window, now)
        if series is not None:
            return series.result(window.function, now.boottime)
        if self._full:
            return Unknown(
                f"the history is full at {self.limit_bytes} bytes and has no room for {window.text}"
            )
        return FIRST

    def covered_seconds(self, check: str, subject_key: str, window: Window, now: Instant) -> float:
        """Return how much of the window has been looked at: less than all of it at the start."""
        series = self._find(check, subject_key, window, now)
        return series.covered_seconds(now.boottime) if series is not None else 0.0

    def reset_seen(self, check: str, subject_key: str, window: Window, now: Instant) -> bool:
        """Tell whether the counter fell back within the window."""
        series = self._find(check, subject_key, window, now)
        return series is not None and series.reset_seen(now.boottime)

    def dump(self) -> bytes:
        """Return everything, to be given to `load` after a restart."""
        saved = [_save(key, series) for key, series in self._series.items()]
        return msgspec.msgpack.encode(_Dump(FORMAT, self._boot_id, saved, self._past.dump()))

    def load(self, data: bytes, now: Instant) -> bool:
        """Take over a dump of this boot; return False, and be empty, where it is none.

        It may be damaged, of another version, of another boot, or larger than the limit. Of one of
        another boot there remains what `before_boot` asks for.
        """
        self._clear()
        self._past = Past()
        self._boot_id = now.boot_id
        try:
            dump = msgspec.msgpack.decode(data, type=_Dump)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        if dump.format != FORMAT:
            return False
        self._past.load(dump.past)
        if dump.boot_id != now.boot_id:
            return False
        for saved in dump.series:
            series = _restore(saved, now.boottime)
            if series is None:
                self._clear()
                return False
            self._series[saved.check, saved.subject, saved.window] = series
        self.used_bytes = sum(_cost(key, series) for key, series in self._series.items())
        while self.used_bytes > self.limit_bytes:
            self._drop_oldest()
        return True

    def _find(self, check: str, subject_key: str, window: Window, now: Instant) -> Series | None:
        if now.boot_id != self._boot_id:
            return None
        return self._series.get((check, subject_key, window.key))

    def _make_room(self, now: float) -> bool:
        """Drop what has not been touched for a whole window, until a new series fits.

        One that is still in use is not given up for a new one: with more series than fit, each
        would push out the next, and none would ever get its second reading.
        """
        while self.used_bytes + 2 * SERIES_BYTES > self.limit_bytes:
            oldest = next(iter(self._series.values()), None)
            if oldest is None or now - oldest.looked_at <= oldest.seconds:
                return False
            self._drop_oldest()
        return True

    def _drop_oldest(self) -> None:
        key = next(iter(self._series))
        self.used_bytes -= _cost(key, self._series.pop(key))
        self.dropped += 1

    def _clear(self) -> None:
        self._series.clear()
        self.used_bytes = 0
        self._full = False


def _cost(key: Key, series: Series) -> int:
    return series.size_bytes + len(key[1])  # a mount's path may be long


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    """One series as it is written down."""

    check: str
    subject: str
    window: str
    function: str
    name: str
    seconds: float
    times: list[float]  # of a gauge: the buckets' indexes
    values: list[int | float]  # of a counter: its totals
    counts: list[int]  # of a gauge only
    last: int | float | None  # of a counter only
    mark: float | None  # of a counter: when it was reset; of a gauge: when it was started
    trouble: str


class _Dump(msgspec.Struct, frozen=True, array_like=True):
    format: int
    boot_id: str
    series: list[_Saved]
    past: list[tuple[tuple[str, str, str], Remembered]]


def _save(key: Key, series: Series) -> _Saved:
    if isinstance(series, SampleSeries):
        return _Saved(
            *key,
            series.function,
            series.name,
            series.seconds,
            list(series.indexes),
            list(series.values),
            list(series.counts),
            None,
            series.started,
            series.trouble,
        )
    function = key[2].partition("(")[0]
    # From zero again, since more than 64 bits cannot be written.
    totals = [total - series.totals[0] for total in series.totals]
    return _Saved(
        *key,
        function,
        series.name,
        series.seconds,
        list(series.times),
        [total if total < 2**64 else float(total) for total in totals],
        [],
        series.last,
        series.reset_at,
        series.trouble,
    )


def _restore(saved: _Saved, now: float) -> Series | None:
    """Return the series; None where it is not one that this version could have written."""
    points = len(saved.times)
    if (
        saved.function not in WINDOWS
        or saved.window.partition("(")[0] != saved.function
        or not saved.window.endswith(f", {saved.seconds:.15g})")
        or not (isfinite(saved.seconds) and saved.seconds > 0)
        or points > LIMIT_POINTS
        or len(saved.values) != points
        or not all(isfinite(number) for number in _numbers(saved))
        or not all(one <= other for one, other in pairwise(saved.times))
    ):
        return None
    if saved.function in COUNTER_FUNCTIONS:
        return _restore_counter(saved, now)
    return _restore_samples(saved, now)


def _numbers(saved: _Saved) -> Iterator[float]:
    yield from saved.times
    yield from saved.values
    yield from (number for number in (saved.last, saved.mark) if number is not None)


def _restore_counter(saved: _Saved, now: float) -> CounterSeries | None:
    if (
        (saved.last is None) != (not saved.times)
        or (saved.times and saved.times[-1] > now)
        or not all(one <= other for one, other in pairwise(saved.values))
    ):
        return None
    series = CounterSeries(saved.name, saved.seconds)
    series.times.extend(saved.times)
    series.totals.extend(saved.values)
    series.last = saved.last
    series.reset_at = saved.mark
    series.trouble = saved.trouble
    return series


def _restore_samples(saved: _Saved, now: float) -> SampleSeries | None:
    series = SampleSeries(saved.name, saved.seconds, saved.function)
    latest = now // series.width_seconds
    if (
        len(saved.counts) != len(saved.times)
        or not all(0 < count < 2**31 for count in saved.counts)
        or not all(index == int(index) and 0 <= index <= latest for index in saved.times)
        or (saved.mark is None) != (not saved.times)
    ):
        return None
    series.indexes.extend(int(index) for index in saved.times)
    series.values.extend(float(value) for value in saved.values)
    series.counts.extend(saved.counts)
    series.started = saved.mark
    series.trouble = saved.trouble
    return series
