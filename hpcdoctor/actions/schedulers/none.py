"""What happens where no scheduler is configured? Nothing, and every answer says so."""

from collections.abc import Collection

from hpcdoctor.actions.limit import Claim
from hpcdoctor.actions.programs import Programs
from hpcdoctor.actions.schedulers import JobRules, Outcome, Scheduler, no_rules
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.model.action import Result, SchedulerView

NOTHING_DONE = Outcome(
    Result.NONE, "no scheduler is configured, so nothing was done; `scheduler: slurm` names one"
)


def connect(_settings: Settings, _programs: Programs, _job_rules: JobRules = no_rules) -> Scheduler:
    return NoScheduler()


class NoScheduler:
    """Stands where a scheduler would."""

    def read(self) -> SchedulerView:
        return SchedulerView(drained=False, state="no scheduler")

    def look(
        self, mark: str = "", reasons: Collection[str] = (), *, claimed: bool = False
    ) -> Outcome:
        return NOTHING_DONE

    def drain(self, reason: str, mark: str, reasons: Collection[str] = ()) -> Outcome:
        return NOTHING_DONE

    def resume(
        self, mark: str, claimed_by: str, claimed_at: str, reasons: Collection[str] = ()
    ) -> Outcome:
        return NOTHING_DONE

    def reboot(self, mark: str, reasons: Collection[str] = ()) -> Outcome:
        return NOTHING_DONE

    def signal_jobs(self, mark: str, reasons: Collection[str] = ()) -> Outcome:
        return NOTHING_DONE

    def requeue_jobs(
        self, mark: str, signalled: list[str], reasons: Collection[str] = ()
    ) -> Outcome:
        return NOTHING_DONE

    def out_by_us(self) -> list[Claim]:
        return []
