"""How do the board's own sensors stand, as its management controller (BMC) judges them?

Source:  `ipmitool sdr elist`, of the local controller
Units:   as the controller gives them; its own verdict on each sensor, and the states it names
Cost:    a tool and some seconds (c to h): a controller answers one question at a time
Absent:  without a BMC or its driver, and where ipmitool is not installed
"""

import msgspec

from hpcdoctor.model.reading import Reading, Unavailable
from hpcdoctor.probes import ipmi_tool
from hpcdoctor.probes.host import Host

SUBJECT = "controller"
CONTROLLER = "BMC"

# What `sdr elist` and `sdr list` write in their column of verdicts: lower and upper limits.
LEVELS = {
    "ok": "ok",
    **dict.fromkeys(("nc", "lnc", "unc"), "non-critical"),
    **dict.fromkeys(("cr", "lcr", "ucr"), "critical"),
    **dict.fromkeys(("nr", "lnr", "unr"), "non-recoverable"),
    **dict.fromkeys(("ns", "na"), "none"),
}
# Entities of the IPMI specification, table 43-13.
ENTITIES = {
    3: "processor",
    7: "board",
    8: "memory",
    10: "power supply",
    19: "power supply",
    20: "power supply",
    21: "power supply",
    29: "fan",
    30: "fan",
    32: "memory",
    39: "inlet",
    40: "battery",
    55: "inlet",
    64: "inlet",
    65: "processor",
    66: "board",
}
KINDS_OF_UNITS = {"RPM": "fan", "degrees C": "temperature", "degrees F": "temperature"}


class Sensor(Reading, frozen=True):
    controller: str
    sensor: str  # "FAN1"; with its number where two bear one name
    kind: str  # "fan", "temperature", "power supply", "processor", "memory", ...; "other"
    level: str  # the controller's verdict: ok, non-critical, critical, non-recoverable, none
    state: str  # what a sensor without a number says: "Presence detected, Failure detected"
    value: float | None
    unit: str  # "RPM", "degrees C", "Watts"
    shown: str  # the two above, for people


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    name: str
    number: str
    level: str
    entity: int | None
    said: str


def subjects(host: Host) -> list[str]:
    ipmi_tool.find_controller(host)
    return [CONTROLLER]


def read(host: Host, subject: str) -> list[Sensor]:
    rows = parse(ipmi_tool.ask(host, "sdr", "elist"))
    if not rows:
        raise Unavailable("the BMC lists no sensor")
    names = [row.name for row in rows]
    return [to_sensor(row, subject, unique=names.count(row.name) == 1) for row in rows]


def parse(text: str) -> list[Row]:
    """Return the rows of `sdr elist`; what is no row is passed over."""
    rows: list[Row] = []
    seen: set[tuple[str, str]] = set()
    for line in text.splitlines():
        fields = ipmi_tool.columns(line)
        if len(fields) < 5 or fields[2].lower() not in LEVELS or not fields[0]:
            continue
        name, number, level, entity = fields[:4]
        if (name, number) in seen:
            continue
        seen.add((name, number))
        head = entity.partition(".")[0].strip()
        rows.append(
            Row(
                name=name,
                number=number,
                level=LEVELS[level.lower()],
                entity=int(head) if head.isdecimal() and len(head) < 4 else None,
                said=" | ".join(fields[4:]),
            )
        )
    return rows


def to_sensor(row: Row, controller: str, *, unique: bool) -> Sensor:
    head, _, unit = row.said.partition(" ")
    value = number_or_none(head)
    kind = KINDS_OF_UNITS.get(unit) if value is not None else None
    return Sensor(
        controller=controller,
        sensor=row.name if unique else f"{row.name} ({row.number})",
        kind=kind or kind_of(row),
        level=row.level,
        state=row.said if value is None and row.level != "none" else "",
        value=value,
        unit=unit if value is not None else "",
        shown=row.said,
    )


def kind_of(row: Row) -> str:
    return ENTITIES.get(row.entity or 0, "other")


def number_or_none(text: str) -> float | None:
    """Return "4680", "-3.5" or "0x10" as a number."""
    bare = text.removeprefix("-")
    if bare.replace(".", "", 1).isdecimal() and len(bare) < 20:
        return float(text)
    return None
