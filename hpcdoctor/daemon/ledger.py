"""What have the looks cost, when was the last one, and how did they end? Counted for ourselves.

Labels are names of probes and of statuses and nothing else: what is measured stays in the judge.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.report.illness import (
    COST_WINDOW_SECONDS,
    RESTARTS_WINDOW_SECONDS,
    STARVED_WINDOW_SECONDS,
    ProbeCost,
)

BUCKET_SECONDS = 60.0
REMEMBERED = 1000


class Ledger:
    """The books of one daemon's looks; times are boot-clock seconds where not said otherwise."""

    def __init__(self) -> None:
        self.looks: Counter[tuple[str, str]] = Counter()  # by probe and how the look ended
        self.last_look: dict[str, float] = {}  # probe to seconds of wall time
        self.cpu_seconds: defaultdict[str, float] = defaultdict(float)
        self.duration_seconds: defaultdict[str, float] = defaultdict(float)
        self.losses = 0  # connections to the prober
        self.denied: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        self._lost_at: deque[float] = deque(maxlen=REMEMBERED)
        self._starved_at: deque[float] = deque(maxlen=REMEMBERED)
        self._buckets: deque[tuple[float, dict[str, float]]] = deque()  # begin, probe to CPU time

    def note(self, looks: Iterable[Look]) -> None:
        """Count what the prober said."""
        for look in looks:
            if look.named is not None:  # says what there is, and saw nothing of it
                self.last_look[look.probe] = look.taken.wall
                continue
            self._count(look)

    def _count(self, look: Look) -> None:
        probe, now = look.probe, look.taken.boottime
        self.looks[probe, look.status.value] += 1
        self.last_look[probe] = look.taken.wall
        self.cpu_seconds[probe] += look.cpu_seconds
        self.duration_seconds[probe] += look.took_seconds
        self._spend(probe, look.cpu_seconds, now)
        if look.status is ReadStatus.STARVED:
            self._starved_at.append(now)
        if look.denied:
            self.denied[probe] = look.reason
        elif look.subject is None or look.status is ReadStatus.READ:
            self.denied.pop(probe, None)
        if look.status is ReadStatus.BROKEN:
            self.broken[probe] = look.reason
        elif look.status is ReadStatus.READ:
            self.broken.pop(probe, None)

    def _spend(self, probe: str, cpu_seconds: float, now: float) -> None:
        if not self._buckets or now - self._buckets[-1][0] >= BUCKET_SECONDS:
            self._buckets.append((now, {}))
            while now - self._buckets[0][0] > COST_WINDOW_SECONDS + BUCKET_SECONDS:
                self._buckets.popleft()
        spent = self._buckets[-1][1]
        spent[probe] = spent.get(probe, 0.0) + cpu_seconds

    def lose(self, now: Instant) -> None:
        """Count a connection to the prober that broke."""
        self.losses += 1
        self._lost_at.append(now.boottime)

    def losses_lately(self, now: Instant) -> int:
        return _since(self._lost_at, now.boottime - RESTARTS_WINDOW_SECONDS)

    def starved_lately(self, now: Instant) -> int:
        return _since(self._starved_at, now.boottime - STARVED_WINDOW_SECONDS)

    def costs(self, now: Instant) -> tuple[list[ProbeCost], float]:
        """Return what each probe cost lately, and how many seconds that is of."""
        if not self._buckets:
            return [], 0.0
        total: dict[str, float] = {}
        for _, spent in self._buckets:
            for probe, seconds in spent.items():
                total[probe] = total.get(probe, 0.0) + seconds
        costs = [ProbeCost(probe, seconds) for probe, seconds in sorted(total.items())]
        return costs, max(0.0, now.boottime - self._buckets[0][0])


def _since(moments: deque[float], earliest: float) -> int:
    while moments and moments[0] < earliest:
        moments.popleft()
    return len(moments)
