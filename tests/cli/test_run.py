"""Does `hpcdoctor run` start, keep and stop the three processes as systemd would?

The processes are stand-ins that note how they were started; users, capabilities and signals are
real.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcdoctor.cli.unit import Grant, grant_of
from tests.doubles.waiting import wait_for

pytestmark = pytest.mark.real

STAND_IN = Path(__file__).parents[1] / "doubles/stand_in.py"
RUN = """
import sys
from hpcdoctor.cli.run import main
sys.exit(main(sys.argv[3:], program=sys.argv[1:3]))
"""
THREE = ("daemon", "prober", "helper")
USER = "hpcdoctor"


class Place:
    """A folder that every user can read, and the `hpcdoctor run` that was started in it."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self.python = python
        self.notes = folder / "notes"
        self.config = folder / "config"
        self.errors = folder / "stderr"
        self.process: subprocess.Popen[bytes] | None = None
        for made in (self.notes, self.config):
            made.mkdir()
        self.notes.chmod(0o777)
        shutil.copy(STAND_IN, folder / "stand_in.py")
        (self.config / "hpcdoctor.yaml").write_text(
            f"run_directory: {folder}/run/hd\n"
            f"state_directory: {folder}/state/hd\n"
            f"helper_state_directory: {folder}/state/hd-helper\n"
        )

    def start(self, *options: str, before: list[str] | None = None, **extra: str) -> None:
        command = [*(before or []), str(self.python), "-P", "-c", RUN]
        command += [str(self.program()), str(self.notes), "--config", str(self.config), *options]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=errors, env={**os.environ, **extra}
            )

    def program(self) -> Path:
        script = self.folder / "program"
        script.write_text(f'#!/bin/sh\nexec {self.python} {self.folder}/stand_in.py "$@"\n')
        script.chmod(0o755)
        return script

    def order(self, name: str, order: str) -> None:
        (self.notes / f"{name}.orders").write_text(order)

    def starts(self, name: str) -> list[dict[str, Any]]:
        file = self.notes / f"{name}.started"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def wait_until_started(self, name: str, times: int = 1, timeout: float = 15) -> dict[str, Any]:
        def nth() -> dict[str, Any] | None:
            starts = self.starts(name)
            return starts[times - 1] if len(starts) >= times else None

        return wait_for(f"start {times} of the {name}", nth, timeout)

    def wait_for_all(self) -> dict[str, int]:
        return {name: int(self.wait_until_started(name)["pid"]) for name in THREE}

    def said(self) -> str:
        return self.errors.read_text() if self.errors.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout: float = 10) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()  # the three die with it, which is itself tested below
            self.process.wait(10)
        for pid in [int(start["pid"]) for name in THREE for start in self.starts(name)]:
            if is_alive(pid) and str(self.folder) in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder)


@pytest.fixture
def place(installed: Path) -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="hpcdoctor-run-", dir="/var/tmp"))
    folder.chmod(0o755)
    made = Place(folder, installed.with_name("python"))
    yield made
    made.clean_up()


