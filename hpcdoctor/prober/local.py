"""How does `hpcdoctor check` read the machine where no daemon runs? As the prober does, once.

On this machine in children that can be killed; on a recorded one, where nothing can hang and no
program is run, in this process.
"""

import time
from collections.abc import Iterator, Sequence
from selectors import DefaultSelector
from types import TracebackType
from typing import Self

import msgspec

from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.model.request import Read
from hpcdoctor.prober import looking, recordings
from hpcdoctor.prober.lanes import Find, Lanes
from hpcdoctor.probes import registry
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.registry import Shape

# What a round may take beyond the deadline of its slowest part: subjects come after their names.
ROUNDS = 3.0


class Collected:
    """The sink of one round."""

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self.settled = False

    def add(self, look: bytes) -> None:
        self.looks.append(msgspec.json.decode(look, type=Look))

    def settle(self) -> None:
        self.settled = True


def read_here(
    probes: list[str],
    host: Host,
    deadline_seconds: float,
    *,
    mounts: Sequence[str] = (),
    find: Find = registry.find,
) -> list[Look]:
    """Look once with each of these probes; never later than a few deadlines, whatever hangs."""
    host.extra_mounts = list(mounts) or host.extra_mounts
    with Here(host, find) as here:
        return here.read(probes, deadline_seconds)


class Here:
    """Looks as often as it is asked: what probes remember of one look is there at the next.

    with Here(host) as here: first = here.read(probes, 5.0); ...; second = here.read(probes, 5.0)
    """

    def __init__(self, host: Host, find: Find = registry.find) -> None:
        self._host = host
        self._find = find
        self._selector = DefaultSelector()
        self._lanes = Lanes(host, find, self._selector)

    def read(self, probes: list[str], deadline_seconds: float) -> list[Look]:
        if not self._host.live:
            return [look for name in probes for look in read_recorded(name, self._host, self._find)]
        collected = Collected()
        end = time.monotonic() + ROUNDS * deadline_seconds
        self._lanes.read(Read(probes, deadline_seconds), collected)
        while not collected.settled and time.monotonic() < end:
            self._lanes.turn(end)
        return list(collected.looks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lanes.close()
        self._selector.close()


def read_recorded(name: str, host: Host, find: Find) -> Iterator[Look]:
    """Yield what one probe sees of a recorded machine, which keeps the probe's memory itself."""
    try:
        probe = find(name)
    except KeyError:
        yield Look(name, ReadStatus.BROKEN, host.clock(), reason=f"no probe is named {name}")
        return
    if recordings.has(probe, host):
        yield from recordings.looks(probe, host)
    elif probe.shape is Shape.PLAIN:
        yield looking.look(probe, host)
    elif probe.shape is Shape.STREAM:
        yield looking.drain(probe, host)
    else:
        named = looking.name_subjects(probe, host)
        if isinstance(named, Look):
            yield named
        elif not named:
            yield Look(name, ReadStatus.READ, host.clock())
        else:
            for subject in named:
                yield looking.look(probe, host, subject)
