"""Where do the jobs' busy threads run, against where they may? One reading a busy process.

Source:  /proc/PID/{stat,cgroup,environ}, /proc/PID/task/TID/{schedstat,stat,sched,status}, the
         jobs' cpusets, local_cpulist of GPUs and HCAs
Units:   shares and rates over the window between two looks
Cost:    (a) one small file a process that is not asleep and one a thread of it; three more a busy
         thread; at most 5000 threads, of more a sample. Processes that sleep cost a listing: they
         are read when the machine was busier than what is known to be busy explains
Absent:  only in a recording without processes; of an idle machine there is no reading
Trust:   a job's number in the environment is its user's word, the cgroup the scheduler's. A user
         can look unbound, crowded or without a job, and cannot leave the cpuset

A thread counts when it ran for a tenth of the window, or wanted to for half of it. Only what a
batch system or a user has started is told: kernel threads and system services are the machine's.
"""

import time
from collections.abc import Sequence

import msgspec

from hpcdoctor.model.job import (
    NO_JOB,
    STEPS_WITHOUT_RANKS,
    Job,
    job_of_environment,
    parse_cgroup,
    parse_environment,
    rank_of_environment,
)
from hpcdoctor.model.reading import NeedsSecondReading, Reading
from hpcdoctor.model.text import visible
from hpcdoctor.probes.binding import devices, tasks, words
from hpcdoctor.probes.binding.cpu_sets import as_bits, as_numbers, as_text
from hpcdoctor.probes.binding.job_cgroups import JobCgroups
from hpcdoctor.probes.binding.look import (
    SHORTEST_WINDOW_SECONDS,
    Busy,
    Glance,
    Snapshot,
    glance,
    look,
    was_idle,
)
from hpcdoctor.probes.binding.numa_nodes import cpu_nodes as cpu_nodes
from hpcdoctor.probes.binding.tasks import Stat
from hpcdoctor.probes.binding.verdicts import (
    Candidate,
    Machine,
    Neighbours,
    Pressed,
    wait_ratio,
)
from hpcdoctor.probes.files import (
    parse_list_or_none,
    read_bytes,
    read_list_or_none,
    read_text_or_none,
)
from hpcdoctor.probes.host import Host

MEMORY = "cpu_binding"
MOST_READINGS = 256
# Of ranks in the same trouble so many are told one by one, and the others counted.
MOST_ALIKE = 8
FIRST_USER = 1000
NOBODY = 65534
# A person who looks twice gets this window; a lane that others share waits a second for it.
SHORT_WINDOW_SECONDS = 0.7


class Process(Reading, frozen=True):
    who: str  # "job 42 step 0 rank 3 (pid 4711, solve)", for sentences
    pid: int
    command: str  # chosen by the user: made visible, at most 15 characters from the kernel
    user_id: int | None
    scheduler: str  # "slurm"; "" where no job is known
    job: str
    step: str
    rank_hint: str  # "rank 3", "local rank 3", "task 3"; "" where nothing tells
    ranks: int  # busy ranks of the job on this node
    alike: int  # more processes of the job in the same trouble that are not told
    others: str  # the same for sentences: "; 23 more of the job likewise", or ""
    cpus_allowed: str | None  # "0-3,8", of the busiest thread
    cpus: int | None  # how many that are
    busy_threads: int
    run_ratio: float  # of one cpu: 2.0 is two threads that run all the time
    wait_ratio: float | None  # waiting for a cpu, of the time in which threads wanted one: of those
    # that are stacked, else of all that were busy
    migrations_per_second: float | None  # of the thread that moved most often
    pages_migrated_per_second: float | None  # by automatic NUMA balancing, for all its threads
    # In how many of the last five looks a thread had changed the NUMA node; of the one that did so
    # most often
    node_moves: int | None
    unbound: bool | None  # may run all over the job's cpus although the job has several ranks here
    stacked: bool | None  # more busy threads are confined to some cpus than there are of these
    crowd: str  # "3 busy threads on cpus 0-1, which are the threads of 1 core"; "" where none
    stray: bool | None  # a user's, without a job
    belongs_to: str  # "job 42", "no job", "job 42, which is not on this node"
    shares_with: str  # the jobs that have busy threads on cpus it may use: "job 42", "no job"
    outside_cpuset: bool | None  # may run where its job may not; None: the job has no cpuset
    job_cpuset: str | None  # "0-31"
    far_from_device: bool | None  # None: it is not known which GPU it uses, nor is there one HCA
    device: str  # "GPU 0000:3b:00.0", "HCA mlx5_0"; "" where none is known
    device_cpus: str | None  # those near it
    window_seconds: float
    threads_not_looked_at: int  # on the whole machine, beyond the limit
    processes_not_told: int


class Known(msgspec.Struct, frozen=True):
    """What does not change while a process runs the same program; kept from look to look."""

    started_ticks: int
    command: bytes
    user_id: int | None
    variables: dict[str, str]
    environment_known: bool


