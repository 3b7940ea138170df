"""Who does an action? The one function for its operation, and every way it ends is a result."""

import logging
from collections.abc import Callable

from hpcdoctor.actions.remediate import Remedies
from hpcdoctor.actions.schedulers import Outcome, Scheduler, SchedulerRefused, SchedulerUnavailable
from hpcdoctor.model.action import Action, ActionResult, Operation, Result

log = logging.getLogger(__name__)

DO: dict[Operation, Callable[[Scheduler, Action], Outcome]] = {
    Operation.READ: lambda scheduler, action: scheduler.look(
        action.mark, action.reasons, claimed=bool(action.claimed_at)
    ),
    Operation.DRAIN: lambda scheduler, action: scheduler.drain(
        action.reason, action.mark, action.reasons
    ),
    Operation.RESUME: lambda scheduler, action: scheduler.resume(
        action.mark, action.claimed_by, action.claimed_at, action.reasons
    ),
    Operation.SIGNAL: lambda scheduler, action: scheduler.signal_jobs(action.mark, action.reasons),
    Operation.REQUEUE: lambda scheduler, action: scheduler.requeue_jobs(
        action.mark, action.jobs, action.reasons
    ),
}


def perform(action: Action, scheduler: Scheduler, remedies: Remedies | None = None) -> ActionResult:
    """Do it and return how it ended, always."""
    outcome = try_to(action, scheduler, remedies)
    return ActionResult(
        action.id, action.operation, outcome.result, outcome.message, outcome.view, outcome.jobs
    )


def try_to(action: Action, scheduler: Scheduler, remedies: Remedies | None) -> Outcome:
    try:
        if action.operation is Operation.REMEDIATE:
            if remedies is None:
                return Outcome(Result.REFUSED, "no remediation is carried out here")
            return remedies.perform(action)
        return DO[action.operation](scheduler, action)
    except SchedulerUnavailable as error:
        return Outcome(Result.NO_ANSWER, str(error))
    except SchedulerRefused as error:
        return Outcome(Result.REFUSED, str(error))
    except Exception as error:
        # A bug of ours in one action must not end the process that can undo it. How far it came
        # is unknown, which is just what NO_ANSWER says; the next look finds out.
        log.exception("action %s failed", action.id)
        return Outcome(Result.NO_ANSWER, f"hpcdoctor failed at it ({error!r}); this is a bug")
