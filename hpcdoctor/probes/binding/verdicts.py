"""How are a job's ranks bound, held against each other, their cpusets and their devices?

Nothing here reads: it is given what the processes did, and says what is to be seen in that.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from hpcdoctor.model.job import Job, spans_nodes
from hpcdoctor.probes.binding.cpu_sets import Crowd, crowd_of, crowds
from hpcdoctor.probes.binding.devices import Device, gpus_of, is_far
from hpcdoctor.probes.binding.look import Busy


class Candidate(msgspec.Struct, frozen=True):
    """A process with busy threads, before it is compared with its neighbours."""

    pid: int
    command: str
    user_id: int | None
    job: Job
    rank: str  # "rank 3"; "" where nothing tells
    variables: Mapping[str, str]
    environment_known: bool
    former_job: str  # that it claims and that is not on this machine
    job_cpus: int | None  # the job's cpuset
    step_cpus: int | None  # the step's, else the job's
    busy: list[Busy]

    @property
    def masks(self) -> list[int]:
        return [thread.mask for thread in self.busy if thread.mask]

    @property
    def cpus(self) -> int:
        """Return all cpus that its busy threads may use."""
        cpus = 0
        for mask in self.masks:
            cpus |= mask
        return cpus

    @property
    def program(self) -> tuple[str, str, str]:
        return self.job.scheduler, self.job.id, self.job.step

    @property
    def of_rank(self) -> tuple[str, str, str, str]:
        return *self.program, self.rank


class Pressed(msgspec.Struct, frozen=True):
    """The threads of one process that are confined to a crowded set of cpus."""

    crowd: Crowd  # the smallest one
    wait_ratio: float | None  # of the time in which they wanted a cpu


class Machine(msgspec.Struct, frozen=True):
    """What the processes are held against."""

    cpus: int | None  # online
    gpus: list[Device]
    only_hca: Device | None


class Neighbours:
    """All busy processes of one look, seen together."""

    def __init__(self, candidates: Sequence[Candidate], machine: Machine) -> None:
        self.candidates = candidates
        self.machine = machine
        self.crowds = crowds([mask for each in candidates for mask in each.masks])
        self._crowds: dict[int, Crowd | None] = {}  # by mask: most threads share theirs
        self._cpus = {each.pid: each.cpus for each in candidates}
        self._threads = Counter[tuple[str, str, str, str]]()
        self._ranks: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self._job_cpus: dict[tuple[str, str], int] = {}
        self._needlessly_far: dict[tuple[str, str], bool] = {}
        for each in candidates:
            self._threads[each.of_rank] += len(each.busy)
            if each.job.id:
                job = (each.job.scheduler, each.job.id)
                self._job_cpus[job] = self._job_cpus.get(job, 0) | self._cpus[each.pid]
                if each.rank:
                    self._ranks.setdefault(job, set()).add((each.job.step, each.rank))

    def ranks_of(self, job: Job) -> int:
        """Return how many ranks of the job are busy on this machine."""
        return len(self._ranks.get((job.scheduler, job.id), ()))

    def is_unbound(self, one: Candidate) -> bool | None:
        """Tell whether a rank may run on all cpus of its job although these are for several."""
        if not one.job.id:
            return False
        allowed = one.step_cpus or self.machine.cpus
        masks = one.masks
        if not masks or allowed is None:
            return None
        if any(allowed & ~mask for mask in masks):
            return False
        if self._threads[one.of_rank] >= allowed.bit_count():
            return False  # it fills what it was given
        if not one.rank and not one.environment_known:
            return None  # it may be one rank of several, and nothing tells
        return bool(one.rank) and self.ranks_of(one.job) >= 2

    def press(self, one: Candidate) -> Pressed | None:
        """Return what crowds the process's threads, if anything does."""
        found = [(self._crowd_of(thread.mask or 0), thread) for thread in one.busy]
        pressed = [(crowd, thread) for crowd, thread in found if crowd is not None]
        if not pressed:
            return None
        smallest = min((crowd for crowd, _ in pressed), key=lambda crowd: crowd.cpus)
        return Pressed(smallest, wait_ratio([thread for _, thread in pressed]))

    def _crowd_of(self, mask: int) -> Crowd | None:
        if mask not in self._crowds:
            self._crowds[mask] = crowd_of(mask, self.crowds)
        return self._crowds[mask]

    def is_outside(self, one: Candidate) -> bool | None:
        """Tell whether it may run where its job may not; None: the job has no cpuset."""
        if one.job_cpus is None or not one.masks:
            return None
        beyond = self._cpus[one.pid] & ~one.job_cpus
        if self.machine.cpus is not None:
            beyond &= self.machine.cpus  # an offline one stays in a mask, and nobody runs there
        return beyond != 0

    def shares_with(self, one: Candidate) -> list[str]:
        """Return the jobs that have threads on cpus which a process without job may use too."""
        mine = 0 if one.job.id else self._cpus[one.pid]
        return sorted(job for (_, job), cpus in self._job_cpus.items() if cpus & mine)

    def far_device(self, one: Candidate) -> tuple[Device, bool] | None:
        """Return the device that the rank ought to be near, and whether it is far from it."""
        if not one.job.id:
            return None
        meant = gpus_of(one.job.scheduler, one.variables, self.machine.gpus)
        far = is_far(self._cpus[one.pid], meant)
        if far is not None:
            return meant[0][0], far
        hca = self.machine.only_hca
        if hca is None or not one.rank or not one.masks or not spans_nodes(one.variables):
            return None
        job = (one.job.scheduler, one.job.id)
        if job not in self._needlessly_far:
            self._needlessly_far[job] = self._could_be_near(one, hca)
        return hca, self._needlessly_far[job]

    def _could_be_near(self, one: Candidate, hca: Device) -> bool:
        """Tell whether all the job's ranks are far from the HCA, and near it were room for them.

        On a machine with one HCA and two sockets, half the ranks of a full node are far from it.
        """
        job = (one.job.scheduler, one.job.id)
        if self._job_cpus[job] & hca.cpus:
            return False
        free = (one.step_cpus or self.machine.cpus or 0) & hca.cpus
        threads = 0
        for each in self.candidates:
            if (each.job.scheduler, each.job.id) == job:
                threads += len(each.busy)
            else:
                free &= ~self._cpus[each.pid]
        return free.bit_count() >= threads


def wait_ratio(threads: Sequence[Busy]) -> float | None:
    """Return how much of the time in which they wanted a cpu was waiting for one."""
    waits = [thread.wait_seconds for thread in threads if thread.wait_seconds is not None]
    wanted = sum(thread.run_seconds for thread in threads) + sum(waits)
    return round(sum(waits) / wanted, 3) if len(waits) == len(threads) and wanted else None
