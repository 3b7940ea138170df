"""How is the text of an expression read into a tree?"""

from hpcdoctor.expressions.errors import ExpressionError
from hpcdoctor.expressions.tokens import Token, text_value, tokenize
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

LIMIT_NESTING = 32
LARGEST_INTEGER = 2**64 - 1

# As in CEL, weakest first; all of them group from the left.
_PRECEDENCE = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}


def parse(text: str) -> Node:
    """Return the tree; raise ExpressionError where the text is none of the language."""
    tokens = tokenize(text)
    if len(tokens) == 1:
        raise ExpressionError("the expression is empty", 1)
    parser = _Parser(tokens)
    node = parser.expression()
    if parser.token.kind != "end":
        raise parser.unexpected()
    return node


def too_deep(column: int) -> ExpressionError:
    return ExpressionError(
        f"an expression nests at most {LIMIT_NESTING} deep; make two checks of it", column
    )


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.index = 0
        self.token = tokens[0]
        self.nesting = 0

    def advance(self) -> Token:
        token = self.token
        self.index += 1
        self.token = self.tokens[self.index]
        return token

    def expect(self, operator: str, why: str) -> None:
        if self.token.text != operator or self.token.kind != "operator":
            raise ExpressionError(f"`{operator}` is missing here{why}", self.token.column)
        self.advance()

    def unexpected(self) -> ExpressionError:
        token = self.token
        if token.kind == "end":
            return ExpressionError("the expression ends where a value should follow", token.column)
        before = self.tokens[self.index - 1].text if self.index else ""
        hint = ""
        if before == token.text and before in ("*", "/"):
            hint = f"; there is no `{before}{before}`"
        elif before == "<" and token.text == ">":
            hint = "; write `!=` for unequal"
        elif token.text == "[" and self.index:
            hint = "; parts of a list cannot be taken, only asked for with `in`"
        elif token.kind in ("name", "number", "text", "duration") and self.index:
            hint = "; an operator such as `&&` or `==` should come first"
        return ExpressionError(f"`{token.text}` is not expected here{hint}", token.column)

    def expression(self) -> Node:
        self.nesting += 1
        if self.nesting > LIMIT_NESTING:
            raise too_deep(self.token.column)
        node = self.binary(1)
        if self.token.text == "?" and self.token.kind == "operator":
            column = self.advance().column
            yes = self.binary(1)
            self.expect(":", ", as in `test ? yes : no`")
            node = Conditional(node, yes, self.expression(), column)
        self.nesting -= 1
        return node

    def binary(self, weakest: int) -> Node:
        left = self.unary()
        while self.token.kind in ("operator", "name"):
            precedence = _PRECEDENCE.get(self.token.text, 0)
            if precedence < weakest:
                break
            _, operator, column = self.advance()
            right = self.binary(precedence + 1)
            if precedence > 2:
                left = Binary(operator, left, right, column)
            elif isinstance(left, Logic) and left.operator == operator:
                left.operands.append(right)
            else:
                left = Logic(operator, [left, right], column)
        return left

    def unary(self) -> Node:
        token = self.token
        if token.kind == "operator" and token.text in ("!", "-"):
            self.nesting += 1
            if self.nesting > LIMIT_NESTING:
                raise too_deep(token.column)
            self.advance()
            operand = self.unary()
            self.nesting -= 1
            return Unary(token.text, operand, token.column)
        return self.primary()

    def primary(self) -> Node:
        token = self.token
        match token.kind:
            case "name" if token.text != "in":
                self.advance()
                if self.token.text == "(" and self.token.kind == "operator":
                    return self.call(token)
                if token.text in ("true", "false"):
                    return Literal(token.text == "true", Type.BOOL, token.column)
                return Name(token.text, token.column)
            case "number":
                self.advance()
                return Literal(_number(token), Type.NUMBER, token.column)
            case "duration":
                self.advance()
                return Literal(parse_duration(token.text), Type.DURATION, token.column)
            case "text":
                self.advance()
                return Literal(text_value(token), Type.TEXT, token.column)
            case "operator" if token.text == "(":
                self.advance()
                node = self.expression()
                self.expect(")", f" for the `(` in column {token.column}")
                return node
            case "operator" if token.text == "[":
                self.advance()
                items, _ = self.arguments("]", token)
                return Items(items, token.column)
        raise self.unexpected()

    def call(self, name: Token) -> Node:
        arguments, texts = self.arguments(")", self.advance())
        return Call(name.text, arguments, texts, name.column)

    def arguments(self, close: str, opened: Token) -> tuple[list[Node], list[str]]:
        nodes: list[Node] = []
        texts: list[str] = []
        while self.token.text != close or self.token.kind != "operator":
            if nodes:
                self.expect(
                    ",", f", or `{close}` for the `{opened.text}` in column {opened.column}"
                )
            start = self.index
            nodes.append(self.expression())
            texts.append(" ".join(token.text for token in self.tokens[start : self.index]))
        self.advance()
        return nodes, texts


def _number(token: Token) -> int | float:
    text = token.text
    if text.startswith("0x"):
        number = int(text, 16)
    elif text.isdigit():
        number = int(text)
    else:
        value = float(text)
        if value == float("inf"):
            raise ExpressionError(f"`{text}` is too large", token.column)
        return value
    if number > LARGEST_INTEGER:
        raise ExpressionError(f"`{text}` does not fit into 64 bits", token.column)
    return number
