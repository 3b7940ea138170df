"""What is done to the jobs on this node in Slurm? Only what a rule says, and only to jobs here.

Which jobs are here, Slurm is asked by the helper itself; a caller's list can only narrow it. Each
job is one call: a list with one wrong entry would be half carried out.
"""

import re
from collections.abc import Collection, Iterable

import msgspec

from hpcdoctor.actions.reason import is_ours
from hpcdoctor.actions.slurm_commands import Commands
from hpcdoctor.model.text import visible

MOST_JOBS = 128
JOB_ID = re.compile(r"[0-9]{1,10}")
# Job id, state, whether it is a batch job: one line each.
FORMAT = "%A|%T"
ON_THE_NODE = frozenset({"RUNNING", "SUSPENDED", "COMPLETING", "STOPPED"})
# In these a job may be that died of the signal by which it was asked to checkpoint.
ENDED_BADLY = frozenset({"FAILED", "CANCELLED", "NODE_FAIL", "OUT_OF_MEMORY"})


class Listed(msgspec.Struct, frozen=True):
    """One job, as squeue prints it."""

    id: str
    state: str


def parse_jobs(text: str) -> list[Listed]:
    """Return the jobs in lines of FORMAT; an array task is a job of its own."""
    found: dict[str, Listed] = {}
    for line in text.splitlines():
        number, _, state = line.strip().partition("|")
        if JOB_ID.fullmatch(number) and state:
            found.setdefault(number, Listed(number, state))
    return list(found.values())


def jobs_here(commands: Commands, *, ended: bool = False) -> list[Listed]:
    """Return the jobs on this node; with `ended` also those that Slurm still remembers."""
    return parse_jobs(commands.squeue(FORMAT, "all" if ended else "running,suspended"))


def signal_jobs(commands: Commands, name: str) -> tuple[list[str], str]:
    """Send the signal to every job here; return those that got it, and a sentence."""
    told, troubles = [], []
    for job in jobs_here(commands)[:MOST_JOBS]:
        trouble = commands.try_to(["scancel", f"--signal={name}", "--full", job.id])
        if trouble:
            troubles.append(f"{job.id}: {trouble}")
        else:
            told.append(job.id)
    return told, sentence(f"sent SIG{name} to", told, troubles)


def requeue_jobs(commands: Commands, signalled: Iterable[str]) -> tuple[list[str], str]:
    """Requeue every job here, and of the signalled ones those that it has ended badly."""
    asked = set(signalled)
    requeued, troubles = [], []
    for job in jobs_here(commands, ended=True)[: 4 * MOST_JOBS]:
        if job.state not in ON_THE_NODE and not (job.id in asked and job.state in ENDED_BADLY):
            continue
        trouble = commands.try_to(["scontrol", "requeue", job.id])
        if trouble:
            troubles.append(f"{job.id} goes on: {trouble}")
        else:
            requeued.append(job.id)
    return requeued, sentence("requeued", requeued, troubles)


def sentence(did: str, jobs: list[str], troubles: list[str]) -> str:
    parts = [f"{did} job {', '.join(jobs)}"] if jobs else []
    parts += [visible(trouble, 200) for trouble in troubles]
    return "; ".join(parts) or "no job is here"


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
