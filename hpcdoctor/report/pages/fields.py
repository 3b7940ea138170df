"""What is known of each key of a file? Name, type, default, and the comment beside it in the code.

The settings' page, the annotated example and the editors' schemas are all made of this, so that a
key added to a struct is in all of them at once. In a comment, the first text in double quotes is an
example of the key's value; a comment that begins with `deprecated:` marks a key that will go.
"""

import ast
import inspect
import io
import re
import tokenize
import types
import typing
from enum import Enum
from functools import cache

import msgspec

from hpcdoctor.definitions.settings_check import DURATIONS
from hpcdoctor.model.quantity import parse_duration, parse_size

Shape = type[msgspec.Struct]
DEPRECATED = "deprecated:"
_QUOTED = re.compile(r'"([^"]*)"')
_UNITS = {
    "_seconds": "in seconds",
    "_bytes": "in bytes",
    "_ratio": "a fraction between 0 and 1",
    "_watts": "in watts",
    "_gigabits_per_second": "in Gb/s",
}


class Key(msgspec.Struct, frozen=True):
    """One key of a mapping."""

    name: str  # as it is written in the file
    note: str  # the comment beside it
    kind: str  # what may be written, in words: "a duration from 1s to 1m"
    choices: list[str]  # where only these may be written
    required: bool
    default: object  # None: not set
    shape: Shape | None  # of a section, or of the items of a list of sections
    is_list: bool

    @property
    def example(self) -> str | None:
        """Return the text that the comment has in quotes."""
        found = _QUOTED.search(self.note)
        return found[1] if found else None

    @property
    def meaning(self) -> str:
        """Return the comment without the example."""
        told = re.sub(r'^"[^"]*"[;,] ', "", self.note)
        return re.sub(r'(?:[:,] | as in )"[^"]*"', "", told, count=1) if told == self.note else told

    @property
    def deprecated(self) -> bool:
        return self.note.startswith(DEPRECATED)


@cache
def keys(shape: Shape) -> tuple[Key, ...]:
    """Return the keys of the mapping that `shape` is made from, in their order."""
    notes = _notes(shape)
    hints = typing.get_type_hints(shape)
    found = []
    for field in msgspec.structs.fields(shape):
        hint = hints[field.name]
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        parts = _parts(hint)
        inner = [*parts, *(arg for part in parts for arg in typing.get_args(part))]
        found.append(
            Key(
                name=field.encode_name,
                note=notes.get(field.name, ""),
                kind=_kind(field.encode_name, parts, default, notes.get(field.name, "")),
                choices=_choices(parts),
                required=field.required,
                default=None if field.required else default,
                shape=next((part for part in inner if _is_struct(part)), None),
                is_list=any(typing.get_origin(part) is list for part in parts),
            )
        )
    return tuple(found)


def sections(shape: Shape) -> dict[str, Shape]:
    """Return the keys that hold a mapping, or a list of mappings, of keys of their own."""
    return {key.name: key.shape for key in keys(shape) if key.shape is not None}


def _parts(hint: object) -> list[object]:
    """Return what a value may be, apart from nothing."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [part for part in typing.get_args(hint) if part is not type(None)]
    return [hint]


def _is_struct(part: object) -> typing.TypeGuard[Shape]:
    return isinstance(part, type) and issubclass(part, msgspec.Struct)


def _choices(parts: list[object]) -> list[str]:
    for part in parts:
        if isinstance(part, type) and issubclass(part, Enum):
            return [str(member.value) for member in part]
    return []


def _kind(name: str, parts: list[object], default: object, note: str) -> str:
    unit = next((words for suffix, words in _UNITS.items() if name.endswith(suffix)), "")
    if bool in parts:
        return "true or false"
    if int in parts or float in parts:
        number = "a whole number" if float not in parts else "a number"
        return unit if unit.startswith("a ") else f"{number} {unit}".strip()
    if any(typing.get_origin(part) is list for part in parts):
        return "a list of names or texts"
    if str not in parts:
        return ""
    quoted = _QUOTED.search(note)
    sample = default if isinstance(default, str) else quoted[1] if quoted else ""
    if _parses(parse_duration, sample):
        bounds = DURATIONS.get(name)
        return f"a duration{f' from {short(bounds[0])} to {short(bounds[1])}' if bounds else ''}"
    if _parses(parse_size, sample):
        return "a size"
    return "a whole path" if sample.startswith("/") else "a text"


def _parses(parse: typing.Callable[[str], float], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def short(seconds: float) -> str:
    """Write a duration as YAML has it: 90 as 90s, 3600 as 1h."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _notes(shape: Shape) -> dict[str, str]:
    """Return the comment beside each field in the code, or else the lines right above it."""
    source = inspect.getsource(shape)
    comments: dict[int, str] = {}
    alone: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row = token.start[0]
            comments[row] = token.string.lstrip("#").strip()
            if not token.line[: token.start[1]].strip():
                alone.add(row)
    notes = {}
    (tree,) = ast.parse(source).body
    for statement in tree.body if isinstance(tree, ast.ClassDef) else ():
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            beside = comments.get(statement.end_lineno or 0, "")
            above: list[str] = []
            row = statement.lineno - 1
            while row in alone:
                above.insert(0, comments[row])
                row -= 1
            notes[statement.target.id] = " ".join([*above, beside]).strip()
    return notes
