"""What is wrong with an expression, where in its text, and what was probably meant?"""

from collections.abc import Iterable


class ExpressionError(Exception):
    """A mistake found at load."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.message = message  # a sentence without a full stop, with the likely fix
        self.column = column  # in the text of the expression, from 1


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return "; did you mean `…`?" where one of the names is close, and nothing otherwise."""
    import difflib  # here, because it is needed only where something is wrong

    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""
