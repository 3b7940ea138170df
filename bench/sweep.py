"""What does one look at everything cost, beside one scrape of node_exporter?"""

import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from bench.execs import Execs
from bench.measure import NotMeasured, cpu_of_running, family, proportional_memory, wait_for
from bench.table import Row, not_measured
from tests.doubles.doctor import Doctor
from tests.doubles.waiting import free_port

NODE_EXPORTER = Path("/usr/bin/prometheus-node-exporter")
START_SECONDS = 20.0
ANSWER_SECONDS = 20.0
AFTERWARDS_SECONDS = 0.1  # what the processes still do after the answer belongs to it
WARM_UP_ROUNDS = 3


class Stream(Protocol):
    """The connection to the prober, as lines."""

    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...

    def readline(self) -> bytes: ...


def measure_sweep(program: Path, rounds: int) -> Iterator[Row]:
    sweeps: list[float] = []
    scrapes: list[float] = []
    with prober(program) as (pid, stream), node_exporter() as (peer, url):
        request, probes = everything(program)
        for number in range(rounds + WARM_UP_ROUNDS):
            sweep = cost_of_sweep(pid, stream, request, probes)
            scrape = cost_of_scrape(peer, url)
            if number >= WARM_UP_ROUNDS:
                sweeps.append(sweep)
                scrapes.append(scrape)
        mine, theirs = statistics.median(sweeps), statistics.median(scrapes)
        yield Row(
            f"one sweep, all {len(probes)} probes that look",
            mine,
            beside=f"node_exporter, a scrape {theirs:.2f} ms",
            ratio=mine / theirs,
            aim="1 x",
            met=mine <= theirs,
        )
        yield Row("node_exporter: PSS", proportional_memory(peer), "MB")
        try:
            yield _execs(pid, stream, request, probes)
        except NotMeasured as error:
            yield not_measured("one sweep: execs", str(error))


def _execs(pid: int, stream: Stream, request: bytes, probes: set[str]) -> Row:
    rounds = 5
    with Execs(family(pid)) as started:
        for _ in range(rounds):
            cost_of_sweep(pid, stream, request, probes)
        forks, execs = started.count()
    return Row(
        f"{rounds} sweeps: execs",
        execs,
        "",
        beside=f"forks {forks}",
        aim="0",
        met=execs == 0,
    )


def everything(program: Path) -> tuple[bytes, set[str]]:
    """Return the request for a look with every probe of the default checks, and their names."""
    done = subprocess.run(
        [program.parent / "python", "-I", "-c", _PROBES],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    probes = done.stdout.split()
    request = {"type": "read", "probes": probes, "deadline_seconds": 10}
    return json.dumps(request).encode() + b"\n", set(probes)


_PROBES = """
from hpcdoctor.knowledge import load
print(*sorted(p.name for p in load().probes.values() if p.shape.value != "stream"))
"""


def cost_of_sweep(pid: int, stream: Stream, request: bytes, probes: set[str]) -> float:
    before = cpu_of_running(family(pid))
    stream.write(request)
    stream.flush()
    answered: set[str] = set()
    while not answered >= probes:
        line = stream.readline()
        if not line:
            raise NotMeasured("the prober has closed the connection")
        answered |= {look["probe"] for look in json.loads(line)}
    time.sleep(AFTERWARDS_SECONDS)
    return cpu_of_running(family(pid)) - before


def cost_of_scrape(pid: int, url: str) -> float:
    before = cpu_of_running([pid])
    if not _scrape(url):
        raise NotMeasured("node_exporter does not answer")
    time.sleep(AFTERWARDS_SECONDS)
    return cpu_of_running([pid]) - before


def _scrape(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # our own port
            return bool(answer.read())
    except OSError:
        return False


@contextlib.contextmanager
def prober(program: Path) -> Iterator[tuple[int, Stream]]:
    """Start a prober alone; we are its daemon."""
    doctor = Doctor(program, {"node": "n1"})  # only for its folder and configuration
    process = subprocess.Popen(
        [program, "prober", "--config", doctor.configuration],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    path = Path(f"{doctor.folder / 'run'}-prober.sock")
    try:
        if not wait_for(path.exists, START_SECONDS):
            raise NotMeasured("the prober does not start")
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(ANSWER_SECONDS)
            channel.connect(str(path))
            with channel.makefile("rwb") as stream:
                yield process.pid, stream
    finally:
        _end(process)
        shutil.rmtree(doctor.folder, ignore_errors=True)


@contextlib.contextmanager
def node_exporter() -> Iterator[tuple[int, str]]:
    if not NODE_EXPORTER.exists():
        raise NotMeasured(f"{NODE_EXPORTER} is not installed (package prometheus-node-exporter)")
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [NODE_EXPORTER, f"--web.listen-address={address}"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://{address}/metrics"
    try:
        if not wait_for(lambda: _scrape(url), START_SECONDS):
            raise NotMeasured("node_exporter does not answer")
        yield process.pid, url
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
