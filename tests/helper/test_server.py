"""Does the helper, as a process behind its socket, serve whom it should and end when it should?"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpcdoctor.definitions.settings import Settings
from hpcdoctor.helper.journal import FILE
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

pytestmark = pytest.mark.real

MARK = "hd:k3f9.1"
DRAIN = {
    "id": "k3f9.1.1",
    "operation": "drain",
    "reason": "hd:k3f9.1 GPU3 lost; rule r",
    "mark": MARK,
}
READ = {"id": "look.0.1", "operation": "read", "mark": MARK}

PROGRAM = """
import logging, os, socket, sys
from pathlib import Path
import msgspec
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.helper.main import serve
logging.basicConfig(level=logging.INFO)
path, settings, journal, users, idle = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(path + ".new")
    os.chmod(path + ".new", 0o666)
    listener.listen()
    os.rename(path + ".new", path)  # who sees it may connect
    sys.exit(serve(
        listener,
        msgspec.json.decode(settings, type=Settings),
        Path(journal),
        allowed_users=frozenset(map(int, users.split(","))),
        idle_seconds=float(idle),
    ))
"""

# Asks as another user, with the system's own Python: ours may not be readable for everybody.
CALLER = """
import socket, sys
with socket.socket(socket.AF_UNIX) as caller:
    caller.settimeout(20)
    caller.connect(sys.argv[1])
    sys.stdout.write(caller.makefile().readline())
