"""What could stand in hpcdoctor.yaml? Every key in a comment, with its meaning: the example.

A file in which every line is a comment changes nothing, so this one can be installed as it is. A
line of prose begins with "# ", a line that means something once its "#" is gone does not.
"""

import json
import re
import textwrap
from collections.abc import Iterator
from enum import Enum

from hpcdoctor.definitions.loader import data_folder
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.report.pages.fields import Key, Shape, keys

WIDTH = 98
HEAD = """\
# /etc/hpcdoctor/hpcdoctor.yaml: what this site wants of hpcdoctor.
#
# Every key may be left out, and every one below is: as it stands, this file changes nothing. Take
# away the "#" before a line, and nothing else, to set it; of a section, the line with its name too.
# The values are the defaults; of what has none (not set) they are examples.
#
# A duration is a number and ms, s, m, h or d, as in 90s or 24h; a size a number and a unit, as in
# 64MiB or 2GB. A text that is not one plain word is better put in quotes.
#
# hpcdoctor lint               names every mistake with its line
# hpcdoctor settings           says what holds, and which line says so
# systemctl reload hpcdoctor   takes a change up; a wrong one changes nothing
#
# The file has to be root's, and writable by nobody else.
"""
# Keys that exclude one another are in items of their own.
ITEMS: dict[str, list[tuple[str, ...]]] = {"maintenance": [("from", "until"), ("every", "for")]}
# What a key names lies in these folders.
SHIPPED = {"remediations": "remediations", "profile": "profiles"}

# A word that YAML takes as nothing but a text, a path, a duration or a size.
_PLAIN = re.compile(
    r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[a-z]+(?:[-_][a-z]+)*|/[A-Za-z0-9/._-]+"
    r"|[0-9]+(?:ms|[smhd]|[kMGT]?B|[KMGT]iB)"
)


def render() -> str:
    parts = [HEAD]
    for key in keys(Settings):
        lines = list(_section(key, key.shape) if key.shape is not None else _plain(key, ""))
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _section(key: Key, shape: Shape) -> Iterator[str]:
    yield from _prose(_sentence(shape.__doc__ or key.note))
    yield f"#{key.name}:"
    if not key.is_list:
        for inner in keys(shape):
            yield from _plain(inner, "  ")
        return
    left_out = {name for names in ITEMS.get(key.name, []) for name in names}
    for number, own in enumerate(ITEMS.get(key.name, [()])):
        margin = "  - "
        for inner in keys(shape):
            if inner.name in left_out and inner.name not in own:
                continue
            yield from _plain(inner, margin, explained=number == 0 or inner.name in own)
            margin = "    "


def _plain(key: Key, margin: str, *, explained: bool = True) -> Iterator[str]:
    if explained:
        yield from _prose(about(key))
    yield f"#{margin}{key.name}: {_written(value_of(key))}"


def about(key: Key) -> str:
    """Say what a key means, what may be written, and whether the value beside it is an example."""
    default = "not set" if _is_example(key) else ""
    if key.required:
        default = "has to be there"
    what = "one of " + ", ".join(key.choices) if key.choices else key.kind
    if key.name in SHIPPED:
        names = sorted(path.stem for path in data_folder(SHIPPED[key.name]).glob("*.yaml"))
        what += f"; shipped are {', '.join(names)}"
    tail = "; ".join(part for part in (default, what) if part)
    return f"{_sentence(key.meaning or key.name.replace('_', ' '))} ({tail})"


def _is_example(key: Key) -> bool:
    return key.default is None or key.default == []


def value_of(key: Key) -> object:
    """Return the value to write: the default, or what the comment has in quotes, or a guess."""
    value = key.default
    if isinstance(value, Enum):
        return value.value
    if not _is_example(key):
        return value
    if key.is_list:
        return [key.example] if key.example is not None else []
    if key.choices:
        return key.choices[0]
    if key.kind.startswith("true"):
        return True
    if "number" in key.kind or key.kind.startswith("a fraction"):
        told = key.example or next(iter(re.findall(r"\b[0-9]+\b", key.note)), None)
        return int(told) if told and told.isdecimal() else None
    return key.example  # None where the comment has no example: `null` leaves the key as it is


def _written(value: object) -> str:
    """Write a value so that YAML reads the same again; texts that could be numbers in quotes."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ", ".join(_written(item) for item in value) + "]"
    return json.dumps(value)


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    if not text:
        return ""
    first = text if text.startswith("`") else text[0].upper() + text[1:]
    return first if first.endswith((".", "?")) else first + "."


def _prose(text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
