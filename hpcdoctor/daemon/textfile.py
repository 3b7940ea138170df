"""Where does node_exporter's textfile collector read our metrics? One file, replaced whole.

It is removed when the daemon stops, so that nobody takes the last numbers for today's. After a
crash it stays and hpcdoctor_written_timestamp_seconds in it grows old; the alerts see both.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from hpcdoctor.daemon.aside import Aside
from hpcdoctor.report.metrics import Snapshot, render

INTERVAL_SECONDS = 30.0
LAST_SECONDS = 0.5
READABLE = 0o644  # node_exporter is another user


class Textfile:
    """The file of one daemon."""

    def __init__(self, path: Path, snapshot: Callable[[], Snapshot]) -> None:
        self.path = path
        self.trouble = ""  # why it could not be written the last time
        self._snapshot = snapshot
        self._aside = Aside("textfile")
        self._due = 0.0  # monotonic
        self._closed = False

    def tick(self) -> None:
        """Write it, where it is time; a folder that hangs holds nobody up."""
        if time.monotonic() < self._due:
            return
        snapshot = self._snapshot()  # in the loop: it reads what the loop changes
        if self._aside.begin(lambda: self._write(snapshot)):
            self._due = time.monotonic() + INTERVAL_SECONDS

    def _write(self, snapshot: Snapshot) -> None:
        try:
            write_whole(self.path, render(snapshot))
        except OSError as error:
            self.trouble = f"{self.path} cannot be written: {error.strerror}"
        else:
            self.trouble = ""
        if self._closed:
            self._remove()

    def close(self) -> None:
        """Take it away; a folder that hangs does not hold up the daemon's end."""
        self._closed = True
        self._aside.wait(LAST_SECONDS)
        if self._aside.begin(self._remove):
            self._aside.wait(LAST_SECONDS)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file at once, so that no reader ever sees half of it; raise OSError.

    The name in between does not end in .prom, which is all that node_exporter reads. O_EXCL follows
    no link that somebody else has put there.
    """
    between = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        between.unlink()  # of a crash
    descriptor = os.open(between, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, READABLE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, READABLE)  # whatever the umask says
            file.write(data)
        between.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            between.unlink()
        raise
