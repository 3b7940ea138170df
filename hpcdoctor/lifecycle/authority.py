"""Who carries a drain or a resume out? Not the node, where `authority` names somebody else.

The states are the same under every authority. What changes is what is asked of the world: under
`fleet` a request takes the place of the scheduler's operation, under `consumer` the published
quarantine does. So `step` decides as ever, and its asks are translated here, at its very end.
"""

from hpcdoctor.definitions.settings import Authority
from hpcdoctor.lifecycle.inputs import Ask, Context
from hpcdoctor.lifecycle.moves import back_in_service, change, enter
from hpcdoctor.model.action import Action, Operation
from hpcdoctor.model.grant import Grant, Kind, Request, request_id
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Incident, Node, Quarantine, State

LOOK_SECONDS = 60.0
LATE_SECONDS = 3600.0
REQUESTS_KEPT = 8
KINDS = {Operation.DRAIN: Kind.DRAIN, Operation.RESUME: Kind.RESUME}


def by_authority(
    before: Node, node: Node, asks: list[Ask], now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    """Put requests or the published claim in the place of drains and resumes."""
    if context.authority is Authority.NODE:
        return node, asks
    translated: list[Ask] = []
    for ask in asks:
        operation = ask.operation if isinstance(ask, Action) else None
        if not isinstance(ask, Action) or operation not in KINDS:
            translated.append(ask)
        elif context.authority is Authority.CONSUMER:
            node, more = _consumer(_unasked(before, node), ask, now, context)
            translated += more
        elif operation is Operation.DRAIN and _may_act_alone(node, now, context):
            translated.append(ask)
        else:
            node, more = request(_unasked(before, node), KINDS[ask.operation], now, ask.reason)
            translated += more
    return node, translated


def _unasked(before: Node, node: Node) -> Node:
    """The operation was never asked of the helper: nothing waits for its answer."""
    return change(node, pending=None, asked=before.asked)


def _may_act_alone(node: Node, now: Instant, context: Context) -> bool:
    """Tell whether the fleet has been silent for so long that this rule may drain without it."""
    if node.incident is None or node.incident.decision.rule not in context.act_without_fleet:
        return False
    made = find(node, node.incident, Kind.DRAIN)
    return (
        made is not None
        and made.answered is None
        and now.seconds_since(made.asked) >= context.fleet_patience_seconds
    )


# --- fleet ----------------------------------------------------------------------------------------


def find(node: Node, incident: Incident, kind: Kind) -> Request | None:
    wanted = request_id(incident.id, incident.epoch, kind)
    return next((each for each in node.requests if each.id == wanted), None)


def request(
    node: Node, kind: Kind, now: Instant, reason: str = "", remediation: str = ""
) -> tuple[Node, list[Ask]]:
    """Ask the fleet, once for each incident, epoch and kind; then look whether it has come."""
    incident = node.incident
    if incident is None:
        return node, []
    made = find(node, incident, kind)
    if made is not None and (kind is not Kind.REPAIR or made.remediation == remediation):
        return _waiting_for(node, made, now), []
    made = Request(
        id=request_id(incident.id, incident.epoch, kind),
        kind=kind,
        incident=incident.id,
        epoch=incident.epoch,
        asked=now,
        reason=reason,
        rule=incident.decision.rule,
        remediation=remediation,
    )
    kept = [each for each in node.requests if each.id != made.id]
    node = change(node, requests=[*kept, made][-REQUESTS_KEPT:])
    if kind is Kind.DRAIN:
        # It may be carried out at any time from now on, also after what asked for it has cleared.
        node = change(node, late_until=now.plus(LATE_SECONDS))
    return _waiting_for(node, made, now), [made]


def _waiting_for(node: Node, made: Request, now: Instant) -> Node:
    what = f"repair {made.remediation}" if made.kind is Kind.REPAIR else made.kind.value
    because = f"the fleet was asked to {what}"
    if made.kind is Kind.REPAIR:
        because = f"the fleet was asked whether {made.remediation} may run"
    if made.because:
        because = f"{because}: {made.because}"
    look_at = node.look_at or now.plus(LOOK_SECONDS)
    return enter(node, node.state, because, now, look_at=look_at)


def granted(node: Node, grant: Grant, now: Instant) -> Node:
    """Note what the fleet says to a request of ours; what answers none of them changes nothing."""
    if grant.term < node.term:
        return node  # from a controller that has been succeeded
    requests = []
    for made in node.requests:
        if made.id == grant.request and node.incident is not None and _is_of(made, node.incident):
            until = now.plus(grant.valid_seconds) if grant.granted else None
            because = "granted" if grant.granted else grant.because
            requests.append(change(made, answered=now, because=because, granted_until=until))
        else:
            requests.append(made)
    if requests == node.requests:
        return change(node, term=grant.term) if grant.term > node.term else node
    # What the controller does at the scheduler is seen there, now rather than in a minute.
    return change(node, requests=requests, term=grant.term, look_at=now)


def _is_of(made: Request, incident: Incident) -> bool:
    return (made.incident, made.epoch) == (incident.id, incident.epoch)


def may_repair(node: Node, remediation: str, now: Instant) -> bool:
    """Tell whether the fleet has granted this repair and its grant has not run out."""
    if node.incident is None:
        return False
    made = find(node, node.incident, Kind.REPAIR)
    return (
        made is not None
        and made.remediation == remediation
        and made.granted_until is not None
        and not now.reached(made.granted_until)
    )


# --- consumer -------------------------------------------------------------------------------------


def _consumer(node: Node, ask: Action, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    """The claim is published and kept at the gate; somebody else's program drains and resumes."""
    incident = node.incident
    if incident is None:
        return node, []
    if ask.operation is Operation.RESUME:
        release = node.releasing
        because = f"released by {release.who}: {release.why}" if release else "released"
        return back_in_service(node, because, now, context.probation_seconds)
    claim = Quarantine(incident=incident.id, epoch=incident.epoch, reason=ask.reason, since=now)
    because = f"published as {ask.reason}; whoever reads it drains"
    node = enter(node, State.DRAINING, because, now, quarantine=claim, retry_at=None)
    return change(node, look_at=now.plus(LOOK_SECONDS / 4)), []
