"""Where do the jobs' busy threads run, against where they may? One reading a busy process.

Source:  /proc/PID/{stat,cgroup,environ}, /proc/PID/task/TID/{stat,schedstat,sched,status}
Units:   shares and rates over the window between two looks
Cost:    one small file a process; three a thread of those that use the cpu, at most 5000 threads
Absent:  only in a recording without processes; of an idle machine there is no reading

A thread counts when it ran for a tenth of the window, or wanted to for half of it. Only what a
batch system or a user has started is told: kernel threads and system services are the machine's.
"""

from collections import Counter

import msgspec

from hpcdoctor.model.job import (
    NO_JOB,
    Job,
    job_of_environment,
    parse_cgroup,
    parse_environment,
    rank_of_environment,
)
from hpcdoctor.model.reading import Absent, NeedsSecondReading, Reading, Unavailable
from hpcdoctor.model.text import visible
from hpcdoctor.probes.files import (
    list_names,
    parse_list_or_none,
    read_bytes,
    read_list_or_none,
    read_text_or_none,
)
from hpcdoctor.probes.host import Host

TICKS_A_SECOND = 100  # USER_HZ, the same on every architecture that computes today
KERNEL_THREAD = 0x00200000  # PF_KTHREAD
MOST_THREADS = 5000
MOST_READINGS = 256
MOST_MASKS = 512
SHORTEST_WINDOW_SECONDS = 1.0
ACTIVE_SHARE = 0.05  # a process below this has no thread that counts
BUSY_SHARE = 0.10
STARVED_SHARE = 0.50  # ran less than a tenth, because it waited for a cpu
FIRST_USER = 1000
NOBODY = 65534


class Process(Reading, frozen=True):
    pid: int
    command: str  # chosen by the user: made visible, at most 15 characters from the kernel
    user_id: int | None
    scheduler: str  # "slurm"; "" where no job is known
    job: str
    step: str
    rank_hint: str  # "task 3", "SLURM_PROCID=3"; "" where nothing tells
    cpus_allowed: str | None  # "0-3,8", of the busiest thread
    cpus: int | None  # how many that are
    busy_threads: int
    run_ratio: float  # of one cpu: 2.0 is two threads that run all the time
    wait_ratio: float | None  # waiting for a cpu, of the time in which the busy threads wanted one
    migrations_per_second: float | None  # of the thread that moved most often
    node_moves: int | None  # busy threads that changed the NUMA node in the window
    unbound: bool | None  # may run all over the job's cpus although the job has several ranks here
    stacked: bool | None  # more busy threads are confined to some cpus than there are of these
    stray: bool | None  # a user's, without a job
    outside_cpuset: bool | None  # may run where its job may not
    window_seconds: float
    threads_not_looked_at: int  # on the whole machine, beyond the limit
    processes_not_told: int


class Stat(msgspec.Struct, frozen=True):
    """What is used of /proc/PID/stat."""

    command: bytes
    state: bytes
    kernel: bool
    ticks: int  # user and system time of the whole process, or of one thread
    started_ticks: int  # since boot
    processor: int


class Thread(msgspec.Struct, frozen=True):
    """One thread's counters at one look."""

    ticks: int
    started_ticks: int
    processor: int
    wait_nanoseconds: int | None
    migrations: int | None


class Snapshot(msgspec.Struct):
    """What one look leaves for the next."""

    boot_id: str
    seconds: float  # since boot
    processes: dict[int, Stat]
    threads: dict[int, dict[int, Thread]]
    threads_not_looked_at: int = 0


class Busy(msgspec.Struct):
    """One busy thread over the window."""

    mask: int | None
    mask_text: str | None
    run_seconds: float
    wait_seconds: float | None
    migrations_per_second: float | None
    moved_node: bool | None


class Candidate(msgspec.Struct):
    """A process with busy threads, before it is compared with its neighbours."""

    pid: int
    stat: Stat
    user_id: int | None
    job: Job
    rank_hint: str
    environment_known: bool
    job_mask: int | None
    busy: list[Busy]


