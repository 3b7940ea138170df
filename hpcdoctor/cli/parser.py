"""How do the commands read their options? argparse, with our exit code for wrong usage."""

import argparse
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn

from hpcdoctor.definitions.settings import CONFIGURATION
from hpcdoctor.model.text import visible

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

USAGE = 64


def folder(text: str) -> Path:
    """A folder that is named but not there is a slip of the hand, not a wish for the defaults."""
    path = Path(text)
    if path == CONFIGURATION:
        return path
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            raise argparse.ArgumentTypeError(f"{text} is not a folder")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise argparse.ArgumentTypeError(f"{text}: {reason}") from None
    return path


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where the help is."""

    # Who asks here for the options themselves: manual pages and completions are made of them.
    on_help: ClassVar[Callable[["Parser"], None] | None] = None

    def print_help(self, file: "SupportsWrite[str] | None" = None) -> None:
        if Parser.on_help is not None:
            Parser.on_help(self)
        else:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        said = visible(" ".join(message.split()))
        print(f"{self.prog}: {said}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(USAGE)


def make_parser(command: str, description: str) -> Parser:
    parser = Parser(prog=f"hpcdoctor {command}", description=description, allow_abbrev=False)
    parser.add_argument(
        "--config",
        type=folder,
        default=CONFIGURATION,
        metavar="FOLDER",
        help=f"where hpcdoctor.yaml and the site's own files are (default: {CONFIGURATION})",
    )
    return parser
