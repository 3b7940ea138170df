"""Precedence is CEL's, and what is not of the language is an error with a column."""

import pytest

from hpcdoctor.expressions.errors import ExpressionError
from hpcdoctor.expressions.parse import LIMIT_NESTING, parse
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


def shape(node: Node) -> str:
    """Write the tree with all its brackets."""
    match node:
        case Literal():
            return str(node.value)
        case Name():
            return node.name
        case Items():
            return f"[{' '.join(map(shape, node.items))}]"
        case Unary():
            return f"({node.operator}{shape(node.operand)})"
        case Binary():
            return f"({shape(node.left)} {node.operator} {shape(node.right)})"
        case Logic():
            return "(" + f" {node.operator} ".join(map(shape, node.operands)) + ")"
        case Conditional():
            return f"({shape(node.test)} ? {shape(node.yes)} : {shape(node.no)})"
        case Call():
            return f"{node.function}({', '.join(map(shape, node.arguments))})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a || b && c", "(a || (b && c))"),
        ("a && b || c", "((a && b) || c)"),
        ("a || b || c || d", "(a || b || c || d)"),
        ("a && (b && c)", "(a && (b && c))"),
        ("a + b * c - d", "((a + (b * c)) - d)"),
        ("a - b - c", "((a - b) - c)"),
        ("a + 1 < b * 2", "((a + 1) < (b * 2))"),
        ("!a == b", "((!a) == b)"),
        ("-a * b", "((-a) * b)"),
        ("!!a", "(!(!a))"),
        ("a < b == c", "((a < b) == c)"),
        ("a in [1, 2] && b", "((a in [1 2]) && b)"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("a || b ? c : d", "((a || b) ? c : d)"),
        ("f(a, g(b)) > 90s", "(f(a, g(b)) > 90.0)"),
        ("[]", "[]"),
        ("true", "True"),
        ("0x10", "16"),
        ("1e3", "1000.0"),
    ],
)
def test_operators_bind_as_in_cel(text: str, expected: str) -> None:
    assert shape(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "is empty"),
        ("  \n", 1, "is empty"),
        ("a >", 4, "ends where a value"),
        ("a > 1 b", 7, "operator such as `&&`"),
        ("(a > 1", 7, r"`\)` is missing here for the `\(` in column 1"),
        ("a > 1)", 6, r"`\)` is not expected"),
        ("[1, 2", 6, r"or `\]` for the `\[` in column 1"),
        ("f(a b)", 5, r"`,` is missing here, or `\)`"),
        ("a ** 2", 4, r"there is no `\*\*`"),
        ("a // 2", 4, "there is no `//`"),
        ("a <> 2", 4, "write `!=`"),
        ("a[0] > 1", 2, "cannot be taken"),
        ("a ? b", 6, "`:` is missing here, as in"),
        ("in a", 1, "`in` is not expected"),
        ("a > 18446744073709551616", 5, "64 bits"),
        ("a > 1e999", 5, "too large"),
    ],
)
def test_a_mistake_is_named_with_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError, match=message) as error:
        parse(text)
    assert error.value.column == column


@pytest.mark.parametrize(
    ("before", "after"), [("(", ")"), ("!", ""), ("-", ""), ("[", "]"), ("f(", ")"), ("a?b:", "")]
)
def test_nesting_is_bounded_whatever_nests(before: str, after: str) -> None:
    enough = LIMIT_NESTING - 1
    parse(before * enough + "a" + after * enough)
    with pytest.raises(ExpressionError, match="at most 32 deep"):
        parse(before * 1000 + "a" + after * 1000)


def test_a_long_row_of_conditions_does_not_nest() -> None:
    tree = parse(" || ".join(["a"] * 500))
    assert isinstance(tree, Logic)
    assert len(tree.operands) == 500