class Memory(msgspec.Struct):
    """What one look leaves for the next."""

    snapshot: Snapshot
    known: dict[int, Known] = {}
    cores: dict[int, str] = {}  # cpu: the threads of its core
    gpus: list[devices.Device] | None = None


def read(host: Host) -> list[Process]:
    memory: Memory | Glance | None = host.memory.get(MEMORY)
    here = glance(host)
    if memory is None and host.visiting and host.live:
        # Perhaps nobody looks again, and a first look has no answer: it is to cost nothing.
        host.memory[MEMORY] = here
        raise NeedsSecondReading("binding is seen between two looks, and this was the first")
    if isinstance(memory, Glance):
        if was_idle(memory, here):
            return []
        memory = Memory(look(host, None))
        time.sleep(SHORT_WINDOW_SECONDS)
    before = memory.snapshot if memory else None
    if before is not None and before.boot_id == here.boot_id:
        seconds = here.seconds - before.seconds
        if 0 <= seconds < SHORTEST_WINDOW_SECONDS and not host.visiting:
            raise NeedsSecondReading("the two looks are less than half a second apart")
    now = look(host, before)
    if memory is None or before is None or _is_anew(before, now):
        host.memory[MEMORY] = Memory(now)
        raise NeedsSecondReading("binding is seen between two looks, and this was the first")
    memory.snapshot = now
    host.memory[MEMORY] = memory
    return _tell(host, memory, now, now.seconds - before.seconds)


def _is_anew(before: Snapshot, now: Snapshot) -> bool:
    return before.boot_id != now.boot_id or now.seconds <= before.seconds


def _tell(host: Host, memory: Memory, now: Snapshot, window: float) -> list[Process]:
    proc = str(host.root / "proc")
    cgroups = JobCgroups(host)
    jobs: dict[str, Job] = {}
    known: dict[int, Known] = {}
    candidates = []
    for pid, busy in now.busy.items():
        stat = now.processes[pid]
        text = read_text_or_none(f"{proc}/{pid}/cgroup") or ""
        if text not in jobs:
            jobs[text] = parse_cgroup(text)
        facts = memory.known.get(pid)
        if facts is None or (facts.started_ticks, facts.command) != (
            stat.started_ticks,
            stat.command,
        ):
            facts = _learn(proc, pid, stat)
        if facts is None:
            continue  # it ended, and the number may already be another's
        known[pid] = facts
        candidate = _describe(cgroups, pid, jobs[text], facts, busy)
        if candidate is not None:
            candidates.append(candidate)
    memory.known = known
    machine = _machine(host, memory, candidates)
    neighbours = Neighbours(candidates, machine)
    told = [_reading(host, memory, neighbours, each, window) for each in candidates]
    told = _without_the_alike(told)
    told.sort(key=_importance, reverse=True)
    return [
        msgspec.structs.replace(
            reading,
            threads_not_looked_at=now.threads_not_looked_at,
            processes_not_told=len(candidates) - len(told[:MOST_READINGS]),
        )
        for reading in told[:MOST_READINGS]
    ]


def _learn(proc: str, pid: int, stat: Stat) -> Known | None:
    user_id = tasks.read_user_id(proc, pid)
    try:
        variables = parse_environment(read_bytes(f"{proc}/{pid}/environ"))
        readable = True
    except OSError:
        variables, readable = {}, False
    again = tasks.read_stat(f"{proc}/{pid}/stat")
    if again is None or again.started_ticks != stat.started_ticks:
        return None
    return Known(stat.started_ticks, stat.command, user_id, variables, readable)


def _describe(
    cgroups: JobCgroups, pid: int, job: Job, facts: Known, busy: list[Busy]
) -> Candidate | None:
    """Return whose the process is; None where it is the machine's own."""
    users = facts.user_id is not None and facts.user_id >= FIRST_USER and facts.user_id != NOBODY
    former = ""
    if job.service and (job.id or not users):
        return None
    if not job.id:
        claimed = job_of_environment(facts.variables)
        if job.service and not claimed.id:
            return None  # a service that does not run as root
        if not claimed.id and not users:
            return None
        if claimed.id and users and cgroups.is_over(claimed):
            former, job = claimed.id, NO_JOB
        else:
            job = claimed
    rank = "" if former else rank_of_environment(facts.variables, job.step)
    if not rank and job.task.isdecimal() and job.step not in STEPS_WITHOUT_RANKS:
        rank = f"task {job.task}"
    return Candidate(
        pid=pid,
        command=visible(facts.command.decode(errors="backslashreplace"), 64),
        user_id=facts.user_id,
        job=job,
        rank=rank,
        variables=facts.variables,
        environment_known=facts.environment_known,
        former_job=former,
        job_cpus=cgroups.cpus_of(job),
        step_cpus=cgroups.cpus_of_step(job),
        busy=busy,
    )


