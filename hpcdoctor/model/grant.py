"""What does a node ask of its fleet, and what may the fleet answer?

A grant answers a request that the node has made, for this incident, epoch and kind; it ends by the
node's own clock. It can permit and never start anything.
"""

from enum import StrEnum

import msgspec

from hpcdoctor.model.instant import Instant


class Kind(StrEnum):
    DRAIN = "drain"  # the controller drains at the scheduler
    REPAIR = "repair"  # the node carries out what disrupts, once
    RESUME = "resume"  # the controller resumes at the scheduler


class Request(msgspec.Struct, frozen=True):
    """One thing that the node may not do, or not do alone, under `authority: fleet`."""

    id: str  # incident.epoch.kind
    kind: Kind
    incident: str
    epoch: int
    asked: Instant
    reason: str = ""  # the line for the scheduler, mark first
    rule: str = ""
    remediation: str = ""  # for a repair
    answered: Instant | None = None  # when the fleet last said something to it
    because: str = ""  # what it said, where it has not granted it yet
    granted_until: Instant | None = None


class Grant(msgspec.Struct, frozen=True):
    """The fleet's answer to a request."""

    request: str
    granted: bool
    valid_seconds: float
    because: str = ""
    term: int = 0  # of the controller: one that was succeeded has a lower one


def request_id(incident: str, epoch: int, kind: Kind) -> str:
    return f"{incident}.{epoch}.{kind.value}"
