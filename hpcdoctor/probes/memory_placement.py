"""Does a rank's memory lie on the NUMA node that the rank is bound to? One reading a job.

Source:  /proc/PID/numa_maps of the job's largest process that is bound inside one node
Units:   bytes of private anonymous memory, by node
Cost:    (c) the kernel walks the process's page tables, about a second for 64 GB, while the process
         cannot map memory. So: the four jobs with the largest processes, one process of each, at
         most every five minutes, none above 64 GB (4 GB where a person looks once)
Absent:  where one NUMA node has all cpus: there no memory is remote, and this has no answer
Trust:   a job's user can place its memory anywhere; it is the job's own matter

Nodes that bring memory and no cpus (of a GPU, HBM, CXL) are left out, and so is what is interleaved
on purpose. A process that may run on several nodes is near to each of them, and is not read.
"""

import os

import msgspec

from hpcdoctor.model.job import (
    Job,
    job_of_environment,
    parse_cgroup,
    parse_environment,
    rank_of_environment,
)
from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.model.text import visible
from hpcdoctor.probes.binding import tasks
from hpcdoctor.probes.binding.cpu_sets import as_bits
from hpcdoctor.probes.binding.numa_maps import Placed, parse_numa_maps
from hpcdoctor.probes.binding.numa_nodes import node_cpus, why_one_place
from hpcdoctor.probes.binding.words import process_of_job
from hpcdoctor.probes.files import read_bytes, read_text_or_none
from hpcdoctor.probes.host import Host

SUBJECT = "job"
NAMED = "memory_placement.jobs"
MOST_JOBS = 4
MOST_PROCESSES = 1000  # of which it is found out whose they are
MOST_THREADS = 64
SMALLEST_BYTES = 64 << 20
LARGEST_BYTES = 64 << 30
LARGEST_VISITED_BYTES = 4 << 30
APART_SECONDS = 295.0  # five minutes, less what a timer may be early
IDLE_LOAD = 0.3
MAPS_LIMIT_BYTES = 16 << 20
GIBIBYTE = 1 << 30


class Placement(Reading, frozen=True):
    job: str
    scheduler: str
    step: str
    who: str  # "job 42 step 0 rank 3 (pid 4711, solve)"
    pid: int
    node: str  # "node0": the one that it is bound to
    resident_bytes: int
    local_bytes: int
    remote_bytes: int  # on other nodes that have cpus
    remote_ratio: float | None  # of both; None where there is no such memory
    remote_nodes: str  # "node1 12.3 GiB, node2 0.1 GiB"; "" where there is none
    interleaved_bytes: int
    other_bytes: int  # on nodes without cpus
    age_seconds: float  # since it was really read
    processes_too_large: int  # of the job, that are not read


class Found(msgspec.Struct, frozen=True):
    """A process that may be read."""

    pid: int
    started_ticks: int
    command: bytes
    resident_bytes: int
    job: Job


def subjects(host: Host) -> list[str]:
    """Return the jobs with the largest processes; nothing is read but how large they are.

    A job that was named stays as long as it is there, and is named once more when it has ended: to
    be looked at in vain is what clears its findings.
    """
    why_not = why_one_place(host)
    if why_not is not None:
        raise Absent(f"{why_not}, so no memory is remote")
    before: list[str] = host.memory.get(NAMED, [])
    jobs = {} if host.live and is_idle(host) else {f.job.id: None for f in processes(host)}
    stay = [job for job in before if job in jobs]
    fresh = [job for job in jobs if job not in before]
    host.memory[NAMED] = [*stay, *fresh][:MOST_JOBS]
    return [*host.memory[NAMED], *(job for job in before if job not in jobs)]


def read(host: Host, subject: str) -> list[Placement]:
    nodes = {n: as_bits(cpus) for n, cpus in node_cpus(host).items() if cpus}
    limit = LARGEST_VISITED_BYTES if host.visiting else LARGEST_BYTES
    too_large = 0
    for found in processes(host):
        if found.job.id != subject:
            continue
        if found.resident_bytes > limit:
            too_large += 1
            continue
        node = home_of(host, found, nodes)
        if node is not None:
            return read_process(host, found, node, set(nodes), too_large)
    return []


def is_idle(host: Host) -> bool:
    """Tell whether hardly anything has run lately, by the load average of five minutes."""
    words = (read_text_or_none(host.root / "proc/loadavg") or "").split()
    try:
        return max(float(words[0]), float(words[1])) < IDLE_LOAD
    except (IndexError, ValueError):
        return False


