"""A real, private Slurm of N nodes on this machine: how does a test get one and end it again?

    with SlurmCluster(nodes=3) as cluster:
        scheduler = slurm.connect(cluster.settings("n1"), Programs())
        cluster.drain("n2", "disk swap, ask Ann")
        assert cluster.node("n2").state == "drained"

Its munged, slurmctld and N slurmd's (Debian's build lets many run on one host) have their own
folder, key and ports; nothing in /etc or /run is read or written, so clusters run side by side.
The daemons stay in the foreground as children of this process: a pid of ours cannot become
somebody else's before we have waited for it, and the kernel ends them (PR_SET_PDEATHSIG) with the
thread that started them. So start a cluster from a thread that lives as long as the test does.
"""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import pytest

from hpcdoctor.definitions.settings import Limit, SchedulerName, Settings, Slurm

PROGRAMS = ["munged", "slurmctld", "slurmd", "scontrol", "sinfo", "sbatch", "scancel", "setpriv"]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
START_SECONDS = 60.0
ATTEMPTS = 3  # another cluster may take a port between our look and our bind


class SlurmCluster:
    """A private cluster, nodes n1..nN, up from construction until `close()`."""

    def __init__(
        self,
        nodes: int = 1,
        *,
        partitions: Mapping[str, str] | None = None,
        slurmd_timeout_seconds: int = 30,
        extra: Mapping[str, str] | None = None,
        cgroups: Mapping[str, str] | None = None,
    ) -> None:
        """Start it. `partitions` is name to Nodes=, `extra` more lines of slurm.conf.

        `cgroups` are the lines of cgroup.conf; jobs have cgroups where it is given.
        """
        reason = why_not_here()
        if reason is not None:
            pytest.skip(reason)
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.folder = Path(tempfile.mkdtemp(prefix="hds-", dir="/var/tmp"))
        self.folder.chmod(0o755)  # jobs and SlurmUser must get in
        self.conf = self.folder / "slurm.conf"
        self.environment = {
            "PATH": PATH,
            "LC_ALL": "C",
            "TZ": "UTC",
            "SLURM_CONF": str(self.conf),
            "SLURM_TIME_FORMAT": "standard",
        }
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._partitions = dict(partitions or {"main": "ALL"})
        self._slurmd_timeout_seconds = slurmd_timeout_seconds
        self._extra = dict(extra or {})
        if cgroups is not None:
            self._extra |= {"ProctrackType": "proctrack/cgroup", "TaskPlugin": "task/cgroup"}
            lines = "".join(f"{key}={value}\n" for key, value in cgroups.items())
            (self.folder / "cgroup.conf").write_text(lines)
        try:
            self._start_all()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What a test asks and does

    def settings(self, node: str, *, limit: Limit | None = None) -> Settings:
        """Return settings with which hpcdoctor believes to be `node` of this cluster."""
        return Settings(
            scheduler=SchedulerName.SLURM,
            slurm=Slurm(node_name=node, conf=str(self.conf)),
            limit=limit or Limit(),
        )

    def node(self, name: str) -> "Seen":
        """Return the node as `sinfo` prints it, read without the code under test.

        All are asked for: of a single one, slurmctld (22.05) may go on to say that CPUs are in use
        until somebody asks for all.
        """
        return self.all_nodes()[name]

    def all_nodes(self) -> dict[str, "Seen"]:
        out = self.run(["sinfo", "--noheader", "--Node", "--format=%N|%T|%u|%H|%E"])
        lines = [line for line in out.splitlines() if line.count("|") >= 4]  # a reason may have two
        return {seen.name: seen for seen in map(Seen.parse, lines)}

    def out(self, mark: str = "hd:") -> list[str]:
        """Return the nodes that are drained or draining with a reason that begins with `mark`."""
        return sorted(
            seen.name
            for seen in self.all_nodes().values()
            if seen.state.startswith("drain") and seen.reason.startswith(mark)
        )

    def drain(self, node: str, reason: str) -> None:
        """Drain it as an administrator would."""
        self.run(["scontrol", "update", f"nodename={node}", "state=drain", f"reason={reason}"])

    def resume(self, node: str) -> None:
        self.run(["scontrol", "update", f"nodename={node}", "state=resume"])

    def wait_for_node(self, name: str, *states: str, seconds: float = 30.0) -> "Seen":
        """Wait until the node is in one of these states, in the words of sinfo's %T."""
        self._wait(lambda: self.node(name).state in states, seconds, f"{name} to be {states}")
        return self.node(name)

    def submit(self, script: str, *, node: str | None = None) -> int:
        """Submit a batch job and return its number. `script` needs no first line of its own."""
        jobs = self.folder / "jobs"
        path = jobs / f"submitted-{time.monotonic_ns()}.sh"
        path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
        place = [f"--nodelist={node}"] if node else []
        out = self.run(
            ["sbatch", "--parsable", f"--chdir={jobs}", "--output=%j.out", *place, str(path)]
        )
        return int(out.split(";")[0])

    def job_state(self, job: int) -> str:
        """Return RUNNING, PENDING, COMPLETED ..."""
        out = self.run(["scontrol", "-o", "show", "job", str(job)])
        return next(word.partition("=")[2] for word in out.split() if word.startswith("JobState="))

    def wait_for_job(self, job: int, *states: str, seconds: float = 30.0) -> None:
        self._wait(lambda: self.job_state(job) in states, seconds, f"job {job} to be {states}")

    def run(self, argv: list[str], *, seconds: float = 30.0) -> str:
        """Run one of Slurm's programs against this cluster and return its output."""
        finished = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=self.environment,
            cwd=self.folder,
            check=False,
        )
        if finished.returncode:
            raise RuntimeError(f"{argv} ended with {finished.returncode}: {finished.stderr}")
        return finished.stdout

    def freeze(self) -> None:
        """Let the controller hang: connections are accepted by the kernel, nothing answers."""
        self._children["slurmctld"].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._children["slurmctld"].send_signal(signal.SIGCONT)

    def stop_controller(self) -> None:
        self._stop("slurmctld")

    @contextlib.contextmanager
    def controller_loses(self) -> Iterator[None]:
        """Let the controller die without a word at the end, and forget what happens from now on."""
        saved = self.folder / f"saved-{time.monotonic_ns()}"
        subprocess.run(["cp", "-a", self.folder / "state", saved], check=True)
        yield
        self._stop("slurmctld", signal.SIGKILL)
        shutil.rmtree(self.folder / "state")
        saved.rename(self.folder / "state")
        self.start_controller()

    def start_controller(self, *, settle: bool = True) -> None:
        """Start it again, and wait until it has heard from its nodes, or only until it answers."""
        self._start_controller()
        if not settle:
            return
        self._wait(
            lambda: not any(seen.state.startswith("unk") for seen in self.all_nodes().values()),
            START_SECONDS,
            "the nodes to register again",
        )

    def stop_munge(self) -> None:
        self._stop("munged")
        (self.folder / "munge.sock").unlink(missing_ok=True)

    def start_munge(self) -> None:
        folder = self.folder / "munge"
        self._start(
            "munged",
            [
                "munged",
                "--foreground",
                "--force",  # the folder's parent is writable by all, which munged dislikes
                f"--key-file={folder / 'key'}",
                f"--seed-file={folder / 'seed'}",
                f"--pid-file={folder / 'pid'}",
                f"--socket={self.folder / 'munge.sock'}",
                "--num-threads=4",
            ],
        )
        socket_path = self.folder / "munge.sock"
        self._wait(socket_path.exists, START_SECONDS, "munged to make its socket")

    def pid(self, name: str) -> int:
        """Return the process id of slurmctld, munged or slurmd-NODE."""
        return self._children[name].pid

    def stop_slurmd(self, node: str, *, crash: bool = False) -> None:
        self._stop(f"slurmd-{node}", signal.SIGKILL if crash else signal.SIGTERM)

    def start_slurmd(self, node: str, *options: str) -> None:
        argv = ["slurmd", "-D", "-f", str(self.conf), "-N", node, *options]
        self._start(f"slurmd-{node}", argv)

    def start_dynamic(self, node: str) -> None:
        """Start a slurmd that slurm.conf does not name; it wants MaxNodeCount and SlurmdPort."""
        (self.folder / "spool" / node).mkdir(exist_ok=True)
        argv = ["slurmd", "-D", "-Z", "-f", str(self.conf), "-N", node]
        self._start(f"slurmd-{node}", [*argv, "--conf", "CPUs=1 RealMemory=100"])
        self._wait(lambda: node in self.all_nodes(), START_SECONDS, f"{node} to register")

    def close(self) -> None:
        """End the jobs, then the daemons, then remove the folder. It may be called twice."""
        if not self.folder.exists():
            return
        self._end_jobs()
        slurmds = [name for name in self._children if name.startswith("slurmd-")]
        for name in slurmds:  # all are told first, then waited for
            self._children[name].terminate()
        for name in [*slurmds, "slurmctld", "munged"]:
            self._stop(name)
        self._remove_cgroups()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remove_cgroups(self) -> None:
        """Remove what Slurm leaves empty; what is not is not ours."""
        if "TaskPlugin" not in self._extra:
            return
        for node in self.nodes:
            for top in Path("/sys/fs/cgroup").glob(f"*/slurm_{node}"):
                for folder in sorted([top, *top.glob("**/")], key=lambda one: -len(one.parts)):
                    with contextlib.suppress(OSError):
                        folder.rmdir()

    # How it is made

    def _start_all(self) -> None:
        user = slurm_user()
        for part in ["state", "spool", "log", "munge", "jobs", "run"]:
            (self.folder / part).mkdir(mode=0o755)
        for part in ["state", "log", "run"]:
            os.chown(self.folder / part, user.pw_uid, user.pw_gid)
        key = self.folder / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        self.start_munge()
        for attempt in range(1, ATTEMPTS + 1):
            self.conf.write_text(self._configuration(free_ports(len(self.nodes) + 1), user.pw_name))
            try:
                self._start_controller()
                for node in self.nodes:
                    (self.folder / "spool" / node).mkdir(exist_ok=True)
                    self.start_slurmd(node)
                self._wait(self._all_idle, START_SECONDS, "all nodes to be idle")
            except TimeoutError:
                if attempt == ATTEMPTS:
                    raise
                for name in [name for name in self._children if name != "munged"]:
                    self._stop(name)
            else:
                return

    def _configuration(self, first_port: int, user: str) -> str:
        host = socket.gethostname().split(".")[0]
        cpus = os.cpu_count() or 1
        last = len(self.nodes)
        values = {
            "ClusterName": "double",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": str(first_port),
            "SlurmUser": user,
            "SlurmdUser": "root",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self.folder}/munge.sock",
            "CredType": "cred/munge",
            "StateSaveLocation": f"{self.folder}/state",
            "SlurmdSpoolDir": f"{self.folder}/spool/%n",
            "SlurmctldPidFile": f"{self.folder}/run/slurmctld.pid",
            "SlurmdPidFile": f"{self.folder}/run/slurmd-%n.pid",
            "SlurmctldLogFile": f"{self.folder}/log/slurmctld.log",
            "SlurmdLogFile": f"{self.folder}/log/slurmd-%n.log",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "MpiDefault": "none",
            "SwitchType": "switch/none",
            "AccountingStorageType": "accounting_storage/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "SlurmdParameters": "config_overrides",  # believe the CPUs= below
            "ReturnToService": "1",
            "SlurmdTimeout": str(self._slurmd_timeout_seconds),
            "InactiveLimit": "0",
            "KillWait": "2",
            "TreeWidth": "65533",
        } | self._extra
        names = "n1" if last == 1 else f"n[1-{last}]"
        ports = first_port + 1
        port_range = str(ports) if last == 1 else f"[{ports}-{ports + last - 1}]"
        lines = [f"{key}={value}" for key, value in values.items()]
        lines.append(
            f"NodeName={names} NodeHostname={host} NodeAddr=127.0.0.1 Port={port_range} "
            f"CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 "
            "RealMemory=1000 State=UNKNOWN"
        )
        for number, (name, members) in enumerate(self._partitions.items()):
            default = "YES" if number == 0 else "NO"
            lines.append(
                f"PartitionName={name} Nodes={members} Default={default} MaxTime=INFINITE State=UP"
            )
        return "\n".join(lines) + "\n"

    def _start_controller(self) -> None:
        user = slurm_user()
        # The user is changed before the signal is asked for: a change of user would drop it.
        become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self._start("slurmctld", ["slurmctld", "-D", "-f", str(self.conf)], become)
        self._wait(self._controller_answers, START_SECONDS, "the controller to answer")

    def _start(self, name: str, argv: list[str], become: list[str] | None = None) -> None:
        log = self.folder / "log" / f"{name}.out"
        with log.open("ab") as out:
            self._children[name] = subprocess.Popen(
                [*(become or ["setpriv"]), "--pdeathsig=KILL", *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )

    def _stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        child = self._children.pop(name, None)
        if child is None:
            return
        child.send_signal(signal.SIGCONT)  # a frozen one would never see the next signal
        child.send_signal(number)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)

    def _controller_answers(self) -> bool:
        with contextlib.suppress(RuntimeError):
            return " UP" in self.run(["scontrol", "ping"])
        return False

    def _all_idle(self) -> bool:
        return all(seen.state == "idle" for seen in self.all_nodes().values())

    def _end_jobs(self) -> None:
        if not list(self._step_daemons()):
            return
        if "slurmctld" in self._children:
            self.thaw()
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                self.run(["scancel", "--state=RUNNING"])
        with contextlib.suppress(TimeoutError):
            self._wait(lambda: not list(self._step_daemons()), 15, "the jobs to end")
        for pid in self._step_daemons():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _step_daemons(self) -> Iterator[int]:
        """Find this cluster's slurmstepd's: they are no children of ours, but log to our folder."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if not (process / "exe").readlink().name.startswith("slurmstepd"):
                    continue
                opened = [str(descriptor.readlink()) for descriptor in process.glob("fd/*")]
                if any(path.startswith(f"{self.folder}/") for path in opened):
                    yield int(process.name)

    def _wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not condition():
            for name, child in self._children.items():
                if child.poll() is not None:
                    raise TimeoutError(f"{name} ended while waiting for {what}:\n{self._log(name)}")
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds} s for {what}")
            time.sleep(0.05)

    def _log(self, name: str) -> str:
        logs = [self.folder / "log" / f"{name}{suffix}" for suffix in (".out", ".log")]
        return "\n".join(path.read_text()[-2000:] for path in logs if path.exists())


class Seen(NamedTuple):
    """One node as sinfo shows it."""

    name: str
    state: str  # "idle", "drained", "draining", "idle*" ...
    reason_by: str
    reason_at: str  # UTC
    reason: str  # "none" where there is none

    @classmethod
    def parse(cls, line: str) -> Self:
        name, state, by, at, reason = line.split("|", 4)
        return cls(name, state, by, at, reason)


def why_not_here() -> str | None:
    """Return why no Slurm can be started on this machine, or None."""
    if os.geteuid() != 0:
        return "a private Slurm needs root: slurmd starts jobs as other users"
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        return f"a private Slurm needs these programs: {', '.join(missing)}"
    return None


def slurm_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("slurm")
    except KeyError:
        return pwd.getpwnam("root")


def free_ports(count: int) -> int:
    """Return the first of `count` free ports in a row, below the range the kernel hands out."""
    for _ in range(200):
        first = random.randrange(15_000, 32_000 - count)  # noqa: S311  (any number will do)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    listener = stack.enter_context(socket.socket())
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listener.bind(("", port))
            except OSError:
                continue
            return first
    raise RuntimeError(f"no {count} free ports in a row between 15000 and 32000")
