"""Which hosts does the left side of an nhc.conf line select, and does a text match an mstr?

`!X` turns round, `/re/` is a POSIX extended regular expression, `{...}` a list of node names and
ranges, all else a glob with bash's extended patterns. Expressions and globs are handed to the C
library, as bash does, so that no dialect of ours comes between.
"""

import ctypes
import re
from enum import StrEnum
from functools import cache

import msgspec

EXTENDED, NO_PLACES = 1, 8  # REG_EXTENDED, REG_NOSUB of regex.h (glibc)
EXTENDED_GLOB = 32  # FNM_EXTMATCH of fnmatch.h (glibc)
REGEX_BYTES = 512  # more than any regex_t
# The C library recurses; what nobody writes by hand is refused rather than risked.
LONGEST = 2000
MOST_NESTED = 50
MOST_REPEATED = 255

NAME = re.compile(r"[-A-Za-z0-9_]+[0-9][-.A-Za-z0-9]*", re.ASCII)
RANGE = re.compile(r"([-A-Za-z0-9_]+)\[([0-9]+)-([0-9]+)\]([-.A-Za-z0-9]*)", re.ASCII)
# `n1-n3` has a digit, and so is a name.
LIKE_RANGE = re.compile(r"([-A-Za-z_.]+)([0-9]+)-\1([0-9]+)", re.ASCII)


class Kind(StrEnum):
    GLOB = "glob"
    REGEX = "regex"
    RANGE = "range"
    BROKEN = "broken"  # a single slash, which ends the whole run of NHC


class Pattern(msgspec.Struct, frozen=True):
    """One mstr, taken apart."""

    text: str  # as NHC sees it
    kind: Kind
    inner: str  # without `!` and the signs around it
    negated: bool = False


def parse(text: str) -> Pattern:
    negated = text.startswith("!")
    rest = text[1:] if negated else text
    if rest == "/":
        return Pattern(text, Kind.BROKEN, "", negated)
    if len(rest) > 1 and rest[0] == rest[-1] == "/":
        return Pattern(text, Kind.REGEX, rest[1:-1], negated)
    if len(rest) > 1 and rest[0] == "{" and rest[-1] == "}":
        return Pattern(text, Kind.RANGE, rest[1:-1], negated)
    return Pattern(text, Kind.GLOB, rest, negated)


def matches(pattern: Pattern, host: str) -> bool:
    """Tell whether NHC takes `host` for a match; what is malformed matches nothing."""
    found = False
    match pattern.kind:
        case Kind.BROKEN:
            return False
        case Kind.REGEX:
            found = _regex(pattern.inner, host)
        case Kind.RANGE:
            found = _in_ranges(pattern.inner, host)
        case Kind.GLOB:
            found = _glob(pattern.inner, host)
    return found is not pattern.negated


def malformed_groups(pattern: Pattern) -> tuple[str, list[str]] | None:
    """Return the first malformed group of a range list, and the groups lost with it."""
    if pattern.kind is not Kind.RANGE:
        return None
    groups = pattern.inner.split(",")
    for at, group in enumerate(groups):
        if not NAME.fullmatch(group) and not RANGE.fullmatch(group):
            return group, groups[at:]
    return None


def names_like_ranges(pattern: Pattern) -> list[tuple[str, str]]:
    """Return the names that somebody meant as ranges, each with the range as NHC has it."""
    if pattern.kind is not Kind.RANGE:
        return []
    found = [LIKE_RANGE.fullmatch(group) for group in pattern.inner.split(",")]
    return [(each[0], f"{{{each[1]}[{each[2]}-{each[3]}]}}") for each in found if each is not None]


def uneven_ranges(pattern: Pattern) -> list[str]:
    """Say of each range whose ends differ in width which hosts are left out."""
    if pattern.kind is not Kind.RANGE:
        return []
    told: list[str] = []
    for group in pattern.inner.split(","):
        found = RANGE.fullmatch(group)
        if found is None:
            return told
        prefix, begin, end, suffix = found.groups()
        if len(begin) != len(end):
            width = max(len(begin), len(end))
            low, high = sorted((int(begin), int(end)))
            told.append(
                f"{group} needs {width} digits: it selects {prefix}{low:0{width}d}{suffix} to "
                f"{prefix}{high:0{width}d}{suffix}, and leaves out {prefix}{low}{suffix}"
                if width > len(str(low))
                else f"{group} needs {width} digits"
            )
    return told


def why_not_tried(pattern: Pattern) -> str | None:
    """Return why an expression is not handed to the C library, or None."""
    inner = pattern.inner
    if len(inner) > LONGEST:
        return f"it is {len(inner)} characters long"
    if _deepest(inner) > MOST_NESTED:
        return "its parentheses are nested too deep"
    if pattern.kind is not Kind.REGEX:
        return None
    repeats = [
        int(n) for pair in re.findall(r"\{(\d{1,9})(?:,(\d{0,9}))?\}", inner) for n in pair if n
    ]
    product = 1
    for repeat in repeats:
        product *= max(repeat, 1)
    if product > MOST_REPEATED * MOST_REPEATED:
        return "its repetitions are too many"
    if _compiled(inner) is None:
        return "it is no regular expression"
    return None


def _deepest(text: str) -> int:
    depth = deepest = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    return deepest


def _in_ranges(inner: str, host: str) -> bool:
    for group in inner.split(","):
        found = RANGE.fullmatch(group)
        if found is not None:
            if _in_range(found, host):
                return True
        elif not NAME.fullmatch(group):
            return False  # and the groups to its right are lost
        elif group == host:
            return True
    return False


def _in_range(found: re.Match[str], host: str) -> bool:
    prefix, begin, end, suffix = found.groups()
    width = max(len(begin), len(end))
    if not host.startswith(prefix) or not host.endswith(suffix):
        return False
    number = host[len(prefix) : len(host) - len(suffix)]
    if len(number) != width or re.fullmatch(r"[0-9]+", number) is None:
        return False
    low, high = sorted((int(begin), int(end)))
    return low <= int(number) <= high


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape").replace(b"\0", b"")


@cache
def _compiled(inner: str) -> "ctypes.Array[ctypes.c_char] | None":
    compiled = ctypes.create_string_buffer(REGEX_BYTES)
    failed: int = _library().regcomp(compiled, _bytes(inner), EXTENDED | NO_PLACES)
    return None if failed else compiled


def _regex(inner: str, host: str) -> bool:
    if why_not_tried(Pattern(inner, Kind.REGEX, inner)) is not None:
        return False
    compiled = _compiled(inner)
    found: int = _library().regexec(compiled, _bytes(host), 0, None, 0)
    return found == 0


def _glob(inner: str, host: str) -> bool:
    if why_not_tried(Pattern(inner, Kind.GLOB, inner)) is not None:
        return False
    found: int = _library().fnmatch(_bytes(inner), _bytes(host), EXTENDED_GLOB)
    return found == 0
