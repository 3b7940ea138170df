"""How is a process, and what crowds it, named in a sentence?"""

from collections.abc import Sequence

from hpcdoctor.model.job import Job
from hpcdoctor.model.text import visible
from hpcdoctor.probes.binding.cpu_sets import Crowd, as_text

NAMED_JOBS = 3


def process_of_job(job: Job, rank: str, pid: int, command: str) -> str:
    """Return "job 42 step 0 rank 3 (pid 4711, solve)"."""
    parts = [f"job {visible(job.id, 64)}"]
    parts += [f"step {job.step}"] if job.step else []
    parts += [rank] if rank else []
    return f"{' '.join(parts)} (pid {pid}, {command})"


def owner(job: Job, former: str) -> str:
    """Return "job 42", "no job" or "job 42, which is not on this node"."""
    if former:
        return f"job {visible(former, 64)}, which is not on this node"
    return f"job {visible(job.id, 64)}" if job.id else "no job"


def jobs_in_words(jobs: Sequence[str]) -> str:
    """Return "job 1, job 2", or "no job"."""
    if not jobs:
        return "no job"
    more = f" and {len(jobs) - NAMED_JOBS} more" if len(jobs) > NAMED_JOBS else ""
    return ", ".join(f"job {visible(job, 64)}" for job in jobs[:NAMED_JOBS]) + more


def crowd_in_words(crowd: Crowd, cores: int) -> str:
    """Say how many threads share which cpus, and where several of these are one core."""
    several = "s" if crowd.cpus > 1 else ""
    text = f"{crowd.threads} busy threads on cpu{several} {as_text(crowd.mask)}"
    if cores < crowd.cpus:
        text += f", which are hyperthreads of {cores} core{'s' if cores > 1 else ''}"
    return text