@pytest.fixture
def account(as_root: None) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        pytest.skip(f"there is no user {USER}; `make test` as root makes one")


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def is_alive(pid: int) -> bool:
    try:
        return status_of(pid)["State"][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def capability_mask(names: list[str]) -> int:
    numbers = {"dac_read_search": 2, "fowner": 3, "sys_ptrace": 19, "syslog": 34}
    return sum(1 << numbers[name] for name in names)


@pytest.mark.parametrize("name", THREE)
def test_each_process_has_user_capabilities_and_no_new_privileges_of_its_unit(
    place: Place, account: pwd.struct_passwd, name: str
) -> None:
    place.start()
    pids = place.wait_for_all()
    grant: Grant = grant_of(name)
    uid, gid = (0, 0) if name != "daemon" else (account.pw_uid, account.pw_gid)
    status = status_of(pids[name])
    assert status["Uid"].split() == [str(uid)] * 4
    assert status["Gid"].split() == [str(gid)] * 4
    assert grant.user == (USER if name == "daemon" else "root")
    assert status["NoNewPrivs"] == "1"
    assert grant.no_new_privileges
    assert grant.bounding is not None
    here = int(status_of(os.getpid())["CapBnd"], 16)  # a container may have fewer to give
    allowed = capability_mask(grant.bounding) & here
    assert int(status["CapBnd"], 16) == allowed
    assert int(status["CapEff"], 16) == (allowed if uid == 0 else 0)
    assert int(status["CapPrm"], 16) == (allowed if uid == 0 else 0)
    assert int(status["CapAmb"], 16) == 0
    assert int(status["CapInh"], 16) == 0
    assert int(status["Umask"], 8) == grant.umask


def test_the_daemon_has_no_group_of_the_caller(place: Place, account: pwd.struct_passwd) -> None:
    place.start()
    groups = status_of(place.wait_for_all()["daemon"])["Groups"].split()
    assert groups == [str(gid) for gid in sorted(os.getgrouplist(USER, account.pw_gid))]


def test_prober_and_helper_get_their_socket_and_the_daemon_none(
    place: Place, account: pwd.struct_passwd
) -> None:
    place.start()
    pids = place.wait_for_all()
    for name in ("prober", "helper"):
        start = place.starts(name)[0]
        assert start["listen"] == ["1", str(pids[name])]
        path = Path(f"{place.folder}/run/hd-{name}.sock")
        # It was bound beside and renamed, so the kernel still knows the first name.
        assert start["listens"].startswith(f"{place.folder}/run/.hd-{name}.sock.")
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (0, account.pw_gid)
        assert found.st_mode & 0o777 == 0o660
    assert place.starts("daemon")[0]["listen"] == [None, None]
    assert place.starts("daemon")[0]["listens"] is None


def test_folders_belong_to_who_writes_them(place: Place, account: pwd.struct_passwd) -> None:
    place.start()
    place.wait_for_all()
    wanted = {"run/hd": (account.pw_uid, 0o755), "state/hd": (account.pw_uid, 0o750)}
    wanted["state/hd-helper"] = (0, 0o700)
    for name, (owner, mode) in wanted.items():
        found = (place.folder / name).stat()
        assert (found.st_uid, found.st_mode & 0o7777) == (owner, mode), name


@pytest.mark.parametrize("name", ["prober", "helper"])
def test_a_killed_prober_or_helper_comes_back_and_nobody_else_notices(
    place: Place, account: pwd.struct_passwd, name: str
) -> None:
    place.start()
    pids = place.wait_for_all()
    os.kill(pids[name], signal.SIGKILL)
    again = place.wait_until_started(name, times=2)
    assert again["pid"] != pids[name]
    assert again["listen"] == ["1", str(again["pid"])]
    assert f"the {name} was ended by SIGKILL" in place.said()
    assert {other: len(place.starts(other)) for other in THREE if other != name} == {
        other: 1 for other in THREE if other != name
    }
    assert all(is_alive(pid) for other, pid in pids.items() if other != name)


def test_a_prober_that_dies_at_once_is_started_again_with_growing_pauses(
    place: Place, account: pwd.struct_passwd
) -> None:
    place.order("prober", "leave 1")
    place.start()
    wait_for("the third pause", lambda: "started again in 1 s" in place.said())
    assert place.said().index("in 0 s") < place.said().index("in 0.5 s")
    assert len(place.starts("prober")) == 3


def test_an_idle_helper_stays_away_until_somebody_calls(
    place: Place, account: pwd.struct_passwd
) -> None:
    place.order("helper", "idle")
    place.start()
    first = place.wait_for_all()["helper"]
    call(place)
    wait_for("the helper to leave", lambda: not Path(f"/proc/{first}").exists())
    time.sleep(0.3)  # longer than a restart takes
    assert len(place.starts("helper")) == 1
    assert "the helper" not in place.said()  # to leave when idle is no news
    call(place)
    assert place.wait_until_started("helper", times=2)["pid"] != first


def call(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(f"{place.folder}/run/hd-helper.sock")


def test_a_dead_daemon_ends_run_with_a_failure_and_the_other_two_with_it(
    place: Place, account: pwd.struct_passwd
) -> None:
    place.start()
    pids = place.wait_for_all()
    os.kill(pids["daemon"], signal.SIGKILL)
    assert place.wait() == 128 + signal.SIGKILL
    assert not any(is_alive(pid) for pid in pids.values())
    assert "the daemon was ended by SIGKILL" in place.said()


@pytest.mark.parametrize(("left_with", "ends_with"), [(78, 78), (0, 1)])
def test_run_ends_with_the_daemons_own_status_but_never_as_if_all_were_well(
    place: Place, account: pwd.struct_passwd, left_with: int, ends_with: int
) -> None:
    place.order("daemon", f"leave {left_with}")
    place.start()
    assert place.wait() == ends_with


def test_a_killed_run_leaves_no_process_behind(place: Place, account: pwd.struct_passwd) -> None:
    for name in THREE:
        place.order(name, "ignore-term")
    place.start()
    pids = place.wait_for_all()
    place.signal(signal.SIGKILL)
    wait_for("all three to die", lambda: not any(is_alive(pid) for pid in pids.values()), 3)


def test_run_can_be_started_again_after_it_was_killed(
    place: Place, account: pwd.struct_passwd
) -> None:
    place.start()
    pids = place.wait_for_all()
    place.signal(signal.SIGKILL)
    place.wait()
    wait_for("all three to die", lambda: not any(is_alive(pid) for pid in pids.values()), 3)
    place.start()
    assert place.wait_until_started("daemon", times=2)


@pytest.mark.parametrize("told_by", [signal.SIGTERM, signal.SIGINT])
def test_run_stops_daemon_prober_and_helper_in_this_order(
    place: Place, account: pwd.struct_passwd, told_by: signal.Signals
) -> None:
    place.start()
    pids = place.wait_for_all()
    place.signal(told_by)
    assert place.wait() == 0
    assert not any(is_alive(pid) for pid in pids.values())
    ends = [float((place.notes / f"{name}.ended").read_text()) for name in THREE]
    assert ends == sorted(ends)
    assert list((place.folder / "run").glob("*.sock")) == []


def test_run_stops_within_five_seconds_when_nobody_obeys(
    place: Place, account: pwd.struct_passwd
) -> None:
    for name in THREE:
        place.order(name, "ignore-term")
    place.start()
    pids = place.wait_for_all()
    begin = time.monotonic()
    place.signal(signal.SIGTERM)
    assert place.wait() == 0
    assert time.monotonic() - begin < 5
    assert not any(is_alive(pid) for pid in pids.values())


def test_a_reload_reaches_the_daemon_and_the_helper(
    place: Place, account: pwd.struct_passwd
) -> None:
    place.start()
    place.wait_for_all()
    place.signal(signal.SIGHUP)
    for name in ("daemon", "helper"):
        wait_for(f"the {name}'s reload", (place.notes / f"{name}.reloads").exists)
    assert not (place.notes / "prober.reloads").exists()


def test_the_flag_for_tests_is_shouted_and_passed_to_daemon_and_prober_only(
    place: Place, account: pwd.struct_passwd
) -> None:
    place.start("--accept-user-kernel-log")
    place.wait_for_all()
    common = ["--config", str(place.config)]
    assert place.starts("daemon")[0]["arguments"] == [
        "daemon", *common, "--accept-user-kernel-log"
    ]  # fmt: skip
    assert place.starts("prober")[0]["arguments"][-1] == "--accept-user-kernel-log"
    assert place.starts("helper")[0]["arguments"] == ["helper", *common]
    assert "WARNING: --accept-user-kernel-log" in place.said()


def test_another_user_for_the_daemon_is_told_to_those_who_answer_it(
    place: Place, account: pwd.struct_passwd
) -> None:
    place.start("--user", "daemon")  # a user that every Debian has
    pids = place.wait_for_all()
    other = pwd.getpwnam("daemon")
    assert status_of(pids["daemon"])["Uid"].split()[0] == str(other.pw_uid)
    assert (place.folder / "run/hd-helper.sock").stat().st_gid == other.pw_gid
    for name in ("prober", "helper"):
        assert place.starts(name)[0]["arguments"][-2:] == ["--user", "daemon"]


def test_only_the_daemon_may_speak_to_whoever_started_run(
    place: Place, account: pwd.struct_passwd
) -> None:
    place.start(NOTIFY_SOCKET="/nowhere", LISTEN_FDS="1", LISTEN_PID="1")
    place.wait_for_all()
    assert {name: place.starts(name)[0]["notify"] for name in THREE} == {
        "daemon": "/nowhere", "prober": None, "helper": None
    }  # fmt: skip
    assert place.starts("daemon")[0]["listen"] == [None, None]


def test_a_second_run_in_the_same_place_is_refused(
    place: Place, account: pwd.struct_passwd
) -> None:
    place.start()
    pids = place.wait_for_all()
    first = place.process
    place.start()
    assert place.wait() == 78
    assert "a running process listens at" in place.said()
    assert all(is_alive(pid) for pid in pids.values())
    place.process = first


def test_a_missing_user_is_named_with_the_command_that_makes_one(
    place: Place, as_root: None
) -> None:
    place.start("--user", "nobody-of-this-name")
    assert place.wait() == 78
    (line,) = place.said().splitlines()
    assert "there is no user nobody-of-this-name" in line
    assert "useradd --system" in line


def test_an_installation_that_the_user_cannot_read_is_named(
    place: Place, account: pwd.struct_passwd
) -> None:
    closed = place.folder / "closed"
    shutil.copytree(place.python.parents[1], closed / "venv", symlinks=True)
    closed.chmod(0o700)
    place.python = closed / "venv/bin/python"
    place.start()
    assert place.wait() == 78
    (line,) = place.said().splitlines()
    assert f"user {USER} cannot use this installation ({place.python})" in line


def test_started_by_an_ordinary_user_all_three_run_as_this_user(
    place: Place, as_root: None
) -> None:
    nobody = pwd.getpwnam("nobody")
    for name in ("run", "state"):
        (place.folder / name).mkdir()
        os.chown(place.folder / name, nobody.pw_uid, nobody.pw_gid)
    place.start(before=["setpriv", "--reuid=nobody", f"--regid={nobody.pw_gid}", "--clear-groups"])
    pids = place.wait_for_all()
    for pid in pids.values():
        assert status_of(pid)["Uid"].split()[0] == str(nobody.pw_uid)
        assert status_of(pid)["NoNewPrivs"] == "1"
    assert "started by nobody, not by root" in place.said()


def test_an_ordinary_user_is_told_which_folder_cannot_be_made(place: Place, as_root: None) -> None:
    nobody = pwd.getpwnam("nobody")
    place.start(before=["setpriv", "--reuid=nobody", f"--regid={nobody.pw_gid}", "--clear-groups"])
    assert place.wait() == 78
    assert f"cannot make the folder {place.folder}/run/hd: Permission denied" in place.said()
