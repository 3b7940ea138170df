"""What can happen to a node, as the lifecycle hears of it; and what it may ask in return."""

import msgspec

from hpcdoctor.definitions.remediation import Disrupts
from hpcdoctor.definitions.settings import Authority
from hpcdoctor.model.action import Action, ActionResult
from hpcdoctor.model.decision import Decided, Mode
from hpcdoctor.model.grant import Grant, Request
from hpcdoctor.model.instant import Instant


class Started(msgspec.Struct, frozen=True):
    """The daemon began. What had been asked for and not answered may or may not have happened."""

    empty_store: bool


class Reloaded(msgspec.Struct, frozen=True):
    """The configuration was taken up anew: what did not work before may work now."""


class Decision(msgspec.Struct, frozen=True):
    """The rules have looked at the findings again."""

    decided: Decided


class Tick(msgspec.Struct, frozen=True):
    """Time went by."""


class Answered(msgspec.Struct, frozen=True):
    """An action ended."""

    result: ActionResult


class HoldOrdered(msgspec.Struct, frozen=True):
    """An admin wants this node left alone."""

    who: str
    why: str
    until: Instant | None


class HoldLifted(msgspec.Struct, frozen=True):
    """An admin ends the hold."""

    who: str
    why: str


class Released(msgspec.Struct, frozen=True):
    """A person ends the quarantine, knowing the findings."""

    who: str
    why: str


class RepairOrdered(msgspec.Struct, frozen=True):
    """A person wants a remediation carried out, under the same guards as the ladder."""

    who: str
    why: str
    remediation: str
    subject: dict[str, str] = {}


class Granted(msgspec.Struct, frozen=True):
    """The fleet has answered a request."""

    grant: Grant


class HandedOver(msgspec.Struct, frozen=True):
    """A person takes over from here: the drain stays, and nothing more is done about it."""

    who: str
    why: str


Input = (
    Started
    | Reloaded
    | Decision
    | Tick
    | Answered
    | HoldOrdered
    | HoldLifted
    | Released
    | RepairOrdered
    | HandedOver
    | Granted
)


class Acknowledge(msgspec.Struct, frozen=True):
    """Asked of the judge: what is open now is known to `who` and drives no decision any more."""

    who: str


class Facts(msgspec.Struct, frozen=True):
    """What the lifecycle has to know of a remediation that the site has named."""

    disrupts: Disrupts
    limit: str  # "2 per 7d", for people
    limit_count: int
    limit_seconds: float
    verify_seconds: float
    mode: Mode = Mode.ACT  # the weakest of the site and the remediation
    unproven: bool = False  # tried on stand-ins only, and the site does not trust that


class Context(msgspec.Struct, frozen=True):
    """What `step` may know besides the node: settings, and chance drawn by the caller."""

    incident_id: str  # for an incident that opens now, four characters
    jitter: float  # 0 to 1
    authority: Authority = Authority.NODE
    probation_seconds: float = 86400.0
    verify_seconds: float = 300.0
    remediations: dict[str, Facts] = {}
    why_no_repair: str = ""  # what forbids every remediation that disrupts
    maintenance: str = ""  # why this node is in people's hands now, until when
    grace_seconds: float = 300.0  # under `drain-now`, until the jobs are requeued
    act_without_fleet: frozenset[str] = frozenset()
    fleet_patience_seconds: float = 300.0
    unverified: str = ""  # what is still wrong, or not yet looked at, after the repair


Ask = Action | Acknowledge | Request
