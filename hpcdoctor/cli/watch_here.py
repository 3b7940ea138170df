"""How does `hpcdoctor watch` look where no daemon runs? Each probe as often as its checks say."""

import socket
import time
from pathlib import Path

import msgspec

from hpcdoctor.checks.judge import Judge
from hpcdoctor.cli.ask import ascii_only, wants_colour
from hpcdoctor.cli.check_here import DEADLINE_SECONDS, JOBS, know_jobs, visitor
from hpcdoctor.knowledge import load
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look
from hpcdoctor.model.text import visible
from hpcdoctor.prober.local import Here
from hpcdoctor.probes.registry import Shape
from hpcdoctor.report.brief import brief
from hpcdoctor.report.document import report
from hpcdoctor.report.text import render

LEAST_SECONDS = 10.0  # between two looks of a probe: nobody reads faster, and the node has jobs


class Watcher:
    """Looks with what is due; what needs a second reading has it at the second look."""

    def __init__(self, configuration: Path) -> None:
        self._knowledge = load(configuration)
        settings = self._knowledge.settings
        self._node = visible(settings.node or socket.gethostname().partition(".")[0])
        self._every: dict[str, float] = {}
        for check in self._knowledge.checks.values():
            probe = check.definition.probe
            every = max(LEAST_SECONDS, check.every_seconds)
            self._every[probe] = min(every, self._every.get(probe, every))
        self._due = dict.fromkeys(self._every, 0.0)
        self._host = visitor(self._knowledge)
        self._judge = Judge(self._knowledge.checks, self._knowledge.profile, patient=False)
        self._here = Here(self._host)
        self._here.__enter__()
        self._first_look: tuple[Instant, Instant] | None = None
        self._last_record = -1  # of the kernel log: what was judged is not judged again

    def look(self, form: str, width: int, *, verbose: bool) -> str:
        """Return the page, or the one line, of what is known now."""
        now, began = time.monotonic(), self._host.clock()
        due = sorted(probe for probe, moment in self._due.items() if now >= moment)
        for probe in due:
            self._due[probe] = now + self._every[probe]
        looks = self._here.read([JOBS, *due], DEADLINE_SECONDS) if due else []
        know_jobs(self._judge, looks)
        for look in looks:
            self._judge.judge(self._only_new(look))
        instant: Instant = self._host.clock()
        self._first_look = self._first_look or (began, instant)
        self._judge.tick(instant)
        self._judge.explain()
        whole = report(
            self._node,
            self._judge.outcomes(),
            self._judge.findings.values(),
            self._judge.verdict(),
            instant,
            source="probes",
            jobs=self._judge.jobs,
        )
        if form == "brief":
            return brief(whole)
        return render(
            whole,
            width=width,
            colour=wants_colour(),
            verbose=verbose,
            ascii_only=ascii_only(),
            first_look=self._first_look,
        )

    def close(self) -> None:
        self._here.__exit__(None, None, None)

    def _only_new(self, look: Look) -> Look:
        """Leave out the records of the kernel log that an earlier look has had."""
        if look.probe == JOBS or self._knowledge.probes[look.probe].shape is not Shape.STREAM:
            return look
        last = self._last_record
        fresh = []
        for reading in look.readings:
            number = reading.get("sequence")
            if not isinstance(number, int):
                fresh.append(reading)
            elif number > last:
                fresh.append(reading)
                self._last_record = max(self._last_record, number)
        return msgspec.structs.replace(look, readings=fresh)
