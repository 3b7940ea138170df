"""Which kinds of value does a condition know, and what is a value that is not known?"""

from collections.abc import Mapping
from enum import Enum

import msgspec

# What an expression comes to. Durations are numbers of seconds by then.
Known = bool | int | float | str | list[str]


class Type(Enum):
    BOOL = "true or false"
    NUMBER = "a number"  # int and float mix freely
    TEXT = "a text"
    LIST = "a list"
    DURATION = "a duration"
    ANY = "of any type"  # known only when it is read, as what a profile says


Types = Mapping[str, Type]

PROFILE = "profile"  # every `profile.…` is a name: which of them a node has is known only later


class Scope(msgspec.Struct, frozen=True):
    """The names that one check may use."""

    fields: Types  # of the probe's reading
    dotted: Types = {}  # "xid.action"; `profile.…` need not be listed


class Unknown(msgspec.Struct, frozen=True):
    """Why there is no value. Not a value that any operator could mistake for one."""

    reason: str  # a sentence without a full stop
    first: bool = False  # nothing is wrong: it needs a second reading
    # Where something is known after all: `> x` is true when this is already more than x.
    at_least: float | None = None


def combine(one: Unknown, other: Unknown) -> Unknown:
    """Return why neither is known; a real reason outweighs a missing second reading."""
    if one.first != other.first:
        return other if one.first else one
    reasons = dict.fromkeys([*one.reason.split("; "), *other.reason.split("; ")])
    return Unknown("; ".join(reasons), one.first)
