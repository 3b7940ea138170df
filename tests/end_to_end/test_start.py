"""Where the daemon cannot start for its state directory: does it say what is wrong, and what helps?

The command that it names is carried out.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.doctor import Doctor

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

NO_STORE = 73
USER = "hpcdoctor"


class Place:
    """A state directory on a small file system of its own, with a database in it."""

    def __init__(self, doctor: Doctor) -> None:
        self.doctor = doctor
        self.disk = doctor.folder / "disk"
        self.state = self.disk / "state"
        self.disk.mkdir()
        self.mount("-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs")
        doctor.write_settings(state_directory=str(self.state), record_size="0B")

    def mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.disk)], check=True)

    def own(self, user: str = USER) -> None:
        self.state.mkdir(mode=0o750, exist_ok=True)
        subprocess.run(["chown", "-R", f"{user}:{user}", self.state], check=True)

    def fill(self) -> None:
        with (self.disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def start(self) -> str:
        """Start the daemon as its unit does, where it cannot start; return its only line."""
        daemon = [str(self.doctor.program), "daemon", "--config", str(self.doctor.configuration)]
        command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *daemon]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == NO_STORE, done.stderr
        (line,) = [each for each in done.stderr.splitlines() if not each.startswith("{")]
        return line


@pytest.fixture
def place(installed: Path) -> Iterator[Place]:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        pytest.skip(f"there is no user {USER}; `make test` as root makes one")
    doctor = Doctor(installed, {"node": "n1"})
    place = Place(doctor)
    (doctor.folder / "run").mkdir()
    shutil.chown(doctor.folder / "run", USER, USER)
    try:
        yield place
    finally:
        doctor.end()
        subprocess.run(["umount", "-l", place.disk], check=True)
        shutil.rmtree(doctor.folder)


@pytest.mark.parametrize("had", [False, True], ids=["the first start", "a later one"])
def test_a_full_file_system_is_named_and_how_to_find_what_fills_it(place: Place, had: bool) -> None:  # noqa: FBT001
    place.own()
    if had:
        place.doctor.start()
        place.doctor.hpcdoctor("hold", "--why", "a cable")
        place.doctor.stop()
    place.fill()
    said = place.start()
    assert f"the file system of {place.state} ({place.disk}) is full" in said
    assert f"du -xh --max-depth=2 {place.disk}" in said
    (place.disk / "filler").unlink()
    place.doctor.start()
    assert bool(place.doctor.status["held_by"]) == had
    place.doctor.stop()


def test_a_read_only_file_system_is_named_by_the_daemon_and_by_run(place: Place) -> None:
    place.own()
    place.mount("-o", "remount,ro")
    said = place.start()
    assert f"{place.state} is on a file system that is read-only ({place.disk})" in said
    assert f"mount -o remount,rw {place.disk}" in said
    done = place.doctor.hpcdoctor("run")
    assert done.returncode != 0
    assert f"{place.state} is on a file system that is read-only" in done.stderr
    place.mount("-o", "remount,rw")


def test_run_names_a_read_only_file_system_where_it_would_have_to_make_the_folder(
    place: Place,
) -> None:
    place.mount("-o", "remount,ro")
    done = place.doctor.hpcdoctor("run")
    assert done.returncode != 0
    assert f"{place.state} lies on a file system that is read-only" in done.stderr
    place.mount("-o", "remount,rw")


def test_what_belongs_to_root_is_named_with_the_command_that_mends_it(place: Place) -> None:
    place.own("root")
    said = place.start()
    assert f"{place.state} belongs to root:root (mode 0750) and user {USER} may not write" in said
    mend(said)
    place.doctor.start()
    place.doctor.stop()
    os.chown(place.state / "hpcdoctor.db", 0, 0)
    said = place.start()
    assert f"{place.state}/hpcdoctor.db belongs to root:root" in said
    mend(said)
    place.doctor.start()
    place.doctor.stop()


def test_a_folder_that_is_not_there_is_named_with_the_command_that_makes_it(place: Place) -> None:
    said = place.start()
    assert f"there is no folder {place.state}" in said
    mend(said)
    assert place.state.owner() == USER


def test_a_folder_above_that_is_closed_is_the_one_that_is_named(place: Place) -> None:
    place.own()
    place.disk.chmod(0o700)
    said = place.start()
    assert f"user {USER} may not enter {place.disk}" in said
    mend(said.replace("; chmod", "with: chmod"))


def mend(said: str) -> None:
    """Do as we are told."""
    _, _, command = said.partition("with: ")
    subprocess.run(["sh", "-c", command], check=True)
