"""How is a program run so that it can neither hang us nor pile up?

Each run has a deadline, its own process group and an environment of its own; when the deadline
strikes, the whole group is killed. A process in uninterruptible sleep (a program on a dead NFS
server) survives even that: it is left behind and counted, and with too many left behind nothing
new is started.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

import msgspec

REAP_SECONDS = 1.0  # how long a killed process may take to go before it is left behind
LEFT_BEHIND_MAXIMUM = 3


class Finished(msgspec.Struct, frozen=True):
    """How a program ended."""

    status: int  # negative: the signal that ended it
    out: str
    err: str


class NoResult(Exception):
    """The program did not end by itself in time; what it did or will still do is unknown."""


class NotStarted(Exception):
    """The program cannot be started; nothing happened."""


class Programs:
    """Runs one program at a time; `end()` may be called from a signal handler meanwhile."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[str] | None = None
        self._left_behind: list[subprocess.Popen[str]] = []
        self._ended = False

    def run(
        self, argv: Sequence[str], *, deadline_seconds: float, environment: Mapping[str, str]
    ) -> Finished:
        """Run it with no input and in nobody's folder, and return how it ended."""
        self._left_behind = [child for child in self._left_behind if child.poll() is None]
        if len(self._left_behind) >= LEFT_BEHIND_MAXIMUM:
            raise NoResult(
                f"{len(self._left_behind)} earlier runs cannot even be killed, so {argv[0]} was "
                "not started; look for a hung file system below it"
            )
        if self._ended:
            raise NoResult(f"{argv[0]} was not started: this process is ending")
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=dict(environment),
                cwd="/",
                start_new_session=True,
            )
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            raise NotStarted(f"{argv[0]} cannot be started: {error.strerror}") from error
        except OSError as error:  # no memory, no process, no descriptor: that passes
            raise NoResult(f"{argv[0]} was not started: {error.strerror}") from error
        self._running = child
        try:
            out, err = child.communicate(timeout=deadline_seconds)
        except subprocess.TimeoutExpired:
            raise NoResult(f"{argv[0]} gave no answer within {deadline_seconds:g} s") from None
        finally:
            self._running = None
            self._put_away(child)
        if self._ended:
            raise NoResult(f"{argv[0]} was ended because this process is ending")
        return Finished(child.returncode, out, err)

    def end(self) -> None:
        """Kill what runs and start nothing more."""
        self._ended = True
        if self._running is not None:
            kill_group(self._running)

    def _put_away(self, child: subprocess.Popen[str]) -> None:
        """Leave no process of this run alive: not the program, nor what it has started."""
        kill_group(child)
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
        try:
            child.wait(REAP_SECONDS)
        except subprocess.TimeoutExpired:
            self._left_behind.append(child)


def kill_group(child: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
