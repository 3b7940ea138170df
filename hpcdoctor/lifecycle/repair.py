"""How does a node get through a repair? Drained, remediating, verifying; then back, on, or over."""

from hpcdoctor.definitions.settings import Authority
from hpcdoctor.lifecycle.authority import may_repair, request
from hpcdoctor.lifecycle.inputs import Ask, Context, RepairOrdered
from hpcdoctor.lifecycle.ladder import (
    REPAIRS_KEPT,
    current,
    disrupts,
    is_drained,
    next_rung,
    why_not_repair,
)
from hpcdoctor.lifecycle.moves import (
    ask_for_remediation,
    ask_for_resume,
    change,
    enter,
    out_of_repair,
    wants_drain,
)
from hpcdoctor.model.action import ActionResult, Result
from hpcdoctor.model.decision import Decision, Mode, Want
from hpcdoctor.model.grant import Kind
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Incident, Node, Release, Repair, State

UNKNOWN = "unknown"  # asked for, and nobody is left to tell how it ended


def climb(node: Node, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    """Ask for the next remediation, or hand the node over and say why there is none."""
    if node.hold is not None:
        because = f"held by {node.hold.who}: {node.hold.why}; no remediation runs meanwhile"
        return (node if node.because == because else enter(node, node.state, because, now)), []
    if context.maintenance:
        because = f"{context.maintenance}; no remediation runs meanwhile"
        return (node if node.because == because else enter(node, node.state, because, now)), []
    name, reason = next_rung(node, now, context)
    if name is None:
        return hand_over(node, reason, now), []
    asks_first = context.authority is Authority.FLEET and disrupts(context.remediations.get(name))
    if asks_first and not may_repair(node, name, now):
        return request(node, Kind.REPAIR, now, remediation=name)
    return _ask(node, name, "", now)


def hand_over(node: Node, reason: str, now: Instant) -> Node:
    named = node.incident.decision.hand_over if node.incident else ""
    to = named or "the cluster's administrators"
    return enter(node, State.HANDED_OVER, f"{reason}: handed over to {to}", now, verify_until=None)


def why_not_order(node: Node, name: str, now: Instant, context: Context) -> str | None:
    """Return why a person's order may not be carried out now, or None."""
    if node.pending is not None or node.state is State.REMEDIATING:
        return f"something is under way on this node: {node.because}"
    if node.hold is not None:
        return f"held by {node.hold.who}: {node.hold.why}; lift the hold first"
    if node.releasing is not None:
        return f"the node is being put back, as {node.releasing.who} asked"
    if node.state in (State.WAITING, State.DRAINING, State.VERIFYING):
        return f"the node is {node.state.value}: {node.because}"
    if reason := why_not_repair(node, name, now, context):
        return reason
    if disrupts(context.remediations.get(name)) and not is_drained(node):
        return f"{name} disrupts: the node has to be drained by hpcdoctor and without jobs first"
    return None


def order(
    node: Node, ordered: RepairOrdered, now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    """Carry out a person's order; `why_not_order` has been asked before."""
    if node.incident is None:
        decision = Decision(
            want=Want.NOTE,
            mode=Mode.ACT,
            rule="",
            summary=f"{ordered.who} ordered {ordered.remediation}: {ordered.why}",
        )
        incident = Incident(id=context.incident_id, epoch=1, opened=now, decision=decision)
        node = change(node, incident=incident)
    return _ask(node, ordered.remediation, ordered.who, now, ordered.subject)


def _ask(
    node: Node, name: str, who: str, now: Instant, subject: dict[str, str] | None = None
) -> tuple[Node, list[Ask]]:
    by = f"{who} ordered" if who else f"rule {node.incident.decision.rule}" if node.incident else ""
    node, action = ask_for_remediation(node, name, subject)
    repair = Repair(
        action=action.id,
        incident=node.incident.id if node.incident else "",
        remediation=name,
        asked=now,
        by=who,
    )
    node = change(node, repairs=[*node.repairs, repair][-REPAIRS_KEPT:])
    return enter(node, State.REMEDIATING, f"{by}: {name} is being carried out", now), [action]


def ended(
    node: Node, result: ActionResult, now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    """Return the node after its remediation has ended, one way or the other."""
    node = note(node, result.result.value, result.message, now)
    name = last_name(node)
    if node.releasing is not None and node.quarantine is None:
        return out_of_repair(node, now, context), []
    if node.releasing is not None:
        because = f"{name} has ended ({result.result.value}); {node.releasing.who} had released it"
        return ask_for_resume(enter(node, State.DRAINED, because, now))
    match result.result:
        case Result.DONE:
            return verify(node, f"{name} is done; verifying", now, context), []
        case Result.TOO_LONG:
            return hand_over(node, f"{name} outlived its limit: {result.message}", now), []
        case Result.NO_ANSWER:
            because = f"how {name} ended is not known ({result.message}); verifying"
            return verify(node, because, now, context), []
        case _:
            return _go_on(node, f"{name} did not work: {result.message}", now, context)


def _go_on(node: Node, because: str, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    """This rung did not help: say so, and let the next one come."""
    if node.quarantine is not None:
        return enter(node, State.DRAINED, because, now, verify_until=None), []
    return climb(enter(node, State.VERIFYING, because, now, verify_until=None), now, context)


def after_restart(node: Node, now: Instant, context: Context) -> Node:
    """The daemon, or the machine, has ended meanwhile: the try is used, and what counts is now."""
    repair = current(node)
    rebooted = repair is not None and repair.asked.boot_id != now.boot_id
    name = last_name(node)
    why = "the machine has rebooted since" if rebooted else "hpcdoctor was started anew meanwhile"
    return verify(
        note(node, UNKNOWN, why, now), f"{name} was under way, and {why}; verifying", now, context
    )


def verify(node: Node, because: str, now: Instant, context: Context) -> Node:
    facts = context.remediations.get(last_name(node))
    seconds = facts.verify_seconds if facts else context.verify_seconds
    return enter(node, State.VERIFYING, because, now, verify_until=now.plus(seconds))


def verified(node: Node, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    """Look whether the repair has helped; where its time is over without, try the next."""
    late = node.verify_until is not None and now.reached(node.verify_until)
    name = last_name(node)
    if node.incident is not None and node.incident.adopted:
        because = "nothing here can verify a repair that this store knows nothing of"
        return (hand_over(node, because, now) if late else node), []
    if context.unverified or wants_drain(node):
        if not late:
            return node, []
        reason = context.unverified or "the rules still want a drain"
        return _go_on(node, f"{name} did not help: {reason}", now, context)
    if node.hold is not None:
        because = f"{name} has helped; held by {node.hold.who}, so the node is not put back"
        return (node if node.because == because else enter(node, node.state, because, now)), []
    node = change(node, releasing=Release(who=name, why="verified"), verify_until=None)
    if node.quarantine is not None:
        return ask_for_resume(node)
    return out_of_repair(node, now, context), []


def note(node: Node, result: str, message: str, now: Instant) -> Node:
    """Write down how the last repair ended."""
    if not node.repairs:
        return node
    *before, last = node.repairs
    last = change(last, ended=now, result=result, message=message[:300])
    return change(node, repairs=[*before, last])


def last_name(node: Node) -> str:
    return node.repairs[-1].remediation if node.repairs else "the repair"
