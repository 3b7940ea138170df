"""Where the node stands: its state, the incident, our claim on it, an admin's order."""

from enum import StrEnum

import msgspec

from hpcdoctor.model.decision import NOTHING, Decision
from hpcdoctor.model.grant import Request
from hpcdoctor.model.instant import Instant

NOTHING_KNOWN = "nothing is known to be wrong"  # why a node is healthy from the beginning


class State(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    WAITING = "waiting"  # wants a drain and may not yet; `because` says why
    DRAINING = "draining"  # drained at the scheduler, jobs still run
    DRAINED = "drained"
    REMEDIATING = "remediating"
    VERIFYING = "verifying"
    PROBATION = "probation"
    HANDED_OVER = "handed_over"


class Quarantine(msgspec.Struct, frozen=True):
    """Our recorded claim that the node gets no new work."""

    incident: str
    epoch: int
    reason: str  # the line at the scheduler, mark first
    since: Instant
    # As read back from the scheduler after the drain: a change of either means somebody took over.
    claimed_by: str = ""
    claimed_at: str = ""
    owner: str = "hpcdoctor"


class Standing(msgspec.Struct, frozen=True):
    """Our drain as it stands at the scheduler: a controller that restarts may have lost it."""

    seen: Instant  # in place, the last time
    restored: int = 0  # times that it was set again since a controller had lost it
    lost_by: Instant | None = None  # the last of those controllers, by its start


class Hold(msgspec.Struct, frozen=True):
    """An admin's order to leave this node alone."""

    who: str
    why: str
    since: Instant
    until: Instant | None = None


class Release(msgspec.Struct, frozen=True):
    """A person's word that the quarantine ends and that its findings are known."""

    who: str
    why: str


class Incident(msgspec.Struct, frozen=True):
    """The whole story under one id, from the first finding until the node is healthy again."""

    id: str  # four characters, as in "k3f9"
    epoch: int  # raised at every take-over and every repeat within probation
    opened: Instant
    decision: Decision
    adopted: bool = False  # found at the scheduler: which remediations it has seen is not known
    jobs_told: list[str] = []  # "slurm/4711 may-finish": that its owner can know
    reasons: list[str] = []  # asked for at the scheduler under the present mark, the newest last

    @property
    def mark(self) -> str:
        """The start of our reason at the scheduler, at most 10 characters."""
        return f"hd:{self.id}.{self.epoch}"


class Repair(msgspec.Struct, frozen=True):
    """One remediation that was asked for, whatever became of it."""

    action: str  # its id
    incident: str
    remediation: str
    asked: Instant
    by: str = ""  # the person who ordered it; "" for the ladder
    ended: Instant | None = None
    result: str = ""  # in the words of model.action.Result; "unknown" after a crash
    message: str = ""


class Node(msgspec.Struct, frozen=True):
    """Everything the lifecycle remembers of a node."""

    name: str
    state: State
    since: Instant
    because: str = ""  # the reason sentence of the last transition
    incident: Incident | None = None
    quarantine: Quarantine | None = None
    standing: Standing | None = None
    hold: Hold | None = None
    decision: Decision = NOTHING  # the last one, as the rules gave it
    pending: str | None = None  # id of the action that has been asked for and not answered
    retry_at: Instant | None = None
    look_at: Instant | None = None  # when to read the scheduler again
    failures: int = 0  # of the scheduler in a row, for the growing pause
    probation_until: Instant | None = None
    verify_until: Instant | None = None
    releasing: Release | None = None  # a person's release that the scheduler has not carried out
    asked: int = 0  # actions so far: the last part of their ids, so that none is used twice
    # Until then a drain or resume that was sent without an answer may still be carried out.
    late_until: Instant | None = None
    would_have_drained: int = 0  # in shadow: how often `step` would have drained
    repairs: list[Repair] = []  # the last ones, over all incidents
    ended: list[Instant] = []  # when the last incidents were over
    # Of the jobs here, under `drain-now` and `requeue`, in this incident's present epoch.
    grace_until: Instant | None = None  # they were asked to checkpoint; then they are requeued
    signalled: list[str] = []
    requeued: bool = False
    requests: list[Request] = []  # to the fleet, of the present incident
    term: int = 0  # the highest of a controller that has answered us
    # The finding keys of the decision last counted there, so that one story counts once.
    shadowed: list[str] = []
