"""Which logical lines does NHC make of the bytes of an nhc.conf, before it looks at any of them?

A shell `read` that is not raw reads the file: a backslash is eaten wherever it stands, also within
quotes and comments; before a newline it joins two lines. A last line without a newline is lost.
"""

import re

import msgspec

BLANKS = " \t"
# What people escape in a regular expression, and NHC then sees without the backslash.
LOOKS_LIKE_REGEX = frozenset("d.wbs$[(")


class Line(msgspec.Struct, frozen=True):
    """One logical line, as NHC sees it."""

    number: int  # of the first physical line
    last: int  # of the last physical line
    written: str  # as it stands in the file, the physical lines with their newlines
    text: str  # escapes done, lines joined, trimmed
    lost: tuple[str, ...]  # backslashes that were eaten before these characters
    complete: bool  # False: no newline ends it, and NHC never sees it

    @property
    def is_blank(self) -> bool:
        return not self.text

    @property
    def is_comment(self) -> bool:
        return self.text.startswith("#")

    @property
    def swallowed(self) -> str:
        """What a comment that ends in a backslash took with it; "" where it took nothing."""
        if not self.is_comment or self.last == self.number:
            return ""
        return " ".join(self.written.split("\n", 1)[1].split())

    @property
    def parts(self) -> tuple[str, str] | None:
        """TARGET and CHECK, trimmed; None where no `||` parts them."""
        target, bars, check = self.text.partition("||")
        return (target.strip(BLANKS), check.strip(BLANKS)) if bars else None


def read_lines(text: str) -> list[Line]:
    """Return the logical lines, blank ones and comments too."""
    found: list[Line] = []
    cooked: list[str] = []
    lost: list[str] = []
    number, first, start, at = 1, 1, 0, 0
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            following = text[at + 1]
            at += 2
            if following == "\n":
                number += 1
            else:
                cooked.append(following)
                if following != "\\":
                    lost.append(following)
            continue
        at += 1
        if char != "\n":
            cooked.append(char)
            continue
        joined = "".join(cooked).strip(BLANKS)
        found.append(Line(first, number, text[start : at - 1], joined, tuple(lost), complete=True))
        number += 1
        first, start, cooked, lost = number, at, [], []
    if start < len(text):
        joined = "".join(cooked).strip(BLANKS)
        end = number - 1 if text.endswith("\n") else number
        found.append(Line(first, end, text[start:], joined, tuple(lost), complete=False))
    return found


def looks_like_nhc_conf(text: str) -> bool:
    """Tell whether any line has host and check, or there is no line but comments."""
    lines = [line for line in read_lines(text) if not line.is_blank and not line.is_comment]
    return not lines or any(line.parts is not None for line in lines)


def physical_lines(text: str) -> int:
    return text.count("\n") + bool(text and not text.endswith("\n"))


def collapse(check: str) -> str:
    """Return the check as eval gets it: every run of blanks is one space, within quotes too."""
    return re.sub(r"[ \t]+", " ", check)


def collapsed_within_quotes(check: str) -> bool:
    """Tell whether blanks within quotes were changed."""
    quote = ""
    for at, char in enumerate(check):
        if quote and (
            char == "\t" or check[at : at + 2].strip(BLANKS) == "" != check[at + 1 : at + 2]
        ):
            return True
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
    return False
