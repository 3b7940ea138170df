"""What is done to the jobs on this node in Slurm? Only what a rule says, and only to jobs here.

Which jobs are here, Slurm is asked by the helper itself; a caller's list can only narrow it. Each
job is one call: a list with one wrong entry would be half carried out.
"""

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from hpcdoctor.actions.reason import is_ours
from hpcdoctor.actions.slurm_commands import Commands
from hpcdoctor.model.text import visible

MOST_SIGNALLED = 1024  # a requeue has to name them all
TOGETHER_SECONDS = 75.0  # all calls for jobs: the daemon waits for the answer
MOST_NAMED = 30
JOB_ID = re.compile(r"[0-9]{1,10}")
# Job id and state: one line each.
FORMAT = "%A|%T"
# The same, whether it is a batch job, and whether it may be requeued; no value has a blank.
LONG_FORMAT = "JobID:14,State:20,BatchFlag:6,Requeue:6"
ON_THE_NODE = frozenset({"RUNNING", "SUSPENDED", "COMPLETING", "STOPPED"})
# In these a job may be that died of the signal by which it was asked to checkpoint.
ENDED_BADLY = frozenset({"FAILED", "CANCELLED", "NODE_FAIL", "OUT_OF_MEMORY"})


class Listed(msgspec.Struct, frozen=True):
    """One job, as squeue prints it."""

    id: str
    state: str
    comes_back: bool = False  # Slurm requeues it when it is asked to


class Done(msgspec.Struct, frozen=True):
    """What was done to the jobs here."""

    jobs: list[str]
    message: str
    left: int = 0  # for which no time was left


def parse_jobs(text: str) -> list[Listed]:
    """Return the jobs in lines of FORMAT; an array task is a job of its own."""
    found: dict[str, Listed] = {}
    for line in text.splitlines():
        number, _, state = line.strip().partition("|")
        if JOB_ID.fullmatch(number) and state:
            found.setdefault(number, Listed(number, state))
    return list(found.values())


def parse_long(text: str) -> list[Listed]:
    """Return the jobs in lines of LONG_FORMAT; one with unknown flags does not come back."""
    found: dict[str, Listed] = {}
    for line in text.splitlines():
        number, state, *flags = [*line.split(), "", ""]
        if JOB_ID.fullmatch(number) and state:
            found.setdefault(number, Listed(number, state, flags[:2] == ["1", "1"]))
    return list(found.values())


def jobs_here(commands: Commands, *, ended: bool = False) -> list[Listed]:
    """Return the jobs on this node; with `ended` also those that Slurm still remembers."""
    return parse_jobs(commands.squeue(FORMAT, "all" if ended else "running,suspended"))


def signal_jobs(
    commands: Commands, name: str, *, clock: Callable[[], float] = time.monotonic
) -> Done:
    """Send the signal to every job here that comes back when it is requeued.

    It may end a job that does not know the signal: one that cannot be requeued would be lost.
    """
    until = clock() + TOGETHER_SECONDS
    told: list[str] = []
    troubles: list[str] = []
    left = 0
    here = parse_long(commands.squeue(LONG_FORMAT, "running,suspended", long=True))
    for job in here:
        if not job.comes_back:
            continue
        if clock() > until or len(told) + len(troubles) >= MOST_SIGNALLED:
            left += 1
            continue
        trouble = commands.try_to(["scancel", f"--signal={name}", "--full", job.id])
        if trouble:
            troubles.append(f"{job.id}: {trouble}")
        else:
            told.append(job.id)
    others = [job.id for job in here if not job.comes_back]
    parts = [f"sent SIG{name} to job {named(told)}"] if told else []
    if others:
        go = "goes on" if len(others) == 1 else "go on"
        parts.append(f"job {named(others)} {go}: not to be requeued, so not asked to checkpoint")
    if left:
        parts.append(f"{left} more were not asked to checkpoint: no time was left")
    return Done(told, sentence(parts, troubles), left)


def requeue_jobs(
    commands: Commands, signalled: Iterable[str], *, clock: Callable[[], float] = time.monotonic
) -> Done:
    """Requeue every job here, and of the signalled ones those that it has ended badly."""
    until = clock() + TOGETHER_SECONDS
    asked = set(signalled)
    requeued, refused, left = [], {}, 0
    for job in jobs_here(commands, ended=True):
        if job.state not in ON_THE_NODE and not (job.id in asked and job.state in ENDED_BADLY):
            continue
        if clock() > until:
            left += 1
            continue
        trouble = commands.try_to(["scontrol", "requeue", job.id])
        if trouble:
            refused[job.id] = trouble
        else:
            requeued.append(job.id)
    parts = [f"requeued job {named(requeued)}"] if requeued else []
    if left:
        parts.append(f"{left} more are to be requeued: no time was left")
    return Done(requeued, sentence(parts, what_becomes_of(commands, refused)), left)


def what_becomes_of(commands: Commands, refused: Mapping[str, str]) -> list[str]:
    """Say of each job that was not requeued whether it goes on, or has ended meanwhile."""
    if not refused:
        return []
    states = {job.id: job.state for job in jobs_here(commands, ended=True)}
    said = []
    for job, trouble in refused.items():
        state = states.get(job, "")
        if state in ON_THE_NODE - {"COMPLETING"}:
            said.append(f"{job} goes on: {trouble}")
        else:
            how = f" ({state})" if state else ""
            said.append(f"{job} has ended{how} and was not requeued: {trouble}")
    return said


def named(jobs: Sequence[str]) -> str:
    more = len(jobs) - MOST_NAMED
    return ", ".join(jobs[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def sentence(parts: list[str], troubles: list[str]) -> str:
    said = [*parts, *(visible(trouble, 200) for trouble in troubles[:MOST_NAMED])]
    if len(troubles) > MOST_NAMED:
        said.append(f"and so for {len(troubles) - MOST_NAMED} more")
    return "; ".join(said) or "no job is here"


def why_not_allowed(
    reason: str, mark: str, rules: Iterable[str], written: Collection[str] = ()
) -> str | None:
    """Return why the jobs here are to be left alone: no rule behind this drain touches them."""
    if not is_ours(reason, mark, written):
        return f"the drain is not ours ({reason or 'none'}); its jobs are left alone"
    rule = reason.rpartition("; rule ")[2].strip()
    if rule not in rules:
        return f"rule {rule or '?'} leaves jobs alone"
    return None
