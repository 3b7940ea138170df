"""Which jobs does a finding concern? Those on the very thing where that is known, else the node's.

A GPU, a socket or a NUMA node that a job is known not to use does not concern it. Of a mount, only
those are known that work below it; any other job may use it too, and is told as one of the node.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import structs

from hpcdoctor.model.finding import Finding
from hpcdoctor.model.job import AffectedJob, JobHere, Place, parse_path
from hpcdoctor.model.reading import Look, ReadStatus, Value

MOST_TOLD = 32  # of one finding, the nearest first
MOST_ENDED = 16  # of these, that are no more

_NEARNESS = {place: rank for rank, place in enumerate(Place)}  # as they stand there
_GPU_CHECKS = ("gpu-", "amd-gpu-")


def affected(finding: Finding, here: Sequence[JobHere] | None) -> list[AffectedJob] | None:
    """Return the jobs that it concerns now; None where jobs cannot be seen on this machine."""
    values = finding.evidence[-1].values if finding.evidence else {}
    scheduler, name = _named(finding, values)
    if name:
        return [_named_job(scheduler, name, values, here or ())]
    if here is None:
        return None
    subject = finding.subject
    address = _address(subject)
    if address and (_is_gpu(finding) or any(address in (job.gpus or ()) for job in here)):
        found = _on(here, Place.GPU, address, lambda job: job.gpus)
    elif "package" in subject:
        found = _on(here, Place.CPUS, subject["package"], lambda job: job.packages)
    elif subject.get("node", "").startswith("node"):
        found = _on(here, Place.CPUS, subject["node"], lambda job: job.numa_nodes)
    elif subject.get("mount_point", "/") != "/":
        place = subject["mount_point"]
        found = [
            told(job, Place.MOUNT if place in (job.mounts or ()) else Place.NODE) for job in here
        ]
    else:
        found = [told(job) for job in here]
    return nearest_first(found)[:MOST_TOLD]


def refreshed(finding: Finding, here: Sequence[JobHere] | None) -> Finding:
    """Return the finding with those that have come since, and those marked that have ended."""
    now = affected(finding, here)
    if here is None and finding.jobs is not None:
        return finding  # not seen now: what was seen stands
    jobs = now if now is None or finding.jobs is None else _merged(finding.jobs, now, here or ())
    return finding if jobs == finding.jobs else structs.replace(finding, jobs=jobs)


def of_node(
    findings: Iterable[Finding], here: Sequence[JobHere] | None, *, everybody: bool
) -> list[AffectedJob] | None:
    """Return the jobs that these findings concern together; `everybody`: and all others here."""
    known = [finding.jobs for finding in findings if finding.jobs is not None]
    if here is None and not known:
        return None
    found: dict[tuple[str, str], AffectedJob] = {}
    for job in nearest_first(job for jobs in known for job in jobs):
        found.setdefault(_key(job), job)
    for each in here or () if everybody else ():
        found.setdefault(_key(each), told(each))
    return list(found.values())


def jobs_of(look: Look) -> list[JobHere] | None:
    """Return the jobs that probes/jobs.py has seen; None where it could not, or in no known form.

    What cannot be seen is not known, and not none.
    """
    if look.status is not ReadStatus.READ:
        return None
    try:
        return msgspec.convert(look.readings, list[JobHere])
    except msgspec.ValidationError:  # the prober is of another release, just now
        return None


def told(job: JobHere, on: Place = Place.NODE) -> AffectedJob:
    return AffectedJob(
        job=job.job, scheduler=job.scheduler, on=on, user=job.user, user_id=job.user_id
    )


def nearest_first(jobs: Iterable[AffectedJob]) -> list[AffectedJob]:
    return sorted(jobs, key=lambda job: (_NEARNESS[job.on], job.ended))


def _key(job: AffectedJob | JobHere) -> tuple[str, str]:
    return job.scheduler, job.job


def _on(
    here: Sequence[JobHere], place: Place, name: str, used: Callable[[JobHere], list[str] | None]
) -> list[AffectedJob]:
    """Return the jobs that use it, and those of which it is not known as jobs of the node."""
    found = []
    for job in here:
        things = used(job)
        if things is None:
            found.append(told(job))
        elif name in things:
            found.append(told(job, place))
    return found


def _merged(
    before: Sequence[AffectedJob], now: Sequence[AffectedJob], here: Sequence[JobHere]
) -> list[AffectedJob]:
    """Keep the first of those that have ended: they were there when it began."""
    running = {_key(job) for job in here} | {_key(job) for job in now if not job.ended}
    known = {_key(job): job for job in now}
    ended, alive = [], []
    for job in before:
        again = known.pop(_key(job), job)
        job = min(job, again, key=lambda one: _NEARNESS[one.on])
        if _key(job) in running:
            alive.append(structs.replace(job, ended=False))
        else:
            ended.append(structs.replace(job, ended=True))
    ended = ended[:MOST_ENDED]
    alive = nearest_first([*alive, *known.values()])
    return nearest_first([*ended, *alive[: MOST_TOLD - len(ended)]])


def _named(finding: Finding, values: dict[str, Value]) -> tuple[str, str]:
    """Return scheduler and job that a finding is about by its own words; "" where it names none."""
    if values.get("kind") == "oom_job":  # the kernel names the cgroup that has met its limit
        job = parse_path(str(values.get("detail") or ""))
        return job.scheduler, job.id
    name = finding.subject.get("job") or str(values.get("job") or "")
    return str(values.get("scheduler") or ""), name


def _named_job(
    scheduler: str, name: str, values: dict[str, Value], here: Sequence[JobHere]
) -> AffectedJob:
    for job in here:
        if job.job == name and scheduler in ("", job.scheduler):
            return told(job, Place.JOB)
    user_id = values.get("user_id")
    return AffectedJob(
        job=name,
        scheduler=scheduler,
        on=Place.JOB,
        user_id=user_id if isinstance(user_id, int) else None,
        # Only where this scheduler's jobs have cgroups: elsewhere none is seen, and may be here.
        ended=any(job.scheduler == scheduler for job in here),
    )


def _address(subject: dict[str, str]) -> str:
    """Return the PCI address without the function; "" where the finding is about no device."""
    return subject.get("pci_address", "") or subject.get("address", "").rpartition(".")[0]


def _is_gpu(finding: Finding) -> bool:
    return finding.check.startswith(_GPU_CHECKS) or finding.object.startswith("GPU")
