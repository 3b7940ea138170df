"""Which threads were busy between two looks? Finding out has to cost little beside the jobs.

Most processes sleep. They are read again only when the machine as a whole was busier than what is
known to be busy explains; the machine's own counters are one small file. Of a thread, the smallest
file tells whether it was busy, and only of a busy one the others are read.
"""

import msgspec

from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes.binding import numa_nodes, tasks
from hpcdoctor.probes.binding.tasks import TICKS_A_SECOND, Stat
from hpcdoctor.probes.files import read_text_or_none
from hpcdoctor.probes.host import Host

MOST_THREADS = 5000
SHORTEST_WINDOW_SECONDS = 0.5
BUSY_SHARE = 0.10
STARVED_SHARE = 0.50  # ran less than a tenth, because it waited for a cpu
# A process that uses less than this is taken for asleep until the machine says otherwise.
WATCH_SHARE = 0.01
ALL_AGAIN_SECONDS = 600.0  # so often all are read, whatever the machine says
MOVES_REMEMBERED = 5  # looks


class Thread(msgspec.Struct):
    """One thread's counters, and when they were read."""

    started_seconds: float
    seconds: float
    run_seconds: float
    wait_seconds: float | None
    detail_seconds: float  # when these were read:
    processor: int
    migrations: int | None
    pages_migrated: int | None
    moves: int = 0  # a bit for each of the last looks: it had changed the NUMA node


class Busy(msgspec.Struct, frozen=True):
    """One busy thread over the window."""

    tid: int
    mask: int | None
    mask_text: str | None
    run_seconds: float
    wait_seconds: float | None
    migrations_per_second: float | None
    pages_migrated_per_second: float | None
    node_moves: int | None  # in how many of the last looks it had changed the NUMA node


class Snapshot(msgspec.Struct):
    """What one look leaves for the next."""

    boot_id: str
    seconds: float  # since boot
    machine_ticks: int | None
    all_read_seconds: float = 0.0
    murmur: float = 0.0  # ticks a second that nobody worth watching used
    processes: dict[int, Stat] = {}
    watched: set[int] = set()
    threads: dict[int, dict[int, Thread]] = {}
    busy: dict[int, list[Busy]] = {}  # by process, the busiest first
    threads_not_looked_at: int = 0


class Glance(msgspec.Struct, frozen=True):
    """What costs one small file: how busy the whole machine has been."""

    boot_id: str
    seconds: float
    machine_ticks: int | None


def glance(host: Host) -> Glance:
    instant = host.clock()
    proc = str(host.root / "proc")
    seconds = instant.boottime
    if not host.live:  # the recording's own clock, where it has one
        try:
            seconds = float((read_text_or_none(f"{proc}/uptime") or "").partition(" ")[0])
        except ValueError:
            seconds = instant.boottime
    return Glance(instant.boot_id, seconds, tasks.machine_ticks(proc))


def was_idle(before: Glance, now: Glance) -> bool:
    """Tell whether the machine did less than one thread that counts would have."""
    if before.machine_ticks is None or now.machine_ticks is None or before.boot_id != now.boot_id:
        return False
    seconds = now.seconds - before.seconds
    return now.machine_ticks - before.machine_ticks < BUSY_SHARE * seconds * TICKS_A_SECOND


def look(host: Host, before: Snapshot | None) -> Snapshot:
    """Look at all that may be busy; with an earlier look, tell which threads were."""
    proc = str(host.root / "proc")
    here = glance(host)
    now = Snapshot(here.boot_id, here.seconds, here.machine_ticks)
    if before is not None and (before.boot_id != now.boot_id or before.seconds >= now.seconds):
        before = None
    if before is None or not host.live:
        _read_all(host, proc, now)
    else:
        _read_watched(host, proc, before, now)
    _read_threads(host, proc, before, now)
    return now


def _list_pids(host: Host, proc: str) -> list[int]:
    pids = tasks.pids(proc)
    if not pids and not host.live:
        raise Absent("the recording shows no process")
    if not pids:
        raise Unavailable(f"{proc} shows no process")
    return pids


def _read_all(host: Host, proc: str, now: Snapshot) -> None:
    _read_stats(proc, _list_pids(host, proc), now)
    now.all_read_seconds = now.seconds
    now.watched = {
        pid
        for pid, stat in now.processes.items()
        if not host.live or _share(stat, None, None, now) >= WATCH_SHARE
    }


