"""What becomes of each line of an nhc.conf: a check of ours, a program, or nothing, and why?"""

import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from hpcdoctor.expressions.reach import settled
from hpcdoctor.nhc import (
    commands,
    dmi,
    files,
    filesystem,
    gpu,
    hardware,
    limits,
    network,
    options,
    processes,
    shell,
    targets,
)
from hpcdoctor.nhc.lines import (
    LOOKS_LIKE_REGEX,
    Line,
    collapse,
    collapsed_within_quotes,
    physical_lines,
    read_lines,
)
from hpcdoctor.nhc.looks import Act, act_of_values, act_of_words, first_act
from hpcdoctor.nhc.notes import Call, Code, Notes, Warned
from hpcdoctor.nhc.words import CHECK_NAME, Shell, assignments, parse

GROUPS = {
    "check_hw_": hardware.convert,
    "check_dmi_": dmi.convert,
    "check_file_": files.convert,
    "check_fs_": filesystem.convert,
    "check_ps_": processes.convert,
    "check_cmd_": commands.convert,
    "check_net_": network.convert,
    "check_nv": gpu.convert,
    "check_moab_": gpu.convert,
}
TOO_LATE = {
    "TIMEOUT": "the watchdog has started already",
    "NHC_RM": "the scheduler has been chosen already",
    "HOSTNAME": "the lines have been selected by the kernel's host name already",
}
BYTE_ORDER_MARKS = ("\ufeff", "\u00ef\u00bb\u00bf")  # the second: read as Latin 1
OFF = "written with `enabled: false`"
SUBSTITUTIONS = ("command substitution", "an expansion of the shell ($...)", "brace expansion")


class Kind(StrEnum):
    CONVERTED = "converted"
    PASSTHROUGH = "passthrough"
    UNCONVERTED = "unconverted"
    VARIABLE = "variable"
    NEVER_RUN = "never run"  # NHC does not see it, or leaves it out


class Item(msgspec.Struct, frozen=True):
    """One line that is neither blank nor a comment, and what becomes of it."""

    line: Line
    target: str
    check: str  # as eval gets it
    kind: Kind
    here: bool  # the host that is asked about runs it
    warnings: list[Warned]
    why: str = ""  # it is not converted or never run
    notes: Notes | None = None
    words: list[str] = []  # of a converted line, all of them literal
    raw: bool = False  # the shell is to read the text itself
    acts: bool = False  # it is not known to only look at the node, so it is switched off
    own: bool = False  # it calls a function of the site's
    variables: list[str] = []  # lines with variables that come before it

    @property
    def better(self) -> list[str]:
        return self.notes.better if self.notes else []

    @property
    def told(self) -> list[str]:
        return self.notes.told if self.notes else []


class Import(msgspec.Struct, frozen=True):
    """A whole nhc.conf, for one host."""

    file: str
    host: str
    items: list[Item]
    physical: int
    comments: int
    warnings: list[tuple[int, Warned]]  # of the file and its comments: with their lines

    def of(self, kind: Kind) -> list[Item]:
        return [item for item in self.items if item.kind is kind]

    def all_warnings(self) -> list[tuple[int, Warned]]:
        found = [*self.warnings]
        found += [(item.line.number, each) for item in self.items for each in item.warnings]
        return sorted(found, key=lambda each: each[0])


class Setting(msgspec.Struct, frozen=True):
    """A line that sets variables."""

    target: str
    here: bool
    text: str
    values: dict[str, str | None]
    number: int
    act: Act | None  # what is not known to only look, and would be done once more


