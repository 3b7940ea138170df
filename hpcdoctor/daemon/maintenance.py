"""Is this node in people's hands now? The windows of the settings, by the node's own time zone."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from hpcdoctor.definitions.settings import DAYS, Maintenance
from hpcdoctor.model.quantity import parse_duration


def why_in_maintenance(windows: Iterable[Maintenance], wall: float) -> str:
    """Return the sentence of the first window that holds at this moment, or ""."""
    now = datetime.fromtimestamp(wall).astimezone()
    for window in windows:
        end = end_of(window, now)
        if end is not None:
            return f"maintenance until {end:%Y-%m-%d %H:%M}: {window.why}"
    return ""


def end_of(window: Maintenance, now: datetime) -> datetime | None:
    """Return when the window that `now` is in ends, or None where it is in none."""
    if window.start is not None and window.until is not None:
        start, end = _local(window.start), _local(window.until)
        return end if start <= now < end else None
    if window.every is None or window.lasts is None:
        return None
    day, _, clock = window.every.partition(" ")
    hour, _, minute = clock.partition(":")
    length = timedelta(seconds=parse_duration(window.lasts))
    back = (now.weekday() - DAYS.index(day)) % 7
    begin = now.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
    begin -= timedelta(days=back)
    # Today's may not have begun yet, and last week's may still last.
    for start in (begin, begin - timedelta(days=7)):
        if start <= now < start + length:
            return start + length
    return None


def _local(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()
