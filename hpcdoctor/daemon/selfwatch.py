"""What does the daemon know of its own parts? Gathers the facts and tells what begins and ends.

What they mean is report/illness.py. What may block (the disk, the configuration folder) is looked
at once a minute in a thread of its own.
"""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from hpcdoctor.daemon.aside import Aside
from hpcdoctor.daemon.story import Told
from hpcdoctor.definitions.settings import SchedulerName
from hpcdoctor.events.envelope import timestamp
from hpcdoctor.events.vocabulary import SelfNotice
from hpcdoctor.knowledge import Knowledge
from hpcdoctor.model.instant import Instant
from hpcdoctor.report.illness import (
    CLOCK_STEP_SECONDS,
    STEP_TOLD_SECONDS,
    Facts,
    Notice,
    diagnose,
)

ASIDE_SECONDS = 60.0
LOST_WINDOW_SECONDS = 3600.0
# A part that is started anew is away for a moment: what is gone at the next tick is not told.
TICKS_TO_TELL = 2
MOST_FILES = 5000

Stamp = dict[str, tuple[int, int]]  # file to its time of change (ns) and size


class Clock:
    """Did the wall clock jump against the boot clock?"""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._step: tuple[Instant, float] | None = None

    def note(self, now: Instant) -> None:
        offset = now.wall - now.boottime
        if self._offset is not None and abs(offset - self._offset) >= CLOCK_STEP_SECONDS:
            self._step = (now, offset - self._offset)
        self._offset = offset

    def step(self, now: Instant) -> float | None:
        """Return the last jump in seconds, where it is not long ago."""
        if self._step is None or now.seconds_since(self._step[0]) > STEP_TOLD_SECONDS:
            return None
        return self._step[1]


class Outside(msgspec.Struct, frozen=True):
    """What was seen on the disk."""

    free_bytes: int | None = None
    changed_files: list[str] = []
    helper_missing: bool = False


class SelfWatch:
    """The notices of one daemon."""

    def __init__(
        self,
        knowledge: Callable[[], Knowledge],
        gather: Callable[[Facts], Facts],
        clock: Callable[[], Instant],
    ) -> None:
        """`gather` adds what the other parts know; it must not block."""
        self._knowledge = knowledge
        self._gather = gather
        self._clock = clock
        self._wall_clock = Clock()
        self._aside = Aside("selfwatch")
        self._looked: Instant | None = None
        self.outside = Outside()
        self._stamp = stamp_of(knowledge().configuration)
        self._seen: dict[str, tuple[int, Instant]] = {}  # code: in how many ticks, since when
        self._told: dict[str, SelfNotice] = {}
        self._lost: deque[tuple[Instant, int]] = deque()  # the spool's count of the lost, at times
        self.started = clock()

    def notices(self) -> list[Notice]:
        """Return what is wrong now."""
        return diagnose(self.facts())

    def facts(self) -> Facts:
        known, now = self._knowledge(), self._clock()
        off = known.settings
        helper_wanted = off.scheduler is not SchedulerName.NONE or bool(off.remediations)
        trouble = f"there is no socket at {off.helper_socket}"
        facts = Facts(
            now=now,
            cost_limit_ratio=off.probe_cost_ratio,
            state_directory=off.state_directory,
            free_bytes=self.outside.free_bytes,
            changed_files=self.outside.changed_files,
            helper_trouble=trouble if helper_wanted and self.outside.helper_missing else "",
            clock_step_seconds=self._wall_clock.step(now),
            blind_rules=blind_rules(known),
        )
        return self._gather(facts)

    def lost_lately(self, lost_total: int) -> int:
        """Return how many events the spool lost within the hour, or since the start."""
        now = self._clock()
        if not self._lost or self._lost[-1][1] != lost_total:
            self._lost.append((now, lost_total))
        while len(self._lost) > 1 and now.seconds_since(self._lost[1][0]) > LOST_WINDOW_SECONDS:
            self._lost.popleft()
        return lost_total - self._lost[0][1]

    def reloaded(self) -> None:
        """The configuration was read anew: what stands on the disk is in force."""
        self._stamp = stamp_of(self._knowledge().configuration)
        self.outside = msgspec.structs.replace(self.outside, changed_files=[])

    def tick(self) -> list[Told]:
        """Look, and return the events for what has begun and what is over."""
        now = self._clock()
        self._wall_clock.note(now)
        if self._looked is None or now.seconds_since(self._looked) >= ASIDE_SECONDS:
            self._looked = now
            self._aside.begin(self._look_outside)
        current = {notice.code: notice for notice in self.notices()}
        self._seen = {
            code: (self._seen[code][0] + 1, self._seen[code][1]) if code in self._seen else (1, now)
            for code in current
        }
        told = []
        for code, notice in current.items():
            ticks, since = self._seen[code]
            if code not in self._told and ticks >= TICKS_TO_TELL:
                data = SelfNotice(
                    code=code, what=notice.what, do=notice.do, since=timestamp(since.wall)
                )
                self._told[code] = data
                told.append(Told("hpcdoctor.self.noticed", data, code))
        for code in [code for code in self._told if code not in current]:
            told.append(Told("hpcdoctor.self.cleared", self._told.pop(code), code))
        return told

    def _look_outside(self) -> None:
        known, stamp = self._knowledge(), self._stamp
        settings = known.settings
        changed = changes(stamp, stamp_of(known.configuration), known.configuration)
        if stamp is not self._stamp:  # a reload came in between
            changed = []
        self.outside = Outside(
            free_bytes=free_bytes(settings.state_directory),
            changed_files=changed,
            helper_missing=not os.path.lexists(settings.helper_socket),
        )


def free_bytes(folder: str) -> int | None:
    """Return what a user who is not root may still write there; None where it cannot be told."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def stamp_of(folder: Path) -> Stamp:
    """Return what every YAML file of the configuration looks like from outside."""
    found: Stamp = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118 - os.walk speaks strings
            if not name.endswith(".yaml") or len(found) >= MOST_FILES:
                continue
            try:
                seen = os.stat(path)  # noqa: PTH116 - as above
            except OSError:
                continue
            found[path] = (seen.st_mtime_ns, seen.st_size)
    return found


def changes(before: Stamp, now: Stamp, folder: Path) -> list[str]:
    """Name the files that are new, gone or others, from the folder on."""
    differ = {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}
    return sorted(os.path.relpath(path, folder) for path in differ)


def blind_rules(known: Knowledge) -> dict[str, str]:
    """Return the rules in force that need a check which is switched off, with that check."""
    blind = {}
    for name, rule in known.rules.items():
        off = [check for check in rule.when.all if check not in known.checks]
        if rule.when.any and not any(check in known.checks for check in rule.when.any):
            off += list(rule.when.any)
        if off:
            blind[name] = off[0]
    return blind
