"""Is a program that hangs ended with all it has started, and in time?"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from hpcdoctor.actions.programs import NoResult, NotStarted, Programs
from tests.doubles.waiting import wait_for

pytestmark = pytest.mark.real

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def test_status_and_both_outputs_come_back() -> None:
    finished = Programs().run(
        ["sh", "-c", "echo out; echo err >&2; exit 3"],
        deadline_seconds=10,
        environment=ENVIRONMENT,
    )
    assert (finished.status, finished.out, finished.err) == (3, "out\n", "err\n")


def test_only_the_given_environment_is_seen() -> None:
    finished = Programs().run(
        ["env"], deadline_seconds=10, environment={"PATH": "/usr/bin", "A": "b"}
    )
    assert sorted(finished.out.split()) == ["A=b", "PATH=/usr/bin"]


def test_a_program_that_hangs_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/grandchild; trap '' TERM; wait"
    started = time.monotonic()
    with pytest.raises(NoResult, match="within 0.5 s"):
        Programs().run(["sh", "-c", script], deadline_seconds=0.5, environment=ENVIRONMENT)
    assert time.monotonic() - started < 5
    grandchild = int((tmp_path / "grandchild").read_text())
    wait_for("the grandchild to be gone", lambda: not is_alive(grandchild))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_one_that_leaves_its_group_with_our_pipes_does_not_hold_us(tmp_path: Path) -> None:
    script = f"setsid sleep 1000 & echo $! > {tmp_path}/escaped"
    started = time.monotonic()
    try:
        with pytest.raises(NoResult):
            Programs().run(["sh", "-c", script], deadline_seconds=0.5, environment=ENVIRONMENT)
        assert time.monotonic() - started < 5
    finally:
        os.kill(int((tmp_path / "escaped").read_text()), signal.SIGKILL)


def test_a_program_that_is_not_there_was_not_started() -> None:
    with pytest.raises(NotStarted, match="No such file"):
        Programs().run(["no-such-program"], deadline_seconds=1, environment=ENVIRONMENT)


def test_ending_kills_what_runs_and_starts_nothing_more() -> None:
    programs = Programs()
    timer = threading.Timer(0.3, programs.end)
    timer.start()
    started = time.monotonic()
    with pytest.raises(NoResult, match="ending"):
        programs.run(["sleep", "1000"], deadline_seconds=100, environment=ENVIRONMENT)
    timer.join()
    assert time.monotonic() - started < 10
    with pytest.raises(NoResult, match="ending"):
        programs.run([sys.executable, "-V"], deadline_seconds=10, environment=ENVIRONMENT)
