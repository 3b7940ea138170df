"""When did NHC take this node out, and when would hpcdoctor have? Pure; both as periods of time.

NHC's side is read from its log (as a failed check and the helpers write it, one line each, with the
time in front) or from the reasons that Slurm shows.
"""

import re
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

# A failure is logged anew at every run: what is no further apart is the same one.
SAME_SECONDS = 1800.0
# NHC looks every few minutes, and some of our conditions have to hold for a while.
SLACK_SECONDS = 900.0
DAY = 86400.0
LONGEST_TEXT = 300

STAMPS = (
    re.compile(r"\[?(?P<epoch>\d{10})(?:\.\d+)?\]?\s"),
    re.compile(
        r"\[?(?P<year>\d{4})-?(?P<month>\d\d)-?(?P<day>\d\d)[T ]+"
        r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,]\d+)?(?P<zone>Z|[+-]\d\d:?\d\d)?\]?"
    ),
    re.compile(
        r"(?P<name>[A-Z][a-z]{2}) +(?P<day>\d{1,2}) "
        r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    ),
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FAILED = re.compile(r"Health check failed:\s*(?P<text>.*)|\bNHC:\s+(?P<note>.*)")
ONLINE = re.compile(r"node-mark-online")
REASON = re.compile(r"\s*(?P<when>[^|]*)\|\s*NHC:\s+(?P<text>.*)")


class Period(msgspec.Struct, frozen=True):
    """The node was out, or would have been."""

    begin: float  # seconds of wall time
    end: float | None  # None: it still was at the end
    text: str


class Pair(msgspec.Struct, frozen=True):
    """What both said of the same time, or one of them alone."""

    who: str  # "both", "only NHC", "only hpcdoctor"
    nhc: Period | None
    hpcdoctor: Period | None

    @property
    def begin(self) -> float:
        return min(each.begin for each in (self.nhc, self.hpcdoctor) if each is not None)


class Read(msgspec.Struct, frozen=True):
    """NHC's side."""

    periods: list[Period]
    undated: int  # lines of failures without a time, which cannot be compared


def read_log(lines: Iterable[str], now: float) -> Read:
    """Return when NHC had the node out, by its log; times without a zone are local ones."""
    undated = 0
    seen: list[tuple[float, str]] = []  # what failed; "" where the node was put back
    for line in lines:
        failed, online = FAILED.search(line), ONLINE.search(line)
        if failed is None and online is None:
            continue
        when = moment_of(line, now)
        if when is None:
            undated += 1
        elif online is not None or failed is None:
            seen.append((when, ""))
        else:
            text = (failed["text"] or failed["note"] or "")[:LONGEST_TEXT].strip()
            seen.append((when, text or "it does not say why"))
    return Read(_periods(sorted(seen, key=lambda each: each[0]), now), undated)


def _periods(seen: list[tuple[float, str]], now: float) -> list[Period]:
    periods: list[Period] = []
    begin = last = 0.0
    standing = ""
    for when, text in seen:
        if standing and (not text or when - last > SAME_SECONDS):
            end = when if when - last <= SAME_SECONDS else last
            periods.append(Period(begin, end, standing))
            standing = ""
        if text:
            begin, standing = (begin, standing) if standing else (when, text)
            last = when
    if standing:
        periods.append(Period(begin, None if now - last <= SAME_SECONDS else last, standing))
    return periods


def read_reasons(lines: Iterable[str], now: float) -> Read:
    """Return NHC's drains by lines of `sinfo -o '%H|%E'`; each is taken to stand still."""
    periods: dict[tuple[float, str], Period] = {}
    undated = 0
    for line in lines:
        found = REASON.fullmatch(line.rstrip("\n"))
        if found is None:
            continue
        when = moment_of(found["when"] + " ", now)
        if when is None:
            undated += 1
            continue
        text = found["text"][:LONGEST_TEXT].strip()
        periods[when, text] = Period(when, None, text)
    return Read(sorted(periods.values(), key=lambda each: each.begin), undated)


def moment_of(line: str, now: float) -> float | None:
    """Return the time at the beginning of a line; None where there is none."""
    for stamp in STAMPS:
        found = stamp.match(line)
        if found is None:
            continue
        part = found.groupdict()
        try:
            if "epoch" in part:
                return float(part["epoch"])
            if "name" in part:
                year = time.localtime(now).tm_year
                month = MONTHS.index(part["name"]) + 1
            else:
                year, month = int(part["year"]), int(part["month"])
            day, hour = int(part["day"]), int(part["hour"])
            minute, second = int(part["minute"]), int(part["second"])
            # The zone, or that it is the local one, comes below.
            when = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
            zone = part.get("zone")
            if zone:
                offset = 0 if zone == "Z" else _offset(zone)
                return when.replace(tzinfo=UTC).timestamp() - offset
            wall = when.timestamp()
            if "name" in part and wall > now + DAY:  # of last year
                wall = when.replace(year=year - 1).timestamp()
            return wall
        except (ValueError, OverflowError):
            return None
    return None


def _offset(zone: str) -> int:
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if zone[0] == "-" else seconds


def compare(nhc: Sequence[Period], ours: Sequence[Period], since: float) -> list[Pair]:
    """Return who said what, in order of time; what ended before `since` is left out."""
    left = [each for each in ours if each.end is None or each.end >= since]
    used: set[int] = set()
    pairs: list[Pair] = []
    for theirs in nhc:
        if theirs.end is not None and theirs.end < since:
            continue
        near = [number for number, each in enumerate(left) if _meet(theirs, each)]
        used.update(near)
        best = min(near, key=lambda n: abs(left[n].begin - theirs.begin), default=None)
        if best is None:
            pairs.append(Pair("only NHC", theirs, None))
        else:
            pairs.append(Pair("both", theirs, left[best]))
    pairs += [Pair("only hpcdoctor", None, each) for n, each in enumerate(left) if n not in used]
    return sorted(pairs, key=lambda pair: pair.begin)


def _meet(one: Period, other: Period) -> bool:
    first = one.end if one.end is not None else float("inf")
    second = other.end if other.end is not None else float("inf")
    return one.begin <= second + SLACK_SECONDS and other.begin <= first + SLACK_SECONDS
