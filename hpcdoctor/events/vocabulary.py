"""Which events are there, and what does each one carry?

Every struct becomes JSON Schema, AsyncAPI and docs/events.md (see schema.py). Moments are RFC 3339
in UTC. Fields may be added; a field that changes its meaning gets a new name.
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from hpcdoctor.model.decision import Mode, Want
from hpcdoctor.model.finding import Cause, Verdict
from hpcdoctor.model.grant import Kind
from hpcdoctor.model.job import AffectedJob, Place
from hpcdoctor.model.node import State
from hpcdoctor.model.reading import Value


class EventData(msgspec.Struct, frozen=True, kw_only=True):
    """What every event may carry."""

    # True where the daemon believes log lines that any user can write: a test is going on, and
    # nothing here may be trusted. Left out otherwise.
    accept_user_kernel_log: bool | UnsetType = UNSET


class NodeStarted(EventData, frozen=True, kw_only=True):
    version: str
    boot_id: str
    mode: Mode
    authority: str
    state: State


class NodeChanged(EventData, frozen=True, kw_only=True):
    from_state: State = msgspec.field(name="from")
    to: State
    because: str
    incident: str | None = None


class EvidenceData(msgspec.Struct, frozen=True, kw_only=True):
    taken: str
    text: str
    values: dict[str, Value] = {}


class FindingData(EventData, frozen=True, kw_only=True):
    key: str
    check: str
    subject: dict[str, str]
    verdict: Verdict
    cause: Cause
    summary: str
    since: str
    object: str = ""
    label: str = ""
    count: int = 1
    evidence: list[EvidenceData] = []
    why: str = ""
    next_steps: list[str] = []
    caused_by: str | None = None
    acknowledged_by: str | None = None
    incident: str | None = None
    jobs: list[AffectedJob] | None = None  # the nearest first; None: they cannot be seen


class DecisionData(EventData, frozen=True, kw_only=True):
    want: Want
    mode: Mode
    rule: str
    summary: str
    object: str = ""
    findings: list[str] = []
    also: list[str] = []
    explains: list[str] = []
    runbook: str = ""
    incident: str | None = None


class QuarantineData(EventData, frozen=True, kw_only=True):
    incident: str
    epoch: int
    reason: str
    owner: str
    since: str
    because: str = ""
    jobs: list[AffectedJob] | None = None


class ActionAsked(EventData, frozen=True, kw_only=True):
    id: str
    operation: str
    reason: str
    incident: str


class ActionEnded(EventData, frozen=True, kw_only=True):
    id: str
    operation: str
    result: str
    message: str
    incident: str


class RequestData(EventData, frozen=True, kw_only=True):
    request: str  # a grant names it
    kind: Kind
    incident: str
    epoch: int
    reason: str  # for a drain: the whole line for the scheduler
    rule: str
    remediation: str = ""  # for a repair


class HoldData(EventData, frozen=True, kw_only=True):
    who: str
    why: str
    since: str
    until: str | None = None


class HoldLifted(EventData, frozen=True, kw_only=True):
    who: str
    why: str


class IncidentData(EventData, frozen=True, kw_only=True):
    incident: str
    epoch: int
    opened: str
    rule: str
    summary: str
    because: str = ""
    jobs: list[AffectedJob] | None = None


class Fate(StrEnum):
    """What happens to a job because of an incident on its node."""

    NOTHING = "nothing"
    MAY_FINISH = "may-finish"  # no other job starts on the node
    CHECKPOINT = "checkpoint"  # asked to save its work, then put back into the queue
    REQUEUE = "requeue"  # put back into the queue
    HAS_ENDED = "has-ended"  # it was there when it began, and is no more


class JobAffected(EventData, frozen=True, kw_only=True):
    incident: str
    epoch: int
    job: str
    scheduler: str
    user: str = ""
    user_id: int | None = None
    on: Place
    about: str  # what is wrong, one sentence
    object: str = ""
    rule: str
    want: Want
    happens: Fate
    next_step: str  # for the job's owner, one sentence


class LogGap(EventData, frozen=True, kw_only=True):
    lost: int
    because: str


class SpoolLost(EventData, frozen=True, kw_only=True):
    first: int
    last: int
    events: int
    because: str


class SelfNotice(EventData, frozen=True, kw_only=True):
    code: str
    what: str
    do: str
    since: str


class EventType(NamedTuple):
    """One line of the table."""

    name: str
    data: type[EventData]
    meaning: str
    # Whether it goes before the others when the spool is full: what the state tells anyway.
    droppable: bool = False


def event_types() -> list[EventType]:
    """Return every type of event that a node publishes."""
    return list(_TYPES)


_TYPES = (
    EventType("hpcdoctor.node.started", NodeStarted, "The daemon has started."),
    EventType("hpcdoctor.node.state", NodeChanged, "The node went from one state to another."),
    EventType(
        "hpcdoctor.finding.opened", FindingData, "A check found something wrong.", droppable=True
    ),
    EventType(
        "hpcdoctor.finding.changed",
        FindingData,
        "An open finding got better, worse, another cause, or was acknowledged.",
        droppable=True,
    ),
    EventType("hpcdoctor.finding.closed", FindingData, "A finding cleared.", droppable=True),
    EventType(
        "hpcdoctor.decision.made", DecisionData, "The rules ask for something else than before."
    ),
    EventType(
        "hpcdoctor.decision.shadowed",
        DecisionData,
        "The rules would have asked for this; the mode is shadow, and nothing is done.",
    ),
    EventType(
        "hpcdoctor.quarantine.claimed", QuarantineData, "The node is to get no new work, by us."
    ),
    EventType("hpcdoctor.quarantine.lifted", QuarantineData, "Our claim on the node is over."),
    EventType("hpcdoctor.action.asked", ActionAsked, "Something is to be done in the world."),
    EventType("hpcdoctor.action.ended", ActionEnded, "What was asked for has ended, and how."),
    EventType(
        "hpcdoctor.request.made",
        RequestData,
        "Under `authority: fleet` the node asks for a drain, a repair or a resume; on `…/request`.",
    ),
    EventType("hpcdoctor.hold.set", HoldData, "An administrator wants the node left alone."),
    EventType("hpcdoctor.hold.lifted", HoldLifted, "The hold is over."),
    EventType("hpcdoctor.incident.opened", IncidentData, "A story begins, under this id."),
    EventType(
        "hpcdoctor.incident.rerooted",
        IncidentData,
        "What is behind the story turned out to be something else; the id stays.",
    ),
    EventType("hpcdoctor.incident.closed", IncidentData, "The story is over."),
    EventType(
        "hpcdoctor.job.affected",
        JobAffected,
        "An incident concerns this job: for its owner. Once for each job and incident, when the "
        "incident opens or the node is quarantined; again only where something else happens to the "
        "job than was told.",
    ),
    EventType(
        "hpcdoctor.log.gap",
        LogGap,
        "Records of the kernel log were overwritten before they were read.",
        droppable=True,
    ),
    EventType(
        "hpcdoctor.spool.lost",
        SpoolLost,
        "Of the events numbered `first` to `last`, so many were dropped and will not come.",
    ),
    EventType(
        "hpcdoctor.self.noticed",
        SelfNotice,
        "Something is wrong with hpcdoctor itself; `docs/troubleshooting.md` lists the codes. It "
        "is for people: no rule sees it, and it never drains a node.",
        droppable=True,
    ),
    EventType(
        "hpcdoctor.self.cleared",
        SelfNotice,
        "What was wrong with hpcdoctor itself is over. After `hpcdoctor.node.started` all of it "
        "counts as over, and what still is gets noticed anew.",
        droppable=True,
    ),
)

TYPES = {one.name: one for one in _TYPES}
LOST = "hpcdoctor.spool.lost"


class OpenFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding as it stands in the state."""

    key: str
    check: str
    verdict: Verdict
    cause: Cause
    summary: str
    since: str
    object: str = ""
    caused_by: str | None = None
    acknowledged_by: str | None = None


