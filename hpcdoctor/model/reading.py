"""What a probe brings back: readings, or why there are none."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from hpcdoctor.model.instant import Instant

Value = bool | int | float | str | list[str] | None


class Reading(msgspec.Struct, frozen=True):
    """What a probe saw of one thing at one moment; subclasses declare the fields with their units.

    `None` in a field means that the source does not say; it is never zero and never healthy.
    A counter that stops at a maximum declares it:
    `link_downed_total: Annotated[int | None, msgspec.Meta(extra={"saturates": 255})]`.
    """


class Absent(Exception):
    """The source is not on this machine. The check is skipped, "not present"."""


class Unavailable(Exception):
    """The source is on this machine but cannot be read. The check is `unknown`."""


class NeedsSecondReading(Exception):
    """The probe compares two looks and this was the first. The check is skipped until the next."""


R_co = TypeVar("R_co", bound=Reading, covariant=True)


class Chunk(msgspec.Struct, Generic[R_co], frozen=True):
    """What a stream had to say since it was read last."""

    readings: Sequence[R_co]
    position: str  # where to go on after a restart; opaque to everybody else
    lost: int = 0  # records that were overwritten before they could be read
    suppressed: int = 0  # records that a flood made us count and not pass on


class ReadStatus(StrEnum):
    READ = "read"
    ABSENT = "absent"
    UNAVAILABLE = "unavailable"
    FIRST = "first"  # needs a second reading
    STUCK = "stuck"  # the child that reads has not answered in time and waits on the source
    STARVED = "starved"  # the child has not answered in time because it got no CPU: our own illness
    BROKEN = "broken"  # the probe raised what it never should: a bug of ours


class Look(msgspec.Struct, frozen=True):
    """The answer to one request: what one probe, or one subject of it, gave at one moment."""

    probe: str
    status: ReadStatus
    taken: Instant
    subject: str | None = None  # for probes with one child a subject: the mount point, the GPU
    readings: list[dict[str, Value]] = []
    reason: str = ""  # why there are no readings; a whole sentence without a full stop
    stuck_since: Instant | None = None
    lost: int = 0  # stream only: records that were overwritten before they could be read
    suppressed: int = 0  # stream only: records that a flood made us count and not pass on
    position: str = ""  # stream only: where to go on after a restart, for the store
    # Of a probe with a child a subject, once a round: what there is to look at now. Of what is not
    # among them no look will come any more.
    named: list[str] | None = None
    # What it cost, where the child measured it; the CPU time is with that of the tools it ran.
    took_seconds: float = 0.0
    cpu_seconds: float = 0.0
    denied: bool = False  # unavailable because the kernel refuses it to us: EACCES, EPERM
