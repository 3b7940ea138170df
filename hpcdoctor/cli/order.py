"""How does a command that needs the daemon ask it, and what does it say where there is none?"""

import sys
from pathlib import Path

import msgspec

from hpcdoctor.cli.ask import NoDaemon, SilentDaemon, ask, print_answer, print_refusal
from hpcdoctor.cli.folders import settings_for_folders
from hpcdoctor.model.text import visible

NO_DAEMON = 69  # sysexits: EX_UNAVAILABLE


def order(configuration: Path, question: dict[str, object]) -> int:
    """Ask, print the answer, and return its exit code."""
    # What was typed may be no UTF-8, and JSON is.
    question = {
        key: visible(value) if isinstance(value, str) else value for key, value in question.items()
    }
    path = settings_for_folders(configuration).control_socket
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
        print_refusal(text)
    else:
        print_answer(text)
    return code
