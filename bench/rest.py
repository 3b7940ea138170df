"""What do the three processes cost while nothing happens?"""

import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.measure import cpu_of_running, family, proportional_memory, wakeups_of
from bench.table import Row
from tests.doubles.doctor import Doctor
from tests.doubles.waiting import free_port

PARTS = ("daemon", "prober", "helper")
SETTLE_SECONDS = 8.0
WAKEUPS_A_SECOND = 1.0
MEGABYTES, MEGABYTES_WITH_METRICS, MEGABYTES_A_SUBJECT = 40, 50, 4


def measure_at_rest(program: Path, seconds: float) -> Iterator[Row]:
    subjects = _count_subjects(program)
    with Doctor(program, {"node": "n1"}) as doctor:
        time.sleep(SETTLE_SECONDS)
        yield from _wakeups(_families(doctor), seconds)
        yield _memory("PSS, metrics off", _families(doctor), MEGABYTES, subjects)
    with Doctor(program, {"node": "n1", "metrics": {"port": free_port()}}) as doctor:
        time.sleep(SETTLE_SECONDS)
        yield _memory("PSS, metrics on", _families(doctor), MEGABYTES_WITH_METRICS, subjects)


def _families(doctor: Doctor) -> dict[str, list[int]]:
    pids = {name: doctor.pid(name) for name in PARTS}
    return {name: family(pid) for name, pid in pids.items() if pid}


def _wakeups(families: Mapping[str, list[int]], seconds: float) -> Iterator[Row]:
    before = {name: wakeups_of(pids) for name, pids in families.items()}
    everyone = [pid for pids in families.values() for pid in pids]
    cpu = cpu_of_running(everyone)
    start = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - start
    after = {name: wakeups_of(pids) for name, pids in families.items()}
    used = (cpu_of_running(everyone) - cpu) / took
    counted = {
        name: tuple((a - b) / took for a, b in zip(after[name], before[name], strict=True))
        for name in families
    }
    each = {name: sum(both) for name, both in counted.items()}
    preempted = sum(both[1] for both in counted.values())
    whole = sum(each.values())
    yield Row(
        f"at rest: wake-ups a second, {seconds:.0f} s",
        whole,
        "/s",
        beside=f"{_each(each, 2)}; {preempted:.2f} were preemptions",
        ratio=whole / WAKEUPS_A_SECOND,
        aim=f"{WAKEUPS_A_SECOND:g} /s",
        met=whole <= WAKEUPS_A_SECOND,
        detail=each,
    )
    yield Row("at rest: CPU a second", used)


def _memory(what: str, families: Mapping[str, list[int]], aim: int, subjects: int) -> Row:
    parts = {name: sum(map(proportional_memory, pids)) for name, pids in families.items()}
    whole = sum(parts.values())
    allowed = aim + MEGABYTES_A_SUBJECT * subjects
    return Row(
        f"at rest: {what}",
        whole,
        "MB",
        beside=_each(parts, 1),
        ratio=whole / allowed,
        aim=f"{aim} + {MEGABYTES_A_SUBJECT} x {subjects} MB",
        met=whole <= allowed,
        detail=parts,
    )


def _each(parts: Mapping[str, float], digits: int) -> str:
    return ", ".join(f"{name} {value:.{digits}f}" for name, value in parts.items())


def _count_subjects(program: Path) -> int:
    """Return how many GPUs and mounts are watched here, each by a child of its own."""
    python = program.parent / "python"
    done = subprocess.run(
        [python, "-I", "-c", _SUBJECTS], capture_output=True, text=True, timeout=30, check=True
    )
    return int(done.stdout)


_SUBJECTS = """
from hpcdoctor.knowledge import load
from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes.host import Host
count = 0
for probe in load().probes.values():
    if probe.shape.value == "per subject":
        try:
            count += len(probe.subjects(Host.this_machine()))
        except (Absent, Unavailable):
            pass
print(count)
"""
