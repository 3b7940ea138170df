"""Every word has its column, and words of other languages are answered with ours."""

import pytest

from hpcdoctor.expressions.errors import ExpressionError
from hpcdoctor.expressions.tokens import LIMIT_BYTES, text_value, tokenize


def test_words_carry_their_kind_and_column() -> None:
    assert [tuple(token) for token in tokenize(' a.b >= 1.5 &&\n x=="y"')] == [
        ("name", "a.b", 2),
        ("operator", ">=", 6),
        ("number", "1.5", 9),
        ("operator", "&&", 13),
        ("name", "x", 17),
        ("operator", "==", 18),
        ("text", '"y"', 20),
        ("end", "", 23),
    ]


@pytest.mark.parametrize("text", ["90s", "500ms", "5m", "1.5h", "7d"])
def test_a_number_with_a_unit_is_a_duration(text: str) -> None:
    assert tokenize(text)[0].kind == "duration"


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("x > 1 and y", 7, "write `&&` for `and`"),
        ("x > 1 or y", 7, "write `||` for `or`"),
        ("not x", 1, "write `!` for `not`"),
        ("x is 1", 3, "write `==` for `is`"),
        ("x = 1", 3, "write `==`"),
        ("x & y", 3, "write `&&`"),
        ("x | y", 3, "write `||`"),
        ("x == True", 6, "write `true`"),
        ("x == False", 6, "write `false`"),
        ("x == None", 6, r"has\(field\)"),
        ("x == null", 6, r"has\(field\)"),
        ("x == {}", 6, "no maps"),
        ("x ^ 2", 3, "no power"),
        ("x > 1; y", 6, "`&&` or `||`"),
        ("x > 1 # why", 7, "comment"),
        ("x .y", 3, "dot"),
        ("x @ y", 3, "means nothing"),
        ("x > 5w", 5, "neither a number nor a duration.* 90s"),
        ("x > 1h30m", 5, "neither a number nor a duration"),
        ("x > 1.2.3", 5, "neither a number nor a duration"),
        ('x == "up', 6, "no closing"),
        ("x == 'up", 6, "no closing"),
    ],
)
def test_a_mistake_is_named_with_its_column_and_the_fix(
    text: str, column: int, message: str
) -> None:
    with pytest.raises(ExpressionError, match=message) as error:
        tokenize(text)
    assert error.value.column == column


def test_foreign_words_inside_a_text_are_text() -> None:
    assert [token.kind for token in tokenize('"a and b = c"')] == ["text", "end"]


def test_four_kilobytes_are_enough_for_anybody() -> None:
    tokenize("x" * LIMIT_BYTES)
    for text in ("x" * (LIMIT_BYTES + 1), '"' + "é" * (LIMIT_BYTES // 2) + '"'):
        with pytest.raises(ExpressionError, match="at most 4096 bytes") as error:
            tokenize(text)
        assert error.value.column == 1


def test_escapes_are_few_and_an_odd_one_is_an_error() -> None:
    assert text_value(tokenize(r'"a\"b\\\n"')[0]) == 'a"b\\\n'
    assert text_value(tokenize(r"'it\'s'")[0]) == "it's"
    with pytest.raises(ExpressionError, match="is no escape") as error:
        text_value(tokenize(r' "ab\d"')[0])
    assert error.value.column == 5
