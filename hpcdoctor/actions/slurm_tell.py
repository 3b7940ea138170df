"""How is a job's owner told, in Slurm, that something is wrong with the job's node?

By the job's AdminComment, which `scontrol show job` and `sacct` show: only operators can write it,
and a user's own comment is another field. It is written for jobs that run on this node, as Slurm
itself says; what an administrator has written there stays. Nothing depends on it: a job that cannot
be told is named in the answer, and that is all.
"""

import re
import time
from collections.abc import Callable

from hpcdoctor.actions.reason import REASON_LIMIT, mark_of, why_not_reason
from hpcdoctor.actions.schedulers import SchedulerRefused, SchedulerUnavailable
from hpcdoctor.actions.slurm_commands import Commands
from hpcdoctor.actions.slurm_jobs import jobs_here

MOST_JOBS = 64
# Together: the caller waits, and the drain stands already.
DEADLINE_SECONDS = 20.0
CALL_SECONDS = 5.0

# What scontrol says of a job that has ended meanwhile.
ENDED = ("Invalid job id", "already completing or completed")

_COMMENT = re.compile(r"^ +AdminComment=(.*?) *$", re.MULTILINE)


def tell_jobs(
    commands: Commands, reason: str, *, clock: Callable[[], float] = time.monotonic
) -> str:
    """Write the reason of a drain into the jobs of this node; say how it went, and never raise.

    "" where no job runs here.
    """
    mark = mark_of(reason)
    why = why_not_reason(reason, mark)
    if why is not None:
        return f"no job was told: {why}"
    until = clock() + DEADLINE_SECONDS
    try:
        text = _line(reason, commands.node_name())
        jobs = [job.id for job in jobs_here(commands)]
    except (SchedulerRefused, SchedulerUnavailable) as error:
        return f"no job was told: {error}"
    told, ended, not_told = 0, 0, []
    for job in jobs[:MOST_JOBS]:
        if clock() > until:
            not_told.append(f"job {job}: no time was left")
            break
        try:
            why = _tell(commands, job, text, mark)
        except (SchedulerRefused, SchedulerUnavailable) as error:
            if any(words in str(error) for words in ENDED):
                ended += 1
                continue
            not_told.append(f"job {job}: {error}")
            break  # a controller that is away is away for the next one as well
        if why:
            not_told.append(f"job {job}: {why}")
        else:
            told += 1
    return _sentence(told, len(jobs) - ended, not_told)


def _tell(commands: Commands, job: str, text: str, mark: str) -> str:
    """Return "" or why the job was left as it is."""
    shown = commands.ask(["scontrol", "show", "job", job], CALL_SECONDS)
    found = _COMMENT.findall(shown)
    if len(found) > 1:  # a user's own comment or folder can hold lines that look like it
        return "what its AdminComment is cannot be told from what its owner wrote"
    before = found[0] if found else ""
    if f"{mark} " in before:
        return ""
    if before and not mark_of(before):
        return "it has an AdminComment of somebody else"
    whole = f"{before}; {text}" if before else text  # another node of the job has told it, too
    if len(whole) >= REASON_LIMIT:
        return "its AdminComment is full"
    commands.ask(["scontrol", "update", f"jobid={job}", f"admincomment={whole}"], CALL_SECONDS)
    return ""


def _line(reason: str, node: str) -> str:
    """Return the reason with the node, since a job may have many."""
    tail = f"; node {node}"
    return reason[: REASON_LIMIT - 1 - len(tail)] + tail


def _sentence(told: int, jobs: int, not_told: list[str]) -> str:
    if not jobs:
        return ""
    if told == jobs:
        return f"told {jobs} {'job' if jobs == 1 else 'jobs'} by AdminComment"
    more = jobs - told - len(not_told[:3])
    rest = f" and {more} more" if more > 0 else ""
    return f"told {told} of {jobs} jobs by AdminComment; not {'; '.join(not_told[:3])}{rest}"
