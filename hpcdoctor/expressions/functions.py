"""Which functions are there, what do they take, and how is each one called for?"""

from hpcdoctor.expressions.errors import ExpressionError, did_you_mean
from hpcdoctor.expressions.tree import Call, Literal
from hpcdoctor.expressions.types import Type

BEFORE_BOOT = "before_boot"  # not of a length of time: what stood there when the machine ran last
WINDOWS = frozenset({"increase", "rate", "min", "max", "mean", "p95", "share", BEFORE_BOOT})
# These follow one field, never a calculation.
FIELD_WINDOWS = frozenset({"increase", "rate", BEFORE_BOOT})

USAGE = {
    "increase": "increase(field, 1h)",
    "rate": "rate(field, 5m)",
    "min": "min(field, 5m)",
    "max": "max(field, 5m)",
    "mean": "mean(field, 5m)",
    "p95": "p95(field, 5m)",
    "share": "share(condition, 5m)",
    BEFORE_BOOT: "before_boot(field)",
    "has": "has(profile.gpu)",
    "starts_with": 'starts_with(text, "nfs")',
    "matches": 'matches(text, "nfs*")',
}
_ARGUMENTS = {name: usage.count(",") + 1 for name, usage in USAGE.items()}

# As other languages have it.
_FOREIGN = {
    "startsWith": "starts_with",
    "startswith": "starts_with",
    "contains": "matches",
    "endsWith": "matches",
    "regex": "matches",
    "like": "matches",
    "glob": "matches",
    "avg": "mean",
    "average": "mean",
    "delta": "increase",
    "quantile": "p95",
    "percentile": "p95",
    "exists": "has",
    "defined": "has",
    "duration": "",
}

SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 31 * 86400.0


def check_call(node: Call) -> None:
    """Raise ExpressionError where there is no such function, or it takes something else."""
    if node.function not in USAGE:
        raise _no_such_function(node)
    due = _ARGUMENTS[node.function]
    if len(node.arguments) != due:
        raise ExpressionError(
            f"{node.function} takes {due} argument{'s' if due > 1 else ''}, as in "
            f"`{USAGE[node.function]}`, and here {'is' if len(node.arguments) == 1 else 'are'} "
            f"{len(node.arguments)}",
            node.column,
        )


def _no_such_function(node: Call) -> ExpressionError:
    head, dot, method = node.function.rpartition(".")
    meant = _FOREIGN.get(method, method)
    if method == "duration":
        hint = "; write a duration as it is, 90s or 1h"
    elif dot and meant in USAGE:
        hint = f"; functions stand in front, as in `{USAGE[meant]}`"
    elif meant in USAGE:
        hint = f"; did you mean `{USAGE[meant]}`?"
    else:
        hint = did_you_mean(method, USAGE) or f"; there are {', '.join(sorted(USAGE))}"
    return ExpressionError(f"there is no function `{method}`{hint}", node.column)


def window_seconds(node: Call) -> float:
    """Return how far the window looks back; the second argument has to say so."""
    if node.function == BEFORE_BOOT:
        return LONGEST_SECONDS
    length = node.arguments[1]
    literal = length if isinstance(length, Literal) else None
    value = literal.value if literal else None
    if literal is None or literal.type is not Type.DURATION or not isinstance(value, float):
        is_plain = literal is not None and literal.type is Type.NUMBER
        raise _not_a_length(node, f"; give {value} its unit, as in {value}m" if is_plain else "")
    if not SHORTEST_SECONDS <= value <= LONGEST_SECONDS:
        raise ExpressionError("a window is from 1s to 31d long", length.column)
    return value


def _not_a_length(node: Call, hint: str) -> ExpressionError:
    return ExpressionError(
        f"the second argument of {node.function} is a duration such as 5m or 1h{hint}",
        node.arguments[1].column,
    )
