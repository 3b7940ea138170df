"""What does a site say of a program of its own? The shape of commands/<name>.yaml."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.trust import why_not_trusted
from hpcdoctor.definitions.yamlfile import Located
from hpcdoctor.model.quantity import parse_duration

LONGEST_SECONDS = 8.0  # of the ten that a look has


class Format(StrEnum):
    """In which language the program answers."""

    NAGIOS = "nagios"  # exit status 0 to 3; a line of text, and performance data behind a |
    NPD = "npd"  # as node-problem-detector's plugins: 0 well, 1 not, 2 unknown; a line of text
    JSON = "json"  # one object a line


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A program that is run as a check; without a shell, with the prober's rights."""

    command: str  # its name, which is the file's
    summary: str = ""  # what it looks at, in one line
    run: list[str]  # the whole path of the program, and its arguments
    format: Format = Format.NAGIOS  # in which language it answers
    timeout: str = "8s"  # at most that: a look has ten seconds
    enabled: bool = True


class Declared(msgspec.Struct, frozen=True):
    """One program, as the prober runs it."""

    run: tuple[str, ...]
    format: Format
    timeout_seconds: float


def declared(commands: Mapping[str, Command]) -> dict[str, Declared]:
    """Return the site's programs as the prober runs them."""
    return {
        name: Declared(tuple(command.run), command.format, parse_duration(command.timeout))
        for name, command in commands.items()
        if command.enabled
    }


def problems_of(command: Command, source: Located) -> Iterator[DefinitionError]:
    """Hold a program against what the prober will run."""
    if not command.run:
        yield source.error("`run` is empty; write the program and its arguments", "run")
    elif not command.run[0].startswith("/"):
        yield source.error(f"`run`: write the whole path of `{command.run[0]}`", "run")
    elif reason := why_not_trusted(Path(command.run[0])):
        yield source.error(f"`run` is not used: {reason}", "run")
    try:
        seconds = parse_duration(command.timeout)
    except ValueError as error:
        yield source.error(f"`timeout`: {error}", "timeout")
        return
    if not 0 < seconds <= LONGEST_SECONDS:
        most = f"{LONGEST_SECONDS:g}s"
        yield source.error(f"`timeout: {command.timeout}` has to be at most {most}", "timeout")
