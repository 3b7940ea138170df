"""How is a child made that can be killed at any time, keeps nothing of ours, and dies with us?"""

import contextlib
import ctypes
import gc
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
NAME = b"hd-lane"
REAP_SECONDS = 0.05

_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """One forked process and our ends of the two pipes to it."""

    def __init__(self, pid: int, requests: int, answers: int) -> None:
        self.pid = pid
        self.requests: int | None = requests  # we write
        self.answers: int | None = answers  # we read
        self.exit_status: int | None = None  # as of os.waitpid, once it is gone
        self.killed = False

    def send(self, line: bytes) -> bool:
        """Write a request without waiting; False where nobody listens any more."""
        if self.requests is None:
            return False
        try:
            return os.write(self.requests, line) == len(line)
        except (BrokenPipeError, BlockingIOError):
            return False

    def kill(self) -> None:
        """End it, and the tools it started, as soon as the kernel lets go of it."""
        self.killed = True
        self.close()
        if self.exit_status is None:
            for end in (os.killpg, os.kill):  # the group is its own only after its first moment
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    end(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close our ends; a healthy child takes that as the wish to end."""
        for descriptor in (self.requests, self.answers):
            if descriptor is not None:
                os.close(descriptor)
        self.requests = self.answers = None

    def is_gone(self) -> bool:
        """Tell whether the process has ended, and take its exit status; never waits."""
        if self.exit_status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else took the status
                pid, status = self.pid, 0
            if pid:
                self.exit_status = status
        return self.exit_status is not None

    def is_gone_soon(self) -> bool:
        """Tell whether it ends within a moment: one that is being killed normally does."""
        end = time.monotonic() + REAP_SECONDS
        while not self.is_gone():
            if time.monotonic() > end:
                return False
            time.sleep(0.001)
        return True


def fork(work: Callable[[int, int], None]) -> Child:
    """Start a child that runs `work(requests, answers)` and ends."""
    child_requests, requests = os.pipe()
    answers, child_answers = os.pipe()
    parent = os.getpid()
    # What is here now is shared with the children page by page for as long as nobody touches it,
    # and the collector would touch it.
    gc.freeze()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            become_child(parent, keep={child_requests, child_answers})
            work(child_requests, child_answers)
            status = 0
        except BrokenPipeError:  # the template has lost interest in us
            status = 0
        except BaseException:  # noqa: BLE001 - the last chance to say why; nobody is above us
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)  # nothing of the template's may be flushed or closed twice
    os.close(child_requests)
    os.close(child_answers)
    os.set_blocking(requests, False)
    os.set_blocking(answers, False)
    return Child(pid, requests, answers)


def become_child(parent: int, keep: set[int]) -> None:
    """Give up what is the template's: its signals, its sockets, the pipes of its other children."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    # A session of its own: killing the group reaches the tools it starts, and Ctrl-C does not.
    os.setsid()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask to go with it
        os._exit(0)
    _libc.prctl(PR_SET_NAME, NAME, 0, 0, 0)
    give_up_standard_streams()
    # A child that hangs for ever must not keep the socket that the next template has to bind.
    for link in list(Path("/proc/self/fd").iterdir()):
        descriptor = int(link.name)
        if descriptor > 2 and descriptor not in keep:
            with contextlib.suppress(OSError):  # the one by which the folder was listed
                os.close(descriptor)


def give_up_standard_streams() -> None:
    """Let go of what somebody may read to its end: `hpcdoctor check | head`, or ssh.

    A child that the kernel holds would hold them as well, and the reader would wait with it. The
    journal waits for nobody, and neither does a file or a terminal: there a bug can still be told.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):  # it is not open
            found = os.fstat(descriptor)
            is_read = stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode)
            is_journal = os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
            if is_read and not is_journal:
                os.dup2(nothing, descriptor)
    os.close(nothing)
