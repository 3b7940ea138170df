"""What is an expression made of, once it is parsed and before names and types are looked at?"""

import msgspec

from hpcdoctor.expressions.types import Known, Type


class Literal(msgspec.Struct, frozen=True):
    value: Known
    type: Type
    column: int


class Name(msgspec.Struct, frozen=True):
    name: str  # with its dots
    column: int


class Items(msgspec.Struct, frozen=True):
    """A list as written: `["a", "b"]`."""

    items: "list[Node]"
    column: int


class Unary(msgspec.Struct, frozen=True):
    operator: str
    operand: "Node"
    column: int


class Binary(msgspec.Struct, frozen=True):
    operator: str
    left: "Node"
    right: "Node"
    column: int  # of the operator


class Logic(msgspec.Struct, frozen=True):
    """`&&` or `||` over two operands or more: a long row of them does not nest."""

    operator: str
    operands: "list[Node]"
    column: int


class Conditional(msgspec.Struct, frozen=True):
    test: "Node"
    yes: "Node"
    no: "Node"
    column: int


class Call(msgspec.Struct, frozen=True):
    function: str
    arguments: "list[Node]"
    texts: list[str]  # the arguments as written, with single spaces
    column: int


Node = Literal | Name | Items | Unary | Binary | Logic | Conditional | Call
