"""Which commands are in a text for the shell, and could the shell run it at all?

Only read, never run. What is not read here (`case`, functions, here-documents) is called strange:
then nobody knows all of its commands. What the shell itself would refuse is called broken.
"""

import re
from typing import NoReturn

import msgspec

HELD = "\ufffd"  # what the shell fills in here stays one word
LOOSE = "\ufffe"  # it may become any number of words, also options
LONGEST = 20_000
DEEPEST = 12
OPERATOR = re.compile(
    r";;&|;;|;&|&&|\|\||\|&|&>>|&>|<<<|<<-|<<|<&|<>|>>|>&|>\||\(\(|[;&|<>()]"
)  # fmt: skip
REDIRECTS = (">", ">>", ">|", ">&", "&>", "&>>", "<", "<&", "<>", "<<<")
WRITES = (">", ">>", ">|", ">&", "&>", "&>>", "<>")
NEVER_FIRST = ("then", "elif", "else", "fi", "do", "done", "esac", "}", "in", "]]")
BRACES = re.compile(r"\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}")


class Word(msgspec.Struct, frozen=True):
    text: str  # quotes and escapes done; HELD or LOOSE where the shell fills something in
    bare: bool  # nothing in it is quoted or filled in: it may be a keyword


class Script(msgspec.Struct, frozen=True):
    """All simple commands of a text, those within substitutions too."""

    commands: list[list[Word]]
    writes: list[str]  # files that a redirection writes to
    strange: str = ""  # what is not read here; the commands are not all there are
    broken: str = ""  # why the shell would refuse it


class Strange(Exception):
    pass


class Broken(Exception):
    pass


def read(text: str) -> Script:
    """Return what a text would have the shell do."""
    commands: list[list[Word]] = []
    writes: list[str] = []
    try:
        _read(text, commands, writes, 0)
    except Strange as error:
        return Script(commands, writes, strange=str(error))
    except Broken as error:
        return Script(commands, writes, broken=str(error))
    return Script(commands, writes)


def _read(text: str, commands: list[list[Word]], writes: list[str], depth: int) -> None:
    if len(text) > LONGEST:
        raise Strange(f"a text of {len(text)} characters")
    if depth > DEEPEST:
        raise Strange("substitutions within substitutions")
    words = _Words(text, commands, writes, depth)
    words.read()
    _Grammar(words.tokens, commands, writes).script()


