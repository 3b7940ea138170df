"""How does text from the machine get into a sentence without doing harm there?"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Value

_LEFT_EMPTY = re.compile(r" ?\(\s*\)|:?[ ,]+(?=\))")
_FIELD = re.compile(r"\{([a-z_][a-z0-9_.]*)\}")

_TWICE = re.compile(r"\{([a-z_][a-z0-9_.]*)\}(?: at |, )\{([a-z_][a-z0-9_.]*)\}")
# What Slurm itself adds to a reason, by scontrol reboot.
_REBOOTED = re.compile(r"(?: : reboot (?:requested|issued|complete|timed out))+$")
_REASON_LINE = re.compile(r"hd:[a-z0-9]{4}\.[0-9]{1,3} [^;]*; rule [A-Za-z0-9._-]+")

REASON_BYTES = 199


def visible(text: str, limit: int = 500) -> str:
    """Return the text with everything that could move a cursor or fake a line written out."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text[:limit]
    )
    return shown if len(text) <= limit else shown + "…"


def moment(instant: Instant) -> str:
    """Return the wall clock of a moment for a sentence: "2026-11-21 02:13:40 UTC"."""
    return datetime.fromtimestamp(instant.wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def shown(value: Value) -> str:
    """Return a value as a person reads it, harmless; what is not known reads "?"."""
    if value is None:
        return "?"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10000 else f"{value:.0f}"
    if isinstance(value, list):
        return ", ".join(visible(item, 100) for item in value)
    return visible(str(value), 200)


def said_once(template: str, values: Mapping[str, Value]) -> str:
    """Return it without the second of two places that say the same: "sdc at sdc", "(mc1, mc1)"."""

    def once(found: re.Match[str]) -> str:
        first, second = values.get(found[1]), values.get(found[2])
        same = isinstance(first, str) and first == second != ""
        return f"{{{found[1]}}}" if same else found[0]

    return _TWICE.sub(once, template)


def _plainly(_: str, value: Value) -> str:
    return shown(value)


def fill(
    template: str,
    values: Mapping[str, Value],
    said: Callable[[str, Value], str] = _plainly,
) -> str:
    """Put the values into `{field}` places, as `said` writes them; what is not known reads "?".

    Brackets around an empty text or list go with it: "Disk sdc", not "Disk sdc ()".
    """
    template = said_once(template, values)
    text = _FIELD.sub(lambda found: said(found[1], values.get(found[1])), template)
    if any(values.get(name) in ("", []) for name in _FIELD.findall(template)):
        text = _LEFT_EMPTY.sub("", text)
    return text


def fields_of(template: str) -> list[str]:
    """Return the names of the places in a template."""
    return _FIELD.findall(template)


def reason_line(mark: str, object_name: str, label: str, rule: str) -> str:
    """Return the one form of a reason at a scheduler: printable ASCII, under 200 bytes.

    The mark comes first and the object next, since `sinfo -R` shows 20 columns.
    """
    words = " ".join(part for part in (object_name, label) if part)
    body = "".join(char for char in words if " " <= char <= "~" and char not in "\"'\\;|")
    tail = f"; rule {rule}"
    room = REASON_BYTES - len(mark) - 1 - len(tail)
    return f"{mark} {body[:room].strip()}{tail}"


def is_one_of(reason: str, written: Collection[str]) -> bool:
    """Tell whether a reason at the scheduler is one of these, whole; a person adds a word to it.

    What the scheduler adds by itself when it reboots the node changes nothing.
    """
    return reason in written or _REBOOTED.sub("", reason) in written


def is_reason_line(reason: str) -> bool:
    """Tell whether a reason at the scheduler is a whole `reason_line`, with no word after it."""
    return _REASON_LINE.fullmatch(_REBOOTED.sub("", reason)) is not None