class IncidentNow(msgspec.Struct, frozen=True, kw_only=True):
    """The incident as it stands in the state."""

    id: str
    epoch: int
    mark: str
    opened: str


class QuarantineNow(msgspec.Struct, frozen=True, kw_only=True):
    """The claim as it stands in the state."""

    incident: str
    epoch: int
    reason: str
    since: str
    owner: str


class HoldNow(msgspec.Struct, frozen=True, kw_only=True):
    """The hold as it stands in the state."""

    who: str
    why: str
    since: str
    until: str | None = None


class RequestNow(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the fleet as it stands in the state."""

    request: str
    kind: Kind
    asked: str
    because: str = ""  # what the fleet said to it last


class NodeState(EventData, frozen=True, kw_only=True):
    """The retained document on .../state: where the node stands now."""

    cluster: str
    node: str
    time: str  # when this was written
    state: State
    since: str
    because: str
    verdict: Verdict
    mode: Mode
    authority: str
    incident: IncidentNow | None = None
    quarantine: QuarantineNow | None = None
    hold: HoldNow | None = None
    requests: list[RequestNow] = []  # of the present incident and epoch
    findings: list[OpenFinding] = []
    would_have_drained_total: int = 0  # in shadow
    stream: str = ""  # and the number of the last event that this state includes
    sequence: int = 0
    schema: int = 1


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """The retained document on .../alive; the broker writes `false` where the connection breaks."""

    alive: bool
    since: str  # when the connection was made that this is about
    because: str = ""
