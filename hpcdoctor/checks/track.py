"""What is remembered of one check on one thing, from look to look?"""

from collections.abc import Mapping

import msgspec

from hpcdoctor.checks.compiled import CompiledCheck
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, Value


class Track(msgspec.Struct):
    """One check on one thing."""

    subject: dict[str, str]
    verdict: Verdict = Verdict.OK  # as it stands now, hold and clear times respected
    skipped: str = ""
    reason: str = ""  # why unknown
    unknown_since: Instant | None = None
    true_since: dict[str, Instant] = {}  # by level
    true_last: dict[str, Instant] = {}


def has_cleared(check: CompiledCheck, last: Instant, now: Instant) -> bool:
    """Tell whether a condition that held last at `last` has been quiet for long enough."""
    if check.clears_at_reboot:
        return last.boot_id != now.boot_id
    return check.clear_seconds is not None and now.seconds_since(last) >= check.clear_seconds


def concerns(track: Track, check: CompiledCheck, look: Look) -> bool:
    """Tell whether a look says anything of this thing: one at a mount says nothing of another."""
    if check.subject_field is None or look.subject is None:
        return True
    return track.subject.get(check.subject_field) == look.subject


def subject_of(check: CompiledCheck, look: Look) -> dict[str, str]:
    """Return what a look without readings is about: its subject, or the whole source."""
    return {check.subject_field: look.subject} if check.subject_field and look.subject else {}


def moment_of(record: Mapping[str, Value], now: Instant) -> Instant:
    """Return when an event happened, where it says so: it may be read hours later."""
    seconds = record.get("boottime_seconds")
    if not isinstance(seconds, (int, float)) or not 0 <= seconds <= now.boottime:
        return now
    return now.plus(seconds - now.boottime)
