"""Which types go together, and what does one say to the writer where they do not?"""

import msgspec

from hpcdoctor.expressions.errors import ExpressionError
from hpcdoctor.expressions.operations import Term, guard
from hpcdoctor.expressions.tree import Binary, Literal, Name, Node
from hpcdoctor.expressions.types import Type


class Typed(msgspec.Struct, frozen=True):
    """A part of an expression whose type is known."""

    type: Type
    term: Term
    node: Node
    # A number whose name ends in _seconds may meet a plain number as well as a duration.
    seconds: bool = False
    element: Type | None = None  # of a list as written; None: empty, or not known


ORDERED = ("<", "<=", ">", ">=")


def require(typed: Typed, due: Type, what: str) -> Term:
    """Return the closure where the type is the one that is due, or known only at run time."""
    if typed.type is due or (due is Type.DURATION and typed.seconds):
        return typed.term
    if typed.type is Type.ANY:
        return guarded(typed, due)
    hint = ""
    if due is Type.BOOL:
        hint = '; compare it with something, as in `… > 0` or `… == "up"`'
    elif due is Type.TEXT and typed.type in (Type.NUMBER, Type.BOOL):
        hint = "; a text stands in quotes"
    raise ExpressionError(
        f"{what} must be {due.value}, and this is {typed.type.value}{hint}", typed.node.column
    )


def guarded(typed: Typed, due: Type) -> Term:
    """Return a closure that holds at run time what could not be checked at load."""
    name = typed.node.name if isinstance(typed.node, Name) else "a part of the condition"
    return guard(typed.term, due, name, f"{name} has no value")


def common_type(node: Binary, left: Typed, right: Typed) -> Type:
    """Return the type in which both sides are compared."""
    if Type.ANY in (left.type, right.type):
        due = right.type if left.type is Type.ANY else left.type
    elif left.type is right.type:
        due = left.type
    elif _both_times(left, right):
        due = Type.DURATION
    else:
        raise ExpressionError(_why_not_compared(node, left, right), node.column)
    if node.operator in ORDERED and due not in (Type.NUMBER, Type.DURATION, Type.ANY):
        message = f"`{node.operator}` is for numbers and durations, and {due.value} has no order"
        if due is Type.TEXT:
            message += " (as text, 9 would come after 10); compare with `==`, `in` or matches()"
        elif due is Type.BOOL:
            message += "; join two comparisons with `&&`, as in `1 < x && x < 5`"
        raise ExpressionError(message, node.column)
    return due


def _both_times(left: Typed, right: Typed) -> bool:
    return (left.type is Type.DURATION and right.seconds) or (
        right.type is Type.DURATION and left.seconds
    )


def _why_not_compared(node: Binary, left: Typed, right: Typed) -> str:
    message = f"{left.type.value} cannot be compared with {right.type.value}"
    types = {left.type, right.type}
    if types == {Type.NUMBER, Type.DURATION}:
        number = left if left.type is Type.NUMBER else right
        if isinstance(number.node, Literal):
            value = number.node.value
            return f"{message}; give {value} its unit, as in {value}s or {value}m"
        return f"{message}; only a field in _seconds may be, so write a plain number here"
    if types == {Type.BOOL, Type.NUMBER}:
        if any(isinstance(side.node, Literal) and side.type is Type.BOOL for side in (left, right)):
            return f"{message}; true is not 1 here, so compare with a number"
        if any(isinstance(side.node, Binary) for side in (left, right)):
            return f"{message}; join two comparisons with `&&`, as in `1 < x && x < 5`"
        return f"{message}; write the name alone for true, and `!` before it for false"
    if types == {Type.TEXT, Type.NUMBER}:
        text = left if left.type is Type.TEXT else right
        if isinstance(text.node, Literal):
            return f"{message}; write the number without quotes"
        return f"{message}; put what the text is compared with in quotes"
    if types == {Type.TEXT, Type.BOOL}:
        return f"{message}; a text stands in quotes, true and false stand without"
    if Type.LIST in types:
        return f"{message}; write `in` to ask whether a list holds something"
    return message


def result_type(node: Binary, left: Typed, right: Typed) -> tuple[Type, bool]:
    """Return the type of a calculation, and whether it is a number of seconds."""
    for side in (left, right):
        if side.type not in (Type.NUMBER, Type.DURATION, Type.ANY):
            hint = "; write two conditions with `==` or matches()" if side.type is Type.TEXT else ""
            raise ExpressionError(
                f"`{node.operator}` is for numbers and durations, and this is "
                f"{side.type.value}{hint}",
                side.node.column,
            )
    if Type.ANY in (left.type, right.type):
        return Type.ANY, False
    times = [side.type is Type.DURATION for side in (left, right)]
    if not any(times):
        return Type.NUMBER, node.operator in "+-%" and left.seconds and right.seconds
    if all(times) or _both_times(left, right):
        if node.operator == "*":
            raise ExpressionError("two durations cannot be multiplied", node.column)
        return (Type.NUMBER if node.operator == "/" else Type.DURATION), False
    if node.operator == "*" or (node.operator == "/" and times[0]):
        return Type.DURATION, False
    raise ExpressionError(
        f"`{node.operator}` cannot join {left.type.value} and {right.type.value}; "
        "give the number its unit, as in 5s or 5m",
        node.column,
    )
