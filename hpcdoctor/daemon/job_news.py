"""Which jobs does an incident concern, and what happens to each? Told once, for their owners."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from hpcdoctor.events.vocabulary import Fate, JobAffected
from hpcdoctor.model.decision import QUARANTINES, Want
from hpcdoctor.model.job import AffectedJob
from hpcdoctor.model.node import Incident, Node

MOST_REMEMBERED = 2000

FATES = {
    Want.DRAIN: Fate.MAY_FINISH,
    Want.DRAIN_NOW: Fate.CHECKPOINT,
    Want.REQUEUE: Fate.REQUEUE,
}
NEXT_STEPS = {
    Fate.NOTHING: "Nothing is done to the job; if it fails or is slow, this can be why.",
    Fate.MAY_FINISH: (
        "The job may finish, and no other starts on this node; if it fails or is slow, this can be "
        "why, and submitting it again gets it another node."
    ),
    Fate.CHECKPOINT: (
        "The job is sent a signal so that it can save its work, and is then put back into the "
        "queue, unless it was submitted not to be; look whether what it wrote last is whole."
    ),
    Fate.REQUEUE: (
        "The job is put back into the queue, unless it was submitted not to be, and starts anew on "
        "another node; look whether what it wrote last is whole."
    ),
    Fate.HAS_ENDED: (
        "The job ended on this node; where it did not finish its work, this can be why, and "
        "submitting it again gets it another node."
    ),
}


class News(NamedTuple):
    """The node that remembers whom it has told, and what is to be told now."""

    node: Node
    told: list[JobAffected]


def news(before: Node, after: Node, jobs: Sequence[AffectedJob] | None) -> News:
    """Return what the jobs' owners do not know yet, at the moments when something is decided."""
    incident = after.incident
    if incident is None or not jobs or not _is_moment(before, after):
        return News(after, [])
    known, told = list(incident.jobs_told), []
    for job in jobs:
        fate = fate_of(job, incident)
        key = f"{job.scheduler}/{job.job} {fate.value}"
        if key not in known and not (fate is Fate.HAS_ENDED and _is_known(job, known)):
            known.append(key)
            told.append(_told(job, fate, incident))
    if not told:
        return News(after, [])
    remembering = structs.replace(incident, jobs_told=known[-MOST_REMEMBERED:])
    return News(structs.replace(after, incident=remembering), told)


def fate_of(job: AffectedJob, incident: Incident) -> Fate:
    """Return what the decision of the incident means for the job, once it is carried out."""
    if job.ended:
        return Fate.HAS_ENDED
    return FATES.get(incident.decision.want, Fate.NOTHING)


def concerns_everybody(incident: Incident) -> bool:
    """Tell whether all jobs of the node are concerned, whatever is wrong with it."""
    return incident.decision.want in QUARANTINES


def _is_moment(before: Node, after: Node) -> bool:
    """Tell whether the incident has just opened, or asks for something else, or quarantines."""
    one, two = before.incident, after.incident
    if one is None or two is None or one.id != two.id:
        return True
    if one.decision.want is not two.decision.want:
        return True
    return after.quarantine is not None and before.quarantine != after.quarantine


def _is_known(job: AffectedJob, known: Sequence[str]) -> bool:
    return any(each.rpartition(" ")[0] == f"{job.scheduler}/{job.job}" for each in known)


def _told(job: AffectedJob, fate: Fate, incident: Incident) -> JobAffected:
    decision = incident.decision
    return JobAffected(
        incident=incident.id,
        epoch=incident.epoch,
        job=job.job,
        scheduler=job.scheduler,
        user=job.user,
        user_id=job.user_id,
        on=job.on,
        about=decision.summary,
        object=decision.object,
        rule=decision.rule,
        want=decision.want,
        happens=fate,
        next_step=NEXT_STEPS[fate],
    )
