"""How does the helper serve? One action after the other, from callers it knows, each by the book.

The helper is the one process of hpcdoctor that holds the scheduler's credentials. Whoever has
taken over the daemon can ask it for five things only: to read this node, to drain it with a
reason in the one form, to resume it where the drain is ours, to signal or requeue the jobs on it
where our drain stands and its rule says so, and to carry out a remediation that the site has named,
on a thing that is really there, within the limits of the helper's own books.
It finds out by itself which node it runs on; a request has no place for a node's name, so no other
node can be drained by it.

It ends by itself when nobody has asked for a while: socket activation starts it again. SIGTERM and
SIGHUP end it too (after SIGHUP it comes back with new settings); an action under way is given a
moment to finish, then its programs are killed and it is answered as unknown.
"""

import logging
import signal
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from hpcdoctor.actions.perform import perform
from hpcdoctor.actions.programs import Programs
from hpcdoctor.actions.remediate import Remedies
from hpcdoctor.actions.schedulers import JobRules, Scheduler, connect, no_rules
from hpcdoctor.actions.subject import Machine
from hpcdoctor.definitions.remediation import Disrupts, Remediation
from hpcdoctor.definitions.settings import Authority, Settings
from hpcdoctor.helper.journal import AlreadyStarted, Journal, JournalUnusable
from hpcdoctor.helper.requests import BadRequest, parse, refusal, why_not_asked_so
from hpcdoctor.helper.server import Server
from hpcdoctor.lifecycle.ladder import REPAIRS_A_WEEK, WEEK_SECONDS
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from hpcdoctor.model.text import visible
from hpcdoctor.probes.host import Host

IDLE_SECONDS = 60.0
EMPTY: Mapping[str, Remediation] = {}
GRACE_SECONDS = 2  # for the action under way when we are told to end

log = logging.getLogger(__name__)


def serve(
    listener: socket.socket,
    settings: Settings,
    journal_folder: Path,
    *,
    remediations: Mapping[str, Remediation] = EMPTY,
    services: Iterable[str] = (),
    job_rules: JobRules = no_rules,
    allowed_users: frozenset[int],
    idle_seconds: float = IDLE_SECONDS,
) -> int:
    """Answer requests until told to end or idle, and return the exit status."""
    programs = Programs()
    journal = Journal(journal_folder)
    scheduler = connect(settings, programs, job_rules)
    host = Host.this_machine()
    enabled = {name: remediations[name] for name in settings.remediations if name in remediations}
    remedies = Remedies(enabled, Machine(host, services), host, programs, scheduler)
    helper = Helper(
        settings.authority,
        scheduler,
        journal,
        remedies,
        act_without_fleet=frozenset(settings.act_without_fleet),
    )
    ending, wake = socket.socketpair()
    with ending, wake, told_to_end(wake, programs):
        Server(listener, ending, helper.answer, allowed_users | {0}).run(idle_seconds)
    journal.close()
    return 0


class Helper:
    """One request line in, its answer out."""

    def __init__(
        self,
        authority: Authority,
        scheduler: Scheduler,
        journal: Journal,
        remedies: Remedies | None = None,
        *,
        act_without_fleet: frozenset[str] = frozenset(),
    ) -> None:
        self._authority = authority
        self._act_without_fleet = act_without_fleet
        self._scheduler = scheduler
        self._journal = journal
        self._remedies = remedies

    def answer(self, line: bytes, user: int) -> ActionResult:
        try:
            action = parse(line)
        except BadRequest as error:
            log.warning("refused a request of user %d: %s", user, error)
            return refusal(line, str(error))
        why = why_not_asked_so(action) or self._why_not_here(action)
        if why is not None:
            return refused(action, why)
        if action.operation is not Operation.READ:
            return self._by_the_book(action, user)
        if self._authority is not Authority.NODE:
            # With its mark a read may give a claim back, and this claim is not the node's to give.
            action = Action(action.id, action.operation)
        return self._perform(action)

    def _why_not_here(self, action: Action) -> str | None:
        if action.operation is Operation.REMEDIATE:
            return self._why_not_remedy(action)
        if action.operation is Operation.READ or self._authority is Authority.NODE:
            return None
        if self._authority is Authority.FLEET and action.operation is Operation.DRAIN:
            rule = action.reason.rpartition("; rule ")[2]
            if rule in self._act_without_fleet:
                return None
        return f"authority is {self._authority.value}: this node drains and resumes nothing itself"

    def _why_not_remedy(self, action: Action) -> str | None:
        """Hold a remediation against the settings and against what this helper has done before."""
        remediation = self._remedies.enabled.get(action.remediation) if self._remedies else None
        if self._remedies is None or remediation is None:
            return f"the settings name no remediation {visible(action.remediation, 64)!r}"
        if why := self._remedies.why_not(action):
            return why
        # Under `fleet` the controller has drained this node under our mark, which is read again
        # before the first step; a consumer has agreed to no repair.
        if self._authority is Authority.CONSUMER and remediation.disrupts is not Disrupts.NOTHING:
            return "authority is consumer: nobody has agreed to what disrupts"
        count, seconds = remediation.limit_of
        try:
            if self._journal.times(WEEK_SECONDS) >= REPAIRS_A_WEEK:
                return (
                    f"{REPAIRS_A_WEEK} remediations in seven days are enough; people have to look"
                )
            if self._journal.times(seconds, remediation.remediation) >= count:
                return f"{remediation.remediation} has reached its limit of {remediation.limit}"
        except JournalUnusable as error:
            return f"{error}; without it no remediation is carried out"
        return None

    def _by_the_book(self, action: Action, user: int) -> ActionResult:
        try:
            self._journal.start(action, user)
        except AlreadyStarted as error:
            return refused(action, str(error))
        except JournalUnusable as error:
            log.warning("%s", error)
            # A drain's mark at the scheduler is itself a durable record, and asking for it twice
            # does no harm. A resume has no such record.
            if action.operation is not Operation.DRAIN:
                return refused(action, f"{error}; without it only a drain is allowed")
        result = self._perform(action)
        try:
            self._journal.end(result)
        except JournalUnusable as error:
            log.warning("%s; %s ended as %s", error, action.id, result.result.value)
        return result

    def _perform(self, action: Action) -> ActionResult:
        result = perform(action, self._scheduler, self._remedies)
        changed = action.operation is not Operation.READ or result.result is not Result.DONE
        log.log(
            logging.INFO if changed else logging.DEBUG,
            "%s %s: %s %s",
            action.operation.value,
            action.id,
            result.result.value,
            result.message,
        )
        return result


def refused(action: Action, reason: str) -> ActionResult:
    log.warning("refused %s %s: %s", action.operation.value, action.id, reason)
    return ActionResult(action.id, action.operation, Result.REFUSED, reason)


@contextmanager
def told_to_end(wake: socket.socket, programs: Programs) -> Iterator[None]:
    """Wake the server at SIGTERM and SIGHUP, and kill what it waits for when that takes long."""

    def end(_number: int, _frame: FrameType | None) -> None:
        with suppress(BlockingIOError):
            wake.send(b"x", socket.MSG_DONTWAIT)
        signal.alarm(GRACE_SECONDS)

    def give_up(_number: int, _frame: FrameType | None) -> None:
        programs.end()

    wanted = {signal.SIGTERM: end, signal.SIGHUP: end, signal.SIGALRM: give_up}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
