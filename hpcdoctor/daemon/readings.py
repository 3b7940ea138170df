"""How does the daemon get its readings? Asks the prober on time, all that is due at once."""

import asyncio
import os
import zlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import structlog

from hpcdoctor.checks.compiled import CompiledCheck
from hpcdoctor.daemon.ledger import Ledger
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.model.request import Follow, Read, Request
from hpcdoctor.probes.registry import Shape
from hpcdoctor.report.illness import SILENT_SECONDS

log = structlog.get_logger()

LONGEST_LINE = 64 << 20
JOBS = "jobs"  # the probe
JOBS_SECONDS = 20.0  # a job that dies of what it met is known by the look before
DEADLINE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 30.0
FOLLOW_AGAIN_TICKS = 12
# A stream that ends with one of these has to be asked for again.
ENDED = frozenset({ReadStatus.ABSENT, ReadStatus.UNAVAILABLE, ReadStatus.BROKEN})


class Schedule:
    """When is each probe due? In whole ticks, so that one wake-up serves them all.

    Probes with a child a subject look at what nodes may share, such as a file server. Of nodes that
    were started in the same second each has its own turn within the interval, by its name: five
    thousand that ask at once would be the storm that they are to report.
    """

    def __init__(
        self, checks: Mapping[str, CompiledCheck], tick_seconds: float, node: str | None = None
    ) -> None:
        self._node = os.uname().nodename if node is None else node
        self.streams = sorted(
            {c.definition.probe for c in checks.values() if c.shape is Shape.STREAM}
        )
        self._every: dict[str, int] = {}
        for check in checks.values():
            if check.shape is not Shape.STREAM:
                ticks = max(1, round(check.every_seconds / tick_seconds))
                probe = check.definition.probe
                self._every[probe] = min(ticks, self._every.get(probe, ticks))
        # Not for any check: rules may ask whether jobs run here.
        self._every.setdefault(JOBS, max(1, round(JOBS_SECONDS / tick_seconds)))
        spread = {c.definition.probe for c in checks.values() if c.shape is Shape.PER_SUBJECT}
        self._turn = {probe: self._turn_of(probe) for probe in spread}

    def _turn_of(self, probe: str) -> int:
        return zlib.crc32(f"{self._node} {probe}".encode()) % self._every[probe]

    @property
    def probes(self) -> list[str]:
        return sorted(self._every)

    def due(self, tick: int) -> list[str]:
        """Return the probes of this tick; what no other node shares is due all at once."""
        return [
            probe
            for probe, every in sorted(self._every.items())
            if tick % every == self._turn.get(probe, 0)
        ]


class Readings:
    """The connection to the prober, made again whenever it breaks."""

    def __init__(
        self,
        path: Path,
        schedule: Schedule,
        positions: Callable[[], Mapping[str, str]],
        deliver: Callable[[list[Look]], Awaitable[None]],
        clock: Callable[[], Instant],
    ) -> None:
        self.schedule = schedule
        self.connected = False
        self.ledger = Ledger()
        self._path = path
        self._positions = positions
        self._deliver = deliver
        self._clock = clock
        self._writer: asyncio.StreamWriter | None = None
        self._ended: set[str] = set()  # streams that the prober follows no more
        self._renewed = False  # the schedule: nobody has looked by it yet
        self._asked: Instant | None = None  # since when it has been asked and has said nothing

    async def run(self) -> None:
        """Keep a connection, and pass on what comes."""
        pause = 0.2
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(
                    self._path, limit=LONGEST_LINE
                )
            except OSError:
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
                continue
            pause = 0.2
            try:
                await self._greet()
                while line := await reader.readline():
                    looks = msgspec.json.decode(line, type=list[Look])
                    self._note(looks)
                    await self._deliver(looks)
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                log.warning("prober.broken", reason=str(error))
            finally:
                self.connected = False
                self._asked = None
                self.ledger.lose(self._clock())
                self._writer.close()
                self._writer = None

    @property
    def silent_seconds(self) -> float | None:
        """Return for how long the prober has been asked and has said nothing; None: it has."""
        return self._clock().seconds_since(self._asked) if self._asked is not None else None

    def _note(self, looks: list[Look]) -> None:
        self._asked = None
        self.ledger.note(looks)
        for look in looks:
            if look.probe in self.schedule.streams and look.status in ENDED:
                self._ended.add(look.probe)

    async def _follow(self, probes: list[str]) -> None:
        positions = self._positions()
        self._ended.difference_update(probes)
        for probe in probes:
            await self._send(Follow(probe=probe, position=positions.get(probe, "")))

    async def _greet(self) -> None:
        """Follow the streams from where we are, and look at everything once."""
        await self._follow(self.schedule.streams)
        self.connected = True
        await self._look(self.schedule.probes)

    def adopt(self, schedule: Schedule) -> None:
        """Ask by another schedule from the next tick on, and then for everything once."""
        self.schedule = schedule
        self._renewed = True

    async def ask(self, probes: list[str]) -> None:
        """Look with these probes now, out of turn; what they see comes like everything else."""
        if self.connected:
            await self._look(probes)

    async def tick(self, number: int) -> None:
        """Ask for what is due; without a prober, say that it cannot be read."""
        due = self.schedule.due(number)
        # One that is stopped takes requests until its socket is full, and then holds us up.
        silent = (self.silent_seconds or 0.0) >= SILENT_SECONDS
        if not self.connected or silent:
            await self._deliver(self._unavailable([*due, *self.schedule.streams]))
            return
        try:
            if self._renewed:
                self._renewed = False
                await self._greet()
                return
            if self._ended and number % FOLLOW_AGAIN_TICKS == 0:
                await self._follow(sorted(self._ended))
            if due:
                await self._look(due)
        except OSError as error:
            log.warning("prober.broken", reason=str(error))

    async def _look(self, probes: list[str]) -> None:
        self._asked = self._asked or self._clock()
        await self._send(Read(probes=probes, deadline_seconds=DEADLINE_SECONDS))

    async def _send(self, request: Request) -> None:
        if self._writer is not None:
            self._writer.write(msgspec.json.encode(request) + b"\n")
            await self._writer.drain()

    def _unavailable(self, probes: list[str]) -> list[Look]:
        now = self._clock()
        reason = f"the prober does not answer at {self._path}"
        return [
            Look(probe=probe, status=ReadStatus.UNAVAILABLE, taken=now, reason=reason)
            for probe in probes
        ]
