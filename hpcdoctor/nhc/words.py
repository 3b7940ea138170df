"""Which words does the shell make of a check's text, and is there more in it than words?

Quotes and escapes are done, `$NAME` and `$((...))` are filled in where the file says their values.
All else that a shell does (pipes, lists, substitutions, brace expansion) is only recognised.
"""

import re
from collections.abc import Mapping

import msgspec

OPERATORS = ";&|<>()\n"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
ARITHMETIC = re.compile(r"[-+*/%()\s\w]+", re.ASCII)
CHECK_NAME = re.compile(r"\bcheck_[A-Za-z0-9_]+")
# What NHC's own hardware check gathers; a line may calculate with it.
FACTS = frozenset({"HW_CORES", "HW_SOCKETS", "HW_THREADS", "HW_RAM_TOTAL", "HW_SWAP_TOTAL"})
LONGEST_NUMBER = 12
DEEPEST = 20


class Shell(msgspec.Struct, frozen=True):
    """What a text is to the shell."""

    words: list[str]  # literal, as far as they are known
    more: str = ""  # what makes it more than words: "a pipe or a list (|)"; "" for words alone
    broken: str = ""  # why the shell itself would refuse it
    unknown: tuple[str, ...] = ()  # variables whose values this file does not say
    facts: tuple[str, ...] = ()  # of the hardware, known on the node only


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self.text = text
        self.at = 0
        self.variables = variables
        self.words: list[str] = []
        self.word: list[str] | None = None
        self.more = ""
        self.broken = ""
        self.unknown: list[str] = []
        self.facts: list[str] = []

    def read(self) -> Shell:
        while self.at < len(self.text) and not self.broken:
            self.step(self.text[self.at])
        self.end_word()
        return Shell(self.words, self.more, self.broken, tuple(self.unknown), tuple(self.facts))

    def put(self, text: str) -> None:
        if self.word is None:
            self.word = []
        self.word.append(text)

    def end_word(self) -> None:
        if self.word is not None:
            self.words.append("".join(self.word))
        self.word = None

    def step(self, char: str) -> None:
        text, at = self.text, self.at
        if char in " \t":
            self.end_word()
            self.at += 1
        elif char == "#" and self.word is None:
            self.at = len(text)
        elif char in OPERATORS:
            self.end_word()
            self.more = self.more or f"shell syntax ({char.strip() or 'a new line'})"
            self.at += 1
        elif char == "'":
            end = text.find("'", at + 1)
            if end < 0:
                self.broken = "a single quote is never closed"
                return
            self.put(text[at + 1 : end])
            self.at = end + 1
        elif char == '"':
            self.quoted()
        elif char == "\\":
            self.put(text[at + 1 : at + 2])
            self.at += 2
        elif char == "$":
            self.dollar(within_quotes=False)
        elif char == "`":
            self.more = self.more or "command substitution"
            end = text.find("`", at + 1)
            self.at = end + 1 if end > 0 else len(text)
        else:
            if char == "{" and re.match(r"\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}", text[at:]):
                self.more = self.more or "brace expansion"
            if char == "~" and self.word is None:
                self.more = self.more or "a home folder (~)"
            end = at + 1
            while end < len(text) and text[end] not in " \t'\"\\$`{~" + OPERATORS:
                end += 1
            self.put(text[at:end])
            self.at = end

    def quoted(self) -> None:
        """Read to the closing double quote, where `\\`, `$` and a backtick still count."""
        text = self.text
        self.put("")
        self.at += 1
        while self.at < len(text):
            char = text[self.at]
            if char == '"':
                self.at += 1
                return
            if (
                char == "\\"
                and text[self.at + 1 : self.at + 2] in '"\\$`'
                and self.at + 1 < len(text)
            ):
                self.put(text[self.at + 1])
                self.at += 2
            elif char == "$":
                self.dollar(within_quotes=True)
            elif char == "`":
                self.more = self.more or "command substitution"
                end = text.find("`", self.at + 1)
                self.at = end + 1 if end > 0 else len(text)
            else:
                self.put(char)
                self.at += 1
        self.broken = "a double quote is never closed"

    def dollar(self, *, within_quotes: bool) -> None:
        text, at = self.text, self.at
        if text.startswith("$((", at):
            end = text.find("))", at)
            if end > 0 and ARITHMETIC.fullmatch(text[at + 3 : end]):
                self.arithmetic(text[at + 3 : end])
                self.at = end + 2
                return
        if text.startswith("$(", at):
            self.more = self.more or "command substitution"
            self.at = _closing(text, at + 1)
            return
        found = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII).match(text, at)
        if found is not None:
            self.at = found.end()
            self.variable(found[1] or found[2], within_quotes=within_quotes)
        elif text.startswith("${", at) or text[at + 1 : at + 2] in tuple("@*#?$!0123456789'\""):
            self.more = self.more or "an expansion of the shell ($...)"
            self.put("")
            self.at += 2
        else:
            self.put("$")
            self.at += 1

    def variable(self, name: str, *, within_quotes: bool) -> None:
        value = self.variables.get(name)
        if value is None:
            (self.facts if name in FACTS else self.unknown).append(name)
            self.put("")
        elif within_quotes:
            self.put(value)
        else:  # unquoted, it is split once more
            parts = re.split(r"[ \t\n]+", value)
            for number, part in enumerate(parts):
                if number:
                    self.end_word()
                if part:
                    self.put(part)

    def arithmetic(self, expression: str) -> None:
        names = set(NAME.findall(expression))
        missing = sorted(names - set(self.variables))
        for name in missing:
            (self.facts if name in FACTS else self.unknown).append(name)
        result = None
        try:
            result = None if missing else _calculated(expression, self.variables)
        except ZeroDivisionError:
            self.broken = f"$(({expression})) divides by zero"
        except Unfinished:
            self.broken = f"$(({expression})) is no arithmetic"
        except ValueError:
            self.more = self.more or "arithmetic"
        self.put("" if result is None else str(result))


