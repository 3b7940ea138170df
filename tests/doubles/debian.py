"""What is a Debian to install into? One made by debootstrap in a folder, copied for each test.

Its /proc is there, systemd is installed and does not run: as while an image is made.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.doubles.packages import run

RELEASE = "bookworm"
NEEDS = "python3.11,libudev1,util-linux,systemd"
PATIENCE_SECONDS = 900


def bootstrap(folder: Path) -> Path:
    """Return the folder of a small Debian; skip, and say why, where none can be had."""
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is not installed; NOTHING WAS INSTALLED FOR REAL")
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={NEEDS}", RELEASE, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        last = " / ".join(done.stdout.splitlines()[-3:])
        pytest.skip(f"debootstrap made no Debian ({last}); NOTHING WAS INSTALLED FOR REAL")
    return folder


class Debian:
    """One copy, to be changed at will."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, code: int = 0) -> str:
        return run("chroot", str(self.folder), *command, code=code)

    def bring(self, path: Path) -> str:
        shutil.copy(path, self.folder / "root")
        return f"/root/{path.name}"

    def find(self, word: str) -> list[str]:
        """Return every path with the word in its name that a package may have left."""
        found = self.run("find", "/etc", "/run", "/usr", "/var", "-name", f"*{word}*")
        return sorted(found.splitlines())

    def owner(self, path: str) -> str:
        return self.run("stat", "--format=%U:%G %a", path).strip()

    @contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command in it, and end it."""
        with (self.folder / "root/stderr").open("wb") as errors:
            process = subprocess.Popen(
                ["chroot", str(self.folder), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)

    def said(self) -> str:
        return (self.folder / "root/stderr").read_text(errors="replace")


@contextmanager
def copy_of(pristine: Path, folder: Path) -> Iterator[Debian]:
    subprocess.run(["cp", "-a", str(pristine), str(folder)], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", str(folder / "proc")], check=True)
    try:
        yield Debian(folder)
    finally:
        _unmount(folder / "proc")
        shutil.rmtree(folder)


def _unmount(path: Path) -> None:
    for _ in range(10):
        if subprocess.run(["umount", str(path)], check=False).returncode == 0:
            return
        time.sleep(0.5)  # a process that is on its way out still holds it
    subprocess.run(["umount", "--lazy", str(path)], check=True)
