"""A file system that is slow, broken or hung on demand, served by a process of its own.

    with FuseMount(tmp_path) as mount:
        mount.set("slow:0.5")   # every request waits that long
        mount.set("eio")        # every request fails: eio, estale
        mount.set("enospc")     # every request that writes fails: enospc, edquot, erofs, eacces
        mount.set("hang")       # a request is read and never answered: its caller sits in state D
        mount.set("ok")

As a program: python -m tests.doubles.fuse MOUNT_POINT STORE CONTROL. What is written below the
mount is kept in the folder STORE; the file CONTROL holds the word.
"""

import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.doubles.waiting import wait_for

CHECKOUT = Path(__file__).parents[2]
NAP_SECONDS = 0.05
FAILS = {"eio": errno.EIO, "estale": errno.ESTALE}
WRITING_FAILS = {
    "enospc": errno.ENOSPC,
    "edquot": errno.EDQUOT,
    "erofs": errno.EROFS,
    "eacces": errno.EACCES,
}


def why_no_fuse() -> str:
    """Return why this machine cannot mount by FUSE; "" where it can."""
    if os.geteuid() != 0:
        return "only root can mount here"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse"
    try:
        import mfusepy  # noqa: F401, PLC0415
    except (ImportError, OSError) as error:
        return f"mfusepy cannot be used: {error}"
    return ""


needs_fuse = pytest.mark.skipif(bool(why_no_fuse()), reason=why_no_fuse() or "FUSE is there")


class FuseMount:
    """The mount, and the process that serves it."""

    def __init__(self, folder: Path, name: str = "scratch") -> None:
        self.mount_point = folder / name
        self._store = folder / f"{name}.store"
        self._control = folder / f"{name}.control"
        for made in (self.mount_point, self._store):
            made.mkdir()
        self.set("ok")
        self._server: subprocess.Popen[bytes] | None = None

    def set(self, word: str) -> None:
        """Say how the server is to behave from its next request on; a hung one notices too."""
        new = self._control.with_suffix(".new")
        new.write_text(word)
        new.rename(self._control)

    def start(self) -> None:
        arguments = [str(self.mount_point), str(self._store), str(self._control)]
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.doubles.fuse", *arguments],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
        )
        wait_for("the FUSE mount", self._is_mounted)

    def _is_mounted(self) -> bool:
        # Not by a stat of it: that would be a request to it.
        return f" {self.mount_point} " in Path("/proc/self/mountinfo").read_text()

    def stop(self) -> None:
        """Answer all, unmount, end; whoever hung in it goes on."""
        self.set("ok")
        if self._server is None:
            return
        time.sleep(2 * NAP_SECONDS)
        subprocess.run(["umount", "-l", str(self.mount_point)], check=False, timeout=10)
        try:
            self._server.wait(5)
        except subprocess.TimeoutExpired:
            self._server.kill()  # the kernel then fails what is still open on it
            self._server.wait(5)
        self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def serve(mount_point: str, store: str, control: str) -> None:
    import mfusepy  # noqa: PLC0415 - only the program needs it

    def obey(*, writes: bool = False) -> None:
        """Do to this request what the control file says."""
        word = Path(control).read_text().strip()
        if word.startswith("slow:"):
            time.sleep(float(word.removeprefix("slow:")))
        elif word in FAILS:
            raise mfusepy.FuseOSError(FAILS[word])
        elif word in WRITING_FAILS and writes:
            raise mfusepy.FuseOSError(WRITING_FAILS[word])
        while word == "hang":
            time.sleep(NAP_SECONDS)
            word = Path(control).read_text().strip()

    class Obedient(mfusepy.Operations):  # type: ignore[misc]  # mfusepy is without types
        """The folder STORE, request by request."""

        use_ns = True

        def path(self, path: str, *, writes: bool = False) -> str:
            obey(writes=writes)
            return store + path

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            with errors():
                found = os.lstat(self.path(path))
            names = ("mode", "nlink", "uid", "gid", "size")
            return {
                **{f"st_{name}": getattr(found, f"st_{name}") for name in names},
                **{f"st_{name}": getattr(found, f"st_{name}_ns") for name in ("mtime", "ctime")},
            }

        def readdir(self, path: str, fh: int) -> list[str]:
            with errors():
                return [".", "..", *(entry.name for entry in Path(self.path(path)).iterdir())]

        def mkdir(self, path: str, mode: int) -> int:
            with errors():
                Path(self.path(path, writes=True)).mkdir(mode)
            return 0

        def rmdir(self, path: str) -> int:
            with errors():
                Path(self.path(path)).rmdir()
            return 0

        def create(self, path: str, mode: int, fi: object = None) -> int:
            with errors():
                made = os.O_RDWR | os.O_CREAT | os.O_EXCL
                return os.open(self.path(path, writes=True), made, mode)

        def open(self, path: str, flags: int) -> int:
            with errors():
                return os.open(self.path(path), flags & (os.O_ACCMODE | os.O_APPEND))

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            obey()
            return os.pread(fh, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            obey(writes=True)
            return os.pwrite(fh, data, offset)

        def fsync(self, path: str, datasync: int, fh: int) -> int:
            obey()
            return 0

        def release(self, path: str, fh: int) -> int:
            os.close(fh)
            return 0

        def truncate(self, path: str, length: int, fh: int | None = None) -> int:
            with errors():
                os.truncate(self.path(path), length)
            return 0

        def rename(self, old: str, new: str) -> int:
            with errors():
                Path(self.path(old, writes=True)).rename(store + new)
            return 0

        def unlink(self, path: str) -> int:
            with errors():
                Path(self.path(path)).unlink()
            return 0

        def statfs(self, path: str) -> dict[str, int]:
            obey()
            found = os.statvfs(store)
            fields = "bavail bfree blocks bsize favail ffree files flag frsize namemax"
            return {f"f_{name}": getattr(found, f"f_{name}") for name in fields.split()}

    @contextlib.contextmanager
    def errors() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise mfusepy.FuseOSError(error.errno or errno.EIO) from error

    start: Callable[..., object] = mfusepy.FUSE
    start(
        Obedient(),
        mount_point,
        foreground=True,
        nothreads=False,
        allow_other=True,
        fsname="doctor-test",
        # Otherwise the kernel answers from its own memory, and nothing hangs.
        attr_timeout=0,
        entry_timeout=0,
    )


if __name__ == "__main__":
    serve(*sys.argv[1:4])
