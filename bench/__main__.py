"""`make bench`: one table, each row measured beside its floor or its peer in the same run."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.gate import measure_gate
from bench.latency import measure_drain, measure_finding
from bench.measure import NotMeasured
from bench.rest import measure_at_rest
from bench.start_up import measure_floors, measure_with_daemon, measure_without_daemon
from bench.sweep import measure_sweep
from bench.table import Row, heading, line, not_measured, write_json
from tests.doubles.installed import install_into

Part = Callable[[Path, bool], Iterator[Row]]

PARTS: dict[str, Part] = {
    "floors": lambda program, quick: measure_floors(program, 7 if quick else 21),
    "gate": lambda program, quick: measure_gate(program, 50 if quick else 300),
    "with-daemon": lambda program, quick: measure_with_daemon(program, 7 if quick else 21),
    "without-daemon": lambda program, quick: measure_without_daemon(program, 5 if quick else 15),
    "sweep": lambda program, quick: measure_sweep(program, 20 if quick else 200),
    "rest": lambda program, quick: measure_at_rest(program, 15 if quick else 60),
    "finding": lambda program, quick: measure_finding(program, 20 if quick else 100),
    "drain": lambda program, quick: measure_drain(program, 2 if quick else 7),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"only these: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter rests")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument(
        "--program", type=Path, metavar="FILE", help="bin/hpcdoctor of an environment made before"
    )
    options = parser.parse_args(arguments)
    wrong = set(options.part) - set(PARTS)
    if wrong:
        parser.error(f"there is no part {', '.join(sorted(wrong))}; there are {', '.join(PARTS)}")
    folder = Path(tempfile.mkdtemp(prefix="hdb-", dir="/var/tmp"))
    rows: list[Row] = []
    try:
        folder.chmod(0o755)  # the daemon's user has to get in
        program = options.program or install_into(folder)
        print(f"{', '.join(machine().values())}\n\n{heading()}")
        for name in options.part or PARTS:
            for row in rows_of(name, program, quick=options.quick):
                print(line(row), flush=True)
                rows.append(row)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json is not None:
        write_json(options.json, machine(), rows)
    return 0


def rows_of(name: str, program: Path, *, quick: bool) -> Iterator[Row]:
    """Yield a part's rows; one that cannot be measured says so, and the others are measured."""
    try:
        yield from PARTS[name](program, quick)
    except (
        NotMeasured,
        OSError,
        AssertionError,
        RuntimeError,
        subprocess.SubprocessError,
    ) as error:
        yield not_measured(name, " ".join(str(error).split())[:200] or type(error).__name__)


def machine() -> dict[str, str]:
    """Return on what this was measured: figures of two machines are not to be compared."""
    busy = os.getloadavg()[0]
    return {
        "kernel": f"Linux {platform.release()}",
        "cpus": f"{os.cpu_count()} cpus",
        "python": f"Python {platform.python_version()}",
        "load": f"load {busy:.1f} of others before",
    }


if __name__ == "__main__":
    sys.exit(main())
