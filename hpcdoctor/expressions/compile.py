"""How does the text of a condition become something to evaluate, with its names and types checked?

Kept from CEL: the operators and their precedence, `has(a.b)`, and `&&` and `||` that look at both
sides. Decided otherwise, on purpose: int and float mix, `/` always divides to a fraction, a
duration is a literal, text has no order, and what cannot be known is an Unknown with its reason.
"""

from hpcdoctor.expressions import operations
from hpcdoctor.expressions.checking import Typed, common_type, guarded, require, result_type
from hpcdoctor.expressions.errors import ExpressionError, did_you_mean
from hpcdoctor.expressions.expression import Environment, Expression, Window
from hpcdoctor.expressions.functions import (
    BEFORE_BOOT,
    FIELD_WINDOWS,
    WINDOWS,
    check_call,
    window_seconds,
)
from hpcdoctor.expressions.glob import matches
from hpcdoctor.expressions.operations import Term
from hpcdoctor.expressions.parse import LIMIT_NESTING, parse, too_deep
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
from hpcdoctor.expressions.types import PROFILE, Scope, Type, Unknown

__all__ = ["Expression", "ExpressionError", "Scope", "compile_expression"]


def compile_expression(text: str, scope: Scope, due: Type | None = Type.BOOL) -> Expression:
    """Return the expression, which must be of the type `due` (None: any); or raise ExpressionError.

    A condition is what `due` is by default.
    """
    tree = parse(text)
    compiler = _Compiler(scope)
    typed = compiler.compile(tree, 1)
    if due is None:
        term = typed.term
    else:
        term = require(typed, due, "a condition" if due is Type.BOOL else "this expression")
    return Expression(
        text=text,
        type=due or typed.type,
        fields=frozenset(compiler.fields),
        dotted=frozenset(compiler.dotted),
        windows=tuple(compiler.windows.values()),
        evaluate=term,
    )


