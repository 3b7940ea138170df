"""What follows from the scheduler's answer to a drain, a resume or a look?"""

import re

from hpcdoctor.definitions.settings import Authority
from hpcdoctor.lifecycle import jobs, repair, standing
from hpcdoctor.lifecycle.inputs import Ask, Context
from hpcdoctor.lifecycle.moves import (
    ask_for_drain,
    ask_for_resume,
    back_in_service,
    change,
    end_incident,
    enter,
    reasons_of,
    wants_drain,
)
from hpcdoctor.model.action import ActionResult, Operation, Result, SchedulerView
from hpcdoctor.model.decision import Decision, Mode, Want
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Incident, Node, Quarantine, Standing, State
from hpcdoctor.model.text import is_one_of, is_reason_line

MARK = re.compile(r"hd:(?P<id>[a-z0-9]{4})\.(?P<epoch>\d{1,3})( |$)")

RECOUNT_SECONDS = 3.0  # the scheduler's times have a resolution of one second
LOOK_SECONDS = 60.0
OVER_LIMIT_SECONDS = 60.0
REFUSED_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 300.0
LATE_SECONDS = 3600.0  # a frozen controller carries out, when it wakes, what was sent to it


def answered(
    node: Node, result: ActionResult, now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    """Return the node after an action has ended."""
    match result.operation:
        case Operation.REMEDIATE:
            return repair.ended(change(node, failures=0), result, now, context)
        case Operation.SIGNAL | Operation.REQUEUE if result.result is not Result.NO_ANSWER:
            node = jobs.touched(change(node, failures=0), result, now, context)
            return change(node, look_at=now.plus(RECOUNT_SECONDS)), []
        case _ if result.result in (Result.NO_ANSWER, Result.REFUSED):
            return _try_later(node, result, now, context), []
        case Operation.DRAIN:
            return _drain(change(node, failures=0), result, now, context)
        case Operation.RESUME:
            return _resume(change(node, failures=0), result, now, context)
        case _:  # a look
            return _read(change(node, failures=0), result, now, context)


def _try_later(node: Node, result: ActionResult, now: Instant, context: Context) -> Node:
    """No answer or a refusal: nothing is known to have changed; say so and try again later."""
    failures = node.failures + 1
    pause = REFUSED_SECONDS
    if result.result is Result.NO_ANSWER:
        pause = min(LONGEST_PAUSE_SECONDS, 2.0**failures)
    again = now.plus(pause * (0.75 + context.jitter / 2))
    node = change(node, failures=failures)
    if result.operation is Operation.DRAIN and result.result is Result.NO_ANSWER:
        node = change(node, late_until=now.plus(LATE_SECONDS))
    if result.operation is Operation.READ:
        return change(node, look_at=again)
    return enter(node, node.state, result.message, now, retry_at=again)


def _drain(
    node: Node, result: ActionResult, now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    view = result.view
    match result.result:
        case Result.DONE | Result.NONE:
            return _claimed(node, view, now, context)
        case Result.NOT_OURS if view is not None and is_reason_line(view.reason):
            return _adopt(node, view, now, context), []
        case Result.OVER_LIMIT:
            again = now.plus(OVER_LIMIT_SECONDS * (0.75 + context.jitter / 2))
            return enter(
                node, State.WAITING, result.message, now, retry_at=again, quarantine=None
            ), []
        case _ if node.quarantine is not None and view is not None:
            return _taken_over(node, view, now, context)
        case _:  # somebody else's drain: theirs wins; look again, for they may lift it
            again = now.plus(LOOK_SECONDS * (0.75 + context.jitter / 2))
            return enter(node, State.WAITING, result.message, now, retry_at=again), []


def _claimed(
    node: Node, view: SchedulerView | None, now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    """Our drain stands at the scheduler, read back."""
    incident = node.incident
    if incident is None:
        return node, []
    before = node.quarantine  # where the scheduler's own drain, after our gate, got our reason
    quarantine = Quarantine(
        incident=incident.id,
        epoch=incident.epoch,
        reason=view.reason if view else incident.mark,
        since=before.since if before else now,
        claimed_by=view.reason_by if view else "",
        claimed_at=view.reason_at if view else "",
    )
    node = change(node, quarantine=quarantine, look_at=now.plus(RECOUNT_SECONDS), retry_at=None)
    node = standing.seen(node if before else change(node, standing=None), now)
    if before is None or node.state in (State.WAITING, State.DRAINING, State.DRAINED):
        node = _draining(node, view, now)
    node = standing.told(node, now)
    if node.releasing is not None:
        return ask_for_resume(node)
    if not wants_drain(node) and incident.decision.resume == "when-clear":
        return ask_for_resume(node)
    return jobs.touch_jobs(node, now, context)


def _draining(node: Node, view: SchedulerView | None, now: Instant) -> Node:
    if view is not None and view.in_use:
        because = f"drained as {view.reason}; jobs that run here finish"
        return enter(node, State.DRAINING, because, now)
    return enter(node, State.DRAINED, "drained, and no job runs here", now)


def _adopt(node: Node, view: SchedulerView, now: Instant, context: Context) -> Node:
    """A drain with our mark that this store knows nothing of: go on with that incident."""
    found = MARK.match(view.reason)
    if found is None:
        return node
    decision = node.decision if wants_drain(node) else _adopted_decision(view)
    incident = Incident(
        id=found["id"],
        epoch=int(found["epoch"]),
        opened=now,
        decision=decision,
        adopted=True,
        reasons=[view.reason],
    )
    quarantine = Quarantine(
        incident=incident.id,
        epoch=incident.epoch,
        reason=view.reason,
        since=now,
        claimed_by=view.reason_by,
        claimed_at=view.reason_at,
    )
    return enter(
        node,
        State.VERIFYING,
        f"a drain with our mark stands at the scheduler and was adopted: {view.reason}",
        now,
        incident=incident,
        quarantine=quarantine,
        standing=Standing(seen=now),
        verify_until=now.plus(context.verify_seconds),
        look_at=now.plus(LOOK_SECONDS),
        retry_at=None,
        # Another store may have asked under this incident's name before; start beyond all of that.
        asked=max(node.asked, int(now.wall)),
    )


def _adopted_decision(view: SchedulerView) -> Decision:
    rule = view.reason.rpartition("; rule ")[2] if "; rule " in view.reason else ""
    return Decision(want=Want.DRAIN, mode=Mode.ACT, rule=rule, summary=view.reason)


def _read(
    node: Node, result: ActionResult, now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    view = result.view
    if view is None:  # no scheduler is configured: nothing to compare with
        return node, []
    ours = view.drained and _is_ours(node, view)
    if ours and node.quarantine is not None:
        node = standing.seen(node, now)
    if not view.settled:
        return change(node, look_at=now.plus(LOOK_SECONDS / 4)), []
    node = change(node, look_at=now.plus(LOOK_SECONDS * (0.75 + context.jitter / 2)))
    if result.result is Result.OVER_LIMIT:
        again = now.plus(OVER_LIMIT_SECONDS * (0.75 + context.jitter / 2))
        waiting = enter(node, State.WAITING, result.message, now, retry_at=again)
        return change(waiting, quarantine=None, look_at=None), []
    if node.quarantine is not None:
        return _still_ours(node, view, ours, now, context)
    if ours:
        return _claimed(node, view, now, context)
    marked = node.incident is not None and view.marked(node.incident.mark)
    if view.drained and is_reason_line(view.reason) and not marked:
        return _adopt(node, view, now, context), []
    return _without_claim(node, view, now)


def _is_ours(node: Node, view: SchedulerView) -> bool:
    """Tell whether the reason is one that we wrote, whole, and nobody else has set it since."""
    if node.incident is None or not is_one_of(view.reason, reasons_of(node)):
        return False
    claimed_by = node.quarantine.claimed_by if node.quarantine else ""
    by_scheduler = view.reason not in reasons_of(node)  # it has added its own words, and its name
    return not claimed_by or by_scheduler or view.reason_by in ("root", claimed_by)


def _still_ours(
    node: Node, view: SchedulerView, ours: bool, now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    if not ours and _is_down_by_us(node, view) and context.authority is Authority.NODE:
        return ask_for_drain(node)  # rebooted through the scheduler, which has ended our drain
    if not ours and view.prolog_failed and context.authority is Authority.NODE:
        return ask_for_drain(node)  # our gate's doing, if the helper finds its note; else refused
    if not ours and node.quarantine is not None and not node.quarantine.claimed_at:
        return _not_drained_yet(node, view, now), []
    if not ours and standing.is_lost(node, view, now, context):
        return standing.restore(node, view, now, context)
    if not ours:
        return _taken_over(node, view, now, context)
    before = node.quarantine
    node = _claim_again(node, view)
    if _is_set_again(before, view):
        because = (
            f"drained once more with our reason at {view.reason_at} UTC, as the gate does where a "
            "job comes and hpcdoctor knows of no release: a person may have resumed the node; "
            "`hpcdoctor release --quarantine --why ...` puts it back"
        )
        node = enter(node, node.state, because, now)
    if node.releasing is not None:
        return ask_for_resume(node)
    if node.state is State.DRAINING and not view.in_use:
        return _draining(node, view, now), []
    return jobs.touch_jobs(node, now, context)


def _is_down_by_us(node: Node, view: SchedulerView) -> bool:
    """Tell whether it is down, and not drained, with a reason that is still ours."""
    return view.down and not view.drained and _is_ours(node, view)


def _not_drained_yet(node: Node, view: SchedulerView, now: Instant) -> Node:
    """The claim is published, and whoever drains for it has not done so."""
    if node.state is not State.DRAINING or node.quarantine is None:
        return node
    how = f"is drained by {view.reason_by} ({view.reason})" if view.drained else "is not drained"
    because = f"published as {node.quarantine.reason}; at the scheduler the node {how} yet"
    return enter(node, node.state, because.removesuffix(" yet") if view.drained else because, now)


def _claim_again(node: Node, view: SchedulerView) -> Node:
    """Take over who set our reason and when, where nobody but us and the scheduler has done it.

    A published claim has nobody yet. A gate that drained once more has set our very reason anew. A
    reboot through the scheduler, after a repair of ours, sets both and adds its own words.
    """
    quarantine = node.quarantine
    if quarantine is None:
        return node
    written = reasons_of(node)
    same = view.reason in written and view.reason_by in ("root", quarantine.claimed_by)
    rebooted = (
        node.state is State.VERIFYING
        and view.reason not in written
        and is_one_of(view.reason, written)
    )
    if quarantine.claimed_at and not same and not rebooted:
        return node
    claim = change(quarantine, claimed_by=view.reason_by, claimed_at=view.reason_at)
    return change(node, quarantine=claim)


def _is_set_again(before: Quarantine | None, view: SchedulerView) -> bool:
    """Tell whether our drain was gone and stands anew: not our doing, that would be on our books.

    The same drain again changes nothing at the scheduler; only one after a resume has a new time.
    """
    return (
        before is not None
        and before.reason == view.reason
        and before.claimed_at not in ("", view.reason_at)
    )


def _without_claim(node: Node, view: SchedulerView, now: Instant) -> tuple[Node, list[Ask]]:
    """No drain of ours stands there, and none is on our books."""
    if node.state is State.HANDED_OVER and not view.drained:
        return back_in_service(node, "resumed at the scheduler by a person", now, 86400.0)
    if node.releasing is not None:
        return end_incident(node, f"released by {node.releasing.who}", now), []
    if node.state is State.WAITING:
        if not wants_drain(node):
            return end_incident(node, "what asked for a drain has cleared", now), []
        if node.hold is None and node.retry_at is None:
            return ask_for_drain(node)
        return node, []
    if node.state in (State.HANDED_OVER, State.PROBATION):
        return node, []
    if node.late_until is not None and not now.reached(node.late_until):
        return node, []  # it may still come: look again
    return change(node, look_at=None, late_until=None), []


def _taken_over(
    node: Node, view: SchedulerView, now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    """A person changed our drain or ended it. Theirs wins; we never set it right again."""
    if node.releasing is not None and not view.drained:
        who = f"released by {node.releasing.who}: {node.releasing.why}"
        return back_in_service(node, who, now, context.probation_seconds)
    if view.drained:
        because = f"taken over at the scheduler by {view.reason_by}: {view.reason}"
        return enter(node, State.HANDED_OVER, because, now, quarantine=None, releasing=None), []
    because = "resumed at the scheduler by a person"
    return back_in_service(node, because, now, context.probation_seconds)


def _resume(
    node: Node, result: ActionResult, now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    release = node.releasing
    who = f"released by {release.who}: {release.why}" if release else "resumed"
    match result.result:
        case Result.DONE | Result.NONE:
            return back_in_service(node, who, now, context.probation_seconds)
        case _ if result.view is not None:
            again = _claim_again(node, result.view)
            if again.quarantine != node.quarantine and result.view.drained:
                return ask_for_resume(again)
            return _taken_over(node, result.view, now, context)
        case _:
            return enter(node, node.state, result.message, now, releasing=None), []
