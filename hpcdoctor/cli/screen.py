"""How is a page shown in place on a terminal, and the terminal given back as it was?

ANSI and termios, no curses: it would need the terminal's description, which a rescue system often
lacks, and costs more to import than the whole question to the daemon.
"""

import os
import select
import signal
import termios
import tty
from types import FrameType, TracebackType
from typing import Self

# Alternate screen, no cursor, long lines cut instead of wrapped; and back.
ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J"
LEAVE = b"\x1b[?7h\x1b[?25h\x1b[?1049l"
HOME, TO_END_OF_LINE, TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
DUMB = ("", "dumb", "unknown")
SIZE = (80, 24)  # where the terminal does not say: a serial line
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
LONGEST_KEY = 4
KEYS = {
    b"q": "quit", b"Q": "quit", b"\x03": "quit", b"\x04": "quit",
    b"j": "down", b"\x1b[B": "down", b"\x1bOB": "down", b"\r": "down", b"\n": "down",
    b"k": "up", b"\x1b[A": "up", b"\x1bOA": "up",
    b" ": "page down", b"\x1b[6~": "page down", b"f": "page down",
    b"b": "page up", b"\x1b[5~": "page up",
    b"g": "top", b"\x1b[H": "top", b"G": "end", b"\x1b[F": "end",
    b"r": "again", b"\x0c": "again",
}  # fmt: skip


def usable() -> bool:
    """Tell whether pages can be shown in place where standard output goes."""
    return os.isatty(1) and os.environ.get("TERM", "") not in DUMB


class Screen:
    """A terminal of our own until the end of the `with`, whatever ends it but SIGKILL."""

    def __init__(self) -> None:
        self.ended_by = 0  # the signal that asked for the end
        self.interruptible = False  # a signal may end what is being done now
        self._pressed = b""  # and not yet answered: a key that is held comes in heaps
        self._saved: list[object] | None = None
        self._handlers: dict[int, object] = {}
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in ENDS:
            self._handlers[number] = signal.signal(number, self._end)
        self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._stop)
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, _nothing)
        self._take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._give_back()
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type]  # as it was returned
            os.close(self._woken)
            os.close(self._waker)

    def size(self) -> tuple[int, int]:
        """Return columns and rows."""
        try:
            columns, rows = os.get_terminal_size(1)
        except OSError:
            return SIZE
        return columns or SIZE[0], rows or SIZE[1]

    def draw(self, lines: list[str]) -> None:
        """Show these lines from the top, and nothing else; without a blank in between."""
        rows = self.size()[1]
        shown = f"{TO_END_OF_LINE}\r\n".join(lines[:rows])
        _write(f"{HOME}{shown}{TO_END_OF_LINE}{TO_END}".encode("utf-8", "backslashreplace"))

    def wait(self, seconds: float) -> str:
        """Return the key that was pressed, "resized" or "quit"; "" when the time is over."""
        if self.ended_by:
            return "quit"
        if self._pressed:
            return self._next_key()
        sources = [self._woken] if self._saved is None else [self._woken, 0]
        ready, _, _ = select.select(sources, [], [], max(0.0, seconds))
        if self._woken in ready:
            os.read(self._woken, 1 << 10)
            return "quit" if self.ended_by else "resized"
        if not ready:
            return ""
        self._pressed = os.read(0, 1 << 10)
        if not self._pressed:  # nobody is at the terminal any more
            return "quit"
        return self._next_key()

    def _next_key(self) -> str:
        """Take one key from those that were pressed; what is no key of ours is passed over."""
        for length in range(LONGEST_KEY, 0, -1):
            if self._pressed[:length] in KEYS:
                key = KEYS[self._pressed[:length]]
                self._pressed = self._pressed[length:]
                return key
        self._pressed = b"" if self._pressed[:1] == b"\x1b" else self._pressed[1:]
        return "other"

    def _take(self) -> None:
        if os.isatty(0):
            self._saved = termios.tcgetattr(0)
            tty.setcbreak(0, termios.TCSANOW)
        _write(ENTER)

    def _give_back(self) -> None:
        _write(LEAVE)
        if self._saved is not None:
            termios.tcsetattr(0, termios.TCSANOW, self._saved)  # type: ignore[arg-type]
            self._saved = None

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.ended_by = number
        if self.interruptible:
            raise KeyboardInterrupt

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its terminal, and we take it again when we go on."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()


def _nothing(number: int, frame: FrameType | None) -> None:
    """The wake-up alone is what a signal is wanted for."""


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
