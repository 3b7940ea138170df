"""Of which words does an expression consist, and where do they stand?"""

import re
from typing import NamedTuple

from hpcdoctor.expressions.errors import ExpressionError

LIMIT_BYTES = 4096


class Token(NamedTuple):
    kind: str  # name, number, duration, text, operator, end
    text: str
    column: int


# No part can match in two ways, so the time is linear in the length of the text.
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<name> [A-Za-z_]\w*(?:\.[A-Za-z_]\w*)* )
      | (?P<duration> \d+(?:\.\d+)?(?:ms|[smhd])(?![\w.]) )
      | (?P<number> (?:0x[0-9A-Fa-f]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.]) )
      | (?P<text> "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
      | (?P<operator> \|\| | && | == | != | <= | >= | [<>!+\-*/%?:()\[\],] )
    )""",
    re.VERBOSE | re.ASCII,
)
_SPACE = re.compile(r"\s*", re.ASCII)
_NUMBER_LIKE = re.compile(r"[\w.]+", re.ASCII)

# Words and signs of other languages: what was meant here.
_FOREIGN_WORDS = {
    "and": "write `&&` for `and`",
    "or": "write `||` for `or`",
    "not": "write `!` for `not`, as in `!(state in list)`",
    "is": "write `==` for `is`",
    "True": "write `true`, in small letters",
    "False": "write `false`, in small letters",
    "None": "there is no `None`; write `has(field)` to ask whether there is a value",
    "null": "there is no `null`; write `has(field)` to ask whether there is a value",
}
_FOREIGN_SIGNS = {
    "=": "write `==` to compare",
    "&": "write `&&` for `and`",
    "|": "write `||` for `or`",
    ".": "a name does not begin or end with a dot",
    "^": "there is no power or exclusive or",
    "{": "there are no maps; a list stands in [ ]",
    "}": "there are no maps; a list stands in [ ]",
    ";": "one expression is all there is; join two with `&&` or `||`",
    "#": "a comment belongs outside the quotes of the expression",
}


def tokenize(text: str) -> list[Token]:
    """Return the words of the text, with an `end` as the last."""
    if len(text) > LIMIT_BYTES or len(text.encode()) > LIMIT_BYTES:
        raise ExpressionError(
            f"an expression has at most {LIMIT_BYTES} bytes; make two checks of it", 1
        )
    tokens: list[Token] = []
    position = 0
    end = len(text.rstrip(" \t\n\r\f\v"))
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise _what_is_it(text, position)
        kind = match.lastgroup or ""
        word = match[kind]
        position = match.end()
        column = position - len(word) + 1
        if word in _FOREIGN_WORDS:
            raise ExpressionError(_FOREIGN_WORDS[word], column)
        tokens.append(Token(kind, word, column))
    tokens.append(Token("end", "", end + 1))
    return tokens


def _what_is_it(text: str, position: int) -> ExpressionError:
    match = _SPACE.match(text, position)
    start = match.end() if match else position
    sign = text[start]
    if sign in "\"'":
        message = f"the text that begins with {sign} has no closing {sign}"
    elif sign.isdigit() and (number := _NUMBER_LIKE.match(text, start)):
        message = (
            f"`{number[0]}` is neither a number nor a duration; "
            "a duration is a number and one of ms, s, m, h, d, as in 90s, 5m, 1.5h"
        )
    else:
        message = f"`{sign}` means nothing here"
        if sign in _FOREIGN_SIGNS:
            message += f"; {_FOREIGN_SIGNS[sign]}"
    return ExpressionError(message, start + 1)


_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}


def text_value(token: Token) -> str:
    """Return what stands between the quotes."""
    inner = token.text[1:-1]
    if "\\" not in inner:
        return inner
    for escape in _ESCAPE.finditer(inner):
        if escape[1] not in _ESCAPED:
            raise ExpressionError(
                f"`{escape[0]}` is no escape; there are \\n \\t \\r \\\\ \\\" and \\'",
                token.column + 1 + escape.start(),
            )
    return _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], inner)