def processes(host: Host) -> list[Found]:
    """Return the jobs' processes that are large enough to matter, the largest first."""
    proc = str(host.root / "proc")
    page_bytes = os.sysconf("SC_PAGE_SIZE") if host.live else 4096
    sizes = []
    for pid in tasks.pids(proc):
        stat = tasks.read_stat(f"{proc}/{pid}/stat")
        if stat is not None and stat.resident_pages * page_bytes >= SMALLEST_BYTES:
            sizes.append((stat.resident_pages * page_bytes, pid, stat))
    sizes.sort(key=lambda row: (-row[0], row[1]))
    found = []
    for size, pid, stat in sizes[:MOST_PROCESSES]:
        job = job_of(host, pid)
        if job.id:
            found.append(Found(pid, stat.started_ticks, stat.command, size, job))
    return found


def job_of(host: Host, pid: int) -> Job:
    folder = host.root / "proc" / str(pid)
    job = parse_cgroup(read_text_or_none(folder / "cgroup") or "")
    if job.id or job.service:
        return Job() if job.service else job
    try:
        return job_of_environment(parse_environment(read_bytes(folder / "environ")))
    except OSError:
        return job


def home_of(host: Host, found: Found, nodes: dict[int, int]) -> int | None:
    """Return the node that holds all cpus of the process's threads; None: it is not bound to one.

    Of many threads a sample is looked at.
    """
    proc = str(host.root / "proc")
    stat = tasks.read_stat(f"{proc}/{found.pid}/stat")
    if stat is None or stat.started_ticks != found.started_ticks:
        return None
    tids = tasks.thread_ids(proc, found.pid, stat)
    cpus = 0
    for tid in tids[:: max(1, -(-len(tids) // MOST_THREADS))]:
        cpus |= tasks.read_mask(host, proc, found.pid, tid)[1] or 0
    homes = [number for number, there in nodes.items() if cpus and not cpus & ~there]
    return homes[0] if homes else None


def read_process(
    host: Host, found: Found, node: int, nodes: set[int], too_large: int
) -> list[Placement]:
    now = host.clock().boottime
    process = (found.pid, found.started_ticks)
    last = host.memory.get("memory_placement")
    if last is not None and last[0] == process and 0 <= now - last[1] < APART_SECONDS:
        kept: Placement = last[2]
        return [msgspec.structs.replace(kept, age_seconds=now - last[1])]
    try:
        text = read_bytes(host.root / "proc" / str(found.pid) / "numa_maps", MAPS_LIMIT_BYTES)
    except (FileNotFoundError, ProcessLookupError):
        return []  # it ended
    except OSError as error:
        raise Unavailable(f"numa_maps of process {found.pid}: {error.strerror}") from error
    complete = text.rpartition(b"\n")[0] if len(text) == MAPS_LIMIT_BYTES else text
    placed = parse_numa_maps(complete.decode(errors="backslashreplace"))
    reading = describe(host, found, node, nodes, placed, too_large)
    host.memory["memory_placement"] = (process, now, reading)
    return [reading]


def describe(
    host: Host, found: Found, node: int, nodes: set[int], placed: Placed, too_large: int
) -> Placement:
    by_node = placed.bytes_by_node
    remote = {n: size for n, size in by_node.items() if n in nodes and n != node and size}
    local, away = by_node.get(node, 0), sum(remote.values())
    return Placement(
        job=found.job.id,
        scheduler=found.job.scheduler,
        step=found.job.step,
        who=who(host, found),
        pid=found.pid,
        node=f"node{node}",
        resident_bytes=found.resident_bytes,
        local_bytes=local,
        remote_bytes=away,
        remote_ratio=round(away / (local + away), 3) if local + away else None,
        remote_nodes=", ".join(
            f"node{number} {size / GIBIBYTE:.1f} GiB" for number, size in sorted(remote.items())
        ),
        interleaved_bytes=placed.interleaved_bytes,
        other_bytes=sum(size for n, size in by_node.items() if n not in nodes),
        age_seconds=0.0,
        processes_too_large=too_large,
    )


def who(host: Host, found: Found) -> str:
    job = found.job
    try:
        environment = read_bytes(host.root / "proc" / str(found.pid) / "environ")
    except OSError:
        environment = b""
    rank = rank_of_environment(parse_environment(environment), job.step)
    command = visible(found.command.decode(errors="backslashreplace"), 64)
    return process_of_job(job, rank, found.pid, command)
