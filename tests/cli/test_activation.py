"""Does a process listen where it should, and take over nothing that is not its own?"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdoctor.cli.activation import SocketError, bind_socket, inherited_socket, listening_socket

# Puts the socket at descriptor 3 and stays the same process, as systemd and `run` do.
HANDED_OVER = """
import os, socket, sys
from pathlib import Path
from hpcdoctor.cli.activation import SocketError, listening_socket
kind, path = sys.argv[1:]
if kind == "listening":
    channel = socket.socket(socket.AF_UNIX); channel.bind(path); channel.listen(1)
elif kind == "datagram":
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); channel.bind(path)
else:
    channel = open(os.devnull)
os.dup2(channel.fileno(), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "x"}
try:
    found = listening_socket(Path(path))
except SocketError as error:
    sys.exit(str(error))
print(found.fileno(), found.getsockname(), os.get_inheritable(3))
print([name for name in os.environ if name.startswith("LISTEN_")])
"""


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "x.sock"


def handed_over(kind: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HANDED_OVER, kind, str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.real
def test_a_socket_that_was_handed_over_is_taken_once_and_not_inherited(path: Path) -> None:
    done = handed_over("listening", path)
    assert done.stdout.splitlines() == [f"3 {path} False", "[]"], done.stderr


@pytest.mark.real
@pytest.mark.parametrize(
    ("kind", "complaint"),
    [("datagram", "not a listening unix stream socket"), ("file", "descriptor 3 is not a socket")],
)
def test_something_else_at_descriptor_3_is_refused(path: Path, kind: str, complaint: str) -> None:
    done = handed_over(kind, path)
    assert done.returncode == 1
    assert complaint in done.stderr


def test_a_socket_that_was_meant_for_another_process_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    assert inherited_socket() is None
    assert "LISTEN_PID" not in os.environ


def test_two_sockets_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    with pytest.raises(SocketError, match="LISTEN_FDS is `2`"):
        inherited_socket()


def test_without_a_socket_from_outside_one_is_bound(path: Path) -> None:
    with listening_socket(path, group=os.getegid()) as channel:
        assert channel.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert path.stat().st_mode & 0o777 == 0o660
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
    assert [entry.name for entry in path.parent.iterdir()] == ["x.sock"]


def test_a_socket_of_a_dead_process_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen(1)
    with bind_socket(path, 0o600), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))


@pytest.mark.real
def test_a_socket_that_only_a_child_of_a_dead_process_holds_is_replaced(path: Path) -> None:
    """A probe's child that hangs in the kernel must not keep the next prober out."""
    bind_and_fork = """
import os, socket, sys, time
channel = socket.socket(socket.AF_UNIX); channel.bind(sys.argv[1]); channel.listen(5)
if os.fork() == 0:
    sys.stdin.read()  # until the test closes it
    os._exit(0)
os._exit(0)
"""
    with subprocess.Popen(
        [sys.executable, "-c", bind_and_fork, str(path)], stdin=subprocess.PIPE
    ) as holder:
        holder.wait(30)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))  # it is answered all the same
        bind_socket(path, 0o600).close()


def test_a_socket_that_is_served_is_not_taken_over(path: Path) -> None:
    with bind_socket(path, 0o600), pytest.raises(SocketError, match="listens at .* already"):
        bind_socket(path, 0o600)


def test_a_socket_whose_queue_is_full_is_not_taken_over(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(SocketError, match="listens at .* already"):
            bind_socket(path, 0o600)


def test_what_is_no_socket_is_not_removed(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(SocketError, match="something else is there"):
        bind_socket(path, 0o600)
    assert path.read_text() == "precious"


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SocketError, match="something else is there"):
        bind_socket(path, 0o600)


def test_a_group_that_does_not_exist_is_named_and_nothing_is_left_behind(path: Path) -> None:
    with pytest.raises(SocketError, match="no group is named no-such-group"):
        bind_socket(path, 0o660, "no-such-group")
    assert list(path.parent.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SocketError, match="cannot listen at .*No such file"):
        bind_socket(tmp_path / "absent/x.sock", 0o600)