def _read_watched(host: Host, proc: str, before: Snapshot, now: Snapshot) -> None:
    """Read those that were busy; all others only where the machine did more than these."""
    known = before.processes
    window = now.seconds - before.seconds
    limit = (before.murmur + BUSY_SHARE * TICKS_A_SECOND) * window
    _read_stats(proc, sorted(before.watched), now)
    unexplained = _unexplained(before, now, now.processes)
    due = now.seconds - before.all_read_seconds >= ALL_AGAIN_SECONDS
    all_of_them = unexplained is None or unexplained > limit or due
    if all_of_them:
        pids = _list_pids(host, proc)
        _read_stats(proc, [pid for pid in pids if pid not in before.watched], now)
    now.watched = {
        pid
        for pid, stat in now.processes.items()
        if _share(stat, known.get(pid), before, now) >= WATCH_SHARE
    }
    if all_of_them:
        now.all_read_seconds = now.seconds
        now.murmur = max(0.0, _unexplained(before, now, now.watched) or 0.0) / window
    else:
        now.all_read_seconds = before.all_read_seconds
        now.murmur = before.murmur
        now.processes = {**known, **now.processes}


def _read_stats(proc: str, pids: list[int], now: Snapshot) -> None:
    for pid in pids:
        stat = tasks.read_stat(f"{proc}/{pid}/stat")
        if stat is not None:
            now.processes[pid] = stat


def _ticks(stat: Stat, earlier: Stat | None) -> int:
    """Return what a process used since it was read last, or since it began."""
    if earlier is not None and earlier.started_ticks == stat.started_ticks:
        return stat.ticks - earlier.ticks
    return stat.ticks


def _share(stat: Stat, earlier: Stat | None, before: Snapshot | None, now: Snapshot) -> float:
    """Return the share of one cpu; without an earlier look, since the process began."""
    if stat.state == b"R":
        return 1.0
    since = stat.started_seconds
    if before is not None:
        since = max(since, before.seconds)
    return _ticks(stat, earlier) / TICKS_A_SECOND / max(now.seconds - since, 0.01)


def _unexplained(
    before: Snapshot, now: Snapshot, explained: set[int] | dict[int, Stat]
) -> float | None:
    """Return the ticks that the machine used beyond those of these processes."""
    if before.machine_ticks is None or now.machine_ticks is None:
        return None
    used = sum(_ticks(now.processes[pid], before.processes.get(pid)) for pid in explained)
    return now.machine_ticks - before.machine_ticks - used


def _read_threads(host: Host, proc: str, before: Snapshot | None, now: Snapshot) -> None:
    chosen = sorted(pid for pid in now.watched if not now.processes[pid].kernel)
    total = sum(max(1, now.processes[pid].threads) for pid in chosen)
    every = 1
    while total > MOST_THREADS * every:
        every *= 2  # who is looked at now is among those of the last look, or the other way round
    reader = _Reader(host, proc, before, now)
    for pid in chosen:
        stat = now.processes[pid]
        tids = tasks.thread_ids(proc, pid, stat)
        sample = [tid for tid in tids if tid % every == 0] if every > 1 else tids
        now.threads_not_looked_at += len(tids) - len(sample)
        reader.read(pid, stat, sample)


