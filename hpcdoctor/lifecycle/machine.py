"""How does a node change its state? (node, input, now) to (node, what must be done).

    healthy ⇄ degraded ─▶ waiting ─▶ draining ─▶ drained ──────▶ handed_over ─▶ probation ─▶ healthy
                            ▲                     │   ▲                          ▲    │
                            │                     ▼   │ did not help             │    │
                            │               remediating ─▶ verifying ────────────┘    │
                            └───────────── the same incident, next epoch ─────────────┘

Every transition gives its reason as a sentence; log, event, scheduler and command line show the
same one. What the scheduler answers is in answers.py, what a repair goes through in repair.py.
"""

from typing import assert_never

from hpcdoctor.definitions.settings import Authority
from hpcdoctor.lifecycle import answers, jobs, ladder, repair
from hpcdoctor.lifecycle.answers import LATE_SECONDS
from hpcdoctor.lifecycle.authority import by_authority, granted
from hpcdoctor.lifecycle.inputs import (
    Acknowledge,
    Answered,
    Ask,
    Context,
    Decision,
    Granted,
    HandedOver,
    HoldLifted,
    HoldOrdered,
    Input,
    Released,
    Reloaded,
    RepairOrdered,
    Started,
    Tick,
)
from hpcdoctor.lifecycle.moves import (
    ask_for_drain,
    ask_for_resume,
    change,
    end_incident,
    enter,
    leave_waiting,
    look_at_scheduler,
    wants_drain,
)
from hpcdoctor.model import decision as rules
from hpcdoctor.model.decision import QUARANTINES, Decided, Want
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Hold, Incident, Node, Release, State

SOON_SECONDS = 3.0  # a helper with the settings of before has ended by then
LAST_EPOCH = 99  # the mark has at most 10 characters


