"""How is this node read, drained and resumed in Slurm? By scontrol, never in a shell.

Slurm has no compare-and-swap, a drain overwrites the one before, and a request that a hung
controller has taken is executed when it wakes, however long its sender is dead. So: read, compare,
write at once, read back; and where an answer is missing, say that the result is unknown.
"""

import math
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

import msgspec

from hpcdoctor.actions import slurm_jobs
from hpcdoctor.actions.gate_note import turned_away
from hpcdoctor.actions.limit import (
    SECOND_OVER,
    YOUNG_SECONDS,
    Claim,
    Partition,
    contested,
    limit_of,
    spread_seconds,
    why_give_back,
    why_no_more,
)
from hpcdoctor.actions.programs import Programs
from hpcdoctor.actions.reason import is_ours, mark_of, why_not_mark, why_not_reason
from hpcdoctor.actions.schedulers import (
    JobRules,
    Outcome,
    Scheduler,
    SchedulerUnavailable,
    no_rules,
)
from hpcdoctor.actions.slurm_commands import Commands
from hpcdoctor.actions.slurm_tell import tell_jobs
from hpcdoctor.actions.slurm_text import SlurmNode, is_slurms_own
from hpcdoctor.definitions.settings import Limit, Settings, TellJobs
from hpcdoctor.model.action import Result, SchedulerView
from hpcdoctor.model.text import is_reason_line

NO_PAUSE_SECONDS = 0.05  # of fewer than five nodes hardly two come at the same moment
# A resume would cancel what is under way there.
UNDER_WAY = {
    "MAINTENANCE": "a maintenance reservation holds the node",
    "UNKNOWN": "the controller has just started and has not heard from the node",
    "REBOOT_REQUESTED": "a reboot of the node is pending",
    "REBOOT_ISSUED": "the node is rebooting",
    "POWER_DOWN": "the node is about to be powered down",
    "POWERING_DOWN": "the node is being powered down",
    "POWER_DRAIN": "the node is to be powered down",
}


def connect(settings: Settings, programs: Programs, job_rules: JobRules = no_rules) -> Scheduler:
    return SlurmScheduler(
        Commands(settings.slurm, programs),
        settings.limit,
        grace_signal=settings.slurm.grace_signal,
        tells_jobs=settings.slurm.tell_jobs is TellJobs.COMMENT,
        job_rules=job_rules,
        turned_away=lambda mark: turned_away(settings.run_directory, mark),
    )