def parse(text: str, variables: Mapping[str, str]) -> Shell:
    """Return what the shell makes of a text, given the values of the file's variables."""
    return _Reader(text, variables).read()


def assignments(words: list[str]) -> dict[str, str] | None:
    """Return the variables of `NAME=value ...` or `export NAME=value ...`; None for all else."""
    if words and words[0] == "export" and len(words) > 1:
        words = words[1:]
        words = [word for word in words if NAME.fullmatch(word) is None]
    found = {}
    for word in words:
        match = ASSIGNMENT.fullmatch(word)
        if match is None:
            return None
        found[match[1]] = match[2]
    return found if words else None


class Unfinished(ValueError):
    """The shell itself would refuse it."""


def calculate(expression: str, variables: Mapping[str, str]) -> int | None:
    """Return the value of + - * / % and parentheses over whole numbers; None for all else."""
    try:
        return _calculated(expression, variables)
    except (ValueError, ZeroDivisionError):
        return None


def _calculated(expression: str, variables: Mapping[str, str]) -> int:
    tokens = re.findall(r"\d+|[A-Za-z_]\w*|[-+*/%()]", expression, re.ASCII)
    values = [variables.get(token, "") if NAME.fullmatch(token) else token for token in tokens]
    if not 0 < len(values) <= 100 or any(
        re.fullmatch(r"[0-9]{1,12}|[-+*/%()]", v) is None for v in values
    ):
        raise ValueError
    position = 0

    def peek() -> str:
        return values[position] if position < len(values) else ""

    def take() -> str:
        nonlocal position
        position += 1
        return values[position - 1] if position <= len(values) else ""

    def factor(depth: int) -> int:
        part = take()
        if depth > DEEPEST:
            raise ValueError
        if not part or part in "*/%)":
            raise Unfinished
        if part in "+-":
            value = factor(depth + 1)
            return -value if part == "-" else value
        if part == "(":
            value = total(depth + 1)
            if take() != ")":
                raise Unfinished
            return value
        if not part.isdecimal() or (len(part) > 1 and part[0] == "0"):
            raise ValueError  # a leading zero is octal to the shell
        return int(part)

    def product(depth: int) -> int:
        value = factor(depth)
        while peek() in ("*", "/", "%"):
            sign, other = take(), factor(depth)
            if sign == "*":
                value *= other
            elif other == 0:
                raise ZeroDivisionError
            else:  # the shell cuts towards zero
                quotient = abs(value) // abs(other) * (1 if (value < 0) == (other < 0) else -1)
                value = quotient if sign == "/" else value - quotient * other
        return value

    def total(depth: int) -> int:
        value = product(depth)
        while peek() in ("+", "-"):
            value = value + product(depth) if take() == "+" else value - product(depth)
        return value

    value = total(0)
    if position != len(values):
        raise Unfinished
    return value


def _closing(text: str, at: int) -> int:
    depth = 0
    for place in range(at, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return place + 1
    return len(text)
