"""Which child reads what? One for all plain probes, one for each subject, one for each stream.

A plain probe that keeps the others waiting gets a lane of its own, with the child that it holds up,
and comes back to the others when it has been quick for a while.
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from selectors import BaseSelector
from typing import Protocol

import msgspec

from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.model.request import Follow, Read
from hpcdoctor.prober import looking
from hpcdoctor.prober.child import work
from hpcdoctor.prober.fork import Child, fork
from hpcdoctor.prober.lane import REST_SECONDS, Errand, Lane, Listener
from hpcdoctor.prober.task import Answer, Kind, Task
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.registry import Probe, Shape

Find = Callable[[str], Probe]

FOLLOW_DEADLINE_SECONDS = 10.0
QUICK_ANSWERS_TO_COME_BACK = 12
COMPLAINTS_REMEMBERED = 1000
# Waking so much later than planned means that we ourselves got no CPU, or the machine stood still.
LATE_SECONDS = 0.5

KINDS = {Shape.PLAIN: Kind.READ, Shape.PER_SUBJECT: Kind.SUBJECTS, Shape.STREAM: Kind.DRAIN}


class Sink(Protocol):
    """Who asked."""

    def add(self, look: bytes) -> None:
        """Take one Look, as JSON."""

    def settle(self) -> None:
        """All that was asked for has been answered, by now."""


class Round:
    """One Read: what of it is still open."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.open = 0

    def listen(self, listener: Listener) -> Listener:
        """Return the listener for one errand; a second answer to it, a late one, counts no more."""
        self.open += 1
        answered = False

        def hear(answer: Answer) -> None:
            nonlocal answered
            listener(answer)
            if not answered:
                answered = True
                self.open -= 1
            if self.open == 0:
                self.sink.settle()

        return hear