class SlurmScheduler:
    """This node in Slurm."""

    def __init__(
        self,
        commands: Commands,
        limit: Limit,
        *,
        grace_signal: str = "TERM",
        tells_jobs: bool = False,
        job_rules: JobRules = no_rules,
        turned_away: Callable[[str], bool] = lambda _mark: False,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._commands = commands
        self._limit = limit
        self._grace_signal = grace_signal
        self._tells_jobs = tells_jobs
        self._job_rules = job_rules  # the rules that may touch jobs
        self._turned_away = turned_away
        self._pause = pause
        self._clock = clock
        self._drained: dict[str, float] = {}  # mark to our own clock, when we last wrote its drain

    def read(self) -> SchedulerView:
        return self._commands.show_node().view

    def out_by_us(self) -> list[Claim]:
        partitions = self._commands.count(self._commands.show_node())
        return sorted({claim for one in partitions for claim in one.claims}, key=lambda c: c.node)

    def look(
        self, mark: str = "", reasons: Collection[str] = (), *, claimed: bool = False
    ) -> Outcome:
        node = self._commands.show_node()
        ours = node.view.drained and is_ours(node.view.reason, mark, reasons)
        if ours and self._is_young(node.view, mark):
            return self._settle(node, mark, reasons, wait=False)
        view = node.view
        if claimed and view.settled and not view.drained:
            up_seconds = self._commands.controller_up_seconds()
            view = msgspec.structs.replace(view, controller_up_seconds=up_seconds)
        return Outcome(Result.DONE, view=view)

    def drain(self, reason: str, mark: str, reasons: Collection[str] = ()) -> Outcome:
        why = why_not_reason(reason, mark)
        if why is not None:
            return Outcome(Result.REFUSED, why)
        ours = (*reasons, reason)
        node = self._commands.show_node()
        if node.view.drained and is_ours(node.view.reason, mark, ours):
            # An earlier request of ours may have come late.
            return self._told(self._settle(node, mark, ours), reason)
        taken = self._why_taken(node.view, mark, ours)
        if taken is not None:
            return taken
        # Where the gate has closed on a job, Slurm has drained the node already.
        over = None if node.view.drained else self._why_no_more(node, mark)
        if over is not None:
            return Outcome(Result.OVER_LIMIT, over, node.view)
        # To count may have taken long, and a drain overwrites: whose node is it now?
        node = self._commands.show_node()
        taken = self._why_taken(node.view, mark, ours)
        if taken is not None:
            return taken
        self._drained = {mark: self._clock()}
        failure = self._commands.update(["state=drain", f"reason={reason}"])
        node = self._commands.show_node()
        if node.view.drained and is_ours(node.view.reason, mark, ours):
            return self._told(self._settle(node, mark, ours), reason)
        if node.view.drained:
            return why_taken(node.view, mark, ours) or Outcome(Result.FOREIGN, view=node.view)
        raise SchedulerUnavailable(
            f"the drain does not stand when read back ({node.view.state}"
            f"{': ' + failure if failure else ''})"
        )

    def _told(self, drained: Outcome, reason: str) -> Outcome:
        """Tell the jobs here why, where the site wants it and the drain stands."""
        if not self._tells_jobs or drained.result is not Result.DONE:
            return drained
        said = tell_jobs(self._commands, reason)
        if not said:
            return drained
        return msgspec.structs.replace(drained, message=f"{drained.message}; {said}")

    def resume(
        self, mark: str, claimed_by: str, claimed_at: str, reasons: Collection[str] = ()
    ) -> Outcome:
        why = why_not_mark(mark)
        if why is not None:
            return Outcome(Result.REFUSED, why)
        if not claimed_by or not claimed_at:
            return Outcome(Result.REFUSED, "a resume must say by whom and when we had drained")
        node = self._commands.show_node()
        refusal = why_not_ours(node.view, mark, claimed_by, claimed_at, reasons)
        if refusal is not None:
            return Outcome(Result.NOT_OURS, refusal, node.view)
        waits = [why for word, why in UNDER_WAY.items() if word in node.words]
        if waits:
            return Outcome(Result.NO_ANSWER, f"not resumed yet: {waits[0]}", node.view)
        failure = self._commands.update(["state=resume"])
        after = self._commands.show_node().view
        if after.drained and why_not_ours(after, mark, claimed_by, claimed_at, reasons) is None:
            raise SchedulerUnavailable(
                f"the drain still stands after the resume{': ' + failure if failure else ''}"
            )
        if after.drained:
            message = f"drained again meanwhile by {after.reason_by}: {after.reason}"
            return Outcome(Result.FOREIGN, message, after)
        heard = "" if after.responding else "; it takes jobs when its slurmd has registered"
        return Outcome(Result.DONE, f"resumed{heard}", after)

    def reboot(self, mark: str, reasons: Collection[str] = ()) -> Outcome:
        """Ask slurmd, through slurmctld, to run the site's RebootProgram.

        The next state is DOWN, and the reason stays ours: a node that comes back, in time or late,
        is drained anew by its own daemon before anything may start on it.
        """
        node = self._commands.show_node()
        if not (node.view.drained and is_ours(node.view.reason, mark, reasons)):
            return Outcome(
                Result.NOT_OURS, f"the drain is not ours ({node.view.reason})", node.view
            )
        if node.view.in_use:
            return Outcome(Result.REFUSED, "jobs still run here", node.view)
        failure = self._commands.reboot(node.view.reason)
        after = self._commands.show_node()
        if not any(word.startswith("REBOOT") for word in after.words):
            raise SchedulerUnavailable(
                f"no reboot is under way when read back{': ' + failure if failure else ''}"
            )
        return Outcome(Result.DONE, f"the reboot is issued ({after.view.state})", after.view)

    def signal_jobs(self, mark: str, reasons: Collection[str] = ()) -> Outcome:
        view = self._commands.show_node().view
        if why := slurm_jobs.why_not_allowed(view.reason, mark, self._job_rules(), reasons):
            return Outcome(Result.REFUSED, why, view)
        done = slurm_jobs.signal_jobs(self._commands, self._grace_signal)
        return Outcome(Result.DONE, done.message, view, done.jobs)

    def requeue_jobs(
        self, mark: str, signalled: list[str], reasons: Collection[str] = ()
    ) -> Outcome:
        view = self._commands.show_node().view
        if why := slurm_jobs.why_not_allowed(view.reason, mark, self._job_rules(), reasons):
            return Outcome(Result.REFUSED, why, view)
        done = slurm_jobs.requeue_jobs(self._commands, signalled)
        # What no time was left for is asked for again.
        result = Result.NO_ANSWER if done.left else Result.DONE
        return Outcome(result, done.message, self._commands.show_node().view)

    def _why_taken(self, view: SchedulerView, mark: str, ours: Collection[str]) -> Outcome | None:
        """Return the answer where the node is somebody else's, and not our own gate's doing."""
        if view.prolog_failed and self._turned_away(mark):
            return None
        if view.maintenance and not is_ours(view.reason, mark, ours):
            message = (
                f"a maintenance reservation holds the node ({view.state}); it was left as it is"
            )
            return Outcome(Result.FOREIGN, message, view)
        return why_taken(view, mark, ours)

    def _settle(
        self, node: SlurmNode, mark: str, reasons: Collection[str], *, wait: bool = True
    ) -> Outcome:
        """Count now that our claim stands, and give it back where it is one too many."""
        partitions = self._commands.count(node)
        over = self._why_give_back(partitions)
        if wait and over is None and self._may_be_overtaken(node.view, partitions):
            self._pause(SECOND_OVER)
            over = self._why_give_back(self._commands.count(node))
        if over is None:
            return Outcome(Result.DONE, f"drained: {node.view.reason}", node.view)
        given = self.resume(mark, node.view.reason_by, node.view.reason_at, reasons)
        if given.result is Result.DONE:
            return Outcome(Result.OVER_LIMIT, f"{over}; drained and given back", given.view)
        return given  # taken over by a person in between, or not possible just now

    def _may_be_overtaken(self, view: SchedulerView, partitions: list[Partition]) -> bool:
        """Tell whether others drain just now: one may still get before us (actions/limit.py)."""
        name = self._commands.node_name()
        recent = self._is_young(view, view.reason.partition(" ")[0])
        return recent and contested(partitions, name, since=earlier(view.reason_at, 5.0))

    def _why_no_more(self, node: SlurmNode, mark: str) -> str | None:
        """Count, let those go first who go first, and count again."""
        partitions = self._commands.count(node)
        over = self._why_over(partitions)
        if over is not None:
            return over
        seconds = spread_seconds(partitions, self._commands.node_name(), mark)
        if seconds < NO_PAUSE_SECONDS:
            return None
        self._pause(seconds)
        return self._why_over(self._commands.count(node))

    def _why_over(self, partitions: list[Partition]) -> str | None:
        name = self._commands.node_name()
        for one in partitions:
            why = why_no_more(one, name, self._limit_of(one))
            if why is not None:
                return why
        return None

    def _why_give_back(self, partitions: list[Partition]) -> str | None:
        name = self._commands.node_name()
        for one in partitions:
            why = why_give_back(one, name, self._limit_of(one))
            if why is not None:
                return why
        return None

    def _limit_of(self, partition: Partition) -> int:
        return limit_of(partition, self._limit.nodes, self._limit.share_ratio)

    def _is_young(self, view: SchedulerView, mark: str) -> bool:
        """Tell whether others may have drained in the same moment, so that it has to be counted.

        By the scheduler's stamp, or, where its clock is far behind ours, by our own memory of it.
        """
        if not view.reason_at:
            return False
        now = self._clock()
        age = now - moment(view.reason_at).timestamp()
        return age < YOUNG_SECONDS or now - self._drained.get(mark, -math.inf) < YOUNG_SECONDS


def why_taken(view: SchedulerView, mark: str, ours: Collection[str]) -> Outcome | None:
    """Return the answer where somebody else has taken this node out already, or None."""
    if is_ours(view.reason, mark, ours) or not (view.drained or view.down):
        return None
    other = mark_of(view.reason)
    if other and other != mark and is_reason_line(view.reason):
        message = f"a drain of ours stands here under another mark, {other}: {view.reason}"
        return Outcome(Result.NOT_OURS, message, view)
    if not view.drained and is_slurms_own(view.reason):
        return None
    how = "drained" if view.drained else "down"
    by = f" by {view.reason_by}" if view.reason_by else ""
    if other:
        message = (
            "a drain with our mark stands here, but somebody has changed its reason, and it is "
            f"theirs now: {view.reason}{f' [{view.reason_by}]' if view.reason_by else ''}; "
            "it was left as it is"
        )
        return Outcome(Result.FOREIGN, message, view)
    message = f"already {how}{by} ({view.reason or 'no reason given'}); it was left as it is"
    return Outcome(Result.FOREIGN, message, view)


def why_not_ours(
    view: SchedulerView,
    mark: str,
    claimed_by: str,
    claimed_at: str,
    reasons: Collection[str] = (),
) -> str | None:
    """Return why this is not the drain that we have recorded, or None."""
    if not view.drained:
        where = "down" if view.down else "already in service"
        return f"the drain is gone, the node is {where} ({view.state}); it was left as it is"
    if not view.marked(mark):
        return (
            f"drained by {view.reason_by} ({view.reason}), not under {mark}; it was left as it is"
        )
    if not is_ours(view.reason, mark, reasons):
        return (
            "somebody has changed the reason of our drain, and it is theirs now: "
            f"{view.reason} [{view.reason_by}]; it was left as it is"
        )
    if (view.reason_by, view.reason_at) != (claimed_by, claimed_at):
        return (
            f"drained by {view.reason_by} at {view.reason_at}, but we had drained as {claimed_by} "
            f"at {claimed_at}: somebody has taken it over; it was left as it is"
        )
    return None


def moment(at: str) -> datetime:
    return datetime.fromisoformat(at).replace(tzinfo=UTC)


def earlier(at: str, seconds: float) -> str:
    return (moment(at) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
