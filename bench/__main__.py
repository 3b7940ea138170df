"""`make bench`: one table, each row measured beside its floor or its peer in the same run."""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.measure import (
    children,
    cpu_of_running,
    proportional_memory,
    side_by_side,
    wait_for,
    wakeups_of,
)
from tests.doubles.doctor import Doctor, fall_off_the_bus, some_pci_address, write_kernel_log
from tests.doubles.installed import install_into
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import free_port

NODE_EXPORTER = "/usr/bin/prometheus-node-exporter"
EXTRA_PROCESSES = 1500


class Row(NamedTuple):
    """One line of the table."""

    what: str
    measured: str
    beside: str
    ratio: float | None
    aim: str
    met: bool | None


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter rests")
    options = parser.parse_args()
    rounds, rest = (7, 15.0) if options.quick else (21, 60.0)
    folder = Path(tempfile.mkdtemp(prefix="hdb-", dir="/var/tmp"))
    try:
        folder.chmod(0o755)
        program = install_into(folder)
        for part in (start_up, at_rest_and_sweep, fault_to_finding, decision_to_drained):
            with telling_what_failed(part.__name__):
                for row in part(program, rounds, rest):
                    show(row)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def show(row: Row) -> None:
    ratio = f"{row.ratio:.1f} x" if row.ratio is not None else ""
    met = {True: "yes", False: "no", None: ""}[row.met]
    print(f"{row.what:<44} {row.measured:>12} {row.beside:>32} {ratio:>8}  {row.aim:<28} {met}")
    sys.stdout.flush()


@contextlib.contextmanager
def telling_what_failed(name: str) -> Iterator[None]:
    """A row that cannot be measured says so; the others are still measured."""
    try:
        yield
    except (OSError, AssertionError, subprocess.SubprocessError) as error:
        print(f"{name.replace('_', ' ')}: could not be measured: {str(error)[:200]}")