class Lanes:
    """All lanes of one template."""

    def __init__(self, host: Host, find: Find, selector: BaseSelector) -> None:
        self._host = host
        self._find = find
        self._selector = selector
        self._found: dict[str, Probe] = {}
        self._number = 0
        self._complaints: set[str] = set()
        self.machine = self._make(overtaken=self._overtaken)
        self.own: dict[str, Lane] = {}
        self.subjects: dict[tuple[str, str], Lane] = {}
        self.streams: dict[str, Lane] = {}

    def find(self, name: str) -> Probe:
        """Return the probe. In the template too, so that its module's memory is shared."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    # What is asked for

    def read(self, request: Read, sink: Sink) -> None:
        """Have every probe look once; `sink` hears of each, and when all have answered."""
        round_ = Round(sink)
        round_.open += 1  # ourselves, until all is asked for
        together: list[Errand] = []
        for name in dict.fromkeys(request.probes):
            probe = self._find_or_complain(name, sink)
            if probe is None:
                continue
            listener = partial(self._pass_on, sink)
            if probe.shape is Shape.PER_SUBJECT:
                listener = partial(self._ask_subjects, probe, request, round_)
            task = self._task(name, KINDS[probe.shape])
            errand = Errand(task, request.deadline_seconds, round_.listen(listener))
            if probe.shape is Shape.STREAM and name not in self.own:
                self.own[name] = self._make()
            if name in self.own:
                self._come_back(name)
            if name in self.own:
                self.own[name].ask(errand)
            else:
                together.append(errand)
        if together:
            self.machine.ask(*together)
        round_.open -= 1
        if round_.open == 0:
            sink.settle()

    def follow(self, request: Follow, sink: Sink) -> None:
        """Follow a stream, instead of where it was followed before."""
        probe = self._find_or_complain(request.probe, sink)
        if probe is None:
            return
        if probe.shape is not Shape.STREAM:
            self._refuse(probe.name, "it is no stream and cannot be followed", sink)
            return
        self.stop_following(probe.name)
        listener = partial(self._pass_on_stream, probe.name, sink)
        lane = self._make(unasked=listener)
        self.streams[probe.name] = lane
        task = self._task(probe.name, Kind.FOLLOW, position=request.position)
        lane.ask(Errand(task, FOLLOW_DEADLINE_SECONDS, listener))

    def stop_following(self, *names: str) -> None:
        """End the children of these streams; of all, where none is named."""
        for name in names or tuple(self.streams):
            lane = self.streams.pop(name, None)
            if lane is not None:
                lane.close()

    def _task(self, probe: str, kind: Kind, subject: str | None = None, position: str = "") -> Task:
        self._number += 1
        return Task(self._number, probe, kind, subject, position)

    def _find_or_complain(self, name: str, sink: Sink) -> Probe | None:
        try:
            return self.find(name)
        except KeyError:
            self._refuse(name, f"no probe is named {name}", sink)
        except Exception as error:  # noqa: BLE001 - a module that cannot be imported is one broken probe
            seen = looking.explain(error, name, self._host)
            self._refuse(name, f"it cannot be imported: {seen.reason}", sink)
        return None

    def _refuse(self, name: str, reason: str, sink: Sink) -> None:
        name = looking.clean(name)
        seen = Look(name, ReadStatus.BROKEN, self._host.clock(), reason=looking.clean(reason))
        self._complain(name, seen.reason)
        sink.add(looking.encode(seen))

    # What comes back

    def _pass_on(self, sink: Sink, answer: Answer) -> None:
        if answer.word == ReadStatus.BROKEN:
            seen = msgspec.json.decode(answer.body, type=Look)
            self._complain(seen.probe, seen.reason)
        sink.add(answer.body)

    def _pass_on_stream(self, name: str, sink: Sink, answer: Answer) -> None:
        self._pass_on(sink, answer)
        sink.settle()
        if answer.word not in (ReadStatus.READ, ReadStatus.STARVED, ReadStatus.STUCK):
            self.stop_following(name)

    def _ask_subjects(self, probe: Probe, request: Read, round_: Round, answer: Answer) -> None:
        """The subjects have been named: ask each one's own lane."""
        if answer.word != ReadStatus.READ:
            self._pass_on(round_.sink, answer)
            return
        subjects = msgspec.json.decode(answer.body, type=list[str])
        self._close_lanes_without_subject(probe.name, subjects)
        there = Look(probe.name, ReadStatus.READ, self._host.clock(), named=subjects)
        round_.sink.add(looking.encode(there))
        for subject in subjects:
            key = (probe.name, subject)
            if key not in self.subjects:
                self.subjects[key] = self._make(rest_seconds=REST_SECONDS)
            task = self._task(probe.name, Kind.READ, subject)
            listener = round_.listen(partial(self._pass_on, round_.sink))
            self.subjects[key].ask(Errand(task, request.deadline_seconds, listener))

    def _close_lanes_without_subject(self, probe: str, subjects: list[str]) -> None:
        for key, lane in list(self.subjects.items()):
            if key[0] == probe and key[1] not in subjects and lane.is_idle:
                lane.close()
                if not lane.has_process:  # else it stays until it can end: no second one meanwhile
                    del self.subjects[key]

    def _complain(self, probe: str, reason: str) -> None:
        """Say once on stderr what is wrong with a probe, or with us."""
        line = f"hpcdoctor prober: {probe}: {reason}\n"
        if line not in self._complaints and len(self._complaints) < COMPLAINTS_REMEMBERED:
            self._complaints.add(line)
            sys.stderr.write(line.encode(errors="backslashreplace").decode())
            sys.stderr.flush()

    # How lanes come and go

    def _make(
        self,
        overtaken: Callable[[Lane], None] | None = None,
        unasked: Listener | None = None,
        rest_seconds: float = 0.0,
    ) -> Lane:
        return Lane(
            self._fork,
            self._host.clock,
            self._selector,
            overtaken=overtaken,
            unasked=unasked,
            rest_seconds=rest_seconds,
        )

    def _fork(self) -> Child:
        return fork(partial(work, self.find, self._host))

    def _overtaken(self, machine: Lane) -> None:
        name = machine.flight[0].task.probe
        self.own[name] = self._make()
        machine.split(self.own[name])

    def _come_back(self, name: str) -> None:
        lane = self.own[name]
        quick = lane.is_idle and lane.quick_answers >= QUICK_ANSWERS_TO_COME_BACK
        if quick and self.find(name).shape is not Shape.STREAM:
            lane.close()
            del self.own[name]

    def _all(self) -> Iterator[Lane]:
        yield self.machine
        yield from list(self.own.values())
        yield from list(self.subjects.values())
        yield from list(self.streams.values())

    # What time brings

    def turn(self, until: float) -> None:
        """Wait for the next thing to happen, at most until then, and do what it asks for."""
        before = time.monotonic()
        due = min(self._next_due(), until)
        ready = self._selector.select(None if due == float("inf") else max(0.0, due - before))
        late = time.monotonic() - max(due, before)
        if late > LATE_SECONDS:
            for lane in self._all():
                lane.postpone(late)
        for key, _ in ready:
            key.data()
        now = time.monotonic()
        for lane in self._all():
            lane.advance(now)

    def _next_due(self) -> float:
        return min(lane.next_due() for lane in self._all())

    def close(self) -> None:
        """End all children; wait for none."""
        for lane in self._all():
            lane.close()