class _Reader:
    """Reads threads; what is the same for all of them is found out once."""

    def __init__(self, host: Host, proc: str, before: Snapshot | None, now: Snapshot) -> None:
        self.host = host
        self.proc = proc
        self.before = before
        self.now = now
        self.nodes = numa_nodes.cpu_nodes(host)
        self.several_nodes = len(set(self.nodes.values())) > 1
        self.balances = numa_nodes.balances(host)

    def read(self, pid: int, stat: Stat, tids: list[int]) -> None:
        earlier: dict[int, Thread] = {}
        if self.before is not None:
            was = self.before.processes.get(pid)
            if was is not None and was.started_ticks == stat.started_ticks:
                earlier = self.before.threads.get(pid, {})
        threads: dict[int, Thread] = {}
        busy: list[Busy] = []
        for tid in tids:
            seen = self.read_thread(pid, tid, stat if stat.threads == 1 else None, earlier.get(tid))
            if seen is not None:
                threads[tid] = seen[0]
                busy += [seen[1]] if seen[1] else []
        if threads:
            self.now.threads[pid] = threads
        if busy:
            self.now.busy[pid] = sorted(busy, key=lambda each: each.run_seconds, reverse=True)

    def read_thread(
        self, pid: int, tid: int, stat: Stat | None, old: Thread | None
    ) -> tuple[Thread, Busy | None] | None:
        """Return the thread as it is now, and what it did if it was busy; None: it has ended."""
        folder = f"{self.proc}/{pid}/task/{tid}"
        times = tasks.read_run_and_wait(f"{folder}/schedstat")
        if times is None or old is None or times[0] < old.run_seconds:
            stat = stat or tasks.read_stat(f"{folder}/stat")
            if stat is None:
                return None
        run, wait = times if times else (stat.ticks / TICKS_A_SECOND if stat else 0.0, None)
        now, before = self.now.seconds, self.before
        first = old is None or run < old.run_seconds
        if first and stat is not None:
            began = stat.started_seconds
            old = Thread(began, began, 0.0, 0.0, began, stat.processor, 0, 0)
        if old is None:
            return None
        thread = Thread(
            started_seconds=old.started_seconds,
            seconds=now,
            run_seconds=run,
            wait_seconds=wait,
            detail_seconds=old.detail_seconds,
            processor=old.processor,
            migrations=old.migrations,
            pages_migrated=old.pages_migrated,
            moves=old.moves << 1 & (1 << MOVES_REMEMBERED) - 1,
        )
        if first and (before is None or old.started_seconds < before.seconds):
            self.read_details(pid, tid, stat, thread)
            return thread, None  # it was there and was not looked at: the next look tells
        window = now - old.seconds
        ran = run - old.run_seconds
        waited = _difference(wait, old.wait_seconds)
        wanted = ran + (waited or 0.0)
        if window < SHORTEST_WINDOW_SECONDS or (
            ran < BUSY_SHARE * window and wanted < STARVED_SHARE * window
        ):
            return thread, None
        mask_text, mask = self.read_details(pid, tid, stat, thread)
        return thread, Busy(
            tid=tid,
            mask=mask,
            mask_text=mask_text,
            run_seconds=ran,
            wait_seconds=waited,
            migrations_per_second=_migrations(mask, thread, old),
            pages_migrated_per_second=_rate(
                thread.pages_migrated, old.pages_migrated, now - old.detail_seconds
            ),
            node_moves=self.count_moves(thread, old),
        )

    def read_details(
        self, pid: int, tid: int, stat: Stat | None, thread: Thread
    ) -> tuple[str | None, int | None]:
        """Note where a thread runs and how often it moved; return the cpus that it may use."""
        folder = f"{self.proc}/{pid}/task/{tid}"
        mask_text, mask = tasks.read_mask(self.host, self.proc, pid, tid)
        if stat is None and self.several_nodes:
            stat = tasks.read_stat(f"{folder}/stat")
        thread.processor = stat.processor if stat else thread.processor
        thread.detail_seconds = self.now.seconds
        if self.balances or mask is None or mask.bit_count() != 1:
            scheduled = tasks.read_sched(f"{folder}/sched")
            thread.migrations = scheduled.migrations
            thread.pages_migrated = scheduled.pages_migrated
        else:  # a single cpu: there is nowhere to go
            thread.migrations = thread.pages_migrated = None
        return mask_text, mask

    def count_moves(self, thread: Thread, old: Thread) -> int | None:
        here, there = self.nodes.get(thread.processor), self.nodes.get(old.processor)
        if here is None or there is None:
            return None
        thread.moves |= here != there
        return thread.moves.bit_count()


def _difference(now: float | None, before: float | None) -> float | None:
    """Return how much was counted; after a reset, what was counted since."""
    if now is None or before is None:
        return None
    return now - before if now >= before else now


def _rate(now: int | None, before: int | None, seconds: float) -> float | None:
    counted = _difference(now, before)
    return None if counted is None else counted / max(seconds, 0.01)


def _migrations(mask: int | None, thread: Thread, old: Thread) -> float | None:
    if mask is not None and mask.bit_count() == 1 and thread.migrations is None:
        return 0.0
    return _rate(thread.migrations, old.migrations, thread.seconds - old.detail_seconds)