def start_up(program: Path, rounds: int, _rest: float) -> Iterator[Row]:
    """What one command costs."""
    python = program.parent / "python"
    floors: dict[str, list[str | Path]] = {
        "sh -c :": ["sh", "-c", ":"],
        "python3 -I -S": [python, "-I", "-S", "-c", "pass"],
        "import asyncio": [python, "-I", "-c", "import asyncio"],
    }
    with Doctor(program, {"node": "n1"}) as doctor:
        asks: list[str | Path] = [program, "check", "--config", doctor.configuration]
        for name, value in side_by_side(floors, rounds).items():
            yield Row(f"floor: {name}", f"{value:.1f} ms", "", None, "", None)
        # The socket at its usual place is what the fast path asks; here it lies elsewhere.
        fast: list[str | Path] = [python, "-c", _FAST, str(doctor.folder / "run/control.sock")]
        seen = side_by_side(
            {"floor": floors["python3 -I -S"], "fast": fast, "with --config": asks}, rounds
        )
        for name in ("fast", "with --config"):
            ratio = seen[name] / seen["floor"]
            yield Row(
                f"check, daemon running ({name})",
                f"{seen[name]:.1f} ms",
                f"python3 -I -S {seen['floor']:.1f} ms",
                ratio,
                "25 ms, 2.5 x",
                seen[name] <= 25 and ratio <= 2.5,
            )
    here: list[str | Path] = [program, "check", "--here"]
    seen = side_by_side({"floor": floors["python3 -I -S"], "here": here}, rounds)
    yield _here_row("check, no daemon", seen)
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(EXTRA_PROCESSES)]
    try:
        seen = side_by_side({"floor": floors["python3 -I -S"], "here": here}, max(5, rounds // 3))
    finally:
        for sleeper in sleepers:
            sleeper.terminate()
        for sleeper in sleepers:
            sleeper.wait()
    yield _here_row(f"the same, {EXTRA_PROCESSES} more processes", seen)


def _here_row(what: str, seen: dict[str, float]) -> Row:
    ratio = seen["here"] / seen["floor"]
    return Row(
        what,
        f"{seen['here']:.1f} ms",
        f"python3 -I -S {seen['floor']:.1f} ms",
        ratio,
        "86 ms, 8.6 x",
        seen["here"] <= 86 and ratio <= 8.6,
    )


_FAST = """
import sys
from hpcdoctor.cli.check import from_daemon
from_daemon(sys.argv[1], [], as_json=False)
"""


def at_rest_and_sweep(program: Path, rounds: int, rest: float) -> Iterator[Row]:
    """What the three processes cost when nothing happens, and one sweep beside node_exporter."""
    with Doctor(program, {"node": "n1"}) as doctor:
        time.sleep(8)
        pids = [doctor.pid(name) for name in ("daemon", "prober", "helper")]
        running = [pid for pid in pids if pid]
        everyone = [one for pid in running for one in children(pid)]
        before, cpu = wakeups_of(everyone), cpu_of_running(everyone)
        start = time.monotonic()
        time.sleep(rest)
        seconds = time.monotonic() - start
        a_second = (wakeups_of(everyone) - before) / seconds
        used = (cpu_of_running(everyone) - cpu) / seconds
        yield Row("at rest: wake-ups a second", f"{a_second:.1f}", "", None, "1", a_second <= 1.0)
        yield Row("at rest: CPU a second", f"{used:.2f} ms", "", None, "", None)
        memory = sum(proportional_memory(pid) for pid in everyone)
        yield Row("at rest: PSS, metrics off", f"{memory:.1f} MB", "", None, "40 MB", memory <= 40)
    with Doctor(program, {"node": "n1", "metrics": {"port": free_port()}}) as doctor:
        time.sleep(8)
        pids = [doctor.pid(name) for name in ("daemon", "prober", "helper")]
        everyone = [one for pid in pids if pid for one in children(pid)]
        memory = sum(proportional_memory(pid) for pid in everyone)
        yield Row("at rest: PSS, metrics on", f"{memory:.1f} MB", "", None, "50 MB", memory <= 50)
    sweep = _sweep(program, rounds)
    scrape, peer_memory = _node_exporter(rounds)
    ratio = sweep / scrape
    beside = f"node_exporter {scrape:.1f} ms, {peer_memory:.1f} MB"
    yield Row("one sweep of all checks", f"{sweep:.1f} ms", beside, ratio, "1 x", ratio <= 1.0)


def _sweep(program: Path, rounds: int) -> float:
    """Return the CPU that a prober and its children take for one look with every probe."""
    probes = subprocess.run(
        [program.parent / "python", "-c", _PROBES], capture_output=True, text=True, check=True
    ).stdout.split()
    request = json.dumps({"type": "read", "probes": probes, "deadline_seconds": 10}) + "\n"
    idle = Doctor(program, {"node": "n1"})  # its configuration only: here we are the daemon
    prober = subprocess.Popen(
        [program, "prober", "--config", idle.configuration], stderr=subprocess.DEVNULL
    )
    path = Path(f"{idle.folder / 'run'}-prober.sock")
    seen = []
    try:
        assert wait_for(path.exists, 20), "the prober does not start"
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(20)
            channel.connect(str(path))
            with channel.makefile("rwb") as stream:
                for _ in range(rounds + 2):
                    before = cpu_of_running(children(prober.pid))
                    stream.write(request.encode())
                    stream.flush()
                    answered: set[str] = set()
                    while not answered.issuperset(probes):
                        answered |= {look["probe"] for look in json.loads(stream.readline())}
                    time.sleep(0.1)
                    seen.append(cpu_of_running(children(prober.pid)) - before)
    finally:
        prober.terminate()
        prober.wait()
        idle.end()
        shutil.rmtree(idle.folder)
    return statistics.median(seen[2:])


_PROBES = """
from hpcdoctor.knowledge import load
checks = load().checks.values()
print(*sorted({c.definition.probe for c in checks if c.shape.value != "stream"}))
"""


def _node_exporter(rounds: int) -> tuple[float, float]:
    if not Path(NODE_EXPORTER).exists():
        raise FileNotFoundError(f"{NODE_EXPORTER} is not installed")
    port = free_port()
    process = subprocess.Popen(
        [NODE_EXPORTER, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}/metrics"

    def scrape() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # our own port
                return bool(answer.read())
        except OSError:
            return False

    try:
        assert wait_for(scrape, 20), "node_exporter does not answer"
        seen = []
        for _ in range(rounds):
            before = cpu_of_running([process.pid])
            scrape()
            time.sleep(0.1)
            seen.append(cpu_of_running([process.pid]) - before)
        return statistics.median(seen), proportional_memory(process.pid)
    finally:
        process.terminate()
        process.wait()


def fault_to_finding(program: Path, rounds: int, _rest: float) -> Iterator[Row]:
    """From a line in the kernel log to the finding, as the daemon's own log has it."""
    _as_root()
    with Doctor(program, {"node": "n1"}, flags=["--accept-user-kernel-log"]) as doctor:
        seen = []
        for number in range(rounds):
            name = f"bench{number}"
            needle = f"pid='{name}'"
            start = time.monotonic()
            # A process of its own each time: another subject, and so another finding.
            write_kernel_log(
                f"NVRM: Xid (PCI:{some_pci_address()}): {200 + number}, {needle}, name=x, bench"
            )
            code = f"code={200 + number}"
            if wait_for(lambda code=code: code in doctor.log, 5):  # type: ignore[misc]  # default
                seen.append((time.monotonic() - start) * 1000)
            time.sleep(0.7)  # the kernel lets a process write ten lines in five seconds
        assert seen, "no line became a finding"
        worst = max(seen)
        yield Row(
            f"kernel log to finding, worst of {len(seen)}",
            f"{worst:.0f} ms",
            f"median {statistics.median(seen):.0f} ms, polled every 20",
            None,
            "p99 100 ms",
            worst <= 100,
        )


def decision_to_drained(program: Path, rounds: int, _rest: float) -> Iterator[Row]:
    """In a real Slurm, beside the same calls made by hand."""
    _as_root()
    with SlurmCluster(nodes=1) as cluster:
        settings = {
            "node": "n1",
            "mode": "act",
            "scheduler": "slurm",
            "slurm": {"node_name": "n1", "conf": str(cluster.conf)},
            "probation": "1s",
        }
        ours: list[float] = []
        bare: list[float] = []
        with Doctor(program, settings, flags=["--accept-user-kernel-log"]) as doctor:
            for _ in range(max(3, rounds // 4)):
                bare.append(_timed(lambda: _by_hand(cluster)))
                cluster.resume("n1")
                cluster.wait_for_node("n1", "idle")
                start = time.monotonic()
                fall_off_the_bus(some_pci_address())
                assert wait_for(lambda: _drains(doctor) > len(ours), 20), "no drain"
                ours.append((time.monotonic() - start) * 1000)
                doctor.hpcdoctor("release", "--why", "bench")
                assert wait_for(lambda: not cluster.out(), 20)
                cluster.wait_for_node("n1", "idle")
                time.sleep(6)
        mine, theirs = statistics.median(ours), statistics.median(bare)
        yield Row(
            "kernel log to drained in Slurm",
            f"{mine:.0f} ms",
            f"the same calls by hand {theirs:.0f} ms",
            mine / theirs,
            "by hand + 50 ms",
            mine <= theirs + 50,
        )


def _by_hand(cluster: SlurmCluster) -> None:
    """Read, count, drain, read back, count again: what the helper does."""
    cluster.run(["scontrol", "-o", "show", "node", "n1"])
    cluster.run(["sinfo", "--noheader", "--Node", "--format=%N|%E"])
    cluster.drain("n1", "by hand")
    cluster.run(["scontrol", "-o", "show", "node", "n1"])
    cluster.run(["sinfo", "--noheader", "--Node", "--format=%N|%E"])


def _drains(doctor: Doctor) -> int:
    """Return how many drains the daemon has had answered as done."""
    done = ('"operation": "drain"', '"result": "done"')
    return sum(all(word in line for word in done) for line in doctor.log.splitlines())


def _timed(work: Callable[[], None]) -> float:
    start = time.monotonic()
    work()
    return (time.monotonic() - start) * 1000


def _as_root() -> None:
    if os.geteuid() != 0:
        raise PermissionError("this row needs root")


if __name__ == "__main__":
    sys.exit(main())
