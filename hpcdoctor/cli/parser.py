"""How do the commands read their options? argparse, with our exit code for wrong usage."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from hpcdoctor.definitions.settings import CONFIGURATION

USAGE = 64


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where the help is."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(USAGE)


def make_parser(command: str, description: str) -> Parser:
    parser = Parser(prog=f"hpcdoctor {command}", description=description)
    parser.add_argument(
        "--config",
        type=Path,
        default=CONFIGURATION,
        metavar="FOLDER",
        help=f"where hpcdoctor.yaml and the site's own files are (default: {CONFIGURATION})",
    )
    return parser
