"""What do readings say of the kind of node, and where does a node differ from its profile?

Both are functions of what the probes saw; which field of which probe makes which key stands beside
the profile's shape, in definitions/profile_sources.py.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from hpcdoctor.definitions import profile
from hpcdoctor.definitions.profile_sources import SOURCES, How, Row, Source
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.model.text import visible

Value = profile.Fact
MOST_NAMED = 8
LISTS = (How.EACH, How.ALLOWED)


class Fact(msgspec.Struct, frozen=True):
    """What this node says of one key of a profile."""

    key: str
    value: Value | None = None
    absent: str = ""  # why there is nothing of the sort here
    unread: str = ""  # why it cannot be told
    notes: list[str] = []  # what was left out, and why: "mlx5_1/1 is down"


class Difference(msgspec.Struct, frozen=True):
    """One key that this node and the profile do not agree on."""

    key: str
    profile: Value
    here: Value | None  # None: there is nothing of the sort here
    words: str  # what of it differs, where that is more than the two values


class Unread(msgspec.Struct, frozen=True):
    """One key of the profile that nothing here could be held against."""

    key: str
    reason: str


class Comparison(msgspec.Struct, frozen=True):
    """A node against a profile."""

    same: list[str]
    differences: list[Difference]
    unread: list[Unread]


def probes_of(keys: Iterable[str] = SOURCES) -> list[str]:
    """Return the probes that have to look for these keys."""
    return sorted({SOURCES[key].probe for key in keys if key in SOURCES})


def learn(looks: Iterable[Look], keys: Iterable[str] = SOURCES) -> list[Fact]:
    """Return a fact for each key, in their order."""
    by_probe: dict[str, list[Look]] = {}
    for look in looks:
        by_probe.setdefault(look.probe, []).append(look)
    return [_fact(key, SOURCES[key], by_probe.get(SOURCES[key].probe, [])) for key in keys]


def compare(written: Mapping[str, Any], looks: Iterable[Look]) -> Comparison:
    """Hold the keys of a profile against what the probes saw. What it leaves out may be any."""
    wanted = {key: value for key, value in flat(written).items() if key in SOURCES}
    same: list[str] = []
    differences: list[Difference] = []
    unread: list[Unread] = []
    for fact in learn(looks, wanted):
        value = wanted[fact.key]
        if fact.unread:
            unread.append(Unread(fact.key, fact.unread))
        elif _fits(value, fact, SOURCES[fact.key]):
            same.append(fact.key)
        else:
            words = _in_words(value, fact, SOURCES[fact.key])
            differences.append(Difference(fact.key, value, fact.value, words))
    return Comparison(same, differences, unread)


def flat(written: Mapping[str, Any]) -> dict[str, Value]:
    """Return the keys of a profile in one mapping, in the order of its shape: "gpu.count"."""
    found: dict[str, Value] = {}
    for key in SOURCES:
        section, _, name = key.rpartition(".")
        holder = written.get(section) if section else written
        if isinstance(holder, Mapping) and holder.get(name) is not None:
            found[key] = holder[name]
    return found


def _fact(key: str, source: Source, looks: Sequence[Look]) -> Fact:
    if not looks:
        return Fact(key, unread=f"probe {source.probe} did not look")
    for look in looks:
        if look.status not in (ReadStatus.READ, ReadStatus.ABSENT):
            about = f"{look.subject}: " if look.subject else ""
            return Fact(key, unread=_line(f"{about}{look.reason or look.status.value}"))
    readings = [row for look in looks for row in look.readings]
    if not readings and all(look.status is ReadStatus.ABSENT for look in looks):
        return Fact(key, absent=_line(looks[0].reason))
    rows = source.choose(readings)
    if not rows:
        return Fact(key, [] if source.how is How.EACH else None, absent="there is none here")
    faults = {_name(row, source): source.fault(row) for row in rows if source.fault(row)}
    notes = [_line(f"{name} {fault}") for name, fault in faults.items()][:MOST_NAMED]
    well = [row for row in rows if not source.fault(row)]
    said = [row for row in well if row.get(source.field) is not None]
    if source.how in LISTS:
        said = [row for row in said if row[source.field] != ""]
    if well and not said:
        return Fact(key, unread=f"probe {source.probe} has no {source.field} here", notes=notes)
    return _made(key, source, said, notes)


def _made(key: str, source: Source, rows: Sequence[Row], notes: list[str]) -> Fact:
    """Make one fact of the readings that are well and say something."""
    by_value: dict[Any, list[str]] = {}
    for row in rows:
        by_value.setdefault(row[source.field], []).append(_name(row, source))
    if source.how in LISTS:
        values = sorted(map(str, by_value))
        if len({len(value) for value in values}) > 1:  # not so the hexadecimal addresses
            values.sort(key=_by_number)
        return Fact(key, values, notes=notes)
    if not by_value:
        return Fact(key, notes=notes)
    if len(by_value) > 1:
        differ = "they differ: " + "; ".join(
            f"{', '.join(names[:MOST_NAMED])} {in_words(value)}"
            for value, names in sorted(by_value.items())[:MOST_NAMED]
        )
        notes = [*notes, _line(differ)]
        if source.how is How.ONE:
            return Fact(key, notes=notes)
    return Fact(key, min(by_value), notes=notes)


def _fits(wanted: Value, fact: Fact, source: Source) -> bool:
    here = fact.value
    if source.how is How.ALLOWED:
        return isinstance(here, list) and isinstance(wanted, list) and set(here) <= set(wanted)
    if source.how is How.EACH:
        return isinstance(here, list) and isinstance(wanted, list) and set(here) == set(wanted)
    if source.tolerance and _is_number(wanted) and _is_number(here):
        return abs(float(here) - float(wanted)) <= source.tolerance * float(wanted)  # type: ignore[arg-type]  # both are numbers
    return here == wanted and isinstance(here, bool) == isinstance(wanted, bool)


def _in_words(wanted: Value, fact: Fact, source: Source) -> str:
    said = [fact.absent] if fact.absent else []
    if isinstance(wanted, list) and isinstance(fact.value, list):
        missing = [item for item in wanted if item not in fact.value]
        more = [item for item in fact.value if item not in wanted]
        if missing and source.how is How.EACH:
            said.append(f"missing: {in_words(missing)}")
        if more:
            word = "not in the profile" if source.how is How.EACH else "not allowed"
            said.append(f"{word}: {in_words(more)}")
    return "; ".join([*said, *fact.notes])


def in_words(value: Value | None) -> str:
    """Return a value as it reads in a line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(_line(str(item)) for item in value) or "nothing"
    return f"{value:.10g}" if isinstance(value, float) else _line(str(value)) or '""'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _name(row: Row, source: Source) -> str:
    name = str(row.get(source.name, "")) if source.name else ""
    return f"package {name}" if source.name == "package" else name or "it"


def _by_number(text: str) -> list[tuple[int, int, str]]:
    """Sort mlx5_2/1 before mlx5_10/1."""
    parts = re.findall(r"\d{1,18}|\D+|\d+", text)
    return [(0, int(p), "") if p.isdecimal() and len(p) < 19 else (1, 0, p) for p in parts]


def _line(text: str) -> str:
    return visible(" ".join(text.split()), 200)
