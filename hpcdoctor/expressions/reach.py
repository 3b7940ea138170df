"""Can a condition ever hold, or ever not hold? What its own numbers and units rule out.

Only what is certain is said: a share lies between 0 and 1, and what counts events or bytes is never
below 0. Fields, the profile and the past may have any other value.
"""

from collections.abc import Iterator

from hpcdoctor.expressions.parse import parse
from hpcdoctor.expressions.tree import Binary, Call, Literal, Logic, Name, Node, Unary

INFINITE = float("inf")
_NEVER_NEGATIVE = ("_total", "_bytes", "_ratio")
_FOLLOWS_ITS_FIELD = frozenset({"min", "max", "mean", "p95"})
_MIRRORED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}

Bounds = tuple[float, float]


def settled(text: str) -> bool | None:
    """Return True for a condition that always holds where it is known, False for one that never
    does, and None for all others. The text has been compiled before."""
    return _settled(parse(text))


def implies(one: str, other: str) -> bool:
    """Tell whether `other` holds wherever `one` does, of two simple comparisons with numbers."""
    here, there = _comparison(parse(one)), _comparison(parse(other))
    if here is None or there is None or _form(here[0]) != _form(there[0]):
        return False
    _, sign, number = here
    _, other_sign, limit = there
    if sign[0] != other_sign[0] or sign[0] not in "<>":
        return False
    if number == limit:
        return sign == other_sign or len(other_sign) == 2  # > implies >=
    return number > limit if sign[0] == ">" else number < limit


def _settled(node: Node) -> bool | None:
    match node:
        case Literal(value=bool() as value):
            return value
        case Logic(operator="&&"):
            parts = [_settled(operand) for operand in node.operands]
            if False in parts or _contradict(node.operands):
                return False
            return True if all(parts) else None
        case Logic():
            parts = [_settled(operand) for operand in node.operands]
            if True in parts:
                return True
            return False if all(part is False for part in parts) else None
        case Unary(operator="!"):
            inner = _settled(node.operand)
            return None if inner is None else not inner
        case Binary():
            found = _comparison(node)
            return None if found is None else _against(_bounds(found[0]), found[1], found[2])
        case _:
            return None


def _against(bounds: Bounds, sign: str, number: float) -> bool | None:
    """Compare everything between the bounds with the number."""
    least, most = bounds
    match sign:
        case ">":
            return True if least > number else False if most <= number else None
        case ">=":
            return True if least >= number else False if most < number else None
        case "<":
            return True if most < number else False if least >= number else None
        case "<=":
            return True if most <= number else False if least > number else None
        case "==":
            return None if least <= number <= most else False
        case _:
            return None if least <= number <= most else True


def _contradict(operands: list[Node]) -> bool:
    """Tell whether two of the comparisons leave nothing between them: `x > 5 && x < 3`."""
    found = [pair for operand in operands if (pair := _comparison(operand)) is not None]
    for left, sign, number in found:
        for other, other_sign, limit in found:
            if sign[0] != ">" or other_sign[0] != "<" or _form(left) != _form(other):
                continue
            if number > limit or (number == limit and (sign, other_sign) != (">=", "<=")):
                return True
    return False


def _comparison(node: Node) -> tuple[Node, str, float] | None:
    """Return what is compared, how, and with which number; the number on the right."""
    if not isinstance(node, Binary) or node.operator not in _MIRRORED:
        return None
    if (number := _number(node.right)) is not None:
        return node.left, node.operator, number
    if (number := _number(node.left)) is not None:
        return node.right, _MIRRORED[node.operator], number
    return None


def _number(node: Node) -> float | None:
    match node:
        case Literal(value=bool()):
            return None
        case Literal(value=int() | float() as value):
            return float(value)
        case Unary(operator="-"):
            inner = _number(node.operand)
            return None if inner is None else -inner
        case _:
            return None


def _bounds(node: Node) -> Bounds:
    match node:
        case Call(function="share"):
            return 0.0, 1.0
        case Call(function="increase" | "rate"):
            return 0.0, INFINITE
        case Call() if node.function in _FOLLOWS_ITS_FIELD:
            return _bounds(node.arguments[0])
        case Name() if node.name.endswith(_NEVER_NEGATIVE):
            return 0.0, INFINITE
        case _:
            return -INFINITE, INFINITE


def _form(node: Node) -> tuple[object, ...]:
    """Return the expression without its columns, so that the same ones are equal."""
    return tuple(_parts(node))


def _parts(node: Node) -> Iterator[object]:
    yield type(node)
    for name in node.__struct_fields__:
        value: object = getattr(node, name)
        if name in ("column", "texts"):
            continue
        if isinstance(value, list):
            yield tuple(_form(item) for item in value)
        elif isinstance(value, Literal | Name | Unary | Binary | Logic | Call):
            yield _form(value)
        else:
            yield value
