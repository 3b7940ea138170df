"""How large is `512MB`, `10k` or `3%` to NHC?"""

import re

SIZE = re.compile(r"(-?\d{1,15})([kmgtpe]?)b?", re.IGNORECASE)
COUNT = re.compile(r"(-?\d{1,15})([kmgtpe]?)", re.IGNORECASE)
PERCENT = re.compile(r"(\d{1,6})%")
UNITS = "kmgtpe"
LARGEST = 1 << 62  # shells and expressions calculate in 64 bits


def size_bytes(text: str) -> int | None:
    """Return the bytes: base 1024, no unit is kB, a `b` alone is dropped; None for no size."""
    match = SIZE.fullmatch(text)
    if match is None:
        return None
    power = UNITS.index(match[2].lower()) + 1 if match[2] else 1
    found = int(match[1]) * int(1024**power)
    return found if abs(found) < LARGEST else None


def count(text: str) -> int | None:
    """Return the number: base 1000; None for no count."""
    match = COUNT.fullmatch(text)
    if match is None:
        return None
    power = UNITS.index(match[2].lower()) + 1 if match[2] else 0
    found = int(match[1]) * int(1000**power)
    return found if abs(found) < LARGEST else None


def percent(text: str) -> int | None:
    match = PERCENT.fullmatch(text)
    return int(match[1]) if match else None
