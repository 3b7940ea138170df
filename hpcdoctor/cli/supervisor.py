"""Which of the three processes lives, is started again, is stopped? systemd's part, played small.

No asyncio and no threads: it forks, waits on one poll, and holds no more than it needs.
"""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

QUICK_SECONDS = 10.0  # who dies within these has not worked
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# When each gets SIGKILL, counted from the order to stop; together they stay below 5 s.
PATIENCE_SECONDS = {"daemon": 3.0, "prober": 3.7, "helper": 4.4}
LAST_PATIENCE_SECONDS = 4.8

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

# `setpriv` asks for our death to be told; if we died before that, the parent is another already.
UNLESS_ORPHANED = ["sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"']


def say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody may be listening any more
        print(f"hpcdoctor run: {text}", file=sys.stderr, flush=True)


class Process:
    """One of the three: how to start it, and how it fares."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        privileges: list[str],
        umask: int,
        environment: dict[str, str],
        listening: int | None = None,
    ) -> None:
        self.name = name
        self.listening = listening  # descriptor of its socket, which we keep open
        self.pid: int | None = None
        self.quick_deaths = 0
        self.start_at = 0.0  # monotonic; meaningful while it does not run
        self.waits_for_caller = False  # it left because nobody called, and comes when one does
        self._command = [*privileges, *UNLESS_ORPHANED, str(os.getpid()), *command]
        self._umask = umask
        self._environment = environment
        self._started = 0.0

    def start(self) -> None:
        self._started = time.monotonic()
        self.waits_for_caller = False
        # A signal to the child must find it with the default handlers, not with a copy of ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        pid = os.fork()
        if pid == 0:
            self._become()
        self.pid = pid
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def _become(self) -> None:
        """Turn the forked child into the process; never returns."""
        try:
            os.setsid()  # a Ctrl-C in the terminal is ours to pass on, in order
            os.chdir("/")
            os.umask(self._umask)
            for number in (*HANDLED, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(
                    number, signal.SIG_DFL
                )  # Python ignores the last two; exec keeps that
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            environment = dict(self._environment)
            if self.listening is not None:
                os.dup2(self.listening, 3)
                os.set_inheritable(3, True)  # dup2 of 3 onto itself changes nothing
                environment |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
            os.execvpe(self._command[0], self._command, environment)  # noqa: S606  # no shell
        except OSError as error:
            say(f"cannot start the {self.name}: {self._command[0]}: {error.strerror}")
        finally:
            os._exit(127)

    def ended(self) -> int | None:
        """Return the exit status once it has ended (negative: by that signal), else None."""
        if self.pid is None:
            return None
        # Its children go with it, as under systemd; the group's number is its own until reaped.
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        return os.waitstatus_to_exitcode(status)

    def signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            os.kill(self.pid, number)

    def plan_restart(self, status: int) -> None:
        """Decide when it is started again, after how it ended."""
        now = time.monotonic()
        self.quick_deaths = self.quick_deaths + 1 if now - self._started < QUICK_SECONDS else 0
        pause = 0.0
        if self.quick_deaths > 1:
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (self.quick_deaths - 2), LONGEST_PAUSE_SECONDS)
        self.start_at = now + pause
        self.waits_for_caller = status == 0 and self.listening is not None
        if not self.waits_for_caller:
            say(f"the {self.name} {_how(status)}; it is started again in {pause:g} s")


class Supervisor:
    """Starts the three, keeps prober and helper alive, ends with the daemon or when told to."""

    def __init__(self, daemon: Process, prober: Process, helper: Process) -> None:
        self.daemon = daemon
        self.helper = helper
        self.others = [prober, helper]
        self._stop = False
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> int:
        """Return the exit status: 0 when told to stop, otherwise how the daemon ended, never 0."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]] = {
            signal.SIGTERM: self._told_to_stop,
            signal.SIGINT: self._told_to_stop,
            signal.SIGHUP: self._told_to_reload,
            signal.SIGCHLD: lambda _number, _frame: None,  # waking up is all
        }
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for process in [*self.others, self.daemon]:
            process.start()
        status = None
        while not self._stop and status is None:
            self._restart_what_is_due()
            self._wait()
            status = self.daemon.ended()
            for process in self.others:
                if (ended := process.ended()) is not None:
                    process.plan_restart(ended)
        if status is not None and not self._stop:
            say(f"the daemon {_how(status)}; stopping")
        self._stop_all()
        if self._stop or status is None:
            return 0
        return 128 - status if status < 0 else status or 1

    def _told_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop = True

    def _told_to_reload(self, _number: int, _frame: FrameType | None) -> None:
        self.daemon.signal(signal.SIGHUP)
        self.helper.signal(signal.SIGHUP)  # it ends, and comes back with new settings

    def _restart_what_is_due(self) -> None:
        now = time.monotonic()
        for process in self.others:
            due = process.pid is None and process.start_at <= now
            if due and (not process.waits_for_caller or _has_caller(process)):
                process.start()

    def _wait(self) -> None:
        """Sleep until a signal, a caller of an absent process, or a restart's time."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        now = time.monotonic()
        pauses = []
        for process in self.others:
            if process.pid is not None:
                continue
            if process.start_at > now:
                pauses.append(process.start_at - now)
            elif process.listening is not None:
                poll.register(process.listening, select.POLLIN)
        poll.poll(min(pauses) * 1000 + 1 if pauses else None)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake, 4096):
                pass

    def _stop_all(self) -> None:
        begin = time.monotonic()
        for process in [self.daemon, *self.others]:
            process.signal(signal.SIGTERM)
            if not self._ends_before(process, begin + PATIENCE_SECONDS[process.name]):
                say(f"the {process.name} did not stop when asked; it is killed")
                process.signal(signal.SIGKILL)
        for process in [self.daemon, *self.others]:
            if not self._ends_before(process, begin + LAST_PATIENCE_SECONDS):
                say(f"the {process.name} (pid {process.pid}) is stuck in the kernel; it is left")

    def _ends_before(self, process: Process, moment: float) -> bool:
        while process.pid is not None and process.ended() is None:
            left = moment - time.monotonic()
            if left <= 0:
                return False
            select.select([self._wake], [], [], left)
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
        return True


def _has_caller(process: Process) -> bool:
    listening = [] if process.listening is None else [process.listening]
    return bool(select.select(listening, [], [], 0)[0])


def _how(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
