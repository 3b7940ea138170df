"""On the subset that both know, our language gives what a CEL library gives."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcdoctor.expressions.compile import compile_expression
from hpcdoctor.expressions.types import Scope, Type, Unknown
from hpcdoctor.model.reading import Value
from tests.expressions.machine import Machine

cel = pytest.importorskip("cel_expr_python.cel")

# `gone`, `lost` and `absent` have no value: an error in CEL, unknown here.
TYPES = {
    "yes": Type.BOOL,
    "no": Type.BOOL,
    "gone": Type.BOOL,
    "whole": Type.NUMBER,
    "zero": Type.NUMBER,
    "lost": Type.NUMBER,
    "half": Type.NUMBER,
    "word": Type.TEXT,
    "absent": Type.TEXT,
    "words": Type.LIST,
}
SCOPE = Scope(TYPES)
DATA: dict[str, Value | Unknown] = {
    "yes": True,
    "no": False,
    "whole": 7,
    "zero": 0,
    "half": 2.5,
    "word": "up",
    "words": ["up", "down"],
    "profile.here": 1,
}
ENVIRONMENT = cel.NewEnv(variables=dict.fromkeys((*TYPES, "profile"), cel.Type.DYN))
ACTIVATION = {**{k: v for k, v in DATA.items() if "." not in k}, "profile": {"here": 1}}


def joined(parts: list[str], operators: list[str]) -> str:
    """Put the operators between the parts; there are as many or more of them."""
    first, *others = parts
    return first + "".join(a + b for a, b in zip(operators, others, strict=False))


def rows(of: st.SearchStrategy[str], operators: list[str], most: int) -> st.SearchStrategy[str]:
    """Several operands with operators between them and no brackets, for the precedence."""
    return st.builds(
        joined,
        st.lists(of, min_size=1, max_size=most),
        st.lists(st.sampled_from(operators), min_size=most, max_size=most),
    )


# CEL does not mix int and float in arithmetic, and divides whole numbers to a whole number.
whole_atoms = st.sampled_from(
    ["whole", "zero", "lost", "1", "3", "-2", "(whole + 1)", "(2 - zero)"]
)
float_atoms = st.sampled_from(["half", "1.5", "-0.25", "(half * 2.0)", "half / 2.0", "-half"])
whole_numbers = rows(rows(whole_atoms, [" * ", " % "], 2), [" + ", " - "], 3)
float_numbers = rows(rows(float_atoms, [" * "], 2), [" + ", " - "], 3)
texts = st.sampled_from(["word", "absent", '"up"', "'down'", '""'])
signs = st.sampled_from([" < ", " <= ", " > ", " >= ", " == ", " != "])
# Its checker refuses an int beside a float, but for names whose type it does not know.
names = st.sampled_from(["whole", "zero", "lost", "half"])
comparisons = (
    st.builds("{}{}{}".format, whole_numbers, signs, whole_numbers)
    | st.builds("{}{}{}".format, float_numbers, signs, float_numbers)
    | st.builds("{}{}{}".format, names, signs, names)
    | st.builds("{}{}{}".format, texts, st.sampled_from([" == ", " != "]), texts)
    | st.builds("{} in words".format, texts)
    | st.builds("{} in [{}, {}]".format, whole_numbers, whole_atoms, whole_atoms)
    | st.builds("{} in [{}, {}]".format, texts, texts, texts)
)
truths = st.sampled_from(
    ["yes", "no", "gone", "true", "false", "!no", "!gone", "has(profile.here)", "has(profile.lost)"]
)


def longer(conditions: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        rows(conditions, [" && ", " || "], 4)
        | st.builds("({})".format, conditions)
        | st.builds("!({})".format, conditions)
        | st.builds("({}) == ({})".format, conditions, conditions)
        | st.builds("({}) ? ({}) : ({})".format, conditions, conditions, conditions).map(
            "({})".format
        )
    )


conditions = st.recursive(truths | comparisons, longer, max_leaves=8)


@given(conditions)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_both_languages_agree(text: str) -> None:
    # No float is divided by zero here: CEL calls that infinite, and we unknown.
    theirs = ENVIRONMENT.compile(text).eval(data=ACTIVATION)
    ours = compile_expression(text, SCOPE).evaluate(Machine(DATA))
    if theirs.type().name() == "ERROR":
        assert isinstance(ours, Unknown), f"{text}: {theirs.value()}"
    else:
        assert ours is theirs.value(), text
