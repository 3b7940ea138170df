"""Does a text for the shell only look at the node? What is not known to, does not.

The tables are in lookers.py. Every command of a text is judged: those within substitutions, behind
wrappers such as timeout and sudo, and the one that check_cmd_* is to run.
"""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import PurePosixPath

import msgspec

from hpcdoctor.nhc.lookers import (
    ACTORS,
    ASSIGNMENT,
    DANGEROUS,
    FOLDERS,
    HARMLESS_FILES,
    LOOKERS,
    NEVER_WITH,
    ONLY,
    RUN_BY_CHECKS,
    SHELLS,
    WRAPPERS,
)
from hpcdoctor.nhc.options import TAKES
from hpcdoctor.nhc.shell import HELD, LOOSE, Script, Word, read

DEEPEST = 8


class Act(msgspec.Struct, frozen=True):
    """The first thing in a text that is not known to only look."""

    text: str
    known: bool  # True: it is known to act; False: nothing is known of it

    def told(self) -> str:
        if self.known:
            return f"`{self.text}` does something to the node"
        return f"{self.text} is not known to only look"


def first_act(text: str, own: Collection[str] = ()) -> Act | None:
    """Return what in a text is not known to only look; `own` are functions of the site's."""
    return _script(read(text), own, 0)


def act_of_words(words: list[str], own: Collection[str] = ()) -> Act | None:
    """Return the same of one program with its arguments, which no shell has a look at."""
    return _command([Word(word, bare=False) for word in words], own, 0)


def act_of_values(values: Mapping[str, str]) -> Act | None:
    """Return the first variable that has our own checks run another program than the usual one."""
    for name, value in values.items():
        usual = RUN_BY_CHECKS.get(name)
        path = PurePosixPath(value)
        if usual is not None and value and (path.name != usual or len(value.split()) != 1):
            return Act(f"`{value}`, which {name} names in place of {usual},", known=False)
    return None


def _script(script: Script, own: Collection[str], depth: int) -> Act | None:
    for words in script.commands:
        found = _command(words, own, depth)
        if found is not None:
            return found
    for file in script.writes:
        if file not in HARMLESS_FILES:
            shown = "a file" if HELD in file or LOOSE in file else file
            return Act(f"> {shown}", known=True)
    if script.strange:
        return Act(f"a text with {script.strange}", known=False)
    if script.broken:
        return Act("a text that cannot be read", known=False)
    return None


def _command(words: list[Word], own: Collection[str], depth: int) -> Act | None:
    left = list(words)
    while left and (match := ASSIGNMENT.fullmatch(left[0].text)) is not None:
        if DANGEROUS.fullmatch(match[1]):
            return Act(f"`{match[1]}=`", known=False)
        left.pop(0)
    if not left:
        return None
    if depth > DEEPEST:
        return Act("a program behind so many others", known=False)
    texts = [word.text for word in left]
    if HELD in texts[0] or LOOSE in texts[0]:
        return Act("a program whose name the shell fills in", known=False)
    if any(HELD in text or LOOSE in text for text in texts[1:2]) and texts[0] in WRAPPERS:
        return Act(f"`{texts[0]}` with a program whose name the shell fills in", known=False)
    return _program(texts, own, depth)


def _program(texts: list[str], own: Collection[str], depth: int) -> Act | None:
    name, arguments = texts[0], texts[1:]
    if name in own:
        return Act(f"`{name}`, a function of the site's,", known=False)
    if name in TAKES:
        return _check(name, arguments, own, depth)
    path = PurePosixPath(name)
    if "/" in name and str(path.parent) not in FOLDERS:
        return Act(f"`{name}`", known=False)
    program = path.name
    joined = " ".join(arguments)
    if program in SHELLS:
        if len(arguments) == 2 and arguments[0] == "-c":
            if HELD in arguments[1] or LOOSE in arguments[1]:
                return Act(f"`{program} -c` with a text that the shell fills in", known=False)
            return _script(read(arguments[1]), own, depth + 1)
        return Act(f"`{program}`", known=False)
    if program == "command" and re.fullmatch(ONLY["command"], joined):
        return None
    if program in WRAPPERS:
        return _wrapped(program, arguments, own, depth)
    if program in LOOKERS:
        loads = [word for word in arguments if DANGEROUS.fullmatch(word.partition("=")[0])]
        return Act(f"`{program} {loads[0]}`", known=False) if loads else None
    judge = JUDGES.get(program)
    if judge is not None and judge(arguments):
        return None
    if program in NEVER_WITH and not any(
        argument.startswith(LOOSE) or re.fullmatch(NEVER_WITH[program], argument, re.DOTALL)
        for argument in arguments
    ):
        return None
    shown = " ".join(texts).replace(HELD, "$...").replace(LOOSE, "$...")
    if program in ONLY and re.fullmatch(ONLY[program], joined, re.DOTALL):
        # What the shell fills in may be an option, or many words.
        filled = [joined.replace(LOOSE, words) for words in ("-x", "--x y")]
        if all(re.fullmatch(ONLY[program], each, re.DOTALL) for each in filled):
            return None
        return Act(f"`{shown}`, where the shell fills in any words,", known=False)
    acts = program in ACTORS or program.startswith("mkfs.") or program in JUDGES
    acts = acts or program in NEVER_WITH or program in ONLY
    return Act(shown if acts else f"`{program}`", known=acts)


