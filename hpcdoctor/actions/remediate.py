"""How is a remediation carried out? Guarded, step by step, and `finally` in any case.

What is run stands in files that only root can write; the request names a remediation and a thing.
The scheduler is read again right before anything that disrupts.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from hpcdoctor.actions import steps
from hpcdoctor.actions.programs import NoResult, NotStarted, Programs
from hpcdoctor.actions.reason import is_ours
from hpcdoctor.actions.schedulers import (
    Outcome,
    Scheduler,
    SchedulerRefused,
    SchedulerUnavailable,
)
from hpcdoctor.actions.steps import StepFailed, World
from hpcdoctor.actions.subject import Machine, WrongSubject
from hpcdoctor.definitions.remediation import Disrupts, Proven, Remediation, Step, Trust
from hpcdoctor.definitions.trust import why_not_trusted
from hpcdoctor.model.action import Action, Result, SchedulerView
from hpcdoctor.model.quantity import parse_duration
from hpcdoctor.probes.host import Host, find_tool


class Remedies:
    """The remediations that the site has named, and what is needed to carry one out."""

    def __init__(
        self,
        enabled: Mapping[str, Remediation],
        machine: Machine,
        host: Host,
        programs: Programs,
        scheduler: Scheduler,
    ) -> None:
        self.enabled = enabled
        self._machine = machine
        self._host = host
        self._programs = programs
        self._scheduler = scheduler

    def why_not(self, action: Action) -> str | None:
        """Return why this is not carried out here, whatever the scheduler says; or None."""
        remediation = self.enabled.get(action.remediation)
        if remediation is None:
            return f"the settings name no remediation {action.remediation!r}"
        if remediation.proven is Proven.STAND_IN and remediation.trust is not Trust.UNPROVEN:
            return (
                f"{remediation.remediation} was tried on stand-ins only; a file in "
                "remediations/ with `trust: unproven` allows it"
            )
        return None

    def perform(self, action: Action) -> Outcome:
        """Carry it out; raise SchedulerUnavailable or SchedulerRefused as the scheduler does."""
        remediation = self.enabled[action.remediation]
        try:
            plan = [self._resolved(step, action) for step in remediation.steps]
            last = [self._resolved(step, action) for step in remediation.last]
        except WrongSubject as error:
            return Outcome(Result.REFUSED, str(error))
        if remediation.disrupts is not Disrupts.NOTHING:
            view = self._scheduler.read()
            if why := why_not_disrupt(view, action.mark, action.reasons):
                return Outcome(Result.REFUSED, why, view)
        world = World(
            self._host,
            self._programs,
            dict(action.subject),
            reboot_by_scheduler=lambda: self._reboot(action.mark, action.reasons),
        )
        result, message = self._run(plan, world)
        after, trouble = self._run(last, world, all_of_them=True)
        if after is not Result.DONE:
            message = f"{message}; and afterwards {trouble}" if message else trouble
            result = after if result is Result.DONE else result
        return Outcome(result, message or f"{action.remediation} is done")

    def _reboot(self, mark: str, reasons: Sequence[str]) -> str:
        outcome = self._scheduler.reboot(mark, reasons)
        if outcome.result is not Result.DONE:
            raise StepFailed(outcome.message)
        return outcome.message

    def _resolved(self, step: Step, action: Action) -> Step:
        if step.run is None:
            return step
        arguments = [self._machine.fill(text, action.subject) for text in step.run]
        return Step(run=arguments, timeout=step.timeout, may_fail=step.may_fail)

    def _run(
        self, plan: Sequence[Step], world: World, *, all_of_them: bool = False
    ) -> tuple[Result, str]:
        """Run one step after the other, up to the first that fails, or in any case all of them."""
        worst, messages = Result.DONE, []
        for number, step in enumerate(plan, start=1):
            world.timeout_seconds = parse_duration(step.timeout)
            result, message = take(step, world)
            if result is Result.DONE or step.may_fail:
                continue
            worst = result
            messages.append(f"step {number} ({described(step)}): {message}")
            if not all_of_them:
                break
        return worst, "; ".join(messages)


def take(step: Step, world: World) -> tuple[Result, str]:
    """Take one step; whatever it does has an end."""
    try:
        if step.do is not None:
            steps.find(step.do)(world)
        elif step.run:
            world.run(program_of(step.run[0]), *step.run[1:])
    except (StepFailed, NotStarted, SchedulerRefused, SchedulerUnavailable) as error:
        return Result.FAILED, str(error)
    except NoResult as error:
        return Result.TOO_LONG, str(error)
    except OSError as error:
        return Result.FAILED, f"{error.filename or step.do}: {error.strerror}"
    return Result.DONE, ""


def program_of(name: str) -> str:
    """Return the program's path; one that others than root could have written is refused."""
    path = name if name.startswith("/") else find_tool(name)
    if path is None:
        raise StepFailed(f"{name} is not installed")
    if reason := why_not_trusted(Path(path)):
        raise StepFailed(reason)
    return path


def described(step: Step) -> str:
    return step.do or " ".join(step.run or [])


def why_not_disrupt(view: SchedulerView, mark: str, reasons: Collection[str] = ()) -> str | None:
    """Return why nothing may be disrupted here now: our drain has to stand, and no job may run."""
    if not view.drained:
        return f"the node is not drained ({view.state}); nothing that disrupts is carried out"
    if not is_ours(view.reason, mark, reasons):
        return f"the drain is not ours ({view.reason}); nothing that disrupts is carried out"
    if view.in_use:
        return "jobs still run here; nothing that disrupts is carried out"
    return None
