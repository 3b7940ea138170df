"""How are durations and sizes written in YAML and for people? The only place that knows."""

import re

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}

# So many digits that nothing real is refused, and so few that no number is infinite.
_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,15})?)"
_DURATION = re.compile(_NUMBER + "(ms|s|m|h|d)")
_SIZE = re.compile(_NUMBER + " ?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)")


def parse_duration(text: str) -> float:
    """Return seconds for "500ms", "30s", "5m", "24h" or "7d"; anything else is a ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is not a duration; {_meant(text)}")
    return float(match[1]) * SECONDS[match[2]]


_SPELT_OUT = re.compile(_NUMBER + r"\s*([a-z]+)", re.IGNORECASE)
_UNITS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
}


def _meant(text: str) -> str:
    """Say how a duration is written, with the writer's own number where that is clear."""
    if found := _SPELT_OUT.fullmatch(text.strip()):
        for unit, words in _UNITS.items():
            if found[2].lower() in words:
                return f"did you mean `{found[1]}{unit}`?"
        if found[2].lower() in ("w", "week", "weeks") and found[1].isdecimal():
            return f"did you mean `{int(found[1]) * 7}d`?"
    return "write a number and a unit, as in 30s, 5m, 1h"


def parse_size(text: str) -> int:
    """Return bytes for "4 KiB", "64MiB" or "2GB"; raise ValueError for anything else."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is not a size; write a number and a unit, as in 64MiB")
    return round(float(match[1]) * BYTES[match[2]])


def format_duration(seconds: float) -> str:
    """Say a duration as a tired reader takes it in: two units at most, "47 min", "2 h 5 min"."""
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
