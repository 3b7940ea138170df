"""Where does every command begin? One table; a command's code is imported only when it is named."""

import os
import sys

COMMANDS = {
    "check": "what is wrong with this machine, and what to do about it",
    "watch": "the same as check, again and again, in place",
    "status": "where the node stands, and what happens next",
    "explain": "what a check, rule, remediation or Xid means, and where each key comes from",
    "settings": "which settings hold here, and which line says so",
    "lint": "find mistakes in the shipped files and the site's",
    "profile": "learn what a node of this kind is made of, or hold this one against it",
    "gate": "whether a job may start on this node, as Slurm's Prolog is told",
    "record": "make a recording of this node that `check --root` reads; no secrets in it",
    "run": "start daemon, prober and helper where there is no systemd",
    "hold": "have this node left alone",
    "release": "end a hold or a quarantine",
    "repair": "carry out a remediation by hand",
    "replay": "what changed checks and rules would have made of the last days",
    "bundle": "one archive of an incident, for a vendor or for tomorrow",
    "import-nhc": "an nhc.conf as files of hpcdoctor, and what its lines never did",
    "compare-nhc": "what NHC and hpcdoctor each would have drained for, side by side",
    "stand-down": "stop acting on this node, and give back or hand over what is drained",
}
# What systemd or `run` starts; of no use to a person.
PROCESSES = ("daemon", "prober", "helper")

USAGE = 64
BUG = 70
IO_ERROR = 74  # sysexits: EX_IOERR; the disk is full, a file went away
WRONG_CONFIGURATION = 78


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; never end in a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if sys.stdout is None:  # started with it closed: the exit code still answers
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # pathlib is slow to import
    try:
        try:
            return _run(arguments[0] if arguments else "--help", arguments[1:])
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # while somebody is here to say that it went wrong
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _let_go_of_stdout()
        return 141
    except Exception as error:  # noqa: BLE001  # one line and an exit code; see _failed
        _let_go_of_stdout()
        return _failed(error)


def _run(command: str, arguments: list[str]) -> int:
    if command in ("-h", "--help", "help"):
        return _help()
    if command in ("-V", "--version"):
        from hpcdoctor import __version__

        print(f"hpcdoctor {__version__}")
        return 0
    if command not in COMMANDS and command not in PROCESSES:
        return _unknown(command)
    # Not importlib: it costs as much as all else that the fast commands import.
    file = command.replace("-", "_")
    module = __import__(f"hpcdoctor.cli.{file}", fromlist=["main"])
    code: int = module.main(arguments)
    return code


def _let_go_of_stdout() -> None:
    """Whoever read it is gone, or the disk is full: closing it at the end must not fail again."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _failed(error: Exception) -> int:
    """Say what went wrong in one line: the configuration, or a bug of ours."""
    from hpcdoctor.definitions.yamlfile import DefinitionError
    from hpcdoctor.knowledge import WrongConfiguration

    if isinstance(error, DefinitionError | WrongConfiguration):
        problems = error.problems if isinstance(error, WrongConfiguration) else error.every
        for problem in problems:
            print(f"hpcdoctor: {problem}", file=sys.stderr)
        return WRONG_CONFIGURATION
    if isinstance(error, UnicodeError) or not isinstance(error, OSError):
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"
        if os.environ.get("HPCDOCTOR_TRACEBACK"):
            raise error
        print(
            f"hpcdoctor: a bug of hpcdoctor: {type(error).__name__}: {_one_line(error)} at {place};"
            " please report it (HPCDOCTOR_TRACEBACK=1 shows more)",
            file=sys.stderr,
        )
        return BUG
    print(f"hpcdoctor: {_one_line(error)}", file=sys.stderr)
    return IO_ERROR


def _one_line(error: Exception) -> str:
    from hpcdoctor.model.text import visible

    return visible(" ".join(str(error).split()))


def _help() -> int:
    print("usage: hpcdoctor COMMAND [OPTIONS]\n\nThe doctor of a compute node.\n")
    for name, meaning in COMMANDS.items():
        print(f"  {name:<12}{meaning}")
    print("\n`hpcdoctor COMMAND --help` says more.")
    return 0


def _unknown(command: str) -> int:
    import difflib

    near = difflib.get_close_matches(command, COMMANDS, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else "; `hpcdoctor --help` lists them"
    print(f"hpcdoctor: there is no command {command!r}{hint}", file=sys.stderr)
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
