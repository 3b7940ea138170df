"""What does each operator do at run time, and what does it make of a value that is not known?

Every function here takes closures and returns one. A closure gives a value of the type that was
checked at load, or Unknown; it never raises, whatever the machine reported.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

from hpcdoctor.expressions.expression import Environment
from hpcdoctor.expressions.types import Type, Unknown, combine

# Any within this room only: what the types are has been checked when the closures are made.
Term = Callable[[Environment], Any]


def constant(value: object) -> Term:
    return lambda environment: value


def kind_of(value: object) -> Type | None:
    """Return the type of a value as read; None for one that the language does not know."""
    match value:
        case bool():
            return Type.BOOL
        case int() | float():
            return Type.NUMBER
        case str():
            return Type.TEXT
        case list() | tuple():
            return Type.LIST
        case _:
            return None


def refuse(value: object, due: Type, name: str, absent: str) -> Unknown:
    """Say why a value cannot be used."""
    if isinstance(value, Unknown):
        return value
    if value is None:
        return Unknown(absent)
    if isinstance(value, float) and math.isnan(value):
        return Unknown(f"{name} is not a number")
    kind = kind_of(value)
    found = kind.value if kind else "of a type that conditions do not know"
    return Unknown(f"{name} is {found} where {due.value} is due")


def guard(source: Term, due: Type, name: str, absent: str) -> Term:
    """Let pass what has the type that is due, and make everything else Unknown."""

    def number(environment: Environment) -> object:
        value = source(environment)
        kind = value.__class__
        if kind is int or (kind is float and value == value):  # NaN differs from itself
            return value
        return refuse(value, due, name, absent)

    def boolean(environment: Environment) -> object:
        value = source(environment)
        return value if value is True or value is False else refuse(value, due, name, absent)

    def text(environment: Environment) -> object:
        value = source(environment)
        return value if isinstance(value, str) else refuse(value, due, name, absent)

    def items(environment: Environment) -> object:
        value = source(environment)
        return value if isinstance(value, list | tuple) else refuse(value, due, name, absent)

    def anything(environment: Environment) -> object:
        value = source(environment)
        is_nan = isinstance(value, float) and math.isnan(value)
        return refuse(value, due, name, absent) if is_nan or kind_of(value) is None else value

    match due:
        case Type.NUMBER | Type.DURATION:
            return number
        case Type.BOOL:
            return boolean
        case Type.TEXT:
            return text
        case Type.LIST:
            return items
        case Type.ANY:
            return anything


def is_known(source: Term) -> Term:
    """`has(…)`: never unknown."""

    def has(environment: Environment) -> bool:
        value = source(environment)
        return value is not None and value.__class__ is not Unknown

    return has


def either(a: object, b: object) -> Unknown:
    """Return why an operation over these two has no value."""
    if isinstance(a, Unknown):
        return combine(a, b) if isinstance(b, Unknown) else a
    if isinstance(b, Unknown):
        return b
    raise AssertionError("both are known")


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def compare(symbol: str, left: Term, right: Term) -> Term:
    """Compare two values of one type."""
    operation = _COMPARISONS[symbol]

    def comparison(environment: Environment) -> object:
        a = left(environment)
        b = right(environment)
        if a.__class__ is Unknown or b.__class__ is Unknown:
            return _compare_bound(symbol, a, b)
        return operation(a, b)

    return comparison


def compare_with_constant(symbol: str, left: Term, value: object) -> Term:
    """Compare with a literal, which is what most conditions do: one call less."""
    operation = _COMPARISONS[symbol]

    def comparison(environment: Environment) -> object:
        a = left(environment)
        if a.__class__ is Unknown:
            return _compare_bound(symbol, a, value)
        return operation(a, value)

    return comparison


def compare_any(symbol: str, left: Term, right: Term) -> Term:
    """Compare two values whose types are known only now."""
    operation = _COMPARISONS[symbol]

    def comparison(environment: Environment) -> object:
        a = left(environment)
        b = right(environment)
        if a.__class__ is Unknown or b.__class__ is Unknown:
            return _compare_bound(symbol, a, b)
        one, other = kind_of(a), kind_of(b)
        if one is None or other is None or one is not other:
            return Unknown(
                f"{_named(one)} cannot be compared with {_named(other)}",
            )
        if one is not Type.NUMBER and symbol not in ("==", "!="):
            return Unknown(f"{_named(one)} has no order")
        return operation(a, b)

    return comparison


def _named(kind: Type | None) -> str:
    return kind.value if kind else "a value of no known type"


def _compare_bound(symbol: str, a: object, b: object) -> bool | Unknown:
    """Compare where a side is unknown: a lower bound may settle it all the same."""
    why = either(a, b)
    if isinstance(a, Unknown) == isinstance(b, Unknown) or why.at_least is None:
        return why
    limit = b if isinstance(a, Unknown) else a
    symbol = symbol if isinstance(a, Unknown) else _MIRRORED[symbol]
    if kind_of(limit) is not Type.NUMBER:
        return why
    beyond = _COMPARISONS[">=" if symbol in (">=", "<") else ">"](why.at_least, limit)
    return symbol in (">", ">=", "!=") if beyond else why


def contains(item: Term, items: Term) -> Term:
    """`in`: equal and of the same type, so that `true` is not in [1]."""

    def containment(environment: Environment) -> object:
        a = item(environment)
        b = items(environment)
        if a.__class__ is Unknown or b.__class__ is Unknown:
            return either(a, b)
        if a.__class__ is str:
            return a in b
        kind = kind_of(a)
        return any(a == each and kind is kind_of(each) for each in b)

    return containment


def _remainder(a: float, b: float) -> float:
    """Return what is left over with the sign of `a`, as CEL and C do and Python does not."""
    if isinstance(a, int) and isinstance(b, int):
        left_over = abs(a) % abs(b)  # in whole numbers: a counter may exceed 2^53
        return -left_over if a < 0 else left_over
    if b == 0:
        raise ZeroDivisionError
    return math.fmod(a, b)


_ARITHMETIC: dict[str, Callable[[Any, Any], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,  # unlike CEL also for two whole numbers: used / total is a share
    "%": _remainder,
}


def calculate(symbol: str, left: Term, right: Term) -> Term:
    operation = _ARITHMETIC[symbol]

    def calculation(environment: Environment) -> object:
        a = left(environment)
        b = right(environment)
        if a.__class__ is Unknown or b.__class__ is Unknown:
            why = either(a, b)
            # The bound speaks of one side and not of the result.
            return why if why.at_least is None else Unknown(why.reason, why.first)
        try:
            result = operation(a, b)
        except ZeroDivisionError:
            return Unknown("the condition divides by zero")
        except (OverflowError, ValueError):
            return Unknown("a number in the condition became too large")
        if result != result:  # NaN differs from itself
            return Unknown("the condition calculates what is not a number")
        return result

    return calculation


def negative(operand: Term) -> Term:
    def negation(environment: Environment) -> object:
        value = operand(environment)
        if value.__class__ is Unknown:
            return value if value.at_least is None else Unknown(value.reason, value.first)
        return -value

    return negation


def opposite(operand: Term) -> Term:
    def negation(environment: Environment) -> object:
        value = operand(environment)
        return value if value.__class__ is Unknown else not value

    return negation


def logic(symbol: str, operands: list[Term]) -> Term:
    """`&&` or `||`: one side that settles it is enough, in whichever order they stand."""
    settles = symbol == "||"

    def decide(environment: Environment) -> object:
        why: Unknown | None = None
        for operand in operands:
            value = operand(environment)
            if value is settles:
                return value
            if value.__class__ is Unknown:
                why = value if why is None else combine(why, value)
        return (not settles) if why is None else why

    return decide


def choose(test: Term, yes: Term, no: Term) -> Term:
    def choice(environment: Environment) -> object:
        value = test(environment)
        if value.__class__ is Unknown:
            return value
        return yes(environment) if value else no(environment)

    return choice


def make_list(items: list[Term]) -> Term:
    def build(environment: Environment) -> object:
        values = [item(environment) for item in items]
        for value in values:
            if value.__class__ is Unknown:
                return value
        return values

    return build


def apply(function: Callable[[Any, Any], bool], left: Term, right: Term) -> Term:
    """Call a function of two texts."""

    def application(environment: Environment) -> object:
        a = left(environment)
        b = right(environment)
        if a.__class__ is Unknown or b.__class__ is Unknown:
            return either(a, b)
        return function(a, b)

    return application