def read(host: Host) -> list[Process]:
    proc = str(host.root / "proc")
    before: Snapshot | None = host.memory.get("cpu_binding")
    now = take_snapshot(host, proc, before)
    if before is None or before.boot_id != now.boot_id or now.seconds < before.seconds:
        host.memory["cpu_binding"] = now
        raise NeedsSecondReading("binding is seen between two looks, and this was the first")
    if now.seconds - before.seconds < SHORTEST_WINDOW_SECONDS:
        raise NeedsSecondReading("the two looks are less than a second apart")
    host.memory["cpu_binding"] = now
    nodes = cpu_nodes(host)
    candidates = []
    for pid in now.threads:
        busy = busy_threads(proc, pid, before, now, nodes)
        candidate = describe(host, proc, pid, now.processes[pid], busy) if busy else None
        if candidate is not None:
            candidates.append(candidate)
    return judge_sets(host, candidates, now, now.seconds - before.seconds)


def take_snapshot(host: Host, proc: str, before: Snapshot | None) -> Snapshot:
    pids = sorted(int(name) for name in list_names(proc) if name.isdecimal())
    if not pids and not host.live:
        raise Absent("the recording shows no process")
    if not pids:
        raise Unavailable(f"{proc} shows no process")
    instant = host.clock()
    uptime = (read_text_or_none(f"{proc}/uptime") or "").partition(" ")[0]
    try:
        seconds = float(uptime)
    except ValueError:
        seconds = instant.boottime
    snapshot = Snapshot(instant.boot_id, seconds, {}, {})
    for pid in pids:
        stat = read_stat(f"{proc}/{pid}/stat")
        if stat is not None and not stat.kernel:
            snapshot.processes[pid] = stat
    shares = {
        pid: share
        for pid, stat in snapshot.processes.items()
        if (share := active_share(pid, stat, before, snapshot)) >= ACTIVE_SHARE or not host.live
    }
    room = MOST_THREADS
    for pid in sorted(shares, key=shares.__getitem__, reverse=True):
        task = f"{proc}/{pid}/task"
        names = sorted((name for name in list_names(task) if name.isdecimal()), key=int)
        every = max(1, -(-len(names) // room)) if room > 0 else len(names) + 1
        chosen = names[::every] if room > 0 else []
        room -= len(chosen)
        snapshot.threads_not_looked_at += len(names) - len(chosen)
        threads = {
            int(name): thread for name in chosen if (thread := read_thread(f"{task}/{name}"))
        }
        if threads:
            snapshot.threads[pid] = threads
    return snapshot


def active_share(pid: int, stat: Stat, before: Snapshot | None, now: Snapshot) -> float:
    """Return the share of one cpu that the process used since the last look, or since its start."""
    earlier = before.processes.get(pid) if before is not None else None
    if before is not None and earlier is not None and earlier.started_ticks == stat.started_ticks:
        ticks, since = stat.ticks - earlier.ticks, before.seconds
    elif stat.state == b"R":
        return 1.0
    else:
        ticks, since = stat.ticks, stat.started_ticks / TICKS_A_SECOND
    return ticks / TICKS_A_SECOND / max(now.seconds - since, 0.01)


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
            started_ticks=int(fields[19]),
            processor=int(fields[36]),
        )
    except (IndexError, ValueError):
        return None


def read_thread(folder: str) -> Thread | None:
    stat = read_stat(f"{folder}/stat")
    if stat is None:
        return None
    return Thread(
        ticks=stat.ticks,
        started_ticks=stat.started_ticks,
        processor=stat.processor,
        wait_nanoseconds=parse_schedstat(read_text_or_none(f"{folder}/schedstat")),
        migrations=parse_migrations(read_text_or_none(f"{folder}/sched")),
    )


def parse_schedstat(text: str | None) -> int | None:
    """Return the nanoseconds of waiting; a kernel that does not count writes three zeros."""
    fields = (text or "").split()
    if len(fields) != 3 or fields == ["0", "0", "0"]:
        return None
    return int(fields[1]) if fields[1].isdecimal() else None


def parse_migrations(text: str | None) -> int | None:
    """Return se.nr_migrations, looked up by name: the other lines vary between kernels."""
    place = (text or "").find("\nse.nr_migrations")
    if text is None or place < 0:
        return None
    number = text[place + 1 :].partition("\n")[0].partition(":")[2].strip()
    return int(number) if number.isdecimal() else None


def busy_threads(
    proc: str, pid: int, before: Snapshot, now: Snapshot, nodes: dict[int, int]
) -> list[Busy]:
    """Return the process's threads that count, busiest first."""
    found = []
    earlier = before.threads.get(pid, {})
    for tid, thread in now.threads[pid].items():
        old = earlier.get(tid)
        started = thread.started_ticks / TICKS_A_SECOND
        if old is None or old.started_ticks != thread.started_ticks:
            if started < before.seconds:
                continue  # it was there and was not looked at: the next look has its counters
            old = Thread(0, thread.started_ticks, thread.processor, 0, 0)
        window = now.seconds - max(before.seconds, started)
        run = (thread.ticks - old.ticks) / TICKS_A_SECOND
        wait = difference(thread.wait_nanoseconds, old.wait_nanoseconds)
        wanted = run + (wait or 0) / 1e9
        if window < SHORTEST_WINDOW_SECONDS or (
            run < BUSY_SHARE * window and wanted < STARVED_SHARE * window
        ):
            continue
        migrations = difference(thread.migrations, old.migrations)
        mask_text, mask = read_mask(f"{proc}/{pid}/task/{tid}/status")
        here, there = nodes.get(thread.processor), nodes.get(old.processor)
        found.append(
            Busy(
                mask=mask,
                mask_text=mask_text,
                run_seconds=run,
                wait_seconds=None if wait is None else wait / 1e9,
                migrations_per_second=None if migrations is None else migrations / window,
                moved_node=None if here is None or there is None else here != there,
            )
        )
    return sorted(found, key=lambda busy: busy.run_seconds, reverse=True)


def difference(now: int | None, before: int | None) -> int | None:
    """Return how much was counted; after a reset, what was counted since."""
    if now is None or before is None:
        return None
    return now - before if now >= before else now


def read_mask(path: str) -> tuple[str | None, int | None]:
    """Return the cpus that a thread may use, as text and as a set of bits."""
    listed = bits = None
    for line in (read_text_or_none(path) or "").splitlines():
        if line.startswith("Cpus_allowed:"):
            bits = line[13:].strip()
        elif line.startswith("Cpus_allowed_list:"):
            listed = line[18:].strip()
    try:
        return listed, int((bits or "").replace(",", ""), 16)
    except ValueError:
        return listed, None


def describe(host: Host, proc: str, pid: int, stat: Stat, busy: list[Busy]) -> Candidate | None:
    """Return whose the process is; None where it is the machine's own."""
    folder = f"{proc}/{pid}"
    job = parse_cgroup(read_text_or_none(f"{folder}/cgroup") or "")
    if job.service:
        return None
    user_id = read_user_id(f"{folder}/status")
    try:
        variables = parse_environment(read_bytes(f"{folder}/environ"))
        known = True
    except OSError:
        variables, known = {}, False
    if not job.id:
        job = job_of_environment(variables)
    if not job.id and (user_id is None or user_id < FIRST_USER or user_id == NOBODY):
        return None
    again = read_stat(f"{folder}/stat")
    if again is None or again.started_ticks != stat.started_ticks:
        return None  # it ended, and the number may already be another's
    rank = rank_of_environment(variables) or (f"task {job.task}" if job.task else "")
    return Candidate(pid, stat, user_id, job, rank, known, read_job_mask(host, job), busy)


def read_user_id(path: str) -> int | None:
    for line in (read_text_or_none(path) or "").splitlines():
        if line.startswith("Uid:"):
            fields = line.split()
            return int(fields[1]) if len(fields) > 1 and fields[1].isdecimal() else None
    return None


def read_job_mask(host: Host, job: Job) -> int | None:
    """Return the cpus of the job's cgroup as a set of bits; None where it has none of its own."""
    if not job.folder or ".." in job.folder:
        return None
    base = host.root / "sys/fs/cgroup"
    for file in (
        ["cpuset.effective_cpus", "cpuset.cpus"] if job.controller else ["cpuset.cpus.effective"]
    ):
        cpus = read_list_or_none(f"{base}/{'cpuset' if job.controller else ''}{job.folder}/{file}")
        if cpus:
            return as_bits(cpus)
    return None


def as_bits(numbers: list[int]) -> int:
    return sum(1 << number for number in set(numbers))


def cpu_nodes(host: Host) -> dict[int, int]:
    """Return the NUMA node of each cpu; node numbers may be sparse."""
    base = str(host.root / "sys/devices/system/node")
    return {
        cpu: int(name[4:])
        for name in list_names(base)
        if name.startswith("node") and name[4:].isdecimal()
        for cpu in read_list_or_none(f"{base}/{name}/cpulist") or []
    }


def judge_sets(
    host: Host, candidates: list[Candidate], now: Snapshot, window: float
) -> list[Process]:
    """Return the readings: whom each process shares its cpus with needs all of them."""
    online = parse_list_or_none(
        read_text_or_none(host.root / "sys/devices/system/cpu/online") or ""
    )
    machine = as_bits(online) if online else None
    crowded = crowded_sets([busy for candidate in candidates for busy in candidate.busy])
    ranks: dict[tuple[str, str], set[str]] = {}
    for candidate in candidates:
        if candidate.rank_hint:
            key = (candidate.job.scheduler, candidate.job.id)
            ranks.setdefault(key, set()).add(candidate.rank_hint)
    told = [
        make_reading(
            candidate,
            candidate.job_mask or machine,
            crowded,
            len(ranks.get((candidate.job.scheduler, candidate.job.id), ())),
            window,
        )
        for candidate in candidates
    ]
    told.sort(key=importance, reverse=True)
    return [
        msgspec.structs.replace(
            reading,
            threads_not_looked_at=now.threads_not_looked_at,
            processes_not_told=max(0, len(told) - MOST_READINGS),
        )
        for reading in told[:MOST_READINGS]
    ]


def crowded_sets(busy: list[Busy]) -> list[int]:
    """Return the masks inside which more busy threads must run than they have cpus."""
    masks = Counter(thread.mask for thread in busy if thread.mask)
    return [
        outer
        for outer, _ in masks.most_common(MOST_MASKS)
        if sum(count for mask, count in masks.items() if mask & ~outer == 0) > outer.bit_count()
    ]


def make_reading(
    candidate: Candidate, allowed: int | None, crowded: list[int], ranks: int, window: float
) -> Process:
    job, busy = candidate.job, candidate.busy
    first = busy[0]
    waits = [thread.wait_seconds for thread in busy if thread.wait_seconds is not None]
    runs = sum(thread.run_seconds for thread in busy)
    rates = [t.migrations_per_second for t in busy if t.migrations_per_second is not None]
    moves = [thread.moved_node for thread in busy if thread.moved_node is not None]
    masks = [thread.mask for thread in busy if thread.mask]
    wanted = runs + sum(waits)
    return Process(
        pid=candidate.pid,
        command=visible(candidate.stat.command.decode(errors="backslashreplace"), 64),
        user_id=candidate.user_id,
        scheduler=job.scheduler,
        job=visible(job.id, 64),
        step=job.step,
        rank_hint=candidate.rank_hint,
        cpus_allowed=first.mask_text,
        cpus=first.mask.bit_count() if first.mask else None,
        busy_threads=len(busy),
        run_ratio=round(runs / window, 3),
        wait_ratio=round(sum(waits) / wanted, 3) if len(waits) == len(busy) and wanted else None,
        migrations_per_second=round(max(rates), 3) if rates else None,
        node_moves=sum(moves) if moves else None,
        unbound=is_unbound(candidate, masks, allowed, ranks),
        stacked=any(mask & ~outer == 0 for mask in masks for outer in crowded) if masks else None,
        stray=is_stray(candidate),
        outside_cpuset=(
            any(mask & ~candidate.job_mask for mask in masks) if candidate.job_mask else None
        ),
        window_seconds=round(window, 3),
        threads_not_looked_at=0,
        processes_not_told=0,
    )


def is_unbound(
    candidate: Candidate, masks: list[int], allowed: int | None, ranks: int
) -> bool | None:
    if not candidate.job.id:
        return False
    if not masks or allowed is None:
        return None
    if any(allowed & ~mask for mask in masks) or len(candidate.busy) >= allowed.bit_count():
        return False
    if not candidate.rank_hint and not candidate.environment_known:
        return None  # it may be one rank of several, and nothing tells
    return bool(candidate.rank_hint) and ranks >= 2


def is_stray(candidate: Candidate) -> bool | None:
    if candidate.job == NO_JOB:
        return True if candidate.environment_known else None
    return False


def importance(reading: Process) -> tuple[bool, float]:
    return bool(reading.stacked or reading.stray or reading.unbound), reading.run_ratio