def step(node: Node, event: Input, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    """Return the node's next state and what must be done in the world to get there."""
    after, asks = _step(node, event, now, context)
    return by_authority(node, _rerooted(after), asks, now, context)


def _step(node: Node, event: Input, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    match event:
        case Started():
            return _started(node, event, now, context)
        case Reloaded():
            return _asked_soon(node, now), []
        case Decision(decided=decided):
            return _decided(_count_shadow(node, decided), decided, now, context)
        case Answered(result=result):
            if result.id != node.pending:
                return node, []  # an answer to what nobody waits for any more
            return answers.answered(change(node, pending=None), result, now, context)
        case Tick():
            return _tick(node, now, context)
        case HoldOrdered(who=who, why=why, until=until):
            return change(node, hold=Hold(who=who, why=why, since=now, until=until)), []
        case HoldLifted(who=who):
            return _unheld(node, f"{who} lifted the hold", now, context)
        case Released(who=who, why=why):
            return _released(node, Release(who=who, why=why), now)
        case RepairOrdered() as ordered:
            if repair.why_not_order(node, ordered.remediation, now, context):
                return node, []  # the person was told; between asking and now it changed
            return repair.order(node, ordered, now, context)
        case HandedOver(who=who, why=why):
            if node.incident is None or node.pending is not None:
                return node, []
            because = f"{who} has taken over: {why}"
            return enter(node, State.HANDED_OVER, because, now, verify_until=None), []
        case Granted(grant=grant):
            return granted(node, grant, now), []
        case unexpected:
            assert_never(unexpected)


def why_not_drain(node: Node, context: Context) -> str | None:
    """Return why this node's own helper may not be asked for a drain now, or None."""
    if node.hold is not None:
        return f"held by {node.hold.who}: {node.hold.why}"
    if context.maintenance:
        return context.maintenance
    return None


def _started(node: Node, event: Started, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    if node.state is State.REMEDIATING:
        node = repair.after_restart(node, now, context)
    if event.empty_store or node.late_until is not None:
        # What was asked for, by the store that was lost perhaps, may still be carried out by a
        # frozen controller. The hour begins anew: across a boot only a clock that steps tells it.
        node = change(node, late_until=now.plus(LATE_SECONDS))
    node = _asked_soon(node, now)
    if event.empty_store or node.pending is not None or node.quarantine is not None:
        # Unknown: read it back before anything else is done.
        return look_at_scheduler(change(node, pending=None))
    return change(node, pending=None), []


def _asked_soon(node: Node, now: Instant) -> Node:
    """What waits for its time to be tried again is tried soon; what is under way stays so."""
    soon = now.plus(SOON_SECONDS)

    def sooner(at: Instant | None) -> Instant | None:
        return soon if at is not None and not soon.reached(at) else at

    return change(node, failures=0, retry_at=sooner(node.retry_at), look_at=sooner(node.look_at))


def _count_shadow(node: Node, decided: Decided) -> Node:
    """Count a drain that only shadow rules ask for: once for each story, not for each look."""
    shadow = decided.shadow
    if shadow.want not in QUARANTINES:
        return change(node, shadowed=[]) if node.shadowed else node
    story = [shadow.rule, *shadow.findings]
    if story == node.shadowed:
        return node
    return change(node, shadowed=story, would_have_drained=node.would_have_drained + 1)


def _decided(
    node: Node, decided: Decided, now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    node = change(node, decision=decided.act)
    match node.state:
        case State.HEALTHY | State.DEGRADED if wants_drain(node):
            incident = Incident(id=context.incident_id, epoch=1, opened=now, decision=decided.act)
            return _want_drain(change(node, incident=incident), now, context)
        case State.HEALTHY | State.DEGRADED if _repairs_in_service(node, now, context):
            incident = Incident(id=context.incident_id, epoch=1, opened=now, decision=decided.act)
            return repair.climb(change(node, incident=incident), now, context)
        case State.HEALTHY | State.DEGRADED:
            return _label(node, decided, now), []
        case State.VERIFYING | State.HANDED_OVER if (
            wants_drain(node) and node.pending is None and _in_service(node)
        ):
            again = change(_incident(node), decision=decided.act)
            return _want_drain(change(node, incident=again, verify_until=None), now, context)
        case State.HANDED_OVER if (
            _in_service(node) and node.pending is None and decided.act.want is Want.NONE
        ):
            return end_incident(node, "what was wrong has cleared", now), []
        case State.PROBATION if wants_drain(node) and node.incident is not None:
            again = _again(node.incident, decided.act, now, context)
            return _want_drain(change(node, incident=again), now, context)
        case State.WAITING if not wants_drain(node) and node.pending is None:
            node, asks = leave_waiting(node, "what asked for a drain has cleared", now)
            return (_label(node, decided, now) if node.state is State.HEALTHY else node), asks
        case State.DRAINING | State.DRAINED | State.VERIFYING | State.HANDED_OVER if (
            not wants_drain(node) and not context.why_no_repair and _resumes_when_clear(node)
        ):
            release = Release(who=f"rule {_rule(node)}", why="the finding has cleared")
            return ask_for_resume(change(node, releasing=release))
        case _:
            return node, []


def _repairs_in_service(node: Node, now: Instant, context: Context) -> bool:
    """Tell whether a rule asks for a repair that disrupts nothing, and so needs no drain."""
    decision = node.decision
    if decision.want is not Want.DEGRADED or node.hold is not None or node.pending is not None:
        return False
    facts = [context.remediations.get(name) for name in decision.remediate]
    if not facts or any(ladder.disrupts(each) for each in facts):
        return False
    would = change(node, incident=Incident(id="", epoch=1, opened=now, decision=decision))
    return ladder.next_rung(would, now, context)[0] is not None


def _in_service(node: Node) -> bool:
    """Tell whether the incident never asked for a drain: its repairs run beside the jobs."""
    return (
        node.quarantine is None
        and node.incident is not None
        and node.incident.decision.want not in QUARANTINES
    )


def _incident(node: Node) -> Incident:
    if node.incident is None:
        raise ValueError(f"state {node.state.value} without an incident")
    return node.incident


def _rerooted(node: Node) -> Node:
    """What the incident was opened for turns out to be the doing of something else: same story."""
    incident, decision = node.incident, node.decision
    if incident is None or not wants_drain(node) or node.pending is not None:
        return node
    if not incident.decision.findings or incident.decision.findings[0] not in decision.explains:
        return node
    return change(node, incident=change(incident, decision=decision))


def _again(
    incident: Incident, decision: rules.Decision, now: Instant, context: Context
) -> Incident:
    """The same story goes on with its next epoch; a new one begins where the mark is used up."""
    if incident.epoch >= LAST_EPOCH:
        return Incident(id=context.incident_id, epoch=1, opened=now, decision=decision)
    return change(incident, epoch=incident.epoch + 1, decision=decision, reasons=[])


def _resumes_when_clear(node: Node) -> bool:
    return (
        node.quarantine is not None
        and node.pending is None
        and node.hold is None
        and node.incident is not None
        and node.incident.decision.resume == "when-clear"
    )


def _rule(node: Node) -> str:
    return node.incident.decision.rule if node.incident else "?"


def _label(node: Node, decided: Decided, now: Instant) -> Node:
    """Healthy or degraded: a label without consequences at the scheduler."""
    act, shadow = decided.act, decided.shadow
    if act.want is Want.DEGRADED:
        return enter(node, State.DEGRADED, f"rule {act.rule}: {act.summary}", now)
    if shadow.want in QUARANTINES:
        because = f"mode is shadow: rule {shadow.rule} would drain ({shadow.summary})"
        return enter(node, State.DEGRADED, because, now)
    if shadow.want is Want.DEGRADED:
        return enter(node, State.DEGRADED, f"rule {shadow.rule}: {shadow.summary}", now)
    if node.state is State.DEGRADED:
        return enter(node, State.HEALTHY, "every finding that a rule names has cleared", now)
    return node


def _want_drain(node: Node, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    if reason := why_not_drain(node, context):
        return enter(node, State.WAITING, reason, now), []
    return ask_for_drain(
        enter(node, State.WAITING, f"rule {_rule(node)} wants a drain; asking the scheduler", now)
    )


def _tick(node: Node, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    if node.hold and node.hold.until and now.reached(node.hold.until):
        return _unheld(node, f"the hold by {node.hold.who} has ended", now, context)
    if node.pending is not None:
        return node, []
    if context.authority is not Authority.NODE and node.look_at and now.reached(node.look_at):
        return look_at_scheduler(change(node, look_at=None))  # others act there: see what they did
    node, asks = _by_time(node, now, context)
    if not asks and node.look_at is not None and now.reached(node.look_at):
        return look_at_scheduler(change(node, look_at=None))
    return node, asks


def _by_time(node: Node, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    """What a state does when its time has come."""
    retry = node.retry_at is not None and now.reached(node.retry_at)
    match node.state:
        case _ if retry and node.releasing is not None and node.quarantine is not None:
            return ask_for_resume(change(node, retry_at=None))
        case _ if node.releasing is not None and context.authority is not Authority.NODE:
            return node, []  # whoever resumes has been asked
        case State.DRAINING if not retry:
            return jobs.touch_jobs(node, now, context)
        case State.WAITING if retry:
            node = change(node, retry_at=None)
            if not wants_drain(node):
                return leave_waiting(node, "what asked for a drain has cleared", now)
            return _want_drain(node, now, context)
        case State.WAITING if (
            node.retry_at is None and wants_drain(node) and not why_not_drain(node, context)
        ):
            return _want_drain(node, now, context)  # what stood in the way is over
        case State.PROBATION if (
            node.probation_until is not None
            and now.reached(node.probation_until)
            and not wants_drain(node)
        ):
            return end_incident(node, "probation has ended without a repeat", now), []
        case State.DRAINED:
            return repair.climb(node, now, context)
        case State.VERIFYING:
            return repair.verified(node, now, context)
        case _ if retry:
            return look_at_scheduler(change(node, retry_at=None))
        case _:
            return node, []


def _unheld(node: Node, because: str, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    node = change(node, hold=None)
    if node.state is State.WAITING and node.pending is None and wants_drain(node):
        return _want_drain(enter(node, State.WAITING, because, now), now, context)
    return node, []


def _released(node: Node, release: Release, now: Instant) -> tuple[Node, list[Ask]]:
    acknowledge = Acknowledge(who=f"{release.who}: {release.why}")
    if node.quarantine is not None:
        node = change(node, releasing=release)
        if node.pending is not None:
            return node, [acknowledge]  # the answer to what is under way comes first
        node, asks = ask_for_resume(node)
        return node, [acknowledge, *asks]
    if node.pending is not None:
        return change(node, releasing=release), [acknowledge]
    if node.incident is None:
        return node, [acknowledge]
    because = f"released by {release.who}: {release.why}"
    node, asks = leave_waiting(change(node, releasing=release), because, now)
    return node, [acknowledge, *asks]
