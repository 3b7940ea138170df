"""What did a probe see when the machine was recorded, where its source is no file?

A recording may hold `readings/PROBE.json`, a JSON list with one object for each look:

    {"subject": "/scratch", "status": "read", "readings": [{...}], "reason": "", "stuck_seconds": 0}

Each key but `readings` may be left out. It is taken instead of reading: NVML, what a tool said, how
long a file system took. The file is as hostile as the rest of the recording.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from hpcdoctor.model.reading import Look, ReadStatus, Unavailable
from hpcdoctor.probes import files
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.registry import Probe


class RecordedLook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One look as the file holds it."""

    subject: str | None = None
    status: ReadStatus = ReadStatus.READ
    readings: list[dict[str, Any]] = []
    reason: str = ""
    stuck_seconds: float = 0.0


def path_of(root: Path, probe: str) -> Path:
    return root / "readings" / f"{probe}.json"


def has(probe: Probe, host: Host) -> bool:
    return path_of(host.root, probe.name).exists()


def looks(probe: Probe, host: Host) -> Iterator[Look]:
    """Yield the recorded looks; what does not fit the probe is `unavailable`."""
    now = host.clock()
    try:
        text = files.read_bytes(path_of(host.root, probe.name), files.LIMIT_BYTES)
        recorded = msgspec.json.decode(text, type=list[RecordedLook])
        typed = [msgspec.convert(look.readings, list[probe.reading]) for look in recorded]  # type: ignore[name-defined]  # the type is known at run time only
    except (OSError, Unavailable, msgspec.MsgspecError) as error:
        reason = looking_reason(probe.name, error)
        yield Look(probe.name, ReadStatus.UNAVAILABLE, now, reason=reason)
        return
    for look, readings in zip(recorded, typed, strict=True):
        yield Look(
            probe.name,
            look.status,
            now,
            look.subject,
            [msgspec.to_builtins(reading) for reading in readings],
            reason=look.reason,
            stuck_since=now.plus(-look.stuck_seconds) if look.stuck_seconds else None,
        )


def looking_reason(probe: str, error: Exception) -> str:
    return f"readings/{probe}.json of the recording is not what this probe reads: {error}"[:500]