class _Words:
    """Takes a text apart into words and operators; substitutions are read at once."""

    def __init__(
        self, text: str, commands: list[list[Word]], writes: list[str], depth: int
    ) -> None:
        self.text = text
        self.at = 0
        self.depth = depth
        self.within = 0
        self.commands = commands
        self.writes = writes
        self.tokens: list[Word | str] = []  # an operator is a plain text
        self.word: list[str] | None = None
        self.bare = True

    def read(self) -> None:
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            if char in " \t":
                self.end_word()
                self.at += 1
            elif char == "#" and self.word is None:
                return
            elif char == "\n":
                self.end_word()
                self.tokens.append(";")
                self.at += 1
            elif char in ";&|<>()":
                self.operator()
            elif char == "'":
                end = text.find("'", self.at + 1)
                if end < 0:
                    raise Broken("a single quote is never closed")
                self.put(text[self.at + 1 : end], bare=False)
                self.at = end + 1
            elif char == '"':
                end = _end_of_quotes(text, self.at)
                self.put(self.filled(text[self.at + 1 : end]), bare=False)
                self.at = end + 1
            elif char == "\\":
                self.put(text[self.at + 1 : self.at + 2], bare=False)
                self.at += 2
            elif char in "$`":
                filled, self.at = self.expansion(text, self.at)
                self.put(LOOSE if filled == HELD else filled, bare=False)
            else:
                found = BRACES.match(text, self.at) if char == "{" else None
                self.put(LOOSE if found else char, bare=not found)
                self.at = found.end() if found else self.at + 1
        self.end_word()

    def put(self, text: str, *, bare: bool) -> None:
        if self.word is None:
            self.word, self.bare = [], True
        self.word.append(text)
        self.bare = self.bare and bare

    def end_word(self) -> None:
        if self.word is not None:
            self.tokens.append(Word("".join(self.word), self.bare))
        self.word = None

    def operator(self) -> None:
        text = self.text
        if text[self.at] in "<>" and text[self.at + 1 : self.at + 2] == "(":
            end = _end_of_parentheses(text, self.at + 1)
            self.inner(text[self.at + 2 : end])
            self.put(HELD, bare=False)
            self.at = end + 1
            return
        found = OPERATOR.match(text, self.at)
        assert found is not None  # noqa: S101  # the pattern has every character that comes here
        if text[self.at] in "<>" and self.bare and self.word and "".join(self.word).isdecimal():
            self.word = None  # the number of a file, as in 2>
        self.end_word()
        if found[0] != "((":
            self.tokens.append(found[0])
            self.at = found.end()
            return
        end = _end_of_parentheses(text, self.at)
        if text[end - 1] != ")":  # a group within a group
            self.tokens.append("(")
            self.at += 1
            return
        self.filled(text[self.at + 2 : end - 1])
        self.tokens.append("((")
        self.at = end + 1

    def filled(self, text: str) -> str:
        """Return what double quotes hold, with the substitutions read."""
        found: list[str] = []
        at = 0
        self.within += 1
        if self.within > DEEPEST:
            raise Strange("expansions within expansions")
        while at < len(text):
            if text[at] == "\\" and text[at + 1 : at + 2] in ("$", "`", '"', "\\"):
                found.append(text[at + 1])
                at += 2
            elif text[at] in "$`":
                piece, at = self.expansion(text, at)
                found.append(piece)
            else:
                found.append(text[at])
                at += 1
        self.within -= 1
        return "".join(found)

    def expansion(self, text: str, at: int) -> tuple[str, int]:
        """Return what stands for the `$...` or backtick at a place, and where it ends."""
        if text[at] == "`":
            end = at + 1
            while end < len(text) and text[end] != "`":
                end += 2 if text[end] == "\\" else 1
            if end >= len(text):
                raise Broken("a backtick is never closed")
            self.inner(re.sub(r"\\([$`\\])", r"\1", text[at + 1 : end]))
            return HELD, end + 1
        if text.startswith("$(", at):
            end = _end_of_parentheses(text, at + 1)
            if text.startswith("$((", at) and text[end - 1] == ")":
                self.filled(text[at + 3 : end - 1])
            else:
                self.inner(text[at + 2 : end])
            return HELD, end + 1
        if text.startswith("${", at):
            end = _end_of_braces(text, at + 1)
            self.filled(text[at + 2 : end])
            return HELD, end + 1
        found = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|[-@*#?$!0-9])", re.ASCII).match(text, at)
        if found is not None:
            return HELD, found.end()
        if text[at + 1 : at + 2] in ("'", '"'):
            raise Strange("$ before a quote")
        return "$", at + 1

    def inner(self, text: str) -> None:
        if text.strip(" \t\n"):
            _read(text, self.commands, self.writes, self.depth + 1)


def _end_of_quotes(text: str, at: int) -> int:
    end = _skip(text, at)
    if end < 0:
        raise Broken("a double quote is never closed")
    return end


def _end_of_parentheses(text: str, at: int) -> int:
    end = _skip(text, at)
    if end < 0:
        raise Broken("a parenthesis is never closed")
    return end


def _end_of_braces(text: str, at: int) -> int:
    end = _skip(text, at)
    if end < 0:
        raise Broken("`${` is never closed")
    return end


def _skip(text: str, at: int) -> int:
    """Return where what opens at a place is closed, quotes and all; -1 where it never is."""
    open_now: list[str] = []
    while at < len(text):
        char, within = text[at], open_now[-1] if open_now else ""
        if char == "\\":
            at += 1
        elif char == "'" and within != '"':
            at = text.find("'", at + 1)
            if at < 0:
                return -1
        elif char == "`":
            at = text.find("`", at + 1)
            if at < 0:
                return -1
        elif char == '"':
            if within == '"':
                open_now.pop()
            else:
                open_now.append('"')
        elif char == "(" and (within in ("(", "") or text[at - 1] == "$"):
            open_now.append("(")
        elif char == "{" and (within == "" or text[at - 1] == "$"):
            open_now.append("{")
        elif (char == ")" and within == "(") or (char == "}" and within == "{"):
            open_now.pop()
        if not open_now:
            return at
        at += 1
    return -1


class _Grammar:
    """Reads lists, pipelines and compound commands, and collects the simple ones."""

    def __init__(
        self, tokens: list[Word | str], commands: list[list[Word]], writes: list[str]
    ) -> None:
        self.tokens = tokens
        self.at = 0
        self.commands = commands
        self.writes = writes
        self.deep = 0

    def peek(self) -> Word | str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def keyword(self) -> str:
        """Return the next word where it may be a keyword."""
        token = self.peek()
        return token.text if isinstance(token, Word) and token.bare else ""

    def script(self) -> None:
        if self.tokens:
            self.several("", ())

    def several(self, opening: str, closers: tuple[str, ...]) -> str:
        """Read commands up to one of the closers, and return it."""
        any_yet, close = False, ")"
        while True:
            token = self.peek()
            if token is None:
                if opening:
                    raise Broken(f"`{opening}` has no `{closers[-1]}`")
                return ""
            here = close if token == close else self.keyword()
            if here in closers:
                if not any_yet:
                    raise Broken(f"no command stands between `{opening}` and `{here}`")
                self.at += 1
                return here
            self.chain()
            any_yet = True
            token = self.peek()
            if token in (";", "&"):
                self.at += 1
            elif token is not None and not (token == close and close in closers):
                self.refuse(token)

    def chain(self) -> None:
        self.pipeline()
        while self.peek() in ("&&", "||"):
            self.at += 1
            self.pipeline()

    def pipeline(self) -> None:
        start = self.at
        while self.keyword() in ("!", "time"):
            self.at += 1
        if self.at > start and self.peek() in (None, ";"):
            return  # `!` alone is `false`
        self.command()
        while self.peek() in ("|", "|&"):
            self.at += 1
            while self.keyword() in ("!", "time"):
                raise Strange(f"`{self.keyword()}` behind a pipe")
            self.command()

    def command(self) -> None:
        self.deep += 1
        if self.deep > DEEPEST:
            raise Strange("commands within commands")
        self.one()
        self.deep -= 1

    def one(self) -> None:
        token = self.peek()
        word = self.keyword()
        if token is None:
            raise Broken("it ends where a command is due")
        if isinstance(token, str) and token == "((":  # noqa: S105  # arithmetic, no password
            self.at += 1
        elif isinstance(token, str) and token == "(":  # noqa: S105
            self.at += 1
            self.several("(", (")",))
        elif isinstance(token, str) and token not in (*REDIRECTS, "<<", "<<-"):
            self.refuse(token)
        elif word == "{":
            self.at += 1
            self.several("{", ("}",))
        elif word == "if":
            self.at += 1
            self.condition()
        elif word in ("while", "until"):
            self.at += 1
            self.several(word, ("do",))
            self.several("do", ("done",))
        elif word == "for":
            self.loop()
        elif word == "[[":
            self.test()
        elif word in ("case", "select", "function", "coproc"):
            raise Strange(f"`{word}`")
        elif word in NEVER_FIRST:
            self.refuse(word)
        else:
            self.simple()
            return
        while self.peek() in REDIRECTS:
            self.redirect()

    def condition(self) -> None:
        self.several("if", ("then",))
        closer = self.several("if", ("elif", "else", "fi"))
        while closer == "elif":
            self.several("elif", ("then",))
            closer = self.several("if", ("elif", "else", "fi"))
        if closer == "else":
            self.several("else", ("fi",))

    def loop(self) -> None:
        self.at += 1
        name = self.peek()
        if name == "((":
            raise Strange("`for ((`")
        if not isinstance(name, Word) or not name.bare:
            raise Broken("`for` has no variable")
        self.at += 1
        if self.keyword() == "in":
            self.at += 1
            while isinstance(self.peek(), Word):
                self.at += 1
        if self.peek() == ";":
            self.at += 1
        if self.keyword() != "do":
            raise Broken("`for` has no `do`")
        self.at += 1
        self.several("do", ("done",))

    def test(self) -> None:
        start = self.at
        while self.keyword() != "]]":
            if self.peek() is None:
                raise Broken("`[[` has no `]]`")
            self.at += 1
        if self.at == start + 1:
            raise Broken("nothing stands between `[[` and `]]`")
        self.at += 1

    def simple(self) -> None:
        words: list[Word] = []
        while True:
            token = self.peek()
            if isinstance(token, Word):
                words.append(token)
                self.at += 1
            elif token in (*REDIRECTS, "<<", "<<-"):
                self.redirect()
            elif token in ("(", "((") and words:
                raise Strange("a function, or parentheses behind a word")
            else:
                break
        self.commands.append(words)

    def redirect(self) -> None:
        sign = self.peek()
        if sign in ("<<", "<<-"):
            raise Strange("a here-document")
        self.at += 1
        target = self.peek()
        if not isinstance(target, Word):
            raise Broken(f"no file stands behind `{sign}`")
        self.at += 1
        if sign in WRITES and not (sign == ">&" and re.fullmatch(r"\d*-?", target.text)):
            self.writes.append(target.text)

    def refuse(self, token: Word | str) -> NoReturn:
        text = token.text if isinstance(token, Word) else token
        raise Broken(f"`{text}` stands where the shell does not expect it")
