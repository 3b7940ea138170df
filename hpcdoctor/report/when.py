"""How are moments told on a page? All in UTC, the day only where it is another one."""

from datetime import datetime

from hpcdoctor.model.quantity import format_duration


def clock(moment: str, now: str) -> str:
    """Return "02:13:05", or with the day before it where that is not today."""
    form = "%H:%M:%S" if moment[:10] == now[:10] else "%Y-%m-%d %H:%M:%S"
    return datetime.fromisoformat(moment).strftime(form)


def day_and_clock(moment: str) -> str:
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M:%S")


def for_how_long(since: str, now: str) -> str:
    """Return "47 min"; a clock that was set back makes it none, not less."""
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds()
    return format_duration(max(0.0, seconds))


def since(moment: str, now: str) -> str:
    """Return "02:13:05, 47 min"."""
    return f"{clock(moment, now)}, {for_how_long(moment, now)}"


def until(moment: str, now: str) -> str:
    """Return "11:00:00, in 2 h"."""
    return f"{clock(moment, now)}, in {for_how_long(now, moment)}"
