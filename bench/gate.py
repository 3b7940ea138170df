"""What does the gate cost a job's start? The whole program, by the clock, beside an empty shell."""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.measure import Command
from bench.table import Row
from hpcdoctor.model.gate import Answer, Gate
from hpcdoctor.probes.host import Host

AIM = 2.0
PROLOG: Mapping[str, str] = {"SLURM_SCRIPT_CONTEXT": "prolog_slurmd", "SLURM_JOB_ID": "1"}


def measure_gate(program: Path, rounds: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gate"
        commands: dict[str, Command] = {
            "sh": ["/bin/sh", "-c", ":"],
            "gate": [program.parent / "hpcdoctor-gate", "--file", file],
        }
        seen: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            if number % 100 == 0:
                now = Host.this_machine().clock()
                at = int(now.boottime)
                file.write_text(Gate(Answer.OPEN, now.boot_id, at, 30, os.getpid(), "node").line())
            for name, argv in commands.items():
                began = time.perf_counter()
                subprocess.run(argv, env=dict(PROLOG), stdin=subprocess.DEVNULL, check=True)
                if number:
                    seen[name].append((time.perf_counter() - began) * 1000.0)
    gate, floor = statistics.median(seen["gate"]), statistics.median(seen["sh"])
    yield Row(
        "hpcdoctor-gate, open, wall time",
        gate,
        beside=f"sh -c : {floor:.2f} ms",
        ratio=gate / floor,
        aim=f"{AIM:g} x",
        met=gate <= AIM * floor,
    )