def _check(name: str, arguments: list[str], own: Collection[str], depth: int) -> Act | None:
    """NHC's own checks look, here; but two of them run a program."""
    if not name.startswith("check_cmd_"):
        return None
    takes = TAKES[name] or ""
    left = list(arguments)
    programs: list[list[str]] = []
    while left and left[0].startswith("-") and len(left[0]) > 1:
        option = left.pop(0)
        if LOOSE in option or option[1] not in takes.replace(":", ""):
            return Act(f"`{name} {option}`".replace(LOOSE, "$..."), known=False)
        value = option[2:] or (left.pop(0) if left else "")
        if option[1] == "e":
            programs.append(value.split())
    if left and name != "check_cmd_dmesg":
        programs.append(left)
    for words in programs:
        found = _command([Word(word, bare=False) for word in words], own, depth + 1)
        if found is not None:
            return found
    return None


def _wrapped(program: str, arguments: list[str], own: Collection[str], depth: int) -> Act | None:
    """Judge what a wrapper runs, once its own words are taken off."""
    left = list(arguments)
    pattern = re.compile(WRAPPERS[program])
    duration = program == "timeout"
    while left:
        match = pattern.match(" ".join(left) + " ")
        own_words = match[0].split() if match is not None else []
        is_option = bool(own_words) and (own_words[0].startswith("-") or program == "env")
        if own_words and (is_option or duration):
            duration = duration and is_option
            del left[: len(own_words)]
        else:
            break
    if not left:
        return None if program in ("env", "xargs", "exec", "nohup") else _unknown(program)
    if program == "xargs" and PurePosixPath(left[0]).name not in LOOKERS:
        return Act(f"`xargs {left[0]}`", known=False)
    return _command([Word(word, bare=False) for word in left], own, depth + 1)


def _unknown(program: str) -> Act:
    return Act(f"`{program}` alone", known=False)


def _awk_looks(arguments: list[str]) -> bool:
    """Tell whether an awk program neither runs nor writes anything."""
    left = list(arguments)
    while left and left[0].startswith("-"):
        option = left.pop(0)
        if option in ("-F", "-v") and left:
            left.pop(0)
        elif re.fullmatch(r"-[Fv].+", option, re.DOTALL) is None:
            return False
    if not left or HELD in left[0] or LOOSE in left[0]:
        return False
    # Texts and what is behind || go first: the rest shows a pipe or a redirection.
    program = re.sub(r'"(?:[^"\\]|\\.)*"', '""', left[0])
    if re.search(r"\bsystem\b|@|(?<!\|)\|(?!\|)|>>", program):
        return False
    return re.search(r"\bprintf?\b[^;}\n]*>", program) is None


_LINE = r"(?:\d+|\$|/(?:[^/\\]|\\.)*/)"
_ADDRESS = rf"(?:{_LINE}(?:,{_LINE})?!?)?"
_SED = re.compile(
    rf"{_ADDRESS}(?:[pdq=]|s([/|,#@:])(?:(?!\1)[^\\]|\\.)*\1(?:(?!\1)[^\\]|\\.)*\1[gpI0-9]*)"
    rf"(?:;{_ADDRESS}[pdq=])*;?"
)


def _sed_looks(arguments: list[str]) -> bool:
    scripts: list[str] = []
    left = list(arguments)
    named = False
    while left:
        word = left.pop(0)
        if re.fullmatch(r"-[nErsu]+|--quiet|--silent|--regexp-extended", word):
            continue
        if word == "-e" and left:
            scripts.append(left.pop(0))
            named = True
        elif word.startswith(("-", LOOSE)):
            return False
        elif not named and not scripts:
            scripts.append(word)
    return bool(scripts) and all(
        _SED.fullmatch(script) and HELD not in script and LOOSE not in script for script in scripts
    )


def _curl_looks(arguments: list[str]) -> bool:
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word in ("-o", "--output"):
            if not left or left.pop(0) != "/dev/null":
                return False
        elif word in ("-m", "--max-time", "--connect-timeout", "-w", "--write-out", "--retry"):
            if not left:
                return False
            left.pop(0)
        elif re.fullmatch(r"-[sSfkIL46g]+|--(?:silent|show-error|fail|insecure|head)", word):
            continue
        elif word.startswith(("-", LOOSE)):
            return False
    return True


JUDGES: Mapping[str, Callable[[list[str]], bool]] = {
    "awk": _awk_looks,
    "gawk": _awk_looks,
    "mawk": _awk_looks,
    "sed": _sed_looks,
    "curl": _curl_looks,
}
