"""How does a command that needs the daemon ask it, and what does it say where there is none?"""

import os
import sys
from pathlib import Path

import msgspec

from hpcdoctor.cli.ask import NoDaemon, SilentDaemon, ask, print_answer
from hpcdoctor.definitions.loader import load_settings

NO_DAEMON = 69  # sysexits: EX_UNAVAILABLE


def order(configuration: Path, question: dict[str, object]) -> int:
    """Ask, print the answer, and return its exit code."""
    path = load_settings(configuration).control_socket
    try:
        code, text = ask(str(path), msgspec.json.encode(question))
    except NoDaemon as error:
        print(
            f"hpcdoctor: no daemon runs here ({error}); start it with `systemctl start hpcdoctor`, "
            "or `hpcdoctor run`",
            file=sys.stderr,
        )
        return NO_DAEMON
    except SilentDaemon as error:
        print(f"hpcdoctor: {error}; `journalctl -u hpcdoctor` says why", file=sys.stderr)
        return NO_DAEMON
    if code:
        os.write(2, text)
    else:
        print_answer(text)
    return code
