"""Many hpcdoctors at once: a daemon and a helper for each node as processes, one prober for all.

    with Crowd(installed, cluster, limit={"nodes": 3}) as crowd:
        crowd.break_down(crowd.names)  # all in the same moment
        crowd.status("n7")["state"]

The prober's protocol is spoken by this process: it answers every daemon with the same recorded
reading of the clock, and so can make two hundred nodes see a fault at one moment. Sockets of the
helpers are held here, as systemd holds them, and a helper that has left comes back with a caller.
"""

import contextlib
import json
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import yaml

from hpcdoctor.cli.activation import bind_socket
from hpcdoctor.cli.ask import NoDaemon, SilentDaemon, ask
from hpcdoctor.cli.unit import grant_of, setpriv
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus, Value
from hpcdoctor.model.request import Read, Request
from tests.doubles.doctor import all_but
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

USER = "hpcdoctor"
AT_ONCE = 16  # daemons that load their definitions at the same time
START_SECONDS = 120.0
STOP_SECONDS = 20.0
ANSWER_SECONDS = 60.0
FILES = 8192
# As systemd does it: the listening socket is descriptor 3, and the process is told its own number.
ACTIVATED = 'exec 3<&"$0" && LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'

CHECK = """\
check: clock-broken
summary: The clock is read from {source}
probe: clock
every: 1h
critical:
  when: source == "hpet"
clear_after: 0s
quiet_after_boot: 0s
cause: node
why: It stands for any fault that all nodes see at once.
next_steps:
  - Look why
"""
RULE = """\
rule: clock-broken
summary: The clock is broken
when: {any: {clock-broken: critical}}
decide:
  node: drain
  resume: when-clear
mode: act
"""


