"""How does a mapping become a typed struct, and what is told of every mistake in it?"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import structs
from msgspec.structs import FieldInfo

from hpcdoctor.definitions.mistake import DefinitionError, did_you_mean, raise_all
from hpcdoctor.definitions.yamlfile import Located
from hpcdoctor.model.quantity import parse_duration, parse_size

T = TypeVar("T")


def convert(located: Located, shape: type[T]) -> T:
    """Return the mapping as the struct `shape`; raise DefinitionError with place and likely fix."""
    try:
        return msgspec.convert(located, shape)
    except msgspec.ValidationError as error:
        raise_all(list(_mistakes(located, shape)))
        raise located.error(_say(str(error))) from None


def _mistakes(located: Located, shape: type[Any]) -> Iterator[DefinitionError]:
    """Yield every mistake of a mapping that msgspec has refused at the first one."""
    hints = get_type_hints(shape)
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    for key in located:
        if key not in fields:
            known = [name for name in fields if name not in located] or list(fields)
            hint = (
                _belongs_below(key, hints, fields)
                or did_you_mean(key, known)
                or f"; there are {', '.join(fields)}"
            )
            yield located.error(f"there is no key `{key}` here{hint}", key)
    for key, field in fields.items():
        if key in located:
            needs_unit = key in _WITH_UNIT or _has_unit(field.default)
            yield from _mistakes_in_value(
                located, key, located[key], hints[field.name], needs_unit=needs_unit
            )
        elif field.required:
            yield located.error(f"the key `{key}` is missing")


# Durations that have no default.
_WITH_UNIT = ("every", "for", "within", "timeout")


def _has_unit(default: object) -> bool:
    """Tell whether a key's default is a duration or a size, and so every other value too."""
    if not isinstance(default, str):
        return False
    for parse in (parse_duration, parse_size):
        with contextlib.suppress(ValueError):
            parse(default)
            return True
    return False


def _belongs_below(key: str, hints: Mapping[str, object], fields: Mapping[str, FieldInfo]) -> str:
    """Say below which section a key stands that was not indented."""
    for name, field in fields.items():
        shape = _struct_of(hints[field.name])
        if shape is not None and key in {inner.encode_name for inner in structs.fields(shape)}:
            return f"; it belongs below `{name}:`, indented by two spaces"
    return ""


def _mistakes_in_value(
    located: Located, key: str, value: object, hint: object, *, needs_unit: bool = False
) -> Iterator[DefinitionError]:
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        said = str(error)
    else:
        return
    if isinstance(value, Located):
        if (shape := _struct_of(hint)) is not None:
            yield from _mistakes(value, shape)
            return
        if (items := _of_mapping(hint)) is not None:
            for name, item in value.items():
                yield from _mistakes_in_value(value, name, item, items)
            return
    if isinstance(value, list) and (shape := _struct_of_list(hint)) is not None:
        for item in value:
            if isinstance(item, Located):
                yield from _mistakes(item, shape)
            else:
                yield located.error(f"`{key}`: each item of this list has keys and values", key)
        return
    if needs_unit and isinstance(value, (int, float)) and not isinstance(value, bool):
        units = "64MiB" if key.endswith("_size") else f"{value}s, {value}m, {value}h or {value}d"
        yield located.error(f"`{key}: {value}` has no unit; write it as in {units}", key)
        return
    yield located.error(f"`{key}`: {_say(said, value, hint)}", key)


_PLACE = re.compile(r" - at `[^`]*`$")
_ITEM = re.compile(r" - at `\$(?:\[\d+\]|\[\.\.\.\])")
_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping of keys and values",
    "null": "nothing",
}


def _say(said: str, value: object = None, hint: object = None) -> str:
    """Put msgspec's sentence in the words of somebody who writes YAML."""
    choices = _enum_of(hint)
    if choices is not None and value is None:
        return f"nothing is written here; write {_either(choices)}"
    if choices is not None and not isinstance(value, (list, dict)):
        written = str(value).lower() if isinstance(value, bool) else str(value)
        near = did_you_mean(written, choices)
        return f"there is no `{written}`{near or '; write ' + _either(choices)}"
    of_item = "each item of the list: " if _ITEM.search(said) else ""
    text = _PLACE.sub("", said)
    found = re.fullmatch(r"Expected `([a-z |]+)`, got `([a-z]+)`", text)
    if found is None:
        return of_item + text[:1].lower() + text[1:]
    due = [word for word in found[1].split(" | ") if word != "null"]
    got = found[2]
    wanted = _either([_WORDS.get(word, word) for word in due])
    if got == "null":
        return f"{of_item}nothing is written here, and {wanted} is due"
    fix = ""
    if "str" in due and got in ("bool", "int", "float"):
        fix = "; quote it"
    elif "str" in due and got == "object":
        fix = "; quote a text that begins with { or that holds a colon"
    elif "str" in due and got == "array":
        fix = "; quote a text that begins with ["
    elif "array" in due and got == "str":
        words = [word.strip() for word in str(value).split(",") if word.strip()]
        fix = f"; write it as [{', '.join(words)}]"
    elif got == "str" and {"int", "float", "bool"} & set(due) and not of_item:
        return f"{wanted} is due here, not `{value}`{_as_number(str(value))}"
    return f"{of_item}{wanted} is due here, not {_WORDS.get(got, got)}{fix}"


def _as_number(text: str) -> str:
    """Return the likely fix of a text that was to be a number."""
    if text in ("true", "false") or re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?", text):
        return "; write it without quotes"
    if re.fullmatch(r"[0-9]+,[0-9]+", text):
        return f"; write {text.replace(',', '.')}"
    if share := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%", text):
        return f"; write {float(share[1]) / 100:g}"
    return ""


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _members(hint: object) -> list[object]:
    """Return what a hint may be: the parts of a union without None, or itself."""
    if get_origin(hint) in (Union, UnionType):
        return [part for part in get_args(hint) if part is not type(None)]
    return [hint]


def _struct_of(hint: object) -> type[Any] | None:
    for part in _members(hint):
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            return part
    return None


def _struct_of_list(hint: object) -> type[Any] | None:
    for part in _members(hint):
        if get_origin(part) is list:
            return _struct_of(get_args(part)[0])
    return None


def _of_mapping(hint: object) -> object | None:
    """Return what the values of a mapping of names have to be."""
    for part in _members(hint):
        if get_origin(part) is dict:
            return get_args(part)[1]  # type: ignore[no-any-return]  # a hint is any object
    return None


def _enum_of(hint: object) -> list[str] | None:
    for part in _members(hint):
        if isinstance(part, type) and issubclass(part, Enum):
            return [str(member.value) for member in part]
    return None
