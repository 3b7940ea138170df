"""What does the kernel count of a process and of its threads? The files below /proc/PID."""

import os
from pathlib import Path

import msgspec

from hpcdoctor.probes.binding.cpu_sets import as_text
from hpcdoctor.probes.files import list_names, read_bytes, read_text_or_none
from hpcdoctor.probes.host import Host

TICKS_A_SECOND = 100  # USER_HZ, the same on every architecture that computes today
KERNEL_THREAD = 0x00200000  # PF_KTHREAD
NANOSECONDS = 1e9


class Stat(msgspec.Struct, frozen=True):
    """What is used of /proc/PID/stat."""

    command: bytes
    state: bytes
    kernel: bool
    ticks: int  # user and system time of the whole process, or of one thread
    threads: int
    started_ticks: int  # since boot
    resident_pages: int
    processor: int  # where it ran last

    @property
    def started_seconds(self) -> float:
        return self.started_ticks / TICKS_A_SECOND


class Scheduled(msgspec.Struct, frozen=True):
    """What is used of /proc/PID/task/TID/sched."""

    migrations: int | None
    pages_migrated: int | None  # by automatic NUMA balancing, on this thread's behalf


def pids(proc: str) -> list[int]:
    return sorted(int(name) for name in list_names(proc) if name.isdecimal())


def thread_ids(proc: str, pid: int, stat: Stat) -> list[int]:
    """Return the process's threads; where there is only the first, without looking."""
    if stat.threads == 1:
        return [pid]
    return sorted(int(name) for name in list_names(f"{proc}/{pid}/task") if name.isdecimal())


def read_stat(path: str) -> Stat | None:
    try:
        return parse_stat(read_bytes(path))
    except OSError:
        return None  # ended since it was listed


def parse_stat(text: bytes) -> Stat | None:
    """Return the fields; the name may hold anything, so what counts begins at the last bracket."""
    head, _, tail = text.rpartition(b")")
    fields = tail.split()
    try:
        return Stat(
            command=head.partition(b"(")[2],
            state=fields[0],
            kernel=bool(int(fields[6]) & KERNEL_THREAD),
            ticks=int(fields[11]) + int(fields[12]),
            threads=int(fields[17]),
            started_ticks=int(fields[19]),
            resident_pages=int(fields[21]),
            processor=int(fields[36]),
        )
    except (IndexError, ValueError):
        return None


def read_run_and_wait(path: str) -> tuple[float, float] | None:
    """Return the seconds that a thread ran and waited for a cpu, from its schedstat."""
    try:
        return parse_schedstat(read_bytes(path))
    except OSError:
        return None


def parse_schedstat(text: bytes) -> tuple[float, float] | None:
    """Return the seconds; a kernel that does not count writes three zeros."""
    fields = text.split()
    if len(fields) != 3 or fields == [b"0", b"0", b"0"]:
        return None
    try:
        return int(fields[0]) / NANOSECONDS, int(fields[1]) / NANOSECONDS
    except ValueError:
        return None


def read_sched(path: str) -> Scheduled:
    text = read_text_or_none(path)
    return Scheduled(
        migrations=parse_sched(text, "se.nr_migrations"),
        pages_migrated=parse_sched(text, "numa_pages_migrated"),
    )


def parse_sched(text: str | None, name: str) -> int | None:
    """Return a number looked up by its name: the other lines vary between kernels."""
    place = (text or "").find(f"\n{name}")
    if text is None or place < 0:
        return None
    found, _, number = text[place + 1 :].partition("\n")[0].partition(":")
    number = number.strip()
    return int(number) if found.strip() == name and number.isdecimal() else None


def read_mask(host: Host, proc: str, pid: int, tid: int) -> tuple[str | None, int | None]:
    """Return the cpus that a thread may use, as text and as a set of bits."""
    if host.live and host.root == Path("/"):  # one system call instead of a long text
        try:
            cpus = os.sched_getaffinity(tid)
        except OSError:
            return None, None
        mask = 0
        for cpu in cpus:
            mask |= 1 << cpu
        return as_text(mask), mask
    return parse_mask(read_text_or_none(f"{proc}/{pid}/task/{tid}/status") or "")


def parse_mask(status: str) -> tuple[str | None, int | None]:
    listed = bits = None
    for line in status.splitlines():
        if line.startswith("Cpus_allowed:"):
            bits = line[13:].strip()
        elif line.startswith("Cpus_allowed_list:"):
            listed = line[18:].strip()
    try:
        return listed, int((bits or "").replace(",", ""), 16)
    except ValueError:
        return listed, None


def read_user_id(proc: str, pid: int) -> int | None:
    for line in (read_text_or_none(f"{proc}/{pid}/status") or "").splitlines():
        if line.startswith("Uid:"):
            fields = line.split()
            return int(fields[1]) if len(fields) > 1 and fields[1].isdecimal() else None
    return None


def machine_ticks(proc: str) -> int | None:
    """Return for how long programs and the kernel ran, on all cpus together."""
    try:
        first, _, _ = read_bytes(f"{proc}/stat").partition(b"\n")
        _, user, nice, system, *_ = first.split()
        return int(user) + int(nice) + int(system)
    except (OSError, ValueError):
        return None
