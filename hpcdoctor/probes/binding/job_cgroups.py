"""Which jobs have a cgroup on this machine, and which cpus does a job's cgroup give it?"""

import re
from collections.abc import Iterator
from fnmatch import translate
from typing import NamedTuple

from hpcdoctor.model.job import Job, parse_path
from hpcdoctor.probes.binding.cpu_sets import as_bits
from hpcdoctor.probes.files import list_names, read_list_or_none
from hpcdoctor.probes.host import Host

BASE = "sys/fs/cgroup"
# Where a hierarchy may be mounted; "" is version 2, "unified" its place beside version 1.
HIERARCHIES = ("", "unified", "cpuset", "memory", "systemd", "freezer", "cpuacct")
PLACES = (
    "slurm*/uid_*/job_*",
    "system.slice/*slurmstepd.scope/job_*",
    "pbs*/job*/*",
    "torque/*",
    "lsf/*/job.*",
    "kube*/*pod*",
    "kube*/*/*pod*",
    "kube*/*/*/*pod*",
)
MOST_JOBS = 2000

_PLACES = [[re.compile(translate(part)) for part in place.split("/")] for place in PLACES]


class Found(NamedTuple):
    """A job, and the folder of its cgroup."""

    job: Job
    folder: str


def jobs(host: Host) -> list[Job]:
    """Return the jobs that have a cgroup, each once; some hundred listings of folders at most."""
    return [each.job for each in found(host)]


def found(host: Host) -> list[Found]:
    """Return the same with the folder that each was found at, of the hierarchy that tells most."""
    seen: dict[tuple[str, str], Found] = {}
    for hierarchy in HIERARCHIES:
        base = f"{host.root / BASE}/{hierarchy}" if hierarchy else str(host.root / BASE)
        first = list_names(base)
        for place in _PLACES:
            names = [name for name in first if place[0].match(name)]
            for path in _below(base, "", names, place[1:]):
                job = parse_path(path, "" if hierarchy in ("", "unified") else hierarchy)
                if job.id and job.folder == path:
                    seen.setdefault((job.scheduler, job.id), Found(job, base + path))
                if len(seen) >= MOST_JOBS:
                    return list(seen.values())
    return list(seen.values())


def _below(base: str, path: str, names: list[str], place: list[re.Pattern[str]]) -> Iterator[str]:
    for name in names:
        folder = f"{path}/{name}"
        if not place:
            yield folder
        else:
            inner = [each for each in list_names(f"{base}{folder}") if place[0].match(each)]
            yield from _below(base, folder, inner, place[1:])


class JobCgroups:
    """The jobs' cgroups at one look; each is found out when it is asked for, and once."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._cpus: dict[str, int | None] = {}
        self._slurm_jobs: set[str] | None = None

    def cpus_of(self, job: Job) -> int | None:
        """Return the cpus of the job's cgroup as a set; None where it has none of its own."""
        return self._cpus_of(job.folder, job.controller)

    def cpus_of_step(self, job: Job) -> int | None:
        """Return the cpus of the step's cgroup, else the job's."""
        return self._cpus_of(job.step_folder, job.controller) or self.cpus_of(job)

    def is_over(self, job: Job) -> bool:
        """Tell whether a job that a process claims is not on this machine.

        Only where Slurm gives its jobs cgroups here: then it has one as long as it runs.
        """
        if job.scheduler != "slurm":
            return False
        if self._slurm_jobs is None:
            found = jobs(self._host)
            self._slurm_jobs = {each.id for each in found if each.scheduler == "slurm"}
        return job.id not in self._slurm_jobs and (bool(self._slurm_jobs) or self._has_scope())

    def _has_scope(self) -> bool:
        """Tell whether Slurm keeps its own scope of version 2, which holds every job."""
        names = list_names(self._host.root / BASE / "system.slice")
        return any(name.endswith("slurmstepd.scope") for name in names)

    def _cpus_of(self, folder: str, controller: str) -> int | None:
        if not folder or ".." in folder:
            return None
        if folder not in self._cpus:
            self._cpus[folder] = self._read_cpus(folder, controller)
        return self._cpus[folder]

    def _read_cpus(self, folder: str, controller: str) -> int | None:
        place = f"{self._host.root / BASE}/{'cpuset' if controller else ''}{folder}"
        one, two = ["cpuset.effective_cpus", "cpuset.cpus"], ["cpuset.cpus.effective"]
        for file in one if controller else two:
            cpus = read_list_or_none(f"{place}/{file}")
            if cpus:
                return as_bits(cpus)
        return None
