"""How soon after a line in the kernel log is there a finding, and a drain in a real Slurm?

The times are those of the daemon's own log, so that no polling of ours is in them.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.measure import NotMeasured, wait_for
from bench.table import Row
from tests.doubles.doctor import Doctor, fall_off_the_bus, some_pci_address, write_kernel_log
from tests.doubles.slurm_cluster import SlurmCluster, why_not_here

PATIENCE_SECONDS = 10.0
# The kernel takes ten lines in five seconds from a program (printk_devkmsg).
BETWEEN_LINES_SECONDS = 0.55
FIRST_CODE = 500  # no Xid has these numbers: each is a finding of its own
P99_AIM_MS = 100.0
DRAIN_AIM_MS = 50.0
QUIET_AFTER_RELEASE_SECONDS = 3.0

Entry = dict[str, Any]


class Log:
    """The daemon's log, from here on."""

    def __init__(self, doctor: Doctor) -> None:
        self._file = doctor.log_file.open("rb")
        self._file.seek(0, os.SEEK_END)
        self._entries: list[Entry] = []
        self._rest = b""

    def find(self, matches: Callable[[Entry], bool], seconds: float) -> Entry | None:
        """Return the first entry that matches, waiting for it."""
        found: list[Entry] = []

        def is_there() -> bool:
            self._read()
            found.extend(entry for entry in self._entries if matches(entry))
            return bool(found)

        return found[0] if wait_for(is_there, seconds) else None

    def forget(self) -> None:
        self._read()
        self._entries.clear()

    def close(self) -> None:
        self._file.close()

    def _read(self) -> None:
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        self._entries += [json.loads(line) for line in lines if line.startswith(b"{")]


def moment(entry: Entry) -> float:
    return datetime.fromisoformat(entry["timestamp"]).timestamp()


def measure_finding(program: Path, lines: int) -> Iterator[Row]:
    _needs_kernel_log()
    seen: list[float] = []
    address = some_pci_address()
    with Doctor(program, {"node": "n1"}, flags=["--accept-user-kernel-log"]) as doctor:
        log = Log(doctor)
        for number in range(lines):
            code = FIRST_CODE + number
            start, clock = time.time(), time.monotonic()
            write_kernel_log(f"NVRM: Xid (PCI:{address}): {code}, pid='bench', name=bench, bench")
            entry = log.find(_is_finding(f"code={code}]"), PATIENCE_SECONDS)
            if entry is not None:
                seen.append((moment(entry) - start) * 1000)
            log.forget()
            time.sleep(max(0.0, clock + BETWEEN_LINES_SECONDS - time.monotonic()))
        log.close()
    if len(seen) < lines:
        raise NotMeasured(f"{lines - len(seen)} of {lines} lines did not become a finding")
    high, name = _high(seen)
    yield Row(
        f"kernel log to finding, {name}",
        high,
        beside=f"median {statistics.median(seen):.1f} ms",
        ratio=high / P99_AIM_MS,
        aim=f"p99 {P99_AIM_MS:.0f} ms",
        met=high <= P99_AIM_MS,
        detail={"p50": statistics.median(seen), "worst": max(seen)},
    )


def _is_finding(subject_end: str) -> Callable[[Entry], bool]:
    return lambda entry: (
        entry.get("event") == "hpcdoctor.finding.opened" and entry["subject"].endswith(subject_end)
    )


def _high(seen: list[float]) -> tuple[float, str]:
    """Return the 99th percentile, or the worst where there are too few for one."""
    if len(seen) < 100:
        return max(seen), f"worst of {len(seen)}"
    return statistics.quantiles(seen, n=100, method="inclusive")[98], f"p99 of {len(seen)}"


def measure_drain(program: Path, rounds: int) -> Iterator[Row]:
    _needs_kernel_log()
    why = why_not_here()
    if why is not None:
        raise NotMeasured(why)
    with SlurmCluster(nodes=1) as cluster:
        settings = {
            "node": "n1",
            "mode": "act",
            "scheduler": "slurm",
            "slurm": {"node_name": "n1", "conf": str(cluster.conf)},
            "probation": "1s",
        }
        decided: list[float] = []
        logged: list[float] = []
        by_hand: list[float] = []
        with Doctor(program, settings, flags=["--accept-user-kernel-log"]) as doctor:
            log = Log(doctor)
            for number in range(rounds + 1):
                bare = _drain_by_hand(cluster)
                whole, ours = _drain_by_us(doctor, log)
                _put_back(doctor, cluster)
                if number:  # the first finds nothing in the page cache
                    by_hand.append(bare)
                    logged.append(whole)
                    decided.append(ours)
            log.close()
    theirs = statistics.median(by_hand)
    for what, values in (("decision", decided), ("kernel log", logged)):
        mine = statistics.median(values)
        is_asked = what == "decision"
        yield Row(
            f"{what} to drained in Slurm",
            mine,
            beside=f"the same five calls by hand {theirs:.1f} ms",
            ratio=mine / theirs,
            aim=f"by hand + {DRAIN_AIM_MS:.0f} ms" if is_asked else "",
            met=mine <= theirs + DRAIN_AIM_MS if is_asked else None,
        )


def _drain_by_us(doctor: Doctor, log: Log) -> tuple[float, float]:
    """Return the milliseconds from the line in the kernel log, and from the decision."""
    log.forget()
    start = time.time()
    fall_off_the_bus(some_pci_address())
    drained = log.find(
        lambda entry: (
            entry.get("event") == "hpcdoctor.action.ended"
            and (entry["operation"], entry["result"]) == ("drain", "done")
        ),
        PATIENCE_SECONDS,
    )
    decision = log.find(
        lambda entry: entry.get("event") == "hpcdoctor.decision.made" and entry["want"] == "drain",
        PATIENCE_SECONDS,
    )
    if drained is None or decision is None:
        raise NotMeasured("the daemon did not drain the node")
    return (moment(drained) - start) * 1000, (moment(drained) - moment(decision)) * 1000


def _put_back(doctor: Doctor, cluster: SlurmCluster) -> None:
    doctor.hpcdoctor("release", "--why", "bench")
    cluster.wait_for_node("n1", "idle")
    # A release is forgotten, and the next fault a new one, once the probation of 1 s is over.
    doctor.wait_for_state("healthy")
    time.sleep(QUIET_AFTER_RELEASE_SECONDS)


def _drain_by_hand(cluster: SlurmCluster) -> float:
    """Return the milliseconds of what the helper does: read, count, drain, read back, count."""
    show = ["scontrol", "-o", "show", "node", "n1"]
    count = ["sinfo", "--noheader", "--Node", "--local", "--format=%N|%T|%u|%H|%E"]
    start = time.monotonic()
    cluster.run(show)
    cluster.run(count)
    cluster.drain("n1", "by hand")
    cluster.run(show)
    cluster.run(count)
    took = (time.monotonic() - start) * 1000
    cluster.resume("n1")
    cluster.wait_for_node("n1", "idle")
    return took


def _needs_kernel_log() -> None:
    if os.geteuid() != 0 or not os.access("/dev/kmsg", os.W_OK):
        raise NotMeasured("writing to /dev/kmsg needs root")
    if not Path("/sys/bus/pci/devices").is_dir() or not any(Path("/sys/bus/pci/devices").iterdir()):
        raise NotMeasured("this machine has no PCI device to name in the kernel log")
