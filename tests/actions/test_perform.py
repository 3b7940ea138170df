"""Does every way an action can end come back as a result?"""

from collections.abc import Collection

import pytest

from hpcdoctor.actions.limit import Claim
from hpcdoctor.actions.perform import perform
from hpcdoctor.actions.programs import Programs
from hpcdoctor.actions.schedulers import (
    Outcome,
    SchedulerRefused,
    SchedulerUnavailable,
    connect,
)
from hpcdoctor.definitions.settings import SchedulerName, Settings
from hpcdoctor.model.action import Action, Operation, Result, SchedulerView


class Ending:
    """A scheduler whose every call ends in the same way."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def read(self) -> SchedulerView:
        return SchedulerView(drained=False)

    def _end(self, word: str) -> Outcome:
        if self.error is not None:
            raise self.error
        return Outcome(Result.DONE, word)

    def look(
        self, mark: str = "", reasons: Collection[str] = (), *, claimed: bool = False
    ) -> Outcome:
        return self._end(f"look {mark}")

    def drain(self, reason: str, mark: str, reasons: Collection[str] = ()) -> Outcome:
        return self._end(f"drain {reason} {mark}")

    def resume(
        self, mark: str, claimed_by: str, claimed_at: str, reasons: Collection[str] = ()
    ) -> Outcome:
        return self._end(f"resume {mark} {claimed_by} {claimed_at}")

    def reboot(self, mark: str, reasons: Collection[str] = ()) -> Outcome:
        return self._end(f"reboot {mark}")

    def signal_jobs(self, mark: str, reasons: Collection[str] = ()) -> Outcome:
        return self._end(f"signal {mark}")

    def requeue_jobs(
        self, mark: str, signalled: list[str], reasons: Collection[str] = ()
    ) -> Outcome:
        return self._end(f"requeue {mark} {signalled}")

    def out_by_us(self) -> list[Claim]:
        return []


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (Operation.READ, "look m"),
        (Operation.DRAIN, "drain r m"),
        (Operation.RESUME, "resume m by at"),
        (Operation.SIGNAL, "signal m"),
        (Operation.REQUEUE, "requeue m []"),
    ],
)
def test_each_operation_has_its_function(operation: Operation, message: str) -> None:
    result = perform(Action("k3f9.1.1", operation, "r", "m", "by", "at"), Ending())
    assert (result.id, result.operation) == ("k3f9.1.1", operation)
    assert (result.result, result.message) == (Result.DONE, message)


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (SchedulerUnavailable("the controller sleeps"), Result.NO_ANSWER),
        (SchedulerRefused("not root"), Result.REFUSED),
        (ZeroDivisionError("oops"), Result.NO_ANSWER),
    ],
)
def test_every_error_is_a_result_that_says_what_happened(error: Exception, result: Result) -> None:
    answer = perform(Action("k3f9.1.1", Operation.DRAIN), Ending(error))
    assert answer.result is result
    assert str(error) in answer.message


@pytest.mark.parametrize(
    "operation", [each for each in Operation if each is not Operation.REMEDIATE]
)
def test_without_a_scheduler_nothing_is_done_and_that_is_said(operation: Operation) -> None:
    nothing = connect(Settings(scheduler=SchedulerName.NONE), Programs())
    answer = perform(Action("k3f9.1.1", operation), nothing)
    assert answer.result is Result.NONE
    assert "no scheduler is configured" in answer.message


@pytest.mark.parametrize("name", list(SchedulerName))
def test_every_scheduler_that_settings_can_name_has_its_file(name: SchedulerName) -> None:
    assert connect(Settings(scheduler=name), Programs()) is not None
