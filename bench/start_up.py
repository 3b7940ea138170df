"""What does one command cost, from its start to its end?"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Command, NotMeasured, side_by_side
from bench.table import Row
from tests.doubles.doctor import Doctor

EXTRA_PROCESSES = 1500
# What NHC's usual configuration looks at too: mounts, hardware, network, health of the kernel.
COMPARABLE = (
    "filesystem-missing",
    "filesystem-read-only",
    "filesystem-space",
    "memory-size",
    "memory-corrupted",
    "memory-pressure",
    "dimm-corrected-errors",
    "dimm-uncorrected-errors",
    "ethernet-link",
    "ethernet-speed",
    "ethernet-errors",
    "ethernet-link-flaps",
    "infiniband-link",
    "infiniband-rate",
    "infiniband-link-errors",
    "cpu-governor",
    "cpu-thermal-throttling",
    "clock-source",
    "clock-unsynchronised",
    "pci-device-gone",
)
FLOOR = "python3 -I -S"


def floors(program: Path) -> dict[str, Command]:
    """Return what any program costs at least: of the Python that hpcdoctor runs on."""
    python = program.parent / "python"
    return {
        "sh -c :": ["sh", "-c", ":"],
        FLOOR: [python, "-I", "-S", "-c", "pass"],
        "import asyncio": [python, "-I", "-c", "import asyncio"],
    }


def measure_floors(program: Path, rounds: int) -> Iterator[Row]:
    for name, value in side_by_side(floors(program), rounds).items():
        yield Row(f"floor: {name}", value)


def measure_with_daemon(program: Path, rounds: int) -> Iterator[Row]:
    with Doctor(program, {"node": "n1"}) as doctor:
        check = as_if_at_the_usual_place(program, doctor)
        commands: dict[str, Command] = {
            FLOOR: floors(program)[FLOOR],
            "check": check,
            "check NAME --config": [
                program,
                "check",
                "clock-source",
                "--config",
                doctor.configuration,
            ],
        }
        answer = subprocess.run(
            [*check, "--json"], capture_output=True, text=True, timeout=60, check=False
        )
        if '"daemon"' not in answer.stdout:
            raise NotMeasured(f"the daemon does not answer: {answer.stderr[:100]}")
        seen = side_by_side(commands, rounds)
    yield _beside_floor("check, daemon running", seen, "check", (25, 2.5))
    yield _beside_floor("the same, NAME and --config", seen, "check NAME --config", (25, 2.5))


def as_if_at_the_usual_place(program: Path, doctor: Doctor) -> list[str | Path]:
    """Return `hpcdoctor check` that finds this daemon where it looks first.

    It is the installed script, with one line more: a machine has only one usual place.
    """
    place = str(doctor.folder / "run/control.sock")
    start, _, end = program.read_text().partition("if __name__ ==")
    line = f"import hpcdoctor.cli.check\nhpcdoctor.cli.check.DEFAULT_SOCKET = {place!r}\n"
    script = doctor.folder / "hpcdoctor"
    script.write_text(f"{start}{line}if __name__ =={end}")
    return [program.parent / "python", script, "check"]


def measure_without_daemon(program: Path, rounds: int) -> Iterator[Row]:
    commands: dict[str, Command] = {
        FLOOR: floors(program)[FLOOR],
        "some": [program, "check", "--here", *COMPARABLE],
        "all": [program, "check", "--here"],
    }
    seen = side_by_side(commands, rounds)
    yield _beside_floor(f"check, no daemon, {len(COMPARABLE)} checks", seen, "some", (86, 8.6))
    yield _beside_floor("check, no daemon, all checks", seen, "all", None)
    with many_processes(EXTRA_PROCESSES):
        crowded = side_by_side(commands, max(5, rounds // 3))["some"]
    ratio = crowded / seen["some"]
    yield Row(
        f"the {len(COMPARABLE)} with {EXTRA_PROCESSES} more processes",
        crowded,
        beside=f"without them {seen['some']:.1f} ms",
        ratio=ratio,
        aim="flat: 1.1 x",
        met=ratio <= 1.1,
    )


@contextlib.contextmanager
def many_processes(count: int) -> Iterator[None]:
    """Have so many more on the machine; they end by themselves, should we not come to it."""
    sleepers: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            sleepers.append(subprocess.Popen(["sleep", "600"]))
        yield
    except BlockingIOError as error:
        raise NotMeasured(f"no {count} processes can be started here: {error}") from None
    finally:
        for sleeper in sleepers:
            sleeper.kill()
        for sleeper in sleepers:
            sleeper.wait()


def _beside_floor(
    what: str, seen: dict[str, float], name: str, aim: tuple[float, float] | None
) -> Row:
    ratio = seen[name] / seen[FLOOR]
    return Row(
        what,
        seen[name],
        beside=f"{FLOOR} {seen[FLOOR]:.1f} ms",
        ratio=ratio,
        aim="" if aim is None else f"{aim[0]:g} ms, {aim[1]:g} x",
        met=None if aim is None else seen[name] <= aim[0] and ratio <= aim[1],
    )
