"""How long do tasks stall for want of cpu, memory or io? One reading: the kernel's own averages.

Source:  /proc/pressure/{cpu,memory,io} (kernel: accounting/psi.rst)
Units:   share of the last 60 s in which some, or all, runnable tasks were stalled
Cost:    three small files; touches no hardware
Absent:  before Linux 4.20, or where it is switched off (some distributions need psi=1)
"""

import errno

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import read_bytes
from hpcdoctor.probes.host import Host

SWITCHED_OFF = frozenset({errno.ENOENT, errno.EOPNOTSUPP, errno.ENOTDIR})


class Pressure(Reading, frozen=True):
    cpu_some_ratio: float | None  # high on every node that is well used: no fault
    memory_some_ratio: float | None
    memory_full_ratio: float | None
    io_some_ratio: float | None
    io_full_ratio: float | None
    memory_full_seconds_total: float | None  # since boot
    io_full_seconds_total: float | None


def read(host: Host) -> list[Pressure]:
    cpu, memory, io = (read_file(host, name) for name in ("cpu", "memory", "io"))
    if not (cpu or memory or io):
        raise Absent("this kernel does not measure pressure (PSI is not built in, or needs psi=1)")
    return [
        Pressure(
            cpu_some_ratio=share(cpu, "some"),
            memory_some_ratio=share(memory, "some"),
            memory_full_ratio=share(memory, "full"),
            io_some_ratio=share(io, "some"),
            io_full_ratio=share(io, "full"),
            memory_full_seconds_total=seconds(memory, "full"),
            io_full_seconds_total=seconds(io, "full"),
        )
    ]


def read_file(host: Host, name: str) -> dict[str, dict[str, float]]:
    path = host.root / "proc/pressure" / name
    try:
        return parse(read_bytes(path).decode(errors="backslashreplace"))
    except OSError as error:
        if error.errno in SWITCHED_OFF:
            return {}
        raise Unavailable(f"{path}: {error.strerror}") from error


def parse(text: str) -> dict[str, dict[str, float]]:
    """Return {"some": {"avg10": 0.0, ...}, "full": {...}}, as the kernel prints: percent, µs."""
    lines: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        kind, *pairs = line.split() or [""]
        numbers: dict[str, float] = {}
        for pair in pairs:
            name, _, value = pair.partition("=")
            if value.replace(".", "", 1).isdecimal():
                numbers[name] = float(value)
        lines[kind] = numbers
    return lines


def share(lines: dict[str, dict[str, float]], kind: str) -> float | None:
    percent = lines.get(kind, {}).get("avg60")
    return None if percent is None else percent / 100


def seconds(lines: dict[str, dict[str, float]], kind: str) -> float | None:
    microseconds = lines.get(kind, {}).get("total")
    return None if microseconds is None else microseconds / 1e6
