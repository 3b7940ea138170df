"""What the lifecycle may ask the world for, and what comes back."""

from enum import StrEnum

import msgspec


class Operation(StrEnum):
    READ = "read"
    DRAIN = "drain"
    RESUME = "resume"
    REMEDIATE = "remediate"
    SIGNAL = "signal"  # ask the jobs here to checkpoint
    REQUEUE = "requeue"  # send the jobs here back to the queue


class Action(msgspec.Struct, frozen=True):
    """One thing to be done, committed before it is started. `id` is incident.epoch.attempt."""

    id: str
    operation: Operation
    reason: str = ""  # for a drain, in the one form
    mark: str = ""  # whose drain we believe it is: ours carries this mark
    claimed_by: str = ""  # for a resume: as recorded after the drain
    claimed_at: str = ""
    remediation: str = ""  # its name; what it does is in files that only root can write
    # What it is for, as the finding names it: the helper holds it against the hardware itself.
    subject: dict[str, str] = {}
    jobs: list[str] = []  # for a requeue: those that were asked to checkpoint, and may have ended
    # What we have written under this mark, the newest last: any other reason is a person's.
    reasons: list[str] = []


class Result(StrEnum):
    DONE = "done"  # it is so, read back
    OVER_LIMIT = "over-limit"  # too many nodes are out; nothing changed, or it was given back
    FOREIGN = "foreign"  # somebody else's drain stands there; nothing was changed
    NOT_OURS = "not-ours"  # the drain is gone or taken over; nothing was changed
    REFUSED = "refused"  # it will not work by trying again: rights, name, form
    NO_ANSWER = "no-answer"  # unknown: it may or may not have happened, or may yet happen
    FAILED = "failed"  # a step of the remediation failed; its `finally` was carried out
    TOO_LONG = "too-long"  # the remediation outlived its limit; how far it came is unknown
    NONE = "none"  # no scheduler is configured


class SchedulerView(msgspec.Struct, frozen=True):
    """The node as its scheduler sees it."""

    drained: bool  # carries a drain or fail flag
    down: bool = False
    responding: bool = True
    in_use: bool = False  # jobs run or are completing
    maintenance: bool = False
    # The scheduler itself has drained it since its Prolog failed, as ours does on purpose.
    prolog_failed: bool = False
    settled: bool = True  # False: the controller has just started and does not know yet
    reason: str = ""
    reason_by: str = ""
    reason_at: str = ""  # UTC, as the scheduler prints it
    state: str = ""  # in the scheduler's own words
    # How long its controller has run; asked only where a drain of ours is not there any more.
    controller_up_seconds: float | None = None

    def marked(self, mark: str) -> bool:
        """Tell whether the reason begins with our mark; the scheduler may append to it."""
        return bool(mark) and (self.reason == mark or self.reason.startswith(mark + " "))


class ActionResult(msgspec.Struct, frozen=True):
    """How an action ended."""

    id: str
    operation: Operation
    result: Result
    message: str = ""  # a sentence for people: what happened, and what to do
    view: SchedulerView | None = None  # the scheduler as read last, where it answered
    jobs: list[str] = []  # that were asked to checkpoint
