"""How does a test talk with a real template? As the daemon does, over its socket, with bounds."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from hpcdoctor.model.reading import Look
from hpcdoctor.model.request import Follow, Read
from tests.doubles.waiting import wait_for

CHECKOUT = Path(__file__).parents[2]

PROGRAM = """
import socket, sys
from pathlib import Path
from hpcdoctor.prober.main import serve
from hpcdoctor.probes.host import Host
from tests.prober.made_probes import find
listener = socket.socket(fileno=int(sys.argv[1]))
users = frozenset(map(int, sys.argv[2].split(",")))
host = Host.this_machine()
sys.exit(serve(listener, host, allowed_users=users, mounts=sys.argv[3:], find=find))
"""


class Template:
    """A template process of our own, with the probes of made_probes beside the shipped ones."""

    def __init__(
        self, folder: Path, mounts: Sequence[str] = (), users: Sequence[int] = (0,)
    ) -> None:
        self.path = folder / "prober.sock"
        self._folder = folder
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            self.path.chmod(0o777)
            listener.listen()
            self._errors = (folder / "stderr").open("w")
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-c", PROGRAM, str(listener.fileno())),
                    *(",".join(map(str, users)), *mounts),
                ],
                cwd=CHECKOUT,
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=self._errors,
                env={**os.environ, "MADE_PROBES": str(folder)},
            )

    @property
    def stderr(self) -> str:
        return (self._folder / "stderr").read_text()

    def control(self, probe: str, word: str) -> None:
        """Tell a made probe what to do."""
        (self._folder / probe).write_text(word)

    def connect(self) -> "Client":
        return Client(self.path)

    def children(self) -> list[int]:
        """Return the processes that the template has started, dead ones not yet taken included."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def living(self) -> list[int]:
        return [pid for pid in self.children() if state(pid) not in ("Z", "")]

    def terminate(self, within_seconds: float) -> float:
        """End it as systemd does; return how long that took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(within_seconds)
        return time.monotonic() - start

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._errors.close()


class Client:
    """One connection to it."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(15)
        self.socket.connect(str(path))
        self._data = b""

    def ask(self, *probes: str, deadline_seconds: float = 1.0) -> None:
        self.send(Read(list(probes), deadline_seconds))

    def send(self, request: Read | Follow) -> None:
        self.socket.sendall(msgspec.json.encode(request) + b"\n")

    def hear(self) -> list[Look]:
        """Return the next line."""
        while b"\n" not in self._data:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError("the template has closed the connection")
            self._data += data
        line, _, self._data = self._data.partition(b"\n")
        return msgspec.json.decode(line, type=list[Look])

    def hear_all(self, *names: str) -> dict[str, Look]:
        """Return the Looks by subject, or else by probe, once each of these is there."""
        heard: dict[str, Look] = {}
        while not set(names) <= set(heard):
            heard.update({look.subject or look.probe: look for look in self.hear()})
        return heard

    def read(self, *probes: str, deadline_seconds: float = 1.0) -> dict[str, Look]:
        """Ask plain probes, and return what they saw."""
        self.ask(*probes, deadline_seconds=deadline_seconds)
        return self.hear_all(*probes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()


def state(pid: int) -> str:
    """Return the letter of the process's state; "" where there is none any more."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return text.rpartition(")")[2].split()[0]


def wait_until_gone(*pids: int) -> None:
    wait_for("the children to end", lambda: all(state(pid) in ("", "Z") for pid in pids))
