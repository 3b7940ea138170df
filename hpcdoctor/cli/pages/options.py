"""Which options has each command? The parsers that read them are asked; none is forgotten."""

import argparse
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hpcdoctor.__main__ import COMMANDS
from hpcdoctor.cli.parser import Parser, folder


class Option(msgspec.Struct, frozen=True):
    """One option, or one argument where there are no flags."""

    flags: list[str]
    value: str  # as the help calls it; "" where it takes none
    help: str
    choices: list[str] = []
    optional: bool = True
    many: bool = False
    kind: str = ""  # "folder" or "file": what a shell may offer


class Command(msgspec.Struct, frozen=True):
    """One command, or the command of a command: "fleet status"."""

    name: str
    meaning: str
    description: str = ""
    options: list[Option] = []
    arguments: list[Option] = []
    below: list["Command"] = []


class Asked(Exception):
    """The parser that was asked for help; its command is not carried out."""

    def __init__(self, parser: Parser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


def commands() -> list[Command]:
    """Return all commands in the order of `hpcdoctor --help`."""
    return [_command(name, meaning) for name, meaning in COMMANDS.items()]


def _command(name: str, meaning: str) -> Command:
    module = __import__(f"hpcdoctor.cli.{name.replace('-', '_')}", fromlist=["main"])
    with _asking(), contextlib.redirect_stdout(io.StringIO()):
        try:
            module.main(["--help"])
        except Asked as asked:
            return _described(name, meaning, asked.parser)
        except SystemExit:
            pass
    return Command(name, meaning)  # it reads its few words itself


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    def ask(parser: Parser) -> None:
        raise Asked(parser)

    Parser.on_help = ask
    try:
        yield
    finally:
        Parser.on_help = None


def _described(name: str, meaning: str, parser: argparse.ArgumentParser) -> Command:
    options: list[Option] = []
    arguments: list[Option] = []
    below: list[Command] = []
    for action in parser._actions:  # noqa: SLF001  # argparse shows them nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001
            below = [
                _described(f"{name} {word}", helps.get(word, ""), one)
                for word, one in action.choices.items()
            ]
        elif action.help is not argparse.SUPPRESS:
            (options if action.option_strings else arguments).append(_option(action))
    return Command(name, meaning, parser.description or "", options, arguments, below)


def _option(action: argparse.Action) -> Option:
    takes = action.nargs != 0
    value = action.metavar or action.dest
    if takes and action.option_strings and not action.metavar:
        value = action.dest.upper()
    kind = ""
    if takes and (action.type is folder or value == "FOLDER"):
        kind = "folder"
    elif takes and (action.type is Path or value == "FILE"):
        kind = "file"
    return Option(
        flags=list(action.option_strings),
        value=str(value) if takes else "",
        help=(action.help or "") % {"default": action.default, "prog": "hpcdoctor"},
        choices=[str(choice) for choice in action.choices or ()],
        optional=bool(action.option_strings) or action.nargs in ("?", "*"),
        many=action.nargs in ("*", "+"),
        kind=kind,
    )
