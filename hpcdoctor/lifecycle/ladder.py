"""Which remediation comes next, and why does one not come? The rule's order, within its limits."""

from hpcdoctor.definitions.remediation import Disrupts
from hpcdoctor.definitions.settings import Authority
from hpcdoctor.lifecycle.inputs import Context, Facts
from hpcdoctor.model.decision import Mode
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node, Repair, State

REPAIRS_A_WEEK = 4  # the fifth is for people, whatever the ladder says
WEEK_SECONDS = 7 * 86400.0
REPAIRS_KEPT = 50


def next_rung(node: Node, now: Instant, context: Context) -> tuple[str | None, str]:
    """Return the remediation to carry out now, or None and why there is none."""
    incident = node.incident
    if incident is None:
        return None, "there is no incident"
    if incident.adopted:
        return None, "the incident was adopted: which remediations it has seen is not known"
    if not incident.decision.remediate:
        return None, f"rule {incident.decision.rule} names no remediation"
    reasons = []
    used = {repair.remediation for repair in node.repairs if repair.incident == incident.id}
    for name in incident.decision.remediate:
        if name in used:
            reasons.append(f"{name} has had its try")
            continue
        reason = why_not_repair(node, name, now, context)
        if reason is None and node.quarantine is None and disrupts(context.remediations.get(name)):
            reason = f"{name} disrupts, and the node is not drained by hpcdoctor"
        if reason is None:
            return name, ""
        reasons.append(reason)
    return None, "; ".join(reasons)


def why_not_repair(node: Node, name: str, now: Instant, context: Context) -> str | None:
    """Return why this remediation may not run now, or None; for the ladder and for people."""
    facts = context.remediations.get(name)
    if facts is None:
        return f"{name} is not enabled on this node"
    if facts.mode is not Mode.ACT:
        return f"{name} is in {facts.mode.value}: it would run now"
    if facts.unproven:
        return f"{name} was tried on stand-ins only; the settings do not say `trust: unproven`"
    if context.why_no_repair and facts.disrupts is not Disrupts.NOTHING:
        return f"{name} may not run: {context.why_no_repair}"
    if context.authority is Authority.CONSUMER and facts.disrupts is not Disrupts.NOTHING:
        return f"authority is consumer: nobody has agreed to {name}"
    if in_last(node, now, WEEK_SECONDS) >= REPAIRS_A_WEEK:
        return f"{REPAIRS_A_WEEK} repairs in seven days are enough: the next one is for people"
    times = in_last(node, now, facts.limit_seconds, name)
    if times >= facts.limit_count:
        return f"{name} has run {times} times within its limit of {facts.limit}"
    return None


def in_last(node: Node, now: Instant, seconds: float, name: str | None = None) -> int:
    """Count the repairs of the last so many seconds; one that was refused did nothing."""
    return sum(
        now.seconds_since(repair.asked) < seconds
        for repair in node.repairs
        if name in (None, repair.remediation) and repair.result != "refused"
    )


def disrupts(facts: Facts | None) -> bool:
    return facts is None or facts.disrupts is not Disrupts.NOTHING


def is_drained(node: Node) -> bool:
    """Tell whether this node is out, by us, and nothing runs on it."""
    return node.quarantine is not None and node.state in (State.DRAINED, State.HANDED_OVER)


def current(node: Node) -> Repair | None:
    """Return the repair that the node is in, or was in last within its incident."""
    if node.incident is None or not node.repairs:
        return None
    last = node.repairs[-1]
    return last if last.incident == node.incident.id else None
