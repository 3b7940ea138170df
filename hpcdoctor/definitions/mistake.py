"""What is told of a mistake in a definition? File, line, what is wrong, and the likely fix."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from hpcdoctor.model.text import visible


class DefinitionError(Exception):
    """One mistake in one file: where, which key, and what to do.

    `also` has the other mistakes of the same definition, so that one run tells them all.
    """

    def __init__(self, message: str, file: Path | str, line: int = 0, key: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.file = Path(file)
        self.line = line
        self.key = key
        self.also: list[DefinitionError] = []

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return visible(f"{place}: {self.message}", 2000)

    @property
    def every(self) -> list["DefinitionError"]:
        """Return this mistake and those that were found with it."""
        return [self, *(inner for other in self.also for inner in other.every)]


def raise_all(problems: list[DefinitionError]) -> None:
    """Raise the first mistake, with the others in its `also`; do nothing where there is none."""
    if problems:
        first, *others = problems
        first.also += others
        raise first


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean `x`?" for the nearest known word, or nothing."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:
        folded = {name.lower().replace("_", "-"): name for name in known}
        near = [folded[key] for key in (word.lower().replace("_", "-"),) if key in folded]
    return f"; did you mean `{near[0]}`?" if near else ""
