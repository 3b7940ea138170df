"""What must a scheduler be able to do for hpcdoctor? One adapter a file in this folder.

Everything here blocks, each call within its own deadline, and may be asked again: a drain that
stands and a resume that has happened are found, not repeated. An adapter serves one node, the one
it runs on, and none of its calls takes a node's name.
"""

import importlib
from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from hpcdoctor.actions.limit import Claim
from hpcdoctor.actions.programs import Programs
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.model.action import Result, SchedulerView

JobRules = Callable[[], Collection[str]]


def no_rules() -> Collection[str]:
    """Return the rules that touch jobs where nobody has named any."""
    return ()


class SchedulerUnavailable(Exception):
    """No answer: what was asked for may or may not have happened, or may yet happen; try again."""


class SchedulerRefused(Exception):
    """It will not work by trying again (rights, names, configuration); the message says why."""


class Outcome(msgspec.Struct, frozen=True):
    """How a call ended, where there was an answer."""

    result: Result
    message: str = ""
    view: SchedulerView | None = None  # as read last
    jobs: list[str] = []  # that were asked to checkpoint


class Scheduler(Protocol):
    """The scheduler, as this node may use it.

    `reasons` are what we have written under `mark`, as far as that is remembered: a drain is ours
    where its reason is one of them, whole.
    """

    def read(self) -> SchedulerView:
        """Return this node as the scheduler sees it."""

    def look(
        self, mark: str = "", reasons: Collection[str] = (), *, claimed: bool = False
    ) -> Outcome:
        """Read, and where our young claim `mark` proves to be one too many, give it back.

        Where a claim is on our books (`claimed`) and no drain is there, also read how long the
        controller has run: it may have lost the drain.
        """

    def drain(self, reason: str, mark: str, reasons: Collection[str] = ()) -> Outcome:
        """Take this node out, within the local limit, unless somebody else already has."""

    def resume(
        self, mark: str, claimed_by: str, claimed_at: str, reasons: Collection[str] = ()
    ) -> Outcome:
        """Put this node back, if its drain is still exactly ours."""

    def reboot(self, mark: str, reasons: Collection[str] = ()) -> Outcome:
        """Have the scheduler reboot this node while our drain stands; it does not come into use."""

    def signal_jobs(self, mark: str, reasons: Collection[str] = ()) -> Outcome:
        """Ask the jobs here to checkpoint, where our drain stands and its rule says so."""

    def requeue_jobs(
        self, mark: str, signalled: list[str], reasons: Collection[str] = ()
    ) -> Outcome:
        """Send the jobs here, and those that ended when they were asked, back to the queue."""

    def out_by_us(self) -> list[Claim]:
        """Return the nodes of this node's partitions that are out by hpcdoctor."""


def connect(settings: Settings, programs: Programs, job_rules: JobRules = no_rules) -> Scheduler:
    """Return the adapter that the settings name; nothing is asked of the scheduler yet.

    `job_rules` gives the names of the rules that may have jobs signalled or requeued.
    """
    module = importlib.import_module(f"{__name__}.{settings.scheduler.value}")
    adapter: Callable[[Settings, Programs, JobRules], Scheduler] = module.connect
    return adapter(settings, programs, job_rules)
