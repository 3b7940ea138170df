"""What does compiling give, and what must be at hand to evaluate it?"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from hpcdoctor.expressions.types import Known, Type, Unknown
from hpcdoctor.model.reading import Value


class Environment(Protocol):
    """What an expression is evaluated over: one reading, the profile, the history."""

    def field(self, name: str, /) -> Value | Unknown:
        """Return the reading's field; None where the machine does not say."""

    def dotted(self, name: str, /) -> Value | Unknown:
        """Return what the profile or a catalogue says; None where it says nothing."""

    def window(self, window: "Window", /) -> Known | Unknown:
        """Return what the history says of the window."""


class Window(msgspec.Struct, frozen=True, eq=False):
    """One look back in time, such as `increase(corrected_errors_total, 1h)`.

    At each look, `evaluate` gives the value that the history is to observe for this window.
    """

    function: str  # one of functions.WINDOWS
    argument: str  # as written: a field's name or a sub-expression
    field: str | None  # the name, where the argument is a field
    seconds: float
    key: str  # the same for the same window, also after a restart and with other white space
    text: str  # the whole call, for people
    fields: frozenset[str]  # the fields that the argument reads
    evaluate: Callable[[Environment], Known | Unknown]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Window) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


class Expression(msgspec.Struct, frozen=True, eq=False):
    """An expression whose names and types have been checked."""

    text: str
    type: Type
    fields: frozenset[str]  # read now, which leaves out those that only windows read
    dotted: frozenset[str]
    windows: tuple[Window, ...]  # each once
    evaluate: Callable[[Environment], Known | Unknown]
