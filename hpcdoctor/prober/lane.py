"""One child that looks, one thing at a time: asked, listened to, given up, made again.

A lane has at most one child. While the child has not answered, nobody gets a second one: who asks
for the same waits with the others, and once the child is given up is told at once that it is stuck.
A lane that many probes share (`overtaken` is set) hands a slow one its child and goes on.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from selectors import EVENT_READ, BaseSelector

import msgspec

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.quantity import format_duration
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.prober.fork import Child
from hpcdoctor.prober.silence import (
    CpuTimes,
    Silence,
    describe_wait,
    judge_silence,
    read_cpu_times,
)
from hpcdoctor.prober.task import STOP, Answer, Task, read_answer, write_tasks

# So long may one probe of a shared lane keep the others waiting.
PATIENCE_SECONDS = 1.0
# A subject that hung is looked at again only so often: five thousand clients of a server that has
# just come back are trouble enough.
REST_SECONDS = 60.0
LINE_LIMIT_BYTES = 32 << 20
CHUNK_BYTES = 1 << 16

Listener = Callable[[Answer], None]


class Errand:
    """A task, who wants to hear of it, and until when."""

    def __init__(self, task: Task, deadline_seconds: float, listener: Listener) -> None:
        self.task = task
        self.deadline_seconds = deadline_seconds
        self.listeners = [listener]
        self.due = float("inf")  # monotonic; set when its turn comes
        self.called_starved = False

    def tell(self, answer: Answer) -> None:
        for listener in self.listeners:
            listener(answer)

    def join(self, other: "Errand") -> None:
        """Let the listeners of a later errand of the same kind hear of this one."""
        if not self.called_starved:
            self.listeners.extend(other.listeners)
            return
        # The earlier ones have had their answer; the child gets a new chance.
        self.listeners = other.listeners
        self.called_starved = False
        self.due = time.monotonic() + other.deadline_seconds


class Lane:
    """See above. Everything is driven from outside: `ask`, the selector, and `advance`."""

    def __init__(
        self,
        start: Callable[[], Child],
        clock: Callable[[], Instant],
        selector: BaseSelector,
        *,
        overtaken: Callable[["Lane"], None] | None = None,
        unasked: Listener | None = None,
        rest_seconds: float = 0.0,
    ) -> None:
        self._start = start
        self._clock = clock
        self._selector = selector
        self.overtaken = overtaken
        self._unasked = unasked
        self._rest_seconds = rest_seconds
        self._rests_until = 0.0  # monotonic
        self.child: Child | None = None
        self.flight: deque[Errand] = deque()  # sent to the child, the first is being done
        self.queue: list[Errand] = []
        self.stuck_since: Instant | None = None
        self.quick_answers = 0  # in a row
        self._leaving: list[Child] = []  # of a shared lane: lost, and not yet let go by the kernel
        self._last_task: Task | None = None
        self._data = bytearray()
        self._turn_started = 0.0  # monotonic, of the first in flight
        self._turn_instant: Instant | None = None
        self._sent_at = 0.0  # monotonic; `_before` is of then
        self._before = CpuTimes("?", None, None)
        self._patience_ends = float("inf")

    # What others ask for

    def ask(self, *errands: Errand) -> None:
        """Have it done, or share in what is being done, or hear at once why it cannot be."""
        for errand in errands:
            same = self._find_same(errand.task)
            if self.child is not None and self.child.killed and not self.child.is_gone():
                self._tell_stuck(errand, self.child)
            elif time.monotonic() < self._rests_until:
                self._tell_resting(errand)
            elif same is not None:
                same.join(errand)
            else:
                self.queue.append(errand)
        if not self.flight:
            self._send()

    def _find_same(self, task: Task) -> Errand | None:
        waiting = (*self.flight, *self.queue)
        return next((errand for errand in waiting if errand.task.key == task.key), None)

    @property
    def is_idle(self) -> bool:
        return not self.flight and not self.queue

    @property
    def has_process(self) -> bool:
        return self.child is not None and not self.child.is_gone()

    def close(self) -> None:
        """End the child, however it is; wait for nothing."""
        self.flight.clear()
        self.queue.clear()
        if self.child is not None:
            self._forget_pipe()
            self.child.kill()

    def _send(self) -> None:
        if not self.queue:
            return
        if self.child is not None and self.child.is_gone():
            self._forget_pipe()
            self.child.close()
            self.child = None
        try:
            child = self.child or self._begin()
        except OSError as error:  # no process, no memory: that is no illness of what is read
            self._tell_all_unread(f"no process could be started to read it: {error.strerror}")
            return
        if child.killed:
            return
        self.flight.extend(self.queue)
        self.queue.clear()
        self._sent_at = time.monotonic()
        self._before = read_cpu_times(child.pid)
        self._next_turn()
        if not child.send(write_tasks([errand.task for errand in self.flight])):
            self._lost()

    def _begin(self) -> Child:
        self._leaving = [child for child in self._leaving if not child.is_gone()]
        self.child = self._start()
        self._listen(self.child)
        return self.child

    def _tell_all_unread(self, reason: str) -> None:
        waiting, self.queue = self.queue, []
        for errand in waiting:
            errand.tell(self._answer(errand.task, ReadStatus.STARVED, reason))

    def _listen(self, child: Child) -> None:
        self._data.clear()
        if child.answers is not None:
            self._selector.register(child.answers, EVENT_READ, self.receive)

    def _forget_pipe(self) -> None:
        if self.child is not None and self.child.answers is not None:
            with contextlib.suppress(KeyError):  # it has been forgotten before
                self._selector.unregister(self.child.answers)

    def _next_turn(self) -> None:
        if not self.flight:
            self._patience_ends = float("inf")
            return
        head = self.flight[0]
        self._last_task = head.task
        self._turn_started = time.monotonic()
        self._turn_instant = self._clock()
        head.due = self._turn_started + head.deadline_seconds
        patience = min(PATIENCE_SECONDS, head.deadline_seconds / 2)
        self._patience_ends = (
            self._turn_started + patience if self.overtaken is not None else float("inf")
        )

    # What the child says

    def receive(self) -> None:
        """Take what is in the pipe."""
        child = self.child
        if child is None or child.answers is None:
            return
        try:
            data = os.read(child.answers, CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._lost()
            return
        self._data += data
        if b"\n" not in data:
            if len(self._data) > LINE_LIMIT_BYTES:
                self._lost()
            return
        *lines, rest = bytes(self._data).split(b"\n")
        self._data = bytearray(rest)
        try:
            answers = [read_answer(line) for line in lines]
        except ValueError:
            self._lost()
            return
        for answer in answers:
            self._hear(answer)
        if not self.flight:
            self._send()

    def _hear(self, answer: Answer) -> None:
        if not self.flight or self.flight[0].task.number != answer.number:
            if self._unasked is not None:
                self._unasked(answer)
            return  # else: of a list that another child does now
        errand = self.flight.popleft()
        quick = time.monotonic() - self._turn_started < PATIENCE_SECONDS
        self.quick_answers = self.quick_answers + 1 if quick else 0
        self.stuck_since = None
        self._next_turn()
        errand.tell(answer)

    def _lost(self) -> None:
        """The child has gone, or has said what no child of ours says."""
        child = self.child
        if child is None:
            return
        self._forget_pipe()
        child.kill()
        gone = child.is_gone_soon()
        if gone or self.overtaken is not None:  # in a shared lane nobody else is to wait for it
            self.child = None
        if not gone and self.overtaken is not None:
            self._leaving.append(child)
        head = self.flight.popleft() if self.flight else None
        self.queue = [*self.flight, *self.queue]
        self.flight.clear()
        reason = f"the process that read it has ended: {describe_end(child)}"
        if head is not None:
            head.tell(self._answer(head.task, ReadStatus.BROKEN, reason))
        elif self._unasked is not None and self._last_task is not None:
            self._unasked(self._answer(self._last_task, ReadStatus.BROKEN, reason))
        self._send()

    # What time brings

    def next_due(self) -> float:
        """Return when `advance` has something to do again, as time.monotonic tells it."""
        if not self.flight:
            return float("inf")
        return min(self.flight[0].due, self._patience_ends)

    def postpone(self, seconds: float) -> None:
        """Give the child as much time more as we ourselves were not awake."""
        self._patience_ends += seconds
        for errand in self.flight:
            errand.due += seconds

    def advance(self, now: float) -> None:
        """Give up, or forgive, a child that has not answered in time."""
        if not self.flight or self.child is None or now < self.next_due():
            return
        head, child = self.flight[0], self.child
        after = read_cpu_times(child.pid)
        silence = judge_silence(self._before, after, now - self._sent_at)
        if silence is Silence.STARVED:
            self._patience_ends = now + PATIENCE_SECONDS if self.overtaken else float("inf")
            if now >= head.due:
                self._tell_starved(now)
        elif self.overtaken is not None:
            self.overtaken(self)
        else:
            self._give_up(head, child, now, describe_wait(child.pid, after))

    def _tell_starved(self, now: float) -> None:
        """Say so of all that wait behind it too; what the child still says is passed on later."""
        waited = format_duration(now - self._sent_at)
        for errand in self.flight:
            errand.due = float("inf")
            errand.called_starved = True
            reason = f"hpcdoctor itself has got too little CPU for {waited} to read this"
            errand.tell(self._answer(errand.task, ReadStatus.STARVED, reason))
        self._before, self._sent_at = read_cpu_times(self.child.pid if self.child else 0), now

    def _give_up(self, head: Errand, child: Child, now: float, where: str) -> None:
        self._forget_pipe()
        child.kill()
        self.flight.clear()
        self.stuck_since = self.stuck_since or self._turn_instant
        waited = format_duration(now - self._turn_started)
        head.tell(self._answer(head.task, ReadStatus.STUCK, f"no answer after {waited}; {where}"))
        if child.is_gone_soon():  # else its end is what tells that the source answers again
            self._rests_until = time.monotonic() + self._rest_seconds
        self._send()

    def _tell_resting(self, errand: Errand) -> None:
        since = format_duration(self._clock().seconds_since(self.stuck_since or self._clock()))
        left = format_duration(self._rests_until - time.monotonic())
        reason = f"no answer for {since}; it is asked again in {left}"
        errand.tell(self._answer(errand.task, ReadStatus.STUCK, reason))

    def _tell_stuck(self, errand: Errand, child: Child) -> None:
        if self.stuck_since is None:
            self.stuck_since = self._clock()
        since = format_duration(self._clock().seconds_since(self.stuck_since))
        where = describe_wait(child.pid, read_cpu_times(child.pid))
        reason = f"no answer for {since} and it cannot be ended; {where}"
        errand.tell(self._answer(errand.task, ReadStatus.STUCK, reason))

    def _answer(self, task: Task, status: ReadStatus, reason: str) -> Answer:
        seen = Look(
            task.probe,
            status,
            self._clock(),
            task.subject,
            reason=reason,
            stuck_since=self.stuck_since if status is ReadStatus.STUCK else None,
        )
        return Answer(task.number, status, msgspec.json.encode(seen))

    # When one of many is slow

    def split(self, into: "Lane") -> None:
        """Leave the child and what it does now to `into`; go on with the rest in a new child."""
        child = self.child
        if child is None:
            return
        self._forget_pipe()
        child.send(STOP)
        into.child, self.child = child, None
        into.flight.append(self.flight.popleft())
        into.stuck_since = self.stuck_since
        into._turn_started, into._turn_instant = self._turn_started, self._turn_instant
        into._sent_at, into._before = self._sent_at, self._before
        data = bytes(self._data)
        into._listen(child)
        into._data += data
        self.queue = [*self.flight, *self.queue]
        self.flight.clear()
        self._send()


def describe_end(child: Child) -> str:
    """Say how a process ended that nobody had asked to end."""
    status = child.exit_status
    if status is None:
        return "it has closed its pipe and still waits in the kernel"
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit status {os.waitstatus_to_exitcode(status)}"
