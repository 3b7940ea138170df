"""What will happen next to this node, when, and what would happen if the mode were `act`?"""

from hpcdoctor.lifecycle.inputs import Context
from hpcdoctor.lifecycle.ladder import current, next_rung
from hpcdoctor.model.decision import QUARANTINES, Decision, Want
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node, State
from hpcdoctor.model.quantity import format_duration

RELEASE = "a person repairs it, then `hpcdoctor release --quarantine --why ...`"


def coming(node: Node, now: Instant, context: Context) -> str:
    """Say what will happen next, and when."""
    if node.state is State.REMEDIATING and (repair := current(node)) is not None:
        since = format_duration(now.seconds_since(repair.asked))
        return f"{repair.remediation} has been under way for {since}; when it ends, it is verified"
    if node.pending is not None:
        return f"waiting for the answer to action {node.pending}"
    if node.releasing is not None and node.retry_at is not None:
        return f"resume is tried again {within(node.retry_at, now)}"
    match node.state:
        case State.WAITING if node.hold:
            return f"nothing while held by {node.hold.who}"
        case State.WAITING if node.retry_at:
            # A person's drain may be what it waits for: the page must not read like a threat to it.
            again = f"the drain is asked for again {within(node.retry_at, now)}"
            return f"{again}, and set only where nobody else holds the node"
        case State.DRAINING if node.grace_until is not None and not node.requeued:
            return f"jobs that are still here are requeued {within(node.grace_until, now)}"
        case State.DRAINING:
            return f"when no job runs here: {_after_drained(node, now, context)}"
        case State.DRAINED:
            return _after_drained(node, now, context)
        case State.VERIFYING:
            return _verifying(node, now, context)
        case State.HANDED_OVER if _is_taken_over(node):
            return "nothing: a person has the node; once it is back in service, it is watched"
        case State.HANDED_OVER if node.incident and node.incident.decision.resume == "when-clear":
            return f"back in service when the finding clears; or {RELEASE}"
        case State.HANDED_OVER:
            return RELEASE
        case State.PROBATION if node.probation_until:
            return f"healthy {within(node.probation_until, now)} if nothing comes again"
        case _:
            return "nothing to do"


def _is_taken_over(node: Node) -> bool:
    """Tell whether somebody has made the drain theirs, or put their own in its place."""
    wanted = node.incident is not None and node.incident.decision.want in QUARANTINES
    return wanted and node.quarantine is None


def _after_drained(node: Node, now: Instant, context: Context) -> str:
    if node.hold is not None:
        return f"nothing while held by {node.hold.who}"
    name, reason = next_rung(node, now, context)
    return name or f"handed over, since {reason}"


def _verifying(node: Node, now: Instant, context: Context) -> str:
    until = f" {within(node.verify_until, now)}" if node.verify_until else ""
    if context.unverified:
        return f"back in service when verified, else the next step{until}: {context.unverified}"
    return "back in service"


def would(decision: Decision) -> str:
    """Say what the rules that are in shadow ask for."""
    if decision.want is Want.NONE:
        return "nothing: no rule in shadow asks for anything now"
    does = {
        Want.NOTE: "note it",
        Want.DEGRADED: "call the node degraded",
        Want.REQUEUE: "drain the node and requeue its jobs",
        Want.DRAIN: "drain the node; running jobs finish",
        Want.DRAIN_NOW: "drain the node and end its jobs with grace",
    }[decision.want]
    then = ""
    if decision.want in QUARANTINES:
        steps = [*decision.remediate, f"hand over to {decision.hand_over or 'administrators'}"]
        then = f"; then {', '.join(steps)}"
    return f"rule {decision.rule} would {does}{then} ({decision.summary})"


def within(moment: Instant, now: Instant) -> str:
    seconds = moment.boottime - now.boottime
    if moment.boot_id != now.boot_id:
        seconds = moment.wall - now.wall
    return f"in {format_duration(seconds)}" if seconds > 0 else "now"