class _Compiler:
    """One walk over one tree, which also notes what the expression reads."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.fields: set[str] = set()
        self.dotted: set[str] = set()
        self.windows: dict[str, Window] = {}
        self.inside_window = ""  # the function whose argument this is

    def compile(self, node: Node, depth: int) -> Typed:
        if depth > LIMIT_NESTING:
            raise too_deep(node.column)
        match node:
            case Literal():
                return Typed(node.type, operations.constant(node.value), node)
            case Name():
                return self.name(node)
            case Binary():
                return self.binary(node, depth + 1)
            case Logic():
                sides = f"each side of `{node.operator}`"
                operands = [
                    require(self.compile(operand, depth + 1), Type.BOOL, sides)
                    for operand in node.operands
                ]
                return Typed(Type.BOOL, operations.logic(node.operator, operands), node)
            case Call():
                return self.call(node, depth + 1)
            case Unary():
                return self.unary(node, depth + 1)
            case Items():
                return self.items(node, depth + 1)
            case Conditional():
                return self.conditional(node, depth + 1)

    def name(self, node: Name) -> Typed:
        kind = self.type_of(node)
        source, absent = self.source(node)
        # What the probe declares is held again at run time: a recording may say anything.
        term = operations.guard(source, kind, node.name, absent)
        return Typed(kind, term, node, kind is Type.NUMBER and node.name.endswith("_seconds"))

    def type_of(self, node: Name) -> Type:
        name = node.name
        head, dot, _ = name.partition(".")
        known = self.scope.dotted.get(name) if dot else self.scope.fields.get(name)
        if known is not None:
            return known
        if dot and head == PROFILE:
            return Type.ANY
        raise self.unknown_name(node)

    def unknown_name(self, node: Name) -> ExpressionError:
        head, dot, _ = node.name.partition(".")
        if not dot:
            hint = did_you_mean(node.name, self.scope.fields)
            if node.name == PROFILE:
                hint = "; say which part of the profile, as in `profile.infiniband.ports`"
            elif not hint:
                names = ", ".join(sorted(self.scope.fields)) or "nothing"
                hint = f'; it gives {names}. A text stands in quotes: "{node.name}"'
            return ExpressionError(f"the probe gives no `{node.name}`{hint}", node.column)
        siblings = [name for name in self.scope.dotted if name.startswith(head + ".")]
        if siblings:
            hint = did_you_mean(node.name, siblings) or f"; there are {', '.join(sorted(siblings))}"
            return ExpressionError(f"`{head}` has no `{node.name}`{hint}", node.column)
        if head in self.scope.fields:
            return ExpressionError(f"`{head}` is a field and has no parts", node.column)
        heads = {PROFILE, *(name.partition(".")[0] for name in self.scope.dotted)}
        hint = did_you_mean(head, heads) or f"; there are {', '.join(sorted(heads))}"
        return ExpressionError(f"no name begins with `{head}.`{hint}", node.column)

    def source(self, node: Name) -> tuple[Term, str]:
        """Return what reads the name, and what to say where it is not there."""
        name = node.name
        head, dot, rest = name.partition(".")
        if not dot:
            self.fields.add(name)
            return lambda environment: environment.field(
                name
            ), f"{name} is not given by this machine"
        self.dotted.add(name)
        whose = "profile" if head == PROFILE else f"{head} catalogue"
        return lambda environment: environment.dotted(name), f"the {whose} does not say {rest}"

    def binary(self, node: Binary, depth: int) -> Typed:
        left = self.compile(node.left, depth)
        right = self.compile(node.right, depth)
        if node.operator == "in":
            return self.containment(node, left, right)
        if node.operator in ("+", "-", "*", "/", "%"):
            kind, seconds = result_type(node, left, right)
            one, other = (
                guarded(side, Type.NUMBER) if side.type is Type.ANY else side.term
                for side in (left, right)
            )
            return Typed(kind, operations.calculate(node.operator, one, other), node, seconds)
        kind = common_type(node, left, right)
        if kind is Type.ANY:
            term = operations.compare_any(node.operator, left.term, right.term)
        else:
            one = guarded(left, kind) if left.type is Type.ANY else left.term
            if isinstance(node.right, Literal):
                term = operations.compare_with_constant(node.operator, one, node.right.value)
            else:
                other = guarded(right, kind) if right.type is Type.ANY else right.term
                term = operations.compare(node.operator, one, other)
        return Typed(Type.BOOL, term, node)

    def containment(self, node: Binary, left: Typed, right: Typed) -> Typed:
        if right.type is Type.TEXT:
            raise ExpressionError(
                "`in` asks whether a list holds something; for a part of a text "
                'write matches(text, "*part*")',
                node.column,
            )
        items = require(right, Type.LIST, "what stands after `in`")
        # A reading's lists are lists of texts.
        element = right.element if isinstance(node.right, Items) else Type.TEXT
        mixed = element not in (left.type, None) and Type.ANY not in (element, left.type)
        if element is not None and mixed and right.type is not Type.ANY:
            hint = "; a text stands in quotes" if Type.TEXT in (left.type, element) else ""
            raise ExpressionError(
                f"{left.type.value} is never in a list whose items are each {element.value}{hint}",
                node.column,
            )
        return Typed(Type.BOOL, operations.contains(left.term, items), node)

    def unary(self, node: Unary, depth: int) -> Typed:
        operand = self.compile(node.operand, depth)
        if node.operator == "!":
            term = operations.opposite(require(operand, Type.BOOL, "what `!` denies"))
            return Typed(Type.BOOL, term, node)
        if operand.type is Type.DURATION:
            return Typed(Type.DURATION, operations.negative(operand.term), node)
        term = operations.negative(require(operand, Type.NUMBER, "what stands after `-`"))
        return Typed(operand.type, term, node, operand.seconds)

    def items(self, node: Items, depth: int) -> Typed:
        items = [self.compile(item, depth) for item in node.items]
        element = items[0].type if items else None
        for item in items:
            if item.type is not element:
                raise ExpressionError(
                    f"the items of a list are of one type; the first is "
                    f"{items[0].type.value} and this is {item.type.value}",
                    item.node.column,
                )
        if all(isinstance(item, Literal) for item in node.items):
            values = [item.value for item in node.items if isinstance(item, Literal)]
            return Typed(Type.LIST, operations.constant(values), node, element=element)
        term = operations.make_list([item.term for item in items])
        return Typed(Type.LIST, term, node, element=element)

    def conditional(self, node: Conditional, depth: int) -> Typed:
        test = require(self.compile(node.test, depth), Type.BOOL, "what stands before `?`")
        yes = self.compile(node.yes, depth)
        no = self.compile(node.no, depth)
        kind = yes.type
        if yes.type is not no.type:
            if Type.ANY not in (yes.type, no.type):
                raise ExpressionError(
                    f"both ends of `? :` are of one type; here are {yes.type.value} "
                    f"and {no.type.value}",
                    node.column,
                )
            kind = Type.ANY
        term = operations.choose(test, yes.term, no.term)
        return Typed(kind, term, node, yes.seconds and no.seconds)

    def call(self, node: Call, depth: int) -> Typed:
        check_call(node)
        if node.function in WINDOWS:
            return self.window(node, depth)
        if node.function == "has":
            argument = node.arguments[0]
            if not isinstance(argument, Name):
                raise ExpressionError(
                    "has() takes a name, as in `has(profile.gpu)`", argument.column
                )
            self.type_of(argument)
            return Typed(Type.BOOL, operations.is_known(self.source(argument)[0]), node)
        text, pattern = (
            require(self.compile(argument, depth), Type.TEXT, f"each argument of {node.function}")
            for argument in node.arguments
        )
        function = str.startswith if node.function == "starts_with" else matches
        return Typed(Type.BOOL, operations.apply(function, text, pattern), node)

    def window(self, node: Call, depth: int) -> Typed:
        function = node.function
        if self.inside_window:
            raise ExpressionError(
                f"{function} cannot stand inside {self.inside_window}; a window looks at readings",
                node.column,
            )
        seconds = window_seconds(node)
        argument = node.arguments[0]
        if function in FIELD_WINDOWS and not (
            isinstance(argument, Name) and argument.name in self.scope.fields
        ):
            if isinstance(argument, Name):
                self.type_of(argument)
            length = "" if function == BEFORE_BOOT else ", 1h"
            raise ExpressionError(
                f"{function} follows one field and so takes the name of a field; "
                f"write `{function}(a{length}) + {function}(b{length})` for two",
                argument.column,
            )
        outer_fields, self.fields = self.fields, set()
        self.inside_window = function
        typed = self.compile(argument, depth)
        inner_fields, self.fields = self.fields, outer_fields
        self.inside_window = ""
        if function == BEFORE_BOOT:
            return self.before_boot(node, typed, frozenset(inner_fields))
        due = Type.BOOL if function == "share" else Type.NUMBER
        is_time = typed.type is Type.DURATION and due is Type.NUMBER
        value = typed.term if is_time else require(typed, due, f"the first argument of {function}")
        window = Window(
            function=function,
            argument=node.texts[0],
            field=argument.name
            if isinstance(argument, Name) and "." not in argument.name
            else None,
            seconds=seconds,
            key=f"{function}({node.texts[0]}, {seconds:.15g})",
            text=f"{function}({node.texts[0]}, {node.texts[1]})",
            fields=frozenset(inner_fields),
            evaluate=value,
        )
        window = self.windows.setdefault(window.key, window)
        same_unit = function not in ("share", "rate")
        kind = Type.DURATION if is_time and same_unit else Type.NUMBER
        return Typed(kind, _read_window(window), node, typed.seconds and same_unit)

    def before_boot(self, node: Call, typed: Typed, fields: frozenset[str]) -> Typed:
        """Compile the value of a field in an earlier boot, of whatever type the field is."""
        field = node.texts[0]
        text = f"{BEFORE_BOOT}({field})"
        window = Window(
            function=BEFORE_BOOT,
            argument=field,
            field=field,
            seconds=window_seconds(node),
            key=text,
            text=text,
            fields=fields,
            evaluate=typed.term,
        )
        window = self.windows.setdefault(window.key, window)
        return Typed(typed.type, _read_window(window), node, typed.seconds)


def _read_window(window: Window) -> Term:
    value_now = window.evaluate

    def read(environment: Environment) -> object:
        """Ask the history, but only where the value is known now: its past alone says nothing."""
        now = value_now(environment)
        return now if now.__class__ is Unknown else environment.window(window)

    return read
