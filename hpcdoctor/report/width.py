"""How many columns does a text take on a terminal, and where may it be broken?"""

import re
from collections.abc import Iterator

from hpcdoctor.model.text import visible

LONGEST = 2000  # of one text on a page
MOST_MARKS = 2  # on one letter; Vietnamese needs two, a heap of them climbs over other lines
ELLIPSIS = "..."  # three dots: a serial console has no other
# A long word is broken after one of these where there is one near the edge.
_BREAKS = "/,;:=&|_-."
_BACK = 24
ROOM_TO_BEGIN = 20  # on a line, for a word that no line can hold
_WORD = re.compile(r"`[^`]*`[^\s`]*|\S+")


def harmless(text: str, *, ascii_only: bool = False, limit: int = LONGEST) -> str:
    """Return the text so that it stays where it is put: nothing moves the cursor or piles up."""
    safe = visible(text, limit).replace("…", ELLIPSIS)
    if safe.isascii():
        return safe
    if ascii_only:
        return safe.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(_without_heaps(safe))


def _without_heaps(text: str) -> Iterator[str]:
    from unicodedata import category  # a library of its own, which plain text never needs

    marks = MOST_MARKS  # at the start there is no letter to stand on
    for char in text:
        if not category(char).startswith("M"):
            marks = 0
            yield char
            continue
        marks += 1
        if marks > MOST_MARKS or "\ufe00" <= char <= "\ufe0f" or char >= "\U000e0000":
            yield char.encode("unicode_escape").decode()
        else:
            yield char


def columns(text: str) -> int:
    """Return how many columns the text takes: wide characters two, marks on a letter none."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    taken = 0
    for char in text:
        if east_asian_width(char) in "WF":
            taken += 2
        elif category(char) not in ("Mn", "Me"):
            taken += 1
    return taken


def fitted(text: str, room: int) -> str:
    """Return the text in one line of at most `room` columns, with dots where it goes on."""
    if columns(text) <= room:
        return text
    start = _start(text, room - len(ELLIPSIS))
    words = start.rpartition(" ")[0]
    return (words if len(words) > len(start) // 2 else start).rstrip(" ,;:(") + ELLIPSIS


def wrapped(text: str, room: int, *, hang: int = 0) -> list[str]:
    """Return lines of at most `room` columns; all but the first begin with `hang` spaces.

    What stands between backticks stays in one piece where a line has room for it.
    """
    lines: list[str] = []
    line, taken, used = "", 0, False
    for word in _WORD.findall(text):
        parts = word.split() if columns(word) > room - hang else [word]
        for part in parts:
            rest = part
            size = columns(rest)
            if used and taken + 1 + size <= room:
                line, taken = f"{line} {rest}", taken + 1 + size
                continue
            if used and size > room - hang and room - taken > ROOM_TO_BEGIN:
                line, taken = line + " ", taken + 1  # it is broken in any case
            elif used:
                lines.append(line)
                line, taken = " " * hang, hang
            while size > room - taken:
                start = _start(rest, room - taken)
                start = start[: _good_break(start)] or rest[:1]
                lines.append(line + start)
                rest = rest[len(start) :]
                size = columns(rest)
                line, taken = " " * hang, hang
            line, taken, used = line + rest, taken + size, True
    if used:
        lines.append(line)
    return lines or [""]


def _start(text: str, room: int) -> str:
    """Return as much of the text as fits."""
    if text.isascii():
        return text[: max(0, room)]
    taken = 0
    for number, char in enumerate(text):
        taken += columns(char)
        if taken > room:
            return text[:number]
    return text


def _good_break(start: str) -> int:
    best = max((start.rfind(char, max(0, len(start) - _BACK)) for char in _BREAKS), default=-1)
    return best + 1 if best > 0 else len(start)