class Crowd:
    """One hpcdoctor for each node of a private Slurm, up from `with` on."""

    def __init__(
        self,
        program: Path,
        cluster: SlurmCluster,
        *,
        names: Sequence[str] = (),
        slurm: Mapping[str, str] | None = None,
        **settings: Any,  # noqa: ANN401  # as in hpcdoctor.yaml
    ) -> None:
        """`names` are nodes of the cluster, by default all; `slurm` changes that section of all."""
        self.names = list(names) or cluster.nodes
        self._slurm = dict(slurm or {})
        self.folder = Path(tempfile.mkdtemp(prefix="hdc-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self._program = program
        self._cluster = cluster
        self._settings = settings
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._listeners: dict[str, socket.socket] = {}
        self._prober = Prober()

    def __enter__(self) -> Self:
        _allow_files()
        site = {
            **all_but(self._program, []),
            "checks/clock-broken.yaml": CHECK,
            "rules/clock-broken.yaml": RULE,
        }
        for name in self.names:
            self._prepare(name, site)
        self._prober.start()
        self._keeper = threading.Thread(target=self._keep_helpers, daemon=True)
        self._ending = threading.Event()
        try:
            self._keeper.start()
            for start in range(0, len(self.names), AT_ONCE):
                batch = self.names[start : start + AT_ONCE]
                for name in batch:
                    self._start_daemon(name)
                what = f"the daemons from {batch[0]} on"
                wait_for(what, partial(self._are_up, batch), START_SECONDS)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What a test asks and does

    def break_down(self, names: Iterable[str]) -> None:
        """Let these nodes see the fault, all in the same moment."""
        self._prober.say(set(names), "hpet")

    def mend(self, names: Iterable[str]) -> None:
        self._prober.say(set(names), "tsc")

    def status(self, name: str) -> Any:  # noqa: ANN401  # JSON
        """Return what `hpcdoctor status --json` prints there, or None where nobody answers."""
        question = msgspec.json.encode({"type": "status", "json": True})
        try:
            _, text = ask(str(self.folder / name / "run/control.sock"), question)
        except (NoDaemon, SilentDaemon):
            return None
        return json.loads(text)

    def reload(self, name: str, slurm: Mapping[str, str]) -> None:
        """Change the slurm section there and take it up, as `systemctl reload` does."""
        path = self.folder / name / "etc/hpcdoctor.yaml"
        settings = yaml.safe_load(path.read_text())
        settings["slurm"] |= slurm
        path.write_text(yaml.safe_dump(settings))
        for process in ("daemon", "helper"):
            self._processes[f"{process}-{name}"].send_signal(signal.SIGHUP)

    def statuses(self) -> dict[str, Any]:
        return {name: self.status(name) for name in self.names}

    def log(self, name: str) -> str:
        return (self.folder / name / "log").read_text(errors="replace")

    def memory_bytes(self) -> dict[str, int]:
        """Return the proportional share of memory of all daemons and of all helpers."""
        total = {"daemon": 0, "helper": 0}
        for key, process in list(self._processes.items()):
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
                line = next(line for line in lines if line.startswith("Pss:"))
                total[key.partition("-")[0]] += int(line.split()[1]) * 1024
        return total

    def close(self) -> None:
        self._ending.set()
        self._keeper.join(STOP_SECONDS)
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
        for listener in self._listeners.values():
            listener.close()
        self._prober.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # How it is made

    def _prepare(self, name: str, site: Mapping[str, str]) -> None:
        folder = self.folder / name
        for part in ("etc", "run", "state", "helper"):
            (folder / part).mkdir(parents=True, mode=0o755)
        for part in ("run", "state"):
            shutil.chown(folder / part, USER, USER)
        (folder / "helper").chmod(0o700)
        settings = {
            "node": name,
            "cluster": "lab",
            "mode": "act",
            "scheduler": "slurm",
            "slurm": {"node_name": name, "conf": str(self._cluster.conf), **self._slurm},
            "run_directory": str(folder / "run"),
            "state_directory": str(folder / "state"),
            "helper_state_directory": str(folder / "helper"),
            **self._settings,
        }
        for file, content in {**site, "hpcdoctor.yaml": yaml.safe_dump(settings)}.items():
            path = folder / "etc" / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        self._prober.listen(name, folder / "run-prober.sock")
        self._listeners[name] = bind_socket(folder / "run-helper.sock", 0o660, USER)

    def _command(self, name: str, process: str) -> list[str]:
        return [str(self._program), process, "--config", str(self.folder / name / "etc")]

    def _start_daemon(self, name: str) -> None:
        command = [*setpriv(grant_of("daemon"), USER), *self._command(name, "daemon")]
        self._start(f"daemon-{name}", name, command, ())

    def _start_helper(self, name: str) -> None:
        number = self._listeners[name].fileno()
        command = [
            *setpriv(grant_of("helper"), "root"),
            *("bash", "-c", ACTIVATED, str(number)),  # dash knows no descriptor above 9
            *self._command(name, "helper"),
        ]
        self._start(f"helper-{name}", name, command, (number,))

    def _start(self, key: str, name: str, command: list[str], kept: tuple[int, ...]) -> None:
        with (self.folder / name / "log").open("ab") as log:
            self._processes[key] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                pass_fds=kept,
                start_new_session=True,
            )

    def _are_up(self, names: list[str]) -> bool:
        return all(self._is_up(name) for name in names)

    def _is_up(self, name: str) -> bool:
        process = self._processes[f"daemon-{name}"]
        assert process.poll() is None, self.log(name)
        status = self.status(name)
        return status is not None and status["parts"]["prober"] == "connected"

    def _keep_helpers(self) -> None:
        """Start a helper where somebody calls and none is there, as systemd does."""
        while not self._ending.wait(0.05):
            with selectors.DefaultSelector() as selector:
                for name, listener in self._listeners.items():
                    helper = self._processes.get(f"helper-{name}")
                    if helper is None or helper.poll() is not None:
                        selector.register(listener, selectors.EVENT_READ, name)
                if not selector.get_map():
                    continue
                for key, _ in selector.select(0.1):
                    self._start_helper(key.data)


class Prober:
    """Says to every daemon what its clock is read from, when asked and when that changes."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._daemons: dict[str, socket.socket] = {}
        self._sources: dict[str, str] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ended = False

    def listen(self, name: str, path: Path) -> None:
        listener = bind_socket(path, 0o660, USER)
        self._sources[name] = "tsc"
        self._selector.register(listener, selectors.EVENT_READ, (name, b""))

    def start(self) -> None:
        self._thread.start()

    def say(self, names: set[str], source: str) -> None:
        line = msgspec.json.encode([_look("clock", source)]) + b"\n"
        with self._lock:
            for name in names:
                self._sources[name] = source
                self._daemons[name].sendall(line)

    def close(self) -> None:
        self._ended = True
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select(0.1):
                assert isinstance(key.fileobj, socket.socket)
                name, begun = key.data
                if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    self._accept(key.fileobj, name)
                else:
                    self._answer(key.fileobj, name, begun)

    def _accept(self, listener: socket.socket, name: str) -> None:
        connection, _ = listener.accept()
        with self._lock:
            self._daemons[name] = connection
        self._selector.register(connection, selectors.EVENT_READ, (name, b""))

    def _answer(self, connection: socket.socket, name: str, begun: bytes) -> None:
        try:
            came = connection.recv(1 << 16)
        except OSError:
            came = b""
        if not came:
            self._selector.unregister(connection)
            connection.close()
            return
        *lines, rest = (begun + came).split(b"\n")
        self._selector.modify(connection, selectors.EVENT_READ, (name, rest))
        for line in lines:
            request = msgspec.json.decode(line, type=Request)
            probes = request.probes if isinstance(request, Read) else [request.probe]
            with self._lock, contextlib.suppress(OSError):
                looks = [_look(probe, self._sources[name]) for probe in probes]
                connection.sendall(msgspec.json.encode(looks) + b"\n")


def _look(probe: str, source: str) -> Look:
    now = Instant(
        Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        time.clock_gettime(time.CLOCK_BOOTTIME),
        time.time(),
    )
    if probe != "clock":
        return Look(probe=probe, status=ReadStatus.ABSENT, taken=now, reason="nothing is there")
    reading: dict[str, Value] = {
        "synchronised": True,
        "offset_seconds": 0.0,
        "estimated_error_seconds": 0.0,
        "maximum_error_seconds": 0.0,
        "step_seconds": 0.0,
        "source": source,
        "sources": ["tsc", "hpet"],
    }
    return Look(probe=probe, status=ReadStatus.READ, taken=now, readings=[reading])


def _allow_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))


class Samples:
    """Who is out by hpcdoctor, looked up with sinfo again and again in a thread of its own."""

    def __init__(self, cluster: SlurmCluster, pause_seconds: float = 0.2) -> None:
        self._cluster = cluster
        self._pause = pause_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.out: list[tuple[float, list[str]]] = []  # monotonic, when the answer came

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(60)

    def _look(self) -> None:
        while not self._ended.wait(self._pause):
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                out = self._cluster.out()
                self.out.append((time.monotonic(), out))

    def most(self) -> int:
        return max((len(out) for _, out in self.out), default=0)

    def excesses(self, allowed: int) -> list[float]:
        """Return for each time that more than `allowed` were out how many seconds it lasted."""
        found: list[float] = []
        since: float | None = None
        for at, out in self.out:
            if len(out) > allowed and since is None:
                since = at
            if len(out) <= allowed and since is not None:
                found.append(at - since)
                since = None
        if since is not None:
            found.append(self.out[-1][0] - since)
        return found
