"""`hpcdoctor lint`: which mistakes do the files hold, shipped and the site's, and which doubts?"""

import argparse
import sys
from pathlib import Path

import msgspec

from hpcdoctor.cli.parser import make_parser
from hpcdoctor.definitions.loader import (
    SETTINGS_FILE,
    Defined,
    load_definitions,
    load_settings_source,
)
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.definitions.yamlfile import DefinitionError, Located
from hpcdoctor.knowledge import resolve
from hpcdoctor.model.json_text import json_text
from hpcdoctor.model.text import visible
from hpcdoctor.report.doubts import CODES, Doubt, doubts

WRONG_CONFIGURATION = 78
SCHEMA = "hpcdoctor.lint/1"
MISTAKE = "mistake"
KINDS = ("settings", "check", "rule", "remediation", "profile", "command")


class Problem(msgspec.Struct, frozen=True):
    """One line of the answer."""

    level: str  # "error", or "warning": of no consequence without --strict
    code: str  # "mistake", or one of CODES
    file: str
    line: int | None  # None where it is about the file as a whole
    key: str
    message: str


class Answer(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    schema: str
    strict: bool
    errors: int
    warnings: int
    checks: int
    rules: int
    remediations: int
    problems: list[Problem]


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.schema is not None:
        from hpcdoctor.report.pages import schemas

        print(schemas.render(options.schema, options.config), end="")
        return 0
    mistakes, doubtful, counts = _look(options.config)
    doubtful = [doubt for doubt in doubtful if doubt.code not in options.allow]
    problems = _problems(mistakes, doubtful, strict=options.strict)
    errors = sum(problem.level == "error" for problem in problems)
    if options.json:
        answer = Answer(SCHEMA, options.strict, errors, len(problems) - errors, *counts, problems)
        print(json_text(answer))
    else:
        _print(problems, errors, counts)
    return WRONG_CONFIGURATION if errors else 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "lint", "Name every mistake with file, line, key and the likely fix. Exit code 78 if any."
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="what is doubtful is a mistake too; for a site's own tests (docs/lint.md)",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="CODE",
        choices=list(CODES),
        help=f"have no doubts of this kind; may be repeated: {', '.join(CODES)}",
    )
    parser.add_argument("--json", action="store_true", help="the same for a script")
    parser.add_argument(
        "--schema",
        metavar="KIND",
        choices=KINDS,
        help="print the JSON Schema of one kind of file, with the names that this site has: "
        f"{', '.join(KINDS)} (docs/editors.md)",
    )
    return parser


def _look(configuration: Path) -> tuple[list[DefinitionError], list[Doubt], tuple[int, int, int]]:
    """Return mistakes, doubts (only where there is no mistake), and how much was looked at."""
    mistakes: list[DefinitionError] = []
    defined = Defined(Settings(), Located(configuration / SETTINGS_FILE, 1))
    try:
        defined = load_settings_source(configuration)
    except DefinitionError as error:
        mistakes += error.every
    definitions = load_definitions(configuration, defined.value.profile)
    knowledge, more = resolve(defined.value, configuration, definitions)
    mistakes += more
    doubtful = [] if mistakes else doubts(defined, definitions, knowledge)
    counts = len(knowledge.checks), len(knowledge.rules), len(knowledge.remediations)
    return mistakes, doubtful, counts


def _problems(
    mistakes: list[DefinitionError], doubtful: list[Doubt], *, strict: bool
) -> list[Problem]:
    found = [
        Problem("error", MISTAKE, str(each.file), each.line or None, each.key, each.message)
        for each in sorted(mistakes, key=lambda each: (str(each.file), each.line))
    ]
    level = "error" if strict else "warning"
    return found + [
        Problem(level, each.code, str(each.file), each.line or None, each.key, each.message)
        for each in doubtful
    ]


def _print(problems: list[Problem], errors: int, counts: tuple[int, int, int]) -> None:
    for problem in problems:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        told = "warning: " * (problem.level == "warning") + problem.message
        code = f" [{problem.code}]" * (problem.code != MISTAKE)
        print(visible(f"{place}: {told}{code}", 2000), file=sys.stderr)
    warnings = _counted(len(problems) - errors, "warning")
    if errors:
        also = f", {warnings}" if len(problems) > errors else ""
        print(f"hpcdoctor lint: {_counted(errors, 'mistake')}{also}", file=sys.stderr)
        return
    checks, rules, remediations = counts
    also = f", {warnings} (`--strict` makes them mistakes)" if problems else ""
    print(f"{checks} checks, {rules} rules, {remediations} remediations: no mistakes{also}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
