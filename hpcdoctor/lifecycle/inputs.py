"""What can happen to a node, as the lifecycle hears of it; and what it may ask in return."""

import msgspec

from hpcdoctor.definitions.settings import Authority
from hpcdoctor.model.action import Action, ActionResult
from hpcdoctor.model.decision import Decided
from hpcdoctor.model.instant import Instant


class Started(msgspec.Struct, frozen=True):
    """The daemon began. What had been asked for and not answered may or may not have happened."""

    empty_store: bool


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


Input = Started | Decision | Tick | Answered | HoldOrdered | HoldLifted | Released


class Acknowledge(msgspec.Struct, frozen=True):
    """Asked of the judge: what is open now is known to `who` and drives no decision any more."""

    who: str


class Context(msgspec.Struct, frozen=True):
    """What `step` may know besides the node: settings, and chance drawn by the caller."""

    incident_id: str  # for an incident that opens now, four characters
    jitter: float  # 0 to 1
    authority: Authority = Authority.NODE
    probation_seconds: float = 86400.0
    verify_seconds: float = 300.0


Ask = Action | Acknowledge
