"""Which names does a probe's reading give to conditions, of which type, and which saturate?"""

import types
import typing
from enum import Enum

import msgspec

from hpcdoctor.expressions.types import Type


def types_of(reading: type[msgspec.Struct]) -> dict[str, Type]:
    """Return the type of each field; that a field may be None makes no difference here."""
    hints = typing.get_type_hints(reading)
    return {name: _type_of(hints[name]) for name in reading.__struct_fields__}


def maximums_of(reading: type[msgspec.Struct]) -> dict[str, int]:
    """Return the counters that stop at a maximum: `msgspec.Meta(extra={"saturates": 255})`."""
    hints = typing.get_type_hints(reading, include_extras=True)
    maximums: dict[str, int] = {}
    for name in reading.__struct_fields__:
        for annotation in (hints[name], *typing.get_args(hints[name])):
            for note in getattr(annotation, "__metadata__", ()):
                if isinstance(note, msgspec.Meta) and note.extra and "saturates" in note.extra:
                    maximums[name] = note.extra["saturates"]
    return maximums


def _type_of(annotation: object) -> Type:
    origin = typing.get_origin(annotation)
    if origin is typing.Union or origin is types.UnionType:
        members = {_type_of(each) for each in typing.get_args(annotation) if each is not type(None)}
        return members.pop() if len(members) == 1 else Type.ANY
    if origin is typing.Literal:
        members = {_type_of(type(each)) for each in typing.get_args(annotation) if each is not None}
        return members.pop() if len(members) == 1 else Type.ANY
    if isinstance(origin, type):
        annotation = origin
    if not isinstance(annotation, type):
        return Type.ANY
    if issubclass(annotation, bool):
        return Type.BOOL
    if issubclass(annotation, int | float):
        return Type.NUMBER
    if issubclass(annotation, str):
        return Type.TEXT
    if issubclass(annotation, list | tuple):
        return Type.LIST
    if issubclass(annotation, Enum):
        return Type.TEXT  # as its value travels
    return Type.ANY
