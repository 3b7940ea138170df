"""How is a cost measured on a machine that others use too? Medians, side by side, in one run."""

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

COMMAND_SECONDS = 30.0
PAUSE_SECONDS = 0.02
VERDICTS = range(4)  # exit codes of a command that did its work: ok, warning, critical, unknown

Command = Sequence[str | Path]


class NotMeasured(Exception):
    """Why a row has no number."""


def cpu_of(argv: Command) -> float:
    """Run once and return the CPU time in milliseconds that the child and its children took."""
    # From `/`: a `python -c` would otherwise import from the checkout instead of what is installed.
    process = subprocess.Popen(
        argv,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    bound = threading.Timer(COMMAND_SECONDS, process.kill)
    bound.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        bound.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in VERDICTS:
        raise NotMeasured(f"`{argv[0]}` ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000.0


def side_by_side(commands: Mapping[str, Command], rounds: int) -> dict[str, float]:
    """Return each command's median CPU in milliseconds; the rounds take turns."""
    seen: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, argv in commands.items():
            cost = cpu_of(argv)
            if number:  # the first round only warms the page cache
                seen[name].append(cost)
    return {name: statistics.median(values) for name, values in seen.items()}


def family(pid: int) -> list[int]:
    """Return the process and all below it."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        below = [int(child) for child in path.read_text().split()]
    except OSError:
        return []
    return [pid, *(one for child in below for one in family(child))]


def cpu_of_running(pids: Sequence[int]) -> float:
    """Return the CPU time in milliseconds that these have taken so far, to the nanosecond."""
    texts = [_read(task / "schedstat") for pid in pids for task in _tasks(pid)]
    return sum(int(text.split()[0]) for text in texts if text) / 1e6


def wakeups_of(pids: Sequence[int]) -> tuple[int, int]:
    """Return how often these went to sleep, and so were woken; and how often they were preempted.

    Both put them on a cpu anew; the second depends on who else wants it.
    """
    lines = [
        line.split()
        for pid in pids
        for task in _tasks(pid)
        for line in _read(task / "status").splitlines()
    ]
    return (
        sum(int(words[1]) for words in lines if words[0] == "voluntary_ctxt_switches:"),
        sum(int(words[1]) for words in lines if words[0] == "nonvoluntary_ctxt_switches:"),
    )


def proportional_memory(pid: int) -> float:
    """Return the PSS in MB: shared pages count by their share."""
    text = _read(Path(f"/proc/{pid}/smaps_rollup"))
    return sum(int(x.split()[1]) for x in text.splitlines() if x.startswith("Pss:")) * 1024 / 1e6


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether it came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(PAUSE_SECONDS)
    return False


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended
        return ""