def _machine(host: Host, memory: Memory, candidates: Sequence[Candidate]) -> Machine:
    online = parse_list_or_none(
        read_text_or_none(host.root / "sys/devices/system/cpu/online") or ""
    )
    asked = any("CUDA_VISIBLE_DEVICES" in each.variables for each in candidates)
    if asked and (memory.gpus is None or any("?" in gpu.uuid for gpu in memory.gpus)):
        memory.gpus = devices.read_gpus(host)
    with_job = any(each.job.id and each.rank for each in candidates)
    return Machine(
        cpus=as_bits(online) if online else None,
        gpus=memory.gpus or [],
        only_hca=devices.read_only_hca(host) if with_job else None,
    )


def _reading(
    host: Host, memory: Memory, neighbours: Neighbours, one: Candidate, window: float
) -> Process:
    job, busy = one.job, one.busy
    first = busy[0]
    moved = [t.migrations_per_second for t in busy if t.migrations_per_second is not None]
    pages = [t.pages_migrated_per_second for t in busy if t.pages_migrated_per_second is not None]
    moves = [thread.node_moves for thread in busy if thread.node_moves is not None]
    pressed = neighbours.press(one)
    near = neighbours.far_device(one)
    return Process(
        who=_who(one),
        pid=one.pid,
        command=one.command,
        user_id=one.user_id,
        scheduler=job.scheduler,
        job=visible(job.id, 64),
        step=job.step,
        rank_hint=one.rank,
        ranks=neighbours.ranks_of(job),
        alike=0,
        others="",
        cpus_allowed=first.mask_text,
        cpus=first.mask.bit_count() if first.mask else None,
        busy_threads=len(busy),
        run_ratio=round(sum(thread.run_seconds for thread in busy) / window, 3),
        wait_ratio=pressed.wait_ratio if pressed else wait_ratio(busy),
        migrations_per_second=round(max(moved), 3) if moved else None,
        pages_migrated_per_second=round(sum(pages), 3) if pages else None,
        node_moves=max(moves) if moves else None,
        unbound=neighbours.is_unbound(one),
        stacked=pressed is not None if one.masks else None,
        crowd=_crowd(host, memory, pressed) if pressed else "",
        stray=_is_stray(one),
        belongs_to=words.owner(one.job, one.former_job),
        shares_with=words.jobs_in_words(neighbours.shares_with(one)),
        outside_cpuset=neighbours.is_outside(one),
        job_cpuset=as_text(one.job_cpus) if one.job_cpus else None,
        far_from_device=near[1] if near else None,
        device=near[0].name if near else "",
        device_cpus=as_text(near[0].cpus) if near else None,
        window_seconds=round(window, 3),
        threads_not_looked_at=0,
        processes_not_told=0,
    )


def _who(one: Candidate) -> str:
    if not one.job.id:
        return f"process {one.pid} ({one.command}) of user {one.user_id}"
    return words.process_of_job(one.job, one.rank, one.pid, one.command)


def _is_stray(one: Candidate) -> bool | None:
    if one.job.id:
        return False
    return True if one.environment_known else None


def _crowd(host: Host, memory: Memory, pressed: Pressed) -> str:
    cpus = as_numbers(pressed.crowd.mask)
    for cpu in cpus:
        if cpu not in memory.cores:
            memory.cores[cpu] = _core_of(host, cpu)
    return words.crowd_in_words(pressed.crowd, len({memory.cores[cpu] for cpu in cpus}))


def _core_of(host: Host, cpu: int) -> str:
    siblings = read_list_or_none(
        host.root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    )
    return as_text(as_bits(siblings)) if siblings else str(cpu)


def _trouble(reading: Process) -> tuple[object, ...]:
    return (
        reading.scheduler,
        reading.job,
        reading.unbound,
        reading.stacked,
        reading.outside_cpuset,
        reading.far_from_device,
    )


def _without_the_alike(readings: list[Process]) -> list[Process]:
    """Return the readings; of a job's ranks in the same trouble the first few, and the worst."""
    groups: dict[tuple[object, ...], list[Process]] = {}
    for reading in sorted(readings, key=lambda reading: reading.pid):
        key = _trouble(reading) if reading.job else (reading.pid,)
        groups.setdefault(key, []).append(reading)
    told = []
    for group in groups.values():
        chosen = {reading.pid: reading for reading in group[:MOST_ALIKE]}
        for worst in (_by_wait, _by_migrations, _by_moves, _by_pages):
            one = max(group, key=worst)
            chosen[one.pid] = one
        alike = len(group) - len(chosen)
        others = f"; {alike} more of the job likewise" if alike else ""
        told += [
            msgspec.structs.replace(each, alike=alike, others=others) for each in chosen.values()
        ]
    return told


def _by_wait(reading: Process) -> float:
    return reading.wait_ratio or 0.0


def _by_migrations(reading: Process) -> float:
    return reading.migrations_per_second or 0.0


def _by_moves(reading: Process) -> float:
    return reading.node_moves or 0


def _by_pages(reading: Process) -> float:
    return reading.pages_migrated_per_second or 0.0


def _importance(reading: Process) -> tuple[bool, float]:
    wrong = (
        reading.stacked,
        reading.stray,
        reading.unbound,
        reading.outside_cpuset,
        reading.far_from_device,
    )
    return any(wrong), reading.run_ratio
