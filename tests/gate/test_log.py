"""Does the machine's log hear what slurmd drops, and does no job wait for a log that is stuck?

The gate runs in a mount namespace of its own, where /dev/log is a socket of this test.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "gate" / "hpcdoctor-gate"
PROLOG = {"SLURM_SCRIPT_CONTEXT": "prolog_slurmd", "SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1"}
# A /dev that has nothing but what the gate and its programs open.
INSIDE = """
set -e
mount -t tmpfs none "$1/dev"
touch "$1/dev/null" "$1/dev/log"
mount --bind /dev/null "$1/dev/null"
[ ! -S "$1/log" ] || mount --bind "$1/log" "$1/dev/log"
mount --rbind "$1/dev" /dev
[ ! -e "$1/logger" ] || mount --bind "$1/logger" "$2"
shift 2
exec "$@"
"""

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("no mount namespace may be made here")
    (tmp_path / "dev").mkdir()
    return tmp_path


@pytest.fixture
def log(folder: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(folder / "log"))
        listener.setblocking(False)
        yield listener


def prolog(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    logger = shutil.which("logger", path="/usr/bin:/bin")
    assert logger is not None
    inside = ["unshare", "--mount", "sh", "-c", INSIDE, "sh", str(folder), logger]
    return subprocess.run(
        [*inside, str(PROGRAM), "--file", str(folder / "gate"), *arguments],
        capture_output=True,
        text=True,
        env=PROLOG | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        timeout=30,
        check=False,
    )


def heard(log: socket.socket) -> str:
    try:
        return log.recv(65536).decode()
    except BlockingIOError:
        return ""


@pytest.mark.parametrize("text", [None, "nonsense\n"])
def test_why_it_cannot_know_is_in_the_machines_log(
    folder: Path, log: socket.socket, text: str | None
) -> None:
    if text is not None:
        (folder / "gate").write_text(text)
    assert prolog(folder).returncode == 0
    said = heard(log)
    assert said.startswith("<28>")  # daemon.warning
    assert "hpcdoctor-gate: cannot know whether this node is well (" in said
    assert "job 7 starts" in said


def test_a_wrong_option_in_slurm_conf_is_in_the_machines_log(
    folder: Path, log: socket.socket
) -> None:
    assert prolog(folder, "--fiel").returncode == 0
    assert "hpcdoctor-gate: `--fiel' is not known; usage: hpcdoctor-gate" in heard(log)


def test_a_stuck_log_holds_no_job_up_for_long(folder: Path, log: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.connect(str(folder / "log"))
        filler.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                filler.send(b"nobody reads this")
        assert prolog(folder).returncode == 0  # within its bound, or the test's timeout strikes


def test_without_a_log_or_a_logger_the_job_starts(folder: Path) -> None:
    assert prolog(folder).returncode == 0
    (folder / "logger").write_text("no program\n")
    assert prolog(folder).returncode == 0
