"""`hpcdoctor check`: what is wrong here? Asks the daemon where one runs, looks by itself if not."""

import os

from hpcdoctor.cli.ask import (
    DEFAULT_SOCKET,
    NoDaemon,
    SilentDaemon,
    ascii_only,
    ask,
    print_answer,
    print_refusal,
    terminal_width,
    wants_colour,
)

# How an answer can be had: as a page, or as the option of this name says.
FORMS = ("json", "brief", "verbose")
PLAIN = [["--" + form] for form in FORMS]


def main(arguments: list[str]) -> int:
    # The common case first, without argparse and without reading any YAML.
    silent = ""
    form = arguments[0].removeprefix("--") if arguments else ""
    if (not arguments or arguments in PLAIN) and os.path.exists(DEFAULT_SOCKET):  # noqa: PTH110  # cheap
        try:
            return from_daemon(DEFAULT_SOCKET, [], form)
        except NoDaemon:
            pass
        except SilentDaemon as error:
            silent = str(error)
    from hpcdoctor.cli.check_here import main as full

    return full(arguments, silent=silent)


def from_daemon(socket: str, names: list[str], form: str = "") -> int:
    """Print what the daemon knows, in one of FORMS; raise NoDaemon or SilentDaemon."""
    code, text = ask(socket, question(names, form))
    if code > 3:
        print_refusal(text)
        return code
    print_answer(text)
    return code


def question(names: list[str], form: str = "", width: int = 0) -> bytes:
    """Return the question as the daemon reads it; only what is not the default is said.

    So a daemon that was not restarted after an upgrade still understands the plain question.
    """
    quoted = ",".join(f'"{name}"' for name in names)
    flags = f'"names":[{quoted}],"width":{width or terminal_width()}'
    if form:
        flags += f',"{form}":true'
    if wants_colour():
        flags += ',"colour":true'
    if ascii_only():
        flags += ',"ascii":true'
    return f'{{"type":"check",{flags}}}'.encode()
