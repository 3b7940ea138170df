"""What is a site told of its nhc.conf: what carries over, what is better, what never worked?"""

import textwrap
from collections import Counter

import msgspec

from hpcdoctor.model.text import visible
from hpcdoctor.nhc.convert import Import, Item, Kind
from hpcdoctor.nhc.notes import Code

WIDTH = 80
NARROWEST = 40
INDENT = " " * 12
MOST_OF_A_KIND = 6  # warnings of one code that are told one by one
EACH_FOR_ITSELF = (Code.DESTRUCTIVE, Code.UNKNOWN_PROGRAM)  # another reason each time
SCHEMA = "hpcdoctor.import-nhc/1"


class WarningLine(msgspec.Struct, frozen=True):
    line: int
    code: str
    text: str


class ItemLine(msgspec.Struct, frozen=True):
    line: int
    last_line: int
    target: str
    check: str
    kind: str
    selected: bool  # the host runs it
    how: str  # "check", "program", "off", "nothing" or ""
    why: str
    better: list[str]
    notes: list[str]
    warnings: list[str]


class Totals(msgspec.Struct, frozen=True):
    physical_lines: int
    comments: int
    variables: int
    converted: int
    passthrough: int
    unconverted: int
    selectable: int  # the sum of the four
    selected: int  # of those, what the host runs
    never_run: int
    switched_off: int  # of the converted and passed through: written with `enabled: false`
    warnings: dict[str, int]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    schema: str = SCHEMA
    file: str
    host: str
    totals: Totals
    lines: list[ItemLine]
    warnings: list[WarningLine]
    written: list[str]


def document(imported: Import, written: list[str]) -> Document:
    """Return the whole report for scripts."""
    warnings = imported.all_warnings()
    sums = {kind: len(imported.of(kind)) for kind in Kind}
    selectable = sum(number for kind, number in sums.items() if kind is not Kind.NEVER_RUN)
    return Document(
        file=imported.file,
        host=imported.host,
        totals=Totals(
            physical_lines=imported.physical,
            comments=imported.comments,
            variables=sums[Kind.VARIABLE],
            converted=sums[Kind.CONVERTED],
            passthrough=sums[Kind.PASSTHROUGH],
            unconverted=sums[Kind.UNCONVERTED],
            selectable=selectable,
            selected=sum(item.here for item in imported.items),
            never_run=sums[Kind.NEVER_RUN],
            switched_off=sum(how(item) == "off" for item in imported.items),
            warnings=dict(sorted(Counter(each.code.value for _, each in warnings).items())),
        ),
        lines=[_line(item) for item in imported.items],
        warnings=[WarningLine(line, each.code.value, each.text) for line, each in warnings],
        written=written,
    )


def how(item: Item) -> str:
    if item.kind not in (Kind.CONVERTED, Kind.PASSTHROUGH):
        return ""
    if item.acts:
        return "off"
    notes = item.notes
    if notes is not None and notes.never_fails:
        return "nothing"
    return "check" if notes is not None and (notes.checks or notes.mounts) else "program"


def _line(item: Item) -> ItemLine:
    return ItemLine(
        item.line.number,
        item.line.last,
        item.target,
        item.check,
        item.kind.value,
        item.here,
        how(item),
        item.why,
        item.better,
        item.told,
        [each.code.value for each in item.warnings],
    )


HOW = {
    "check": "our own check",
    "program": "a program, once a minute",
    "off": "a program, switched off (enabled: false)",
    "nothing": "nothing: it never fails, on no node",
}


