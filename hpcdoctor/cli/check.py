"""`hpcdoctor check`: what is wrong here? Asks the daemon where one runs, looks by itself if not."""

import os

from hpcdoctor.cli.ask import (
    DEFAULT_SOCKET,
    NoDaemon,
    SilentDaemon,
    ask,
    print_answer,
    print_refusal,
    terminal_width,
    wants_colour,
)


def main(arguments: list[str]) -> int:
    # The common case first, without argparse and without reading any YAML.
    silent = ""
    if arguments in ([], ["--json"], ["--verbose"]) and os.path.exists(DEFAULT_SOCKET):  # noqa: PTH110  # cheap
        try:
            as_json, verbose = arguments == ["--json"], arguments == ["--verbose"]
            return from_daemon(DEFAULT_SOCKET, [], as_json=as_json, verbose=verbose)
        except NoDaemon:
            pass
        except SilentDaemon as error:
            silent = str(error)
    from hpcdoctor.cli.check_here import main as full

    return full(arguments, silent=silent)


def from_daemon(socket: str, names: list[str], *, as_json: bool, verbose: bool = False) -> int:
    """Print what the daemon knows; raise NoDaemon or SilentDaemon."""
    quoted = ",".join(f'"{name}"' for name in names)
    flags = (
        f'"json":{str(as_json).lower()},"colour":{str(wants_colour()).lower()},'
        f'"verbose":{str(verbose).lower()}'
    )
    question = f'{{"type":"check","names":[{quoted}],{flags},"width":{terminal_width()}}}'
    code, text = ask(socket, question.encode())
    if code > 3:
        print_refusal(text)
        return code
    print_answer(text)
    return code
