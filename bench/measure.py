"""How is a cost measured on a machine that others use too? Medians, side by side, in one run."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

SECONDS_LIMIT = 60


def cpu_of(argv: Sequence[str | Path]) -> float:
    """Run once and return the CPU time in milliseconds that the child and its children took."""
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return (usage.ru_utime + usage.ru_stime) * 1000.0


def side_by_side(commands: Mapping[str, Sequence[str | Path]], rounds: int) -> dict[str, float]:
    """Return each command's median CPU in milliseconds; the rounds take turns."""
    seen: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, argv in commands.items():
            seen[name].append(cpu_of(argv))
    return {name: statistics.median(values) for name, values in seen.items()}


def children(pid: int) -> list[int]:
    """Return the process and all below it."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        below = [int(child) for child in path.read_text().split()]
    except OSError:
        return []
    return [pid, *(one for child in below for one in children(child))]


def cpu_of_running(pids: Sequence[int]) -> float:
    """Return the CPU time in milliseconds that these have taken so far, to the nanosecond."""
    total = 0
    for pid in pids:
        for task in _tasks(pid):
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (OSError, IndexError):
                continue
    return total / 1e6


def wakeups_of(pids: Sequence[int]) -> int:
    """Return how often these have been put on a cpu so far."""
    total = 0
    for pid in pids:
        for task in _tasks(pid):
            try:
                lines = (task / "status").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(x.split()[1]) for x in lines if "ctxt_switches" in x)
    return total


def proportional_memory(pid: int) -> float:
    """Return the PSS in MB: shared pages count by their share."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(x.split()[1]) for x in text.splitlines() if x.startswith("Pss:")) / 1000.0


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def wait_for(condition: Callable[[], bool], seconds: float = SECONDS_LIMIT) -> bool:
    """Return whether it came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
