"""Which thresholds does a check have, and what is the check with one of them doubled or halved?

A threshold is a number or a duration that something is compared with by `<`, `<=`, `>` or `>=`, or
that takes part in calculating it; how long a condition has to hold; and how long it takes to clear.
What is compared by `==` or stands in a list is a name. The length of a window is no threshold.
"""

from collections.abc import Iterator

import msgspec
from msgspec import structs

from hpcdoctor.definitions.check import BY_HAND, REBOOT, Check, Condition
from hpcdoctor.expressions.parse import parse
from hpcdoctor.expressions.tree import (
    Binary,
    Call,
    Conditional,
    Items,
    Literal,
    Logic,
    Name,
    Node,
    Unary,
)
from hpcdoctor.expressions.types import Type
from hpcdoctor.model.quantity import parse_duration

ORDERED = {"<", "<=", ">", ">="}


class Mutant(msgspec.Struct, frozen=True):
    """A check with one threshold changed."""

    what: str  # "critical.when: 1000 -> 2000"
    check: Check


def mutants_of(check: Check) -> Iterator[Mutant]:
    for level in ("critical", "warning"):
        condition: Condition | None = getattr(check, level)
        if condition is None:
            continue
        for literal in thresholds(parse(condition.when)):
            for factor in (2.0, 0.5):
                text, changed = replaced(condition.when, literal, factor)
                inner = structs.replace(condition, when=changed)
                yield Mutant(f"{level}.when: {text}", structs.replace(check, **{level: inner}))
        for held in changed_durations(condition.hold):
            inner = structs.replace(condition, hold=held)
            what = f"{level}.for: {condition.hold} -> {held}"
            yield Mutant(what, structs.replace(check, **{level: inner}))
    if check.clear_after not in (REBOOT, BY_HAND):
        for after in changed_durations(check.clear_after):
            what = f"clear_after: {check.clear_after} -> {after}"
            yield Mutant(what, structs.replace(check, clear_after=after))


def changed_durations(text: str) -> list[str]:
    seconds = parse_duration(text)
    return [f"{seconds * factor:g}s" for factor in (2.0, 0.5)] if seconds else []


def thresholds(node: Node) -> Iterator[Literal]:
    """Yield the literals that take part in a comparison of order."""
    match node:
        case Binary() if node.operator in ORDERED:
            yield from numbers(node.left)
            yield from numbers(node.right)
        case Binary():
            yield from thresholds(node.left)
            yield from thresholds(node.right)
        case Logic():
            for operand in node.operands:
                yield from thresholds(operand)
        case Unary():
            yield from thresholds(node.operand)
        case Conditional():
            for part in (node.test, node.yes, node.no):
                yield from thresholds(part)
        case Call():  # share(x > 3, 5m): the first argument may compare, the second is a length
            yield from thresholds(node.arguments[0])
        case Literal() | Name() | Items():
            return


def numbers(node: Node) -> Iterator[Literal]:
    """Yield the numbers of one side of a comparison; nothing doubles zero."""
    match node:
        case Literal() if node.type in (Type.NUMBER, Type.DURATION) and node.value:
            yield node
        case Binary():
            yield from numbers(node.left)
            yield from numbers(node.right)
        case Unary():
            yield from numbers(node.operand)
        case Conditional():
            yield from thresholds(node.test)
            yield from numbers(node.yes)
            yield from numbers(node.no)
        case Call():
            yield from thresholds(node.arguments[0])
        case _:
            return


def replaced(text: str, literal: Literal, factor: float) -> tuple[str, str]:
    """Return "1000 -> 2000", and the expression with that number in the literal's place."""
    value = literal.value
    if not isinstance(value, int | float):
        raise TypeError(f"{literal} is no number")
    start = literal.column - 1
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] == "."):
        end += 1
    unit = "s" if literal.type is Type.DURATION else ""
    new = f"{float(value) * factor:.15g}{unit}"
    return f"{text[start:end]} -> {new}", text[:start] + new + text[end:]