class _Variables:
    """What the lines before have set, for whom."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.set: list[Setting] = []

    def of(self, target: str) -> list[Setting]:
        return [each for each in self.set if each.here or each.target in ("*", target)]

    def values(self, target: str) -> dict[str, str]:
        values: dict[str, str | None] = {
            "HOSTNAME": self.host,
            "HOSTNAME_S": self.host.partition(".")[0],
        }
        for each in self.of(target):
            values.update(each.values)
        return {name: value for name, value in values.items() if value is not None}

    def lines(self, target: str) -> list[str]:
        return [each.text for each in self.of(target)]

    def act(self, target: str) -> Setting | None:
        return next((each for each in self.of(target) if each.act is not None), None)


def convert_file(text: str, file: str, host: str, functions: Iterable[str] = ()) -> Import:
    """Return what becomes of every line; `functions` are the site's own checks that are given."""
    items: list[Item] = []
    warned: list[tuple[int, Warned]] = []
    comments = 0
    variables = _Variables(host)
    own = frozenset(functions)
    for mark in BYTE_ORDER_MARKS:
        if text.startswith(mark):
            text = text.removeprefix(mark)
            message = (
                "the file begins with a byte order mark (EF BB BF), which is a part of the first "
                "line to NHC: no host matches that, and no `#` begins it; it is left out here, "
                "leave it out there: sed -i '1s/^\\xef\\xbb\\xbf//'"
            )
            warned.append((1, Warned(Code.BYTE_ORDER_MARK, message)))
    returns = text.count("\r")
    if returns:
        number = text[: text.index("\r")].count("\n") + 1
        message = (
            f"{returns} carriage returns: each stays on the last word of its line, which then is "
            "another one; write the file anew with `tr -d '\\r'` and import that"
        )
        warned.append((number, Warned(Code.CRLF, message)))
    for line in read_lines(text):
        if line.is_blank:
            continue
        if line.is_comment:
            comments += 1
            if line.swallowed:
                message = f"a comment ends in a backslash and swallows: {line.swallowed}"
                warned.append((line.number, Warned(Code.COMMENT_CONTINUED, message)))
            continue
        items.append(_item(line, host, variables, own))
    return Import(file, host, items, physical_lines(text), comments, warned)


def _item(line: Line, host: str, variables: _Variables, own: frozenset[str]) -> Item:
    notes = Notes()
    parts = line.parts
    if parts is None:
        text = "no `||` parts host and check, so it is taken for both and in effect never run"
        notes.warn(Code.NO_SEPARATOR, text)
        return Item(line, "", line.text, Kind.NEVER_RUN, False, notes.warnings, text)
    target, check = parts[0], collapse(parts[1])
    if not line.complete:
        text = "no newline ends it, and NHC drops such a last line"
        notes.warn(Code.LAST_LINE_DROPPED, text)
        return Item(line, target, check, Kind.NEVER_RUN, False, notes.warnings, text)
    if not target or not check:
        text = f"there is no {'host' if not target else 'check'}, and NHC passes over it"
        return Item(line, target, check, Kind.NEVER_RUN, False, notes.warnings, text)
    pattern = targets.parse(target)
    _look_at_text(line, parts[1], notes)
    notes.mstr(target, "the host expression")
    here = targets.matches(pattern, host)
    if pattern.kind is not targets.Kind.RANGE and (reason := targets.why_not_tried(pattern)):
        notes.told.append(f"the host expression is taken to match nothing: {reason}")
        here = False
    values = variables.values(target)
    found = parse(check, values)
    before = variables.lines(target)
    item = Item(
        line,
        target,
        check,
        Kind.PASSTHROUGH,
        here,
        notes.warnings,
        "",
        notes,
        [],
        raw=True,
        variables=before,
    )
    broken = found.broken or shell.read(check).broken
    if broken:
        return _not(item, f"the shell cannot run it: {broken}")
    assigned = assignments(found.words)
    if assigned is not None and (not found.more or found.more in SUBSTITUTIONS):
        return _variable(item, found, assigned, variables, own)
    strange = [
        word
        for word in found.words
        if CHECK_NAME.fullmatch(word) and word not in options.TAKES and word not in own
    ]
    first = found.words[0] if found.words else ""
    if first in strange or (strange and found.more):
        name = first if first in strange else strange[0]
        return _not(item, f"{name} is no check of NHC's own; give the site's file with --functions")
    if first in options.TAKES and not found.more and not found.unknown:
        return _built_in(item, found, notes, variables)
    return _passed_through(item, found, notes, variables, own)


def _not(item: Item, why: str) -> Item:
    warned = [*item.warnings, Warned(Code.UNCONVERTED, why)]
    return msgspec.structs.replace(item, kind=Kind.UNCONVERTED, why=why, warnings=warned)


