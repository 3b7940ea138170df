"""How is a YAML file read, so that every mistake can be answered with its file and line?

The only file that parses YAML. Mappings remember where each key stood. What YAML 1.1 would make of
a word behind its writer's back is refused: duplicate keys, aliases, tags, `no` for false, octals.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from hpcdoctor.definitions.mistake import DefinitionError, did_you_mean

__all__ = [
    "DefinitionError",
    "Located",
    "Place",
    "did_you_mean",
    "load_yaml",
    "merge",
    "parse_yaml",
    "plain",
]

LIMIT_BYTES = 1 << 20
LIMIT_NESTING = 50
TOO_DEEP = f"is nested more than {LIMIT_NESTING} deep"


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

    def refuse(self, node: yaml.Node, message: str) -> DefinitionError:
        return DefinitionError(message, self.file, node.start_mark.line + 1)


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> Located:
    located = Located(loader.file, node.start_mark.line + 1)
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int)) or isinstance(key, bool):
            hint = "" if key_node.id == "scalar" else "; quote a text that begins with { or ["
            if key_node.id == "mapping":  # {{ cluster }}
                hint += ", or is this a template that nobody has filled in?"
            raise DefinitionError(f"the key `{_short(key)}` is not a text{hint}", loader.file, line)
        name = str(key)
        if name in located:
            first = located.places[name].line
            raise DefinitionError(
                f"`{name}` stands twice, first in line {first}", loader.file, line, name
            )
        located[name] = loader.construct_object(value_node, deep=True)
        located.places[name] = Place(loader.file, line)
    return located


# A plain word is taken as a number only where that number is what the writer sees.
_PLAIN_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_PLAIN_FLOAT = re.compile(r"[-+]?(?:[0-9]*\.[0-9]+|[0-9]+\.)(?:[eE][-+]?[0-9]+)?")


def _construct_bool(loader: _Loader, node: yaml.ScalarNode) -> bool:
    value = bool(loader.construct_yaml_bool(node))
    if node.value not in ("true", "false"):
        meant = str(value).lower()
        message = f"YAML reads `{node.value}` as {meant}; write {meant}, or quote it to mean a text"
        raise loader.refuse(node, message)
    return value


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    value = int(loader.construct_yaml_int(node))
    if _PLAIN_INT.fullmatch(node.value) is None:
        message = f"YAML reads `{node.value}` as {value}; write that, or quote it to mean a text"
        raise loader.refuse(node, message)
    return value


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    value = float(loader.construct_yaml_float(node))
    if _PLAIN_FLOAT.fullmatch(node.value) is None:
        message = f"YAML reads `{node.value}` as {value:g}; write a plain number, or quote a text"
        raise loader.refuse(node, message)
    return value


def _refuse_time(loader: _Loader, node: yaml.ScalarNode) -> None:
    raise loader.refuse(node, f"YAML reads `{node.value}` as a date; quote it to mean a text")


def _refuse_tag(loader: _Loader, node: yaml.Node) -> None:
    if node.tag == _TYPE + "merge":
        raise loader.refuse(node, "merge keys (<<) are not used here; write the keys out")
    if node.tag.startswith("!"):
        raise loader.refuse(node, f"`{_short(node.tag)}`: quote a text that begins with `!`")
    raise loader.refuse(node, "tags (!!) are not used here; leave it out")


_TYPE = "tag:yaml.org,2002:"
_Loader.add_constructor(_TYPE + "map", _construct_mapping)
_Loader.add_constructor(_TYPE + "bool", _construct_bool)
_Loader.add_constructor(_TYPE + "int", _construct_int)
_Loader.add_constructor(_TYPE + "float", _construct_float)
_Loader.add_constructor(_TYPE + "timestamp", _refuse_time)
for _name in ("set", "omap", "pairs", "binary"):
    _Loader.add_constructor(_TYPE + _name, _refuse_tag)
_Loader.add_constructor(None, _refuse_tag)


def load_yaml(path: Path) -> Located:
    """Return the one mapping that the file holds; raise DefinitionError for anything else."""
    try:
        # A FIFO in the folder must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DefinitionError("is not a plain file", path)
            text = stream.read(LIMIT_BYTES + 1)
    except PermissionError as error:
        # Secrets stand in files of their own, so that this one can be read by everybody.
        fix = f"; the users of hpcdoctor need to: chmod a+r {path}, and a+x the folders above it"
        raise DefinitionError(f"cannot be read: {error.strerror}{fix}", path) from error
    except OSError as error:
        raise DefinitionError(f"cannot be read: {error.strerror}", path) from error
    if len(text) > LIMIT_BYTES:
        raise DefinitionError(f"is larger than {LIMIT_BYTES >> 20} MiB", path)
    return parse_yaml(text, path)


def parse_yaml(text: bytes, path: Path) -> Located:
    """Parse `text` as if it stood in `path`."""
    text = text.removeprefix(b"\xef\xbb\xbf")  # as some editors begin a file
    _refuse_junk(text, path)
    try:
        # The second pass is for the few files that may hold one.
        if b"&" in text or b"*" in text or _may_be_deep(text):
            _refuse_aliases_and_depth(text, path)
        loader = _Loader(text)
        loader.file = path
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, text, path) from error
    except yaml.YAMLError as error:
        raise DefinitionError(f"is not YAML: {_short(error)}", path) from error
    except RecursionError:
        raise DefinitionError(TOO_DEEP, path) from None
    except (ValueError, OverflowError) as error:  # a number of 5000 digits, for one
        message = f"holds a value that YAML cannot read: {_short(error)}; quote it"
        raise DefinitionError(message, path) from error
    if content is None:
        return Located(path, 1)
    if not isinstance(content, Located):
        raise _no_mapping(content, path)
    return content


_LOOKS_LIKE_A_KEY = re.compile(r"([A-Za-z_-]+)\s*([:=])\s*(\S.*)?")


def _no_mapping(content: object, path: Path) -> DefinitionError:
    """Say what is missing where a whole file is one text or one list."""
    hint = ""
    if isinstance(content, list):
        hint = "; leave out the hyphens, and write each key at the beginning of its line"
    elif found := _LOOKS_LIKE_A_KEY.match(str(content)):
        key, sign, _ = found.groups()
        hint = f"; write a colon and a space after `{key}`"
        if sign == ":" and re.match(rf"{key}:[^\S ]", str(content)):
            hint += ", an ordinary one (this one looks like it and is not)"
    return DefinitionError(f"has to be a mapping of keys and values{hint}", path, 1)


_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")


def _refuse_junk(text: bytes, path: Path) -> None:
    """Refuse what is no text, and say in which line."""
    try:
        shown = text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 (byte 0x{text[error.start]:02x}); save it as UTF-8"
        raise DefinitionError(message, path, line) from None
    if found := _CONTROL.search(shown):
        line = shown.count("\n", 0, found.start()) + 1
        message = f"holds the control character {found[0]!r}; is this a text file?"
        raise DefinitionError(message, path, line)


# Composing is recursion in C, and a C stack that is exhausted is a crash that nothing catches.
_STEEP = re.compile(rb"^[ \-?:]{500}", re.MULTILINE)
_MANY_BRACKETS = 1000


def _may_be_deep(text: bytes) -> bool:
    brackets = text.count(b"[") + text.count(b"{")
    return brackets > _MANY_BRACKETS or _STEEP.search(text) is not None


def _refuse_aliases_and_depth(text: bytes, path: Path) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            message = "anchors and aliases (& and *) are not used here; write it out"
            raise DefinitionError(f"{message}, or quote a text that begins so", path, line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > LIMIT_NESTING:
                raise DefinitionError(TOO_DEEP, path, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


# What the parser says, and what people most often did.
_HINTS = {
    "mapping values are not allowed": 'quote a text that holds ": "',
    "another document": "one file holds one definition, without `---` in its middle",
    "cannot start any token": "quote a text that begins with @, ` or %",
    "expected <block end>": "check the indentation; a text that holds quotes stands in single ones",
    "did not find expected key": "check the indentation, and that all quotes are closed",
    "did not find expected '-'": "check the indentation of the list",
    "expected ',' or": 'quote a text that begins with { or [, as in "{gpu} …"',
    "could not find expected ':'": "a key needs a colon and a space after it",
    "end of stream": "a quote or a bracket that begins here is not closed",
}
_TAB = "indent with spaces, not with a tab"
_DEEPER = "this line begins further in than the one above, which has its value already"


def _not_yaml(error: yaml.MarkedYAMLError, text: bytes, path: Path) -> DefinitionError:
    """Say first what people most often did, and then the parser's words."""
    problem = _short(error.problem or error.context or "it cannot be read")
    mark = error.problem_mark or error.context_mark
    if "end of stream" in problem and error.context_mark:
        mark = error.context_mark  # not the end of the file: where it was opened
    line = mark.line + 1 if mark else 0
    hint = next((hint for said, hint in _HINTS.items() if said in problem), "")
    lines = text.decode().split("\n")
    if mark is not None and line <= len(lines):
        before = lines[mark.line][: mark.column + 1]
        if "\t" in before:
            hint = _TAB
        elif "mapping values" in problem and re.fullmatch(r" +[\w-]+:", before):
            hint = _DEEPER
    said = f"{hint} (the parser says: {problem})" if hint else problem
    return DefinitionError(f"is not YAML: {said}", path, line)


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:79] + "…"


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


def plain(value: Any) -> Any:  # noqa: ANN401  # whatever YAML can hold
    """Return the value without places, for msgspec and for people."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
