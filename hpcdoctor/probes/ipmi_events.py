"""What has the board's management controller (BMC) written into its event log since we look?

Source:  `ipmitool sel info`, and `ipmitool sel elist` where that shows a change
Units:   entries; a day is one of ours, since a controller's clock may stand anywhere
Cost:    a tool and a second (c to h); many seconds for a long log, when something was added
Absent:  without a BMC or its driver, and where ipmitool is not installed

What stood in the log at the first look is the baseline: it may be years old. A controller that does
not answer is a reading too, of one that does not answer: that is no fault of the machine's work.
"""

import re

import msgspec

from hpcdoctor.model.reading import Reading, Unavailable
from hpcdoctor.probes import ipmi_tool
from hpcdoctor.probes.host import Host

SUBJECT = "controller"
CONTROLLER = "BMC"

DAY_SECONDS = 86400.0
MOST_EVENTS = 200  # kinds of events told; a log that runs wild has few kinds
MOST_LINES = 8192


class Event(Reading, frozen=True):
    """One kind of event of one sensor, and one reading for the log itself."""

    controller: str
    sensor: str  # "Memory DIMM A1", as the log has it; "" for the log itself
    event: str  # "Uncorrectable ECC"; "" for the log itself
    new_in_day: int  # entries that we saw come within the last 24 hours
    record: str  # the number of the newest of them, in the log's hexadecimal
    detail: str  # "Reading 0 < Threshold 1000 RPM"
    answers: bool  # whether the controller answered this time
    reason: str  # why it did not
    entries: int | None  # of the whole log
    used_ratio: float | None
    overflow: bool | None  # entries have been lost


class Log(msgspec.Struct):
    """What is remembered from look to look."""

    changed: tuple[str | None, str | None] | None = None  # entries and time of the newest
    lines: set[str] | None = None  # None before the first look at them
    # (sensor, event): when each entry was first seen, the newest record and its detail
    seen: dict[tuple[str, str], "Seen"] = {}


class Seen(msgspec.Struct):
    times: list[float] = []
    record: str = ""
    detail: str = ""


class Entry(msgspec.Struct, frozen=True):
    record: str
    sensor: str
    event: str
    asserted: bool
    detail: str


def subjects(host: Host) -> list[str]:
    ipmi_tool.find_controller(host)
    return [CONTROLLER]


def read(host: Host, subject: str) -> list[Event]:
    log: Log = host.memory.setdefault("ipmi_events", Log())
    now = host.clock().boottime
    info: dict[str, str] = {}
    reason = ""
    try:
        info = parse_info(ipmi_tool.ask(host, "sel", "info"))
        changed = (info.get("Entries"), info.get("Last Add Time"))
        if log.lines is None or changed != log.changed:
            take_in(log, ipmi_tool.ask(host, "sel", "elist"), now)
            log.changed = changed
    except Unavailable as error:
        reason = str(error)
    whole = Event(
        controller=subject,
        sensor="",
        event="",
        new_in_day=0,
        record="",
        detail="",
        answers=not reason,
        reason=reason,
        entries=whole_number(info.get("Entries")),
        used_ratio=used(info),
        overflow=truth(info.get("Overflow")),
    )
    return [whole, *(recent(log, now, whole))]


def take_in(log: Log, text: str, now: float) -> None:
    """Note the lines that were not there before; at the first look, all are the baseline."""
    lines = [line for line in text.splitlines() if line.count("|") >= 3][-MOST_LINES:]
    if log.lines is not None:
        for entry in filter(None, (parse_entry(line) for line in lines if line not in log.lines)):
            if not entry.asserted:
                continue
            key = (entry.sensor, entry.event)
            if key not in log.seen and len(log.seen) >= MOST_EVENTS:
                continue
            seen = log.seen.setdefault(key, Seen())
            seen.times.append(now)
            seen.record, seen.detail = entry.record, entry.detail
    log.lines = set(lines)


def recent(log: Log, now: float, whole: Event) -> list[Event]:
    """Return what came within a day, and forget the rest."""
    events: list[Event] = []
    for key, seen in list(log.seen.items()):
        seen.times = [time for time in seen.times if now - time < DAY_SECONDS]
        if not seen.times:
            del log.seen[key]
            continue
        sensor, event = key
        new = len(seen.times)
        fields = {"sensor": sensor, "event": event, "new_in_day": new}
        fields |= {"record": seen.record, "detail": seen.detail}
        events.append(msgspec.structs.replace(whole, **fields))
    return events


def parse_entry(line: str) -> Entry | None:
    """Return one line of `sel elist`: record, date, time, sensor, event, direction, detail."""
    fields = ipmi_tool.columns(line)
    if not re.fullmatch(r"[0-9a-fA-F]{1,4}h?", fields[0]):
        return None
    if fields[1].startswith("OEM record"):
        return Entry(fields[0], "OEM record", " ".join(fields[1:2]), True, " ".join(fields[2:]))
    if len(fields) < 5:
        return None
    return Entry(
        record=fields[0],
        sensor=fields[3][:100],
        event=fields[4][:100],
        asserted="deasserted" not in (field.lower() for field in fields[5:6]),
        detail=" ".join(fields[6:])[:200],
    )


def parse_info(text: str) -> dict[str, str]:
    """Return the lines "Entries          : 30"."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def used(info: dict[str, str]) -> float | None:
    """Return the share of the log that is full; "Percent Used : unknown" where it cannot tell."""
    percent = whole_number((info.get("Percent Used") or "").rstrip("%"))
    return None if percent is None else percent / 100


def whole_number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None


def truth(text: str | None) -> bool | None:
    return {"true": True, "false": False}.get((text or "").lower())