def render(found: Document, width: int = WIDTH) -> str:
    """Return the report for people, in lines of at most `width` columns."""
    page = _Page(max(width, NARROWEST))
    totals = found.totals
    name = visible(found.file)
    selected = f"{totals.selected} of {totals.selectable}"
    page.say("", f"{name}: {selected} lines run on {visible(found.host)}", "  ")
    page.say(
        "  ",
        f"{totals.converted} converted, {totals.passthrough} passed through as shell text, "
        f"{totals.unconverted} not converted, {totals.variables} variables",
        "  ",
    )
    page.say(
        "  ",
        f"{totals.physical_lines} physical lines, {totals.comments} comments, {totals.never_run} "
        "that NHC never runs",
        "  ",
    )
    if totals.switched_off:
        page.say(
            "  ",
            f"{totals.switched_off} written with `enabled: false`, each for the reason below: a "
            "check looks, a remediation mends. Take that out of commands/ where you know that it "
            "only looks",
            "  ",
        )
    page.section("Not converted: these need you", _of(found, Kind.UNCONVERTED), why=True)
    page.section("NHC never ran these", _of(found, Kind.NEVER_RUN), why=True)
    _warnings(page, found)
    page.section("Passed through: bash runs the text as it stands", _of(found, Kind.PASSTHROUGH))
    page.section("Carried over with NHC's verdict", _of(found, Kind.CONVERTED))
    better: dict[str, list[int]] = {}
    for line in found.lines:
        for sentence in line.better:
            better.setdefault(sentence, []).append(line.line)
    if better:
        page.title("Better here, beside what is taken over")
        for sentence, lines in better.items():
            page.say("  - ", f"{sentence} ({_numbers(lines)})", "    ")
    variables = _of(found, Kind.VARIABLE)
    page.section("Variables: set for the programs that follow them", variables)
    if totals.warnings:
        page.title("Warnings by code")
        page.lines += [f"  {number:>4}  {code}" for code, number in totals.warnings.items()]
    return "\n".join(page.lines) + "\n"


def _warnings(page: "_Page", found: Document) -> None:
    told: dict[str, list[WarningLine]] = {}
    for each in found.warnings:
        if each.code != "unconverted":
            told.setdefault(each.code, []).append(each)
    if not told:
        return
    page.title("Lines that do something else than they seem to")
    many = [
        lines
        for code, lines in told.items()
        if len(lines) > MOST_OF_A_KIND and code not in EACH_FOR_ITSELF
    ]
    for each in [lines[0] for lines in many]:
        more = _numbers([other.line for other in told.pop(each.code)][1:])
        page.say(f"  line {each.line:<4} {each.code}: ", f"{each.text} (likewise {more})")
    for each in found.warnings:
        if each.code in told:
            page.say(f"  line {each.line:<4} {each.code}: ", each.text)


class _Page:
    """The lines so far, and how wide they may be."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[str] = []

    def title(self, text: str) -> None:
        self.lines.append("")
        self.say("", text, "  ")

    def say(self, first: str, text: str, further: str = INDENT) -> None:
        found = textwrap.wrap(
            visible(text, 2000), self.width, initial_indent=first, subsequent_indent=further
        )
        self.lines += found or [first.rstrip()]

    def section(self, title: str, lines: list[ItemLine], *, why: bool = False) -> None:
        if not lines:
            return
        self.title(title)
        for line in lines:
            mark = "*" if line.selected else " "
            text = f"{visible(line.target, 60)} || " if line.target else ""
            self.say(f"{mark} line {line.line:<4} ", f"{text}{visible(line.check, 300)}")
            if why and line.why:
                self.say(INDENT, line.why)
            if line.how:
                self.say(INDENT, f"as {HOW[line.how]}")
            for note in line.notes:
                self.say(f"{INDENT}note: ", note)
        if any(line.selected for line in lines):
            self.lines.append("  (* runs on this host)")


def _of(found: Document, kind: Kind) -> list[ItemLine]:
    return [line for line in found.lines if line.kind == kind.value]


def _numbers(lines: list[int]) -> str:
    word = "line" if len(lines) == 1 else "lines"
    listed = ", ".join(map(str, lines[:12])) + (", ..." if len(lines) > 12 else "")
    return f"{word} {listed}"