def _look_at_text(line: Line, check: str, notes: Notes) -> None:
    looks = sorted({f"\\{char}" for char in line.lost if char in LOOKS_LIKE_REGEX})
    if looks:
        notes.warn(
            Code.BACKSLASH_LOST,
            f"NHC eats the backslash of {' '.join(looks)} before it looks at the line; write two "
            f"(it reads: {line.text})",
        )
    if collapsed_within_quotes(check):
        notes.warn(
            Code.BLANKS_COLLAPSED, "NHC makes one blank of each run of blanks, within quotes too"
        )


def _variable(
    item: Item,
    found: Shell,
    assigned: dict[str, str],
    variables: _Variables,
    own: frozenset[str],
) -> Item:
    notes = item.notes or Notes()
    for name in assigned:
        if name in TOO_LATE:
            notes.warn(Code.NO_EFFECT_HERE, f"{name} is set too late here: {TOO_LATE[name]}")
    act = first_act(item.check, own) or act_of_values(assigned)
    if act is not None:
        notes.warn(
            Code.DESTRUCTIVE if act.known else Code.UNKNOWN_PROGRAM,
            f"{act.told()}: the programs of the lines behind it, which set this variable first, "
            "are written with `enabled: false`",
        )
    known = not found.more and not found.unknown and not found.facts
    values = {name: value if known else None for name, value in assigned.items()}
    variables.set.append(Setting(item.target, item.here, item.check, values, item.line.number, act))
    return msgspec.structs.replace(item, kind=Kind.VARIABLE, acts=act is not None)


def _built_in(item: Item, found: Shell, notes: Notes, variables: _Variables) -> Item:
    call = options.read(found.words)
    if not isinstance(call, Call):
        return _not(item, call)
    for prefix, convert in GROUPS.items():
        if call.check.startswith(prefix):
            convert(call, notes)
    if notes.why_not:
        return _not(item, notes.why_not)
    if found.facts:
        notes.checks.clear()
        notes.mounts.clear()
    else:
        limits.look(call, notes)
        _leave_out_settled(notes)
    if notes.never_fails:
        return msgspec.structs.replace(item, kind=Kind.CONVERTED, words=found.words)
    words = notes.words or found.words
    runs_program = not notes.checks and not notes.mounts
    act = act_of_words(found.words) if runs_program else None
    acts = _switched_off(notes, act, variables.act(item.target) if runs_program else None)
    return msgspec.structs.replace(
        item, kind=Kind.CONVERTED, words=words, raw=bool(found.facts), acts=acts
    )


def _leave_out_settled(notes: Notes) -> None:
    """Keep the checks that depend on the node: lint has doubts about all others."""
    answers = [settled(check.when) for check in notes.checks]
    if False in answers:
        notes.nothing_asked()
    elif True in answers:  # a program says it as NHC does, on every node
        notes.checks.clear()


def _passed_through(
    item: Item, found: Shell, notes: Notes, variables: _Variables, own: frozenset[str]
) -> Item:
    if not found.words:
        notes.told.append("nothing is left of it but a comment: it always passes")
    if found.unknown:
        names = ", ".join(f"${name}" for name in dict.fromkeys(found.unknown))
        notes.told.append(f"{names}: this file does not set it; empty, unless the system sets it")
    acts = _switched_off(notes, first_act(item.check, own), variables.act(item.target))
    calls = not own.isdisjoint(re.findall(r"[A-Za-z_]\w*", item.check))
    return msgspec.structs.replace(item, acts=acts, own=calls)


def _switched_off(notes: Notes, act: Act | None, before: Setting | None) -> bool:
    """Say why a line's program is written switched off; False where it is not."""
    if act is not None:
        notes.warn(Code.DESTRUCTIVE if act.known else Code.UNKNOWN_PROGRAM, f"{act.told()}: {OFF}")
    elif before is not None and before.act is not None:
        notes.told.append(
            f"written with `enabled: false`: it sets the variable of line {before.number} first"
        )
    return act is not None or before is not None
