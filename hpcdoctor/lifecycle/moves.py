"""The few moves that transitions are made of."""

from typing import Any, TypeVar

from msgspec import Struct, structs

from hpcdoctor.lifecycle.inputs import Acknowledge, Ask, Context
from hpcdoctor.model.action import Action, Operation
from hpcdoctor.model.decision import QUARANTINES
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Incident, Node, State
from hpcdoctor.model.text import reason_line

S = TypeVar("S", bound=Struct)

LATE_LOOK_SECONDS = 60.0
ENDED_KEPT = 50
REASONS_KEPT = 8
NO_JOBS: dict[str, Any] = {"grace_until": None, "signalled": [], "requeued": False}


def change(struct: S, **changes: Any) -> S:  # noqa: ANN401  # the struct's own fields
    return structs.replace(struct, **changes)


def enter(node: Node, state: State, because: str, now: Instant, **changes: Any) -> Node:  # noqa: ANN401
    """Enter `state`, or say the new reason for being in it; its clock starts only on a change."""
    since = node.since if node.state is state else now
    return change(node, state=state, since=since, because=because, **changes)


def wants_drain(node: Node) -> bool:
    return node.decision.want in QUARANTINES


def leave_waiting(node: Node, because: str, now: Instant) -> tuple[Node, list[Ask]]:
    """End an incident that never got its drain; where it may have got it unseen, look first."""
    if node.late_until is not None:
        return look_at_scheduler(change(node, retry_at=None))
    return end_incident(node, because, now), []


def end_incident(node: Node, because: str, now: Instant) -> Node:
    """The story is over: the node is healthy, and what is left of it is in the events."""
    late = node.late_until is not None and not now.reached(node.late_until)
    return enter(
        node,
        State.HEALTHY,
        because,
        now,
        ended=[*node.ended, now][-ENDED_KEPT:] if node.incident else node.ended,
        incident=None,
        quarantine=None,
        standing=None,
        releasing=None,
        probation_until=None,
        verify_until=None,
        retry_at=None,
        look_at=now.plus(LATE_LOOK_SECONDS) if late else None,
        late_until=node.late_until if late else None,
        failures=0,
        **NO_JOBS,
        requests=[],
    )


def ask_for_drain(node: Node) -> tuple[Node, list[Ask]]:
    node, action = next_action(node, Operation.DRAIN)
    return node, [action]


def ask_for_resume(node: Node) -> tuple[Node, list[Ask]]:
    node, action = next_action(node, Operation.RESUME)
    return node, [action]


def ask_for_remediation(
    node: Node, name: str, subject: dict[str, str] | None = None
) -> tuple[Node, Action]:
    """Ask for it on the thing that the root finding names, or that a person named."""
    node, action = next_action(node, Operation.REMEDIATE)
    decision = node.incident.decision if node.incident else None
    about = subject if subject is not None else decision.subject if decision else {}
    return node, change(action, remediation=name, subject=about)


def back_in_service(
    node: Node, because: str, now: Instant, probation_seconds: float
) -> tuple[Node, list[Ask]]:
    """The node works again, and is watched for a while."""
    node = enter(
        node,
        State.PROBATION,
        because,
        now,
        quarantine=None,
        standing=None,
        releasing=None,
        retry_at=None,
        look_at=None,
        verify_until=None,
        probation_until=now.plus(probation_seconds),
        **NO_JOBS,
    )
    return node, [Acknowledge(who=because)]


def out_of_repair(node: Node, now: Instant, context: Context) -> Node:
    """End a repair that needed no drain; it is watched like any other."""
    release = node.releasing
    because = f"{release.who}: {release.why}" if release else "repaired"
    node, _ = back_in_service(node, because, now, context.probation_seconds)
    return node


def look_at_scheduler(node: Node) -> tuple[Node, list[Ask]]:
    node, action = next_action(node, Operation.READ)
    return node, [action]


def next_action(node: Node, operation: Operation) -> tuple[Node, Action]:
    """Number the next action; its id is never used twice, so no answer can be mistaken."""
    node = change(node, asked=node.asked + 1)
    incident, quarantine = node.incident, node.quarantine
    if incident is None:
        action = Action(id=f"look.0.{node.asked}", operation=operation)
        return change(node, pending=action.id), action
    reason = line_of(incident) if operation is Operation.DRAIN else ""
    if reason and reason not in incident.reasons:
        incident = change(incident, reasons=[*incident.reasons, reason][-REASONS_KEPT:])
        node = change(node, incident=incident)
    action = Action(
        id=f"{incident.id}.{incident.epoch}.{node.asked}",
        operation=operation,
        mark=incident.mark,
        reason=reason,
        reasons=reasons_of(node),
        claimed_by=quarantine.claimed_by if quarantine else "",
        claimed_at=quarantine.claimed_at if quarantine else "",
    )
    return change(node, pending=action.id), action


def line_of(incident: Incident) -> str:
    """Return the reason for a drain of this incident, as it is known now."""
    decision = incident.decision
    return reason_line(incident.mark, decision.object, decision.label, decision.rule)


def reasons_of(node: Node) -> list[str]:
    """Return every reason that we have written under the incident's present mark."""
    incident, quarantine = node.incident, node.quarantine
    if incident is None:
        return []
    written = list(incident.reasons)
    if quarantine is not None and quarantine.reason not in written:
        written.append(quarantine.reason)
    # A store that is older than the list has asked for what the decision says.
    return written or [line_of(incident)]
