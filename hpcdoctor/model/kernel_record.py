"""How is one record of the kernel log written down? Every form, from /dev/kmsg to syslog.

Source:  Documentation/ABI/testing/dev-kmsg, dmesg(1), the files of pstore, syslog as rsyslog and
         journalctl write it
Trust:   only /dev/kmsg, `dmesg -x` and pstore say who wrote a record (facility 0: the kernel)
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec

KERNEL = "kernel"
LEVELS = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"]
# The position is the number.
FACILITIES = ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news"]
FACILITIES += ["uucp", "cron", "authpriv", "ftp"]
FACILITIES += [f"res{number}" for number in range(4)] + [f"local{number}" for number in range(8)]


class Record(msgspec.Struct, frozen=True):
    """One record. `None` where the form does not say."""

    text: str  # a newline where the message has one
    facility: int | None = None  # 0: written by the kernel itself
    level: int | None = None  # 0 emergency to 7 debug
    sequence: int | None = None
    boottime_seconds: float | None = None
    scale_seconds: float | None = None  # on the form's own scale: good for differences only
    program: str = KERNEL  # who wrote it, where syslog says so


class UnknownForm(ValueError):
    """The text is no kernel log in any form that we know."""


_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")


def parse_kmsg(data: bytes) -> Record | None:
    """Return one record as /dev/kmsg gives it, without its KEY=value lines; None if it is none."""
    head, semicolon, body = data.partition(b";")
    fields = head.split(b",", 3)
    if not semicolon or len(fields) < 3 or not all(field.isdigit() for field in fields[:3]):
        return None
    text = body.partition(b"\n")[0]
    if b"\\" in text:  # the kernel writes a newline, and all that is not plain ASCII, as \xNN
        text = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), text)
    priority = int(fields[0][:6])
    seconds = int(fields[2][:18]) / 1e6
    return Record(
        text.decode(errors="backslashreplace"),
        priority >> 3,
        priority & 7,
        int(fields[1][:18]),
        seconds,
        seconds,
    )


_TIMES = r"(?:\[ *(?P<boottime>\d{1,9}\.\d{3,9})\]|\[(?P<printed>[A-Z][a-z]{2} [^\]]{16,22})\])"
_CALLER = r"(?:\[ *[TC]\d+\])?"  # CONFIG_PRINTK_CALLER: thread or cpu
_ISO = r"(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d),\d{1,6}(?:[+-]\d\d:?\d\d|Z)?"
_DMESG = re.compile(
    r"(?:(?P<facility>[a-z]+\d?) *:(?P<level>[a-z]+) *: ?|<(?P<priority>\d{1,5})>)?"
    rf"(?:{_TIMES}{_CALLER}|{_ISO}) ?(?P<text>.*)",
    re.DOTALL,
)
_SYSLOG = re.compile(
    r"(?:<\d{1,3}>)?(?:(?P<short>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?)"
    r"|(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:[+-]\d\d:?\d\d|Z)?)"
    r" \S+ (?P<program>[^\s\[:]+)(?:\[\d+\])?: ?(?P<text>.*)",
    re.DOTALL,
)
_STAMP = re.compile(r"\[ *\d{1,9}\.\d{3,9}\] ?")
_PART = re.compile(r"[A-Z][A-Za-z ]*#(\d{1,6}) Part(\d{1,6})$")


def parse_log(lines: Iterable[bytes]) -> Iterator[Record]:
    """Yield the records of a log file in order; raise UnknownForm where no line is a record.

    Of a pstore file the highest part is the oldest: it comes first.
    """
    parts: dict[tuple[int, int], list[Record]] = {}
    part: list[Record] | None = None
    last: Record | None = None
    seen = False
    for line in lines:
        if b"\0" in line:
            raise UnknownForm("it holds binary data")
        text = line.decode(errors="backslashreplace").rstrip("\r\n")
        record = parse_line(line, text)
        if record is None:
            if found := _PART.match(text):
                if last is not None:
                    if part is None:
                        yield last
                    else:
                        part.append(last)
                    last = None
                part = parts.setdefault((int(found[1]), int(found[2])), [])
            elif last and last.sequence is None and text[:1].isspace() and text.strip():
                # Under its own first line, indented: the message has a newline in it.
                last = msgspec.structs.replace(last, text=f"{last.text}\n{text.strip()}"[:4096])
            continue
        seen = True
        if last is not None:
            if part is None:
                yield last
            else:
                part.append(last)
        last = record
    if not seen:
        raise UnknownForm("no line of it is in a form that dmesg, syslog, pstore or kmsg write")
    if last is not None and part is not None:
        part.append(last)
    for key in sorted(parts, key=lambda key: (key[0], -key[1])):
        yield from parts[key]
    if last is not None and part is None:
        yield last


def parse_bare(lines: Iterable[bytes]) -> Iterator[Record]:
    """Yield every line as the bare text of a record, without time or sender.

    What is to be near in time has to be near in the text: twenty lines count as a second.
    """
    for index, line in enumerate(lines):
        text = line.decode(errors="backslashreplace").rstrip("\r\n")
        yield Record(text, scale_seconds=index / 20)


def parse_line(line: bytes, text: str) -> Record | None:
    """Return the record that this line begins, or None."""
    if line[:1].isdigit() and (record := parse_kmsg(line)):
        return record
    if found := _DMESG.match(text):
        return _from_dmesg(found)
    if found := _SYSLOG.match(text):
        return _from_syslog(found)
    return None


def _from_dmesg(found: re.Match[str]) -> Record | None:
    facility = level = None
    if found["priority"]:
        priority = int(found["priority"])
        facility, level = priority >> 3, priority & 7
    elif found["facility"]:
        if found["facility"] not in FACILITIES or found["level"] not in LEVELS:
            return None
        facility, level = FACILITIES.index(found["facility"]), LEVELS.index(found["level"])
    boottime = float(found["boottime"]) if found["boottime"] else None
    scale = boottime
    if found["iso"]:
        scale = _seconds(found["iso"], "%Y-%m-%dT%H:%M:%S")
    elif found["printed"]:
        scale = _seconds(found["printed"], "%a %b %d %H:%M:%S %Y")
        if scale is None:
            return None
    return Record(found["text"], facility, level, None, boottime, scale)


def _from_syslog(found: re.Match[str]) -> Record:
    text, boottime = found["text"], None
    if found["program"] == KERNEL:
        text = text.replace("#012", "\n")  # as rsyslog writes a newline
        if stamp := _STAMP.match(text):
            boottime = float(stamp[0].strip("[] "))
            text = text[stamp.end() :]
    if found["iso"]:
        scale = _seconds(found["iso"], "%Y-%m-%dT%H:%M:%S")
    else:  # the form has no year; a leap year takes every date
        scale = _seconds(f"1972 {found['short'][:15]}", "%Y %b %d %H:%M:%S")
    return Record(text, None, None, None, boottime, scale, found["program"])


def _seconds(text: str, form: str) -> float | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