"""


class HelperProcess:
    """The helper, started by us."""

    def __init__(self, folder: Path, settings: Settings, idle_seconds: float = 300.0) -> None:
        self.socket = folder / "helper.sock"
        self.journal = folder / "journal"
        with (folder / "helper.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    PROGRAM,
                    str(self.socket),
                    msgspec.json.encode(settings).decode(),
                    str(self.journal),
                    "998",
                    str(idle_seconds),
                ],
                stdin=subprocess.DEVNULL,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )
        wait_for("the helper's socket", self.socket.exists)

    def connect(self) -> socket.socket:
        caller = socket.socket(socket.AF_UNIX)
        caller.settimeout(60)
        caller.connect(str(self.socket))
        return caller

    def ask(self, *lines: dict[str, str] | bytes) -> list[Any]:
        """Send all at once, and return as many answers."""
        with self.connect() as caller, caller.makefile("rb") as answers:
            for line in lines:
                caller.sendall(
                    line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                )
            return [json.loads(answers.readline()) for _ in lines]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=2) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    yield shared_cluster
    shared_cluster.thaw()
    for name in shared_cluster.out():
        shared_cluster.resume(name)
    for name in shared_cluster.nodes:
        shared_cluster.wait_for_node(name, "idle")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hdh-", dir="/var/tmp") as made:
        Path(made).chmod(0o755)  # another user comes to the socket
        yield Path(made)


@pytest.fixture
def helper(cluster: SlurmCluster, folder: Path) -> Iterator[HelperProcess]:
    process = HelperProcess(folder, cluster.settings("n1"))
    yield process
    process.close()


def test_a_drain_and_a_resume_of_this_node(helper: HelperProcess, cluster: SlurmCluster) -> None:
    drained, seen = helper.ask(DRAIN, READ)
    assert drained["result"] == seen["result"] == "done"
    assert cluster.out() == ["n1"]
    resume = {
        "id": "k3f9.1.2",
        "operation": "resume",
        "mark": MARK,
        "claimed_by": seen["view"]["reason_by"],
        "claimed_at": seen["view"]["reason_at"],
    }
    assert helper.ask(resume)[0]["result"] == "done"
    assert cluster.out() == []


def test_a_daemon_that_was_taken_over_gets_nothing_more(
    helper: HelperProcess, cluster: SlurmCluster
) -> None:
    cluster.drain("n2", "disk swap, ask Ann")
    answers = helper.ask(
        DRAIN | {"operation": "reboot"},
        DRAIN | {"node": "n2"},
        DRAIN | {"nodename": "ALL"},
        DRAIN | {"reason": "nothing to see here"},
        DRAIN | {"reason": "hd:k3f9.1 x\nNodeName=n2 State=RESUME"},
        b"scontrol update nodename=ALL state=down reason=x\n",
        b"\n",
    )
    assert {answer["result"] for answer in answers} == {"refused"}
    assert all(answer["message"] for answer in answers)
    assert cluster.out() == []
    assert cluster.node("n2").reason == "disk swap, ask Ann"
    cluster.resume("n2")


def test_a_replayed_id_is_refused_also_after_a_new_start(
    helper: HelperProcess, cluster: SlurmCluster, folder: Path
) -> None:
    first, replayed = helper.ask(DRAIN, DRAIN)
    assert (first["result"], replayed["result"]) == ("done", "refused")
    assert "already started at" in replayed["message"]
    helper.close()
    helper.socket.unlink()
    again = HelperProcess(folder, cluster.settings("n1"))
    try:
        assert again.ask(DRAIN)[0]["result"] == "refused"
        assert again.ask(DRAIN | {"id": "k3f9.1.2"})[0]["result"] == "done"
    finally:
        again.close()


def test_a_line_that_does_not_end_is_refused_and_the_caller_dropped(helper: HelperProcess) -> None:
    with helper.connect() as caller, caller.makefile("rb") as answers:
        caller.sendall(b"x" * 30_000)
        assert b"at most 20480 bytes" in answers.readline()
        assert answers.read() == b""
    assert helper.ask(READ)[0]["result"] == "done"


def test_a_silent_caller_holds_nobody_up(helper: HelperProcess) -> None:
    with helper.connect() as silent:
        silent.sendall(b'{"id": "half')
        assert helper.ask(READ)[0]["result"] == "done"


def test_a_user_who_may_not_ask_is_turned_away(helper: HelperProcess) -> None:
    if not Path("/usr/bin/python3").exists():
        pytest.skip("needs the system's Python, which every user can run")
    answer = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", CALLER, str(helper.socket)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        user="nobody",
        group="nogroup",
        extra_groups=[],
        check=True,
    )
    assert "may not ask the helper" in json.loads(answer.stdout)["message"]
    assert helper.ask(READ)[0]["result"] == "done"


def test_what_a_dead_daemon_has_asked_is_not_started(
    helper: HelperProcess, cluster: SlurmCluster
) -> None:
    cluster.freeze()
    with helper.connect() as waiting:
        waiting.sendall(json.dumps(READ).encode() + b"\n")
        wait_for("the helper to be busy with it", lambda: children(helper.process.pid))
        with helper.connect() as dead:
            dead.sendall(json.dumps(DRAIN).encode() + b"\n")
        cluster.thaw()
        with waiting.makefile("rb") as answers:
            answers.readline()
    assert helper.ask(READ)[0]["view"]["drained"] is False
    assert not (helper.journal / FILE).exists()


def test_it_ends_by_itself_when_nobody_asks(folder: Path, cluster: SlurmCluster) -> None:
    helper = HelperProcess(folder, cluster.settings("n1"), idle_seconds=0.5)
    try:
        with helper.connect():  # being connected is not asking
            assert helper.process.wait(10) == 0
    finally:
        helper.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_ends_when_told_to(helper: HelperProcess, number: signal.Signals) -> None:
    helper.ask(READ)
    os.kill(helper.process.pid, number)
    assert helper.process.wait(10) == 0


def test_it_ends_soon_also_while_the_controller_hangs_and_says_unknown(
    helper: HelperProcess, cluster: SlurmCluster
) -> None:
    helper.ask(READ)
    cluster.freeze()
    with helper.connect() as caller, caller.makefile("rb") as answers:
        caller.sendall(json.dumps(DRAIN).encode() + b"\n")
        wait_for("the action to be in the journal", lambda: started(helper.journal / FILE))
        told = time.monotonic()
        os.kill(helper.process.pid, signal.SIGTERM)
        assert json.loads(answers.readline())["result"] == "no-answer"
        assert helper.process.wait(10) == 0
        assert time.monotonic() - told < 4
    database = sqlite3.connect(helper.journal / FILE)
    assert database.execute("SELECT id, result FROM actions").fetchall() == [
        ("k3f9.1.1", "no-answer")
    ]
    database.close()


def started(file: Path) -> bool:
    if not file.exists():
        return False
    database = sqlite3.connect(file)
    try:
        return bool(database.execute("SELECT id FROM actions").fetchall())
    except sqlite3.Error:
        return False
    finally:
        database.close()


def children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()
