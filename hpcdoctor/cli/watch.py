"""`hpcdoctor watch`: what is wrong here, again and again, in place or as lines of a log."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hpcdoctor.cli import screen
from hpcdoctor.cli.ask import DEFAULT_SOCKET, NoDaemon, SilentDaemon, ask, terminal_width
from hpcdoctor.cli.check import question
from hpcdoctor.cli.parser import Parser, make_parser
from hpcdoctor.model.quantity import parse_duration

if TYPE_CHECKING:
    from hpcdoctor.cli.watch_here import Watcher

EVERY = "5s"
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 3600.0
QUIT, MOVE = "q quits", "space b j k move"


class Seen(NamedTuple):
    """What was answered."""

    text: str
    by: str  # who looked


Look = Callable[[str, int], Seen]  # the form of the answer ("" or "brief"), and its width


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "watch",
        "Show what `hpcdoctor check` shows, again and again, in place. Asks the daemon; where none "
        "runs, each probe looks as often as its checks say. Where standard output is no terminal, "
        "a line is written whenever something has changed.",
    )
    parser.add_argument(
        "--every", default=EVERY, metavar="DURATION", help=f"how often (default: {EVERY})"
    )
    parser.add_argument("--verbose", action="store_true", help="as of `hpcdoctor check`")
    options = parser.parse_args(arguments)
    seconds = _seconds(parser, options.every)
    look = Looks(options.config, verbose=options.verbose)
    try:
        if screen.usable():
            return _in_place(look, seconds)
        return _as_lines(look, seconds)
    finally:
        look.close()


def _seconds(parser: Parser, text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        parser.error(f"--every: {error}")
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        parser.error(f"--every {text}: between 1s and 1h")
    return seconds


class Looks:
    """Asks the daemon each time anew: it may come and go; without it, looks by itself."""

    def __init__(self, configuration: Path, *, verbose: bool) -> None:
        self._configuration = configuration
        self._verbose = verbose
        self._socket = ""
        self._here: Watcher | None = None

    def __call__(self, form: str, width: int) -> Seen:
        try:
            code, answer = ask(self._path(), question([], form or self._form(), width))
        except SilentDaemon as error:
            return Seen(f"UNKNOWN   {error}\n", "nobody")
        except NoDaemon:
            return Seen(self._by_itself(form, width), "no daemon runs here, looking without it")
        if code > 3:
            return Seen(f"UNKNOWN   {answer.decode(errors='replace')}", "the daemon refuses")
        self.close()
        return Seen(answer.decode(errors="replace"), "the daemon")

    def close(self) -> None:
        if self._here is not None:
            self._here.close()
            self._here = None

    def _form(self) -> str:
        return "verbose" if self._verbose else ""

    def _path(self) -> str:
        if not self._socket:
            from hpcdoctor.cli.folders import settings_for_folders

            self._socket = str(settings_for_folders(self._configuration, quiet=True).control_socket)
        return self._socket or DEFAULT_SOCKET

    def _by_itself(self, form: str, width: int) -> str:
        if self._here is None:
            from hpcdoctor.cli.watch_here import Watcher  # all the probes, only where they are used

            self._here = Watcher(self._configuration)
        return self._here.look(form, width, verbose=self._verbose)


def _in_place(look: Look, seconds: float) -> int:
    with screen.Screen() as terminal:
        first, due, seen = 0, 0.0, Seen("", "")
        key = "again"
        terminal.draw(["looking ..."])
        while key != "quit":
            columns, rows = terminal.size()
            if key in ("", "again", "resized") or time.monotonic() >= due:
                terminal.interruptible = True  # a mount that hangs must not hold up Ctrl-C
                try:
                    seen = look("", columns)
                except KeyboardInterrupt:
                    break
                finally:
                    terminal.interruptible = False
                due = time.monotonic() + seconds
            lines = seen.text.splitlines()
            first = moved(first, key, len(lines), rows - 1)
            terminal.draw(
                page(
                    lines, first, rows, columns, f"{seen.by.partition(',')[0]}, every {seconds:g} s"
                )
            )
            key = terminal.wait(due - time.monotonic())
    if terminal.ended_by and terminal.ended_by != signal.SIGINT:
        signal.signal(terminal.ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), terminal.ended_by)  # whoever sent it sees that it worked
    return 0


def moved(first: int, key: str, number: int, room: int) -> int:
    """Return which line stands at the top after this key."""
    steps = {"down": 1, "up": -1, "page down": room, "page up": -room, "top": -number}
    wanted = number if key == "end" else first + steps.get(key, 0)
    return max(0, min(wanted, number - room))


def page(lines: list[str], first: int, rows: int, columns: int, who: str) -> list[str]:
    """Return what fits, with a last line that says what does not."""
    room = rows - 1
    shown = lines[first : first + room]
    shown += [""] * (room - len(shown))
    place = f"lines {first + 1}-{min(first + room, len(lines))} of {len(lines)}; "
    return [*shown, _footer(place if len(lines) > room else "", who, columns)]


def _footer(place: str, who: str, columns: int) -> str:
    """Say as much as there is room for: always how to leave, and the place rather than who."""
    forms = (f"{place}{who}; {QUIT}; {MOVE}", f"{place}{who}; {QUIT}", f"{place}{QUIT}", QUIT)
    whole = [f"-- {form} --" for form in forms]
    return next((line for line in whole if len(line) <= columns), QUIT[:columns])


def _as_lines(look: Look, seconds: float) -> int:
    """One line a change, with its moment: for a log, a pipe, a terminal that can do no more."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    last = Seen("", "")
    while True:
        seen = look("brief", terminal_width())
        if seen.by != last.by:
            print(f"hpcdoctor: {seen.by}", file=sys.stderr, flush=True)
        if seen.text != last.text:
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            print(f"{moment} {' '.join(seen.text.split())}", flush=True)
        last = seen
        time.sleep(seconds)
