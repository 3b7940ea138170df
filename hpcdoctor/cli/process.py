"""What do the three processes have in common when they start?"""

import argparse
import logging
import pwd
import sys
from pathlib import Path

from hpcdoctor.cli.parser import make_parser
from hpcdoctor.definitions.settings import Settings


def parse(name: str, arguments: list[str], *, flags: tuple[str, ...] = ()) -> argparse.Namespace:
    parser = make_parser(name, f"The {name}; systemd or `hpcdoctor run` starts it.")
    parser.add_argument("--user", metavar="NAME", help="the daemon's user, if not the settings'")
    for flag in flags:
        parser.add_argument(flag, action="store_true")
    options = parser.parse_args(arguments)
    options.config = Path(options.config).absolute()
    return options


def log_to_stderr(name: str) -> None:
    """Plain lines for the journal, from the processes that have no structlog."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format=f"hpcdoctor {name}: %(levelname)s %(message)s"
    )


def daemon_user(settings: Settings, user: str | None = None) -> frozenset[int]:
    """Return the user ids that may ask: the daemon's, where there is such a user."""
    try:
        return frozenset({pwd.getpwnam(user or settings.user).pw_uid})
    except KeyError:
        return frozenset()
