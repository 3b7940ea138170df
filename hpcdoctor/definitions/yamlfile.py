"""How is a YAML file read, so that every mistake can be answered with its file and line?

The only file that parses YAML. Mappings remember where each key stood; duplicate keys, aliases and
tags are refused, since PyYAML would let the last one win or build what nobody wrote.
"""

import difflib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

LIMIT_BYTES = 1 << 20

T = TypeVar("T")


class DefinitionError(Exception):
    """One mistake in one file: where, which key, and what to do."""

    def __init__(self, message: str, file: Path | str, line: int = 0, key: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.file = Path(file)
        self.line = line
        self.key = key

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.message}"


class Place(msgspec.Struct, frozen=True):
    """Where a key stands."""

    file: Path
    line: int


class Located(dict[str, Any]):
    """A mapping that knows where each of its keys stands."""

    __slots__ = ("file", "line", "places")

    def __init__(self, file: Path, line: int) -> None:
        super().__init__()
        self.file = file
        self.line = line
        self.places: dict[str, Place] = {}

    def place(self, key: str) -> Place:
        """Return where `key` stands, or where the mapping begins."""
        return self.places.get(key, Place(self.file, self.line))

    def error(self, message: str, key: str = "") -> DefinitionError:
        place = self.place(key)
        return DefinitionError(message, place.file, place.line, key)


class _Loader(yaml.CSafeLoader):
    """PyYAML's safe loader with places, and without what can surprise."""

    file: Path


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> Located:
    located = Located(loader.file, node.start_mark.line + 1)
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int)) or isinstance(key, bool):
            hint = "; YAML reads on, off, yes and no as true or false: quote it" * isinstance(
                key, bool
            )
            raise DefinitionError(f"the key `{key}` is not a text{hint}", loader.file, line)
        name = str(key)
        if name in located:
            first = located.places[name].line
            raise DefinitionError(
                f"`{name}` stands twice, first in line {first}", loader.file, line, name
            )
        located[name] = loader.construct_object(value_node, deep=True)
        located.places[name] = Place(loader.file, line)
    return located


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def load_yaml(path: Path) -> Located:
    """Return the one mapping that the file holds; raise DefinitionError for anything else."""
    try:
        with path.open("rb") as stream:
            text = stream.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise DefinitionError(f"cannot be read: {error.strerror}", path) from error
    if len(text) > LIMIT_BYTES:
        raise DefinitionError(f"is larger than {LIMIT_BYTES >> 20} MiB", path)
    return parse_yaml(text, path)


def parse_yaml(text: bytes, path: Path) -> Located:
    """Parse `text` as if it stood in `path`."""
    try:
        if b"&" in text or b"*" in text:  # the second pass is for the few files that may hold one
            _refuse_aliases(text, path)
        loader = _Loader(text)
        loader.file = path
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise DefinitionError(f"is not YAML: {error.problem}", path, line) from error
    except yaml.YAMLError as error:
        raise DefinitionError(f"is not YAML: {error}", path) from error
    except ValueError as error:  # a date or number that is none, such as 2026-13-45
        raise DefinitionError(
            f"holds a value that YAML cannot read: {error}; quote it", path
        ) from error
    if content is None:
        return Located(path, 1)
    if not isinstance(content, Located):
        raise DefinitionError("has to be a mapping of keys and values", path, 1)
    return content


def _refuse_aliases(text: bytes, path: Path) -> None:
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise DefinitionError(
                "anchors and aliases (& and *) are not used here; write it out", path, line
            )


def merge(shipped: Located, site: Located) -> Located:
    """Return `shipped` with the keys of `site` laid over it, mapping by mapping.

    Every key keeps the place where it was written last.
    """
    merged = Located(shipped.file, shipped.line)
    merged.update(shipped)
    merged.places.update(shipped.places)
    for key, value in site.items():
        old = merged.get(key)
        merged[key] = (
            merge(old, value) if isinstance(old, Located) and isinstance(value, Located) else value
        )
        merged.places[key] = site.places[key]
    return merged


_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")


def convert(located: Located, shape: type[T]) -> T:
    """Return the mapping as the struct `shape`; raise DefinitionError with place and likely fix."""
    try:
        return msgspec.convert(located, shape)
    except msgspec.ValidationError as error:
        raise _explain(located, shape, str(error)) from None


def _explain(located: Located, shape: type[Any], text: str) -> DefinitionError:
    path = _PATH.search(text)
    message = _PATH.sub("", text)
    where, key = _walk(located, path["path"] if path else "")
    if unknown := _UNKNOWN.search(message):
        field = unknown["field"]
        return where.error(
            f"there is no key `{field}` here{did_you_mean(field, _keys(shape, where, located))}",
            field,
        )
    if missing := _MISSING.search(message):
        return where.error(f"the key `{missing['field']}` is missing", key)
    message = message.replace(
        "Expected `str`, got `bool`", "a text is due here, not true or false; quote it"
    )
    for number in ("int", "float"):
        message = message.replace(
            f"Expected `str`, got `{number}`", "a text is due here, not a number; quote it"
        )
    message = message.replace("Expected", "expected").replace(
        "Invalid enum value", "no such value:"
    )
    return where.error(f"`{key}`: {message}" if key else message, key)


def _keys(shape: type[Any], where: Located, whole: Located) -> Iterable[str]:
    """Return the keys that the struct at fault knows; of the whole file if it is nested."""
    if where is whole:
        return [field.encode_name for field in msgspec.structs.fields(shape)]
    nested: list[str] = []
    for field in msgspec.structs.fields(shape):
        for candidate in getattr(field.type, "__args__", (field.type,)):
            if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
                nested.extend(inner.encode_name for inner in msgspec.structs.fields(candidate))
    return nested


def _walk(located: Located, path: str) -> tuple[Located, str]:
    """Follow msgspec's path as far as there are mappings; return the last one and the key in it."""
    where, key = located, ""
    for part in re.findall(r"\.([\w-]+)", path):
        if key:
            inner = where.get(key)
            if not isinstance(inner, Located):
                break
            where = inner
        key = part
    if key and isinstance(where.get(key), Located) and path.endswith(key):
        return where[key], ""
    return where, key


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean `x`?" for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean `{near[0]}`?" if near else ""


def why_not_trusted(path: Path) -> str | None:
    """Return why nothing may be loaded from `path`, or None.

    A file that steers a root process must be owned by root (or by whoever runs this, if that is
    not root) and writable by nobody else, and so must every folder above it; a sticky folder such
    as /tmp is as good, since others cannot replace what is in it.
    """
    owners = {0, os.geteuid()}
    for part in (path, *path.absolute().parents):
        try:
            status = part.stat()
        except OSError as error:
            return f"{part} cannot be looked at: {error.strerror}"
        if status.st_uid not in owners:
            return f"{part} belongs to user {status.st_uid}, not to root; chown root {part}"
        if status.st_mode & stat.S_ISVTX and stat.S_ISDIR(status.st_mode):
            continue
        if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != 0):
            return f"{part} may be written by others than root; chmod go-w {part}"
    return None


def plain(value: Any) -> Any:  # noqa: ANN401  # whatever YAML can hold
    """Return the value without places, for msgspec and for people."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
