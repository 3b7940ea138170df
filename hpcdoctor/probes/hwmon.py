"""What do the machine's sensors say: heat, fans, power supplies, voltages? One reading a sensor.

Source:  /sys/class/hwmon/hwmon*/ (kernel: hwmon/sysfs-interface.rst), found by the chip's name
Units:   degrees Celsius, revolutions a minute, volts, amperes, watts; limits as the chip has them
Cost:    five small files a sensor; each reading may ask a chip or interrupt a processor (b), and a
         drive or an adapter that is dying may keep us waiting (h): those have a child of their own
Absent:  in virtual machines, mostly

Of a processor only the package is read where it has a sensor: asking each core would wake it. A
limit that nobody set is none, and an alarm that follows from such a limit is none either.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import (
    check_inside,
    list_folders,
    list_names,
    read_int_or_none,
    read_text_or_none,
)
from hpcdoctor.probes.host import Host

SUBJECT = "group"
BOARD, DEVICES = "board", "devices"

# Chips whose value is a question to a device that may never answer it.
DEVICE_CHIPS = ("nvme", "drivetemp", "mlx5", "mlxsw", "bnxt_en", "ice", "i40e", "ixgbe", "nfp")
# Asking a spinning drive may keep it from its rest: as rarely as its driver's manual asks.
SLOW_CHIPS = ("drivetemp",)
SLOW_SECONDS = 300.0
# A limit that this driver has made up, and that processors pass in everyday work.
CHIPS_WITHOUT_MAXIMUM = ("k10temp",)
GRAPHICS = ("amdgpu", "radeon", "nouveau", "xe", "i915")  # their fans stand still when idle

# Super I/O chips watch inputs that no board connects: only a limit that is set makes an alarm one.
PLAUSIBLE_CELSIUS = (20.0, 126.0)  # 127 is the end of a chip's scale, not a limit
SENSOR = re.compile(r"(temp|fan|in|curr|power)([0-9]{1,4})_(input|alarm|fault|average)")
KINDS = {
    "temp": "temperature",
    "fan": "fan",
    "in": "voltage",
    "curr": "current",
    "power": "power",
}
SCALES = {"temp": 1e3, "fan": 1.0, "in": 1e3, "curr": 1e3, "power": 1e6}
# Files that hold 1 when a limit is passed or a sensor is broken.
CRITICAL_ALARMS = ("crit_alarm", "lcrit_alarm", "emergency_alarm")
ALARMS = ("alarm", "max_alarm", "min_alarm")
# A supply tells its input, and a driver of a supply has alarms that somebody designed.
SUPPLY_LABELS = ("vin", "iin", "pin", "pin1", "vin1")


class Sensor(Reading, frozen=True):
    group: str  # which child reads it: "board" or "devices"
    sensor: str  # "coretemp.0/temp1": the same after a reboot
    name: str  # "coretemp.0 Package id 0", "dps800 vin"
    chip: str  # "coretemp"
    kind: str  # "temperature", "fan", "voltage", "current", "power"
    supply: bool  # the chip is that of a power supply
    can_rest: bool  # a fan that stands still by design, when there is nothing to cool
    celsius: float | None
    fan_rpm: float | None
    value: float | None  # of the others, in volts, amperes or watts
    maximum_celsius: float | None  # where it begins to be too hot, by the chip or its maker
    critical_celsius: float | None
    alarm: bool | None  # a limit that is set is passed, by the chip's own word
    critical_alarm: bool | None
    fault: bool | None  # the sensor, or the fan, does not work
    what: str  # which alarm: "in1_lcrit_alarm"; "" for none


class Chip(msgspec.Struct, frozen=True):
    folder: str
    name: str  # "nvme"
    place: str  # "0000:01:00.0", "coretemp.0", "hwmon3" where no device is told


def subjects(host: Host) -> list[str]:
    groups = {group_of(chip) for chip in find_chips(host)}
    if not groups:
        raise Absent("this machine shows no sensor of its own (no hwmon chip)")
    return sorted(groups)


def read(host: Host, subject: str) -> list[Sensor]:
    return [
        sensor
        for chip in find_chips(host)
        if group_of(chip) == subject
        for sensor in read_at_its_pace(host, chip, subject)
    ]


def group_of(chip: Chip) -> str:
    return DEVICES if chip.name.startswith(DEVICE_CHIPS) else BOARD


def find_chips(host: Host) -> list[Chip]:
    """Return the chips in order; the numbers of their folders change from boot to boot."""
    chips = []
    for folder in list_folders(host.root / "sys/class/hwmon", "hwmon"):
        name = read_text_or_none(folder / "name")
        if name:
            chips.append(Chip(str(folder), name[:64], place_of(str(folder)) or folder.name))
    return sorted(chips, key=lambda chip: (chip.name, chip.place))


def place_of(folder: str) -> str:
    """Return the name of the chip's device: where it sits."""
    try:
        check_inside(f"{folder}/device")
        return Path(f"{folder}/device").readlink().name
    except OSError:
        return ""


def read_at_its_pace(host: Host, chip: Chip, group: str) -> list[Sensor]:
    if not chip.name.startswith(SLOW_CHIPS):
        return read_chip(chip, group)
    now = host.clock().boottime
    kept: dict[str, tuple[float, list[Sensor]]] = host.memory.setdefault("hwmon", {})
    taken, sensors = kept.get(chip.folder, (0.0, []))
    if not sensors or now - taken >= SLOW_SECONDS:
        sensors = read_chip(chip, group)
        kept[chip.folder] = (now, sensors)
    return sensors


def read_chip(chip: Chip, group: str) -> list[Sensor]:
    names = set(list_names(chip.folder))
    labels = {
        sensor: read_text_or_none(f"{chip.folder}/{sensor}_label") for sensor in sensors_of(names)
    }
    chosen = list(labels)
    packages = [one for one in chosen if (labels[one] or "").startswith("Package id")]
    if chip.name == "coretemp" and packages:
        chosen = packages
    supply = is_supply(chip, labels)
    return [read_sensor(chip, group, names, one, labels[one], supply) for one in chosen]


def sensors_of(names: set[str]) -> Iterator[str]:
    """Yield "temp1", "fan2" in order; some have an alarm and no value."""
    found = {match[1] + match[2] for match in map(SENSOR.fullmatch, names) if match}
    yield from sorted(found, key=lambda one: (one.rstrip("0123456789"), len(one), one))


def is_supply(chip: Chip, labels: dict[str, str | None]) -> bool:
    """Tell a power supply from a regulator: its input is labelled, and it gives power or a fan."""
    told = {label for label in labels.values() if label}
    fan_or_power = any(sensor.startswith(("fan", "power")) for sensor in labels)
    return fan_or_power and not told.isdisjoint(SUPPLY_LABELS)


def read_sensor(
    chip: Chip, group: str, names: set[str], sensor: str, label: str | None, supply: bool
) -> Sensor:
    prefix = f"{chip.folder}/{sensor}"
    word = sensor.rstrip("0123456789")
    value = read_int_or_none(f"{prefix}_input")
    if value is None and f"{sensor}_average" in names:
        value = read_int_or_none(f"{prefix}_average")
    scaled = None if value is None else value / SCALES[word]
    maximum = critical = None
    if word == "temp":
        maximum, critical = (plausible(f"{prefix}_{limit}") for limit in ("max", "crit"))
        if chip.name.startswith(CHIPS_WITHOUT_MAXIMUM):
            maximum = None
    trusted = supply or is_limited(word, prefix, names, maximum, critical)
    alarms = raised(prefix, sensor, names, ALARMS) if trusted else None
    worst = raised(prefix, sensor, names, CRITICAL_ALARMS) if trusted else None
    faults = raised(prefix, sensor, names, ("fault",))
    return Sensor(
        group=group,
        sensor=f"{place(chip)}/{sensor}",
        name=f"{place(chip)} {label or sensor}"[:120],
        chip=chip.name,
        kind=KINDS[word],
        supply=supply,
        can_rest=chip.name in GRAPHICS or supply,
        celsius=scaled if word == "temp" else None,
        fan_rpm=scaled if word == "fan" else None,
        value=scaled if word not in ("temp", "fan") else None,
        maximum_celsius=maximum,
        critical_celsius=critical,
        alarm=None if alarms is None else bool(alarms),
        critical_alarm=None if worst is None else bool(worst),
        fault=None if faults is None else bool(faults),
        what=next((name for found in (worst, alarms, faults) for name in found or ()), ""),
    )


def place(chip: Chip) -> str:
    """Return "coretemp.0", or "nvme 0000:01:00.0" where the place alone does not say what it is."""
    return chip.place if chip.place.startswith(chip.name) else f"{chip.name} {chip.place}"


def plausible(path: str) -> float | None:
    """Return a limit in degrees; 65261.85, 127 at a chip's end or 0 are no limits."""
    value = read_int_or_none(path)
    low, high = PLAUSIBLE_CELSIUS
    return None if value is None or not low <= value / 1e3 <= high else value / 1e3


def is_limited(
    word: str, prefix: str, names: set[str], maximum: float | None, critical: float | None
) -> bool:
    """Tell whether a limit stands behind the sensor's alarms."""
    if word == "temp":
        return maximum is not None or critical is not None
    sensor = Path(prefix).name
    if word == "fan":  # without the file, the chip itself knows when a fan is too slow
        return f"{sensor}_min" not in names or (read_int_or_none(f"{prefix}_min") or 0) > 0
    if word == "in":
        low, high = (read_int_or_none(f"{prefix}_{limit}") for limit in ("min", "max"))
        return low is not None and high is not None and 0 < low < high
    return False  # a current or a power over its limit is a cap at work, outside a supply


def raised(prefix: str, sensor: str, names: set[str], kinds: tuple[str, ...]) -> list[str] | None:
    """Return which of these files hold 1; None where none of them can be read."""
    values = {
        f"{sensor}_{kind}": read_int_or_none(f"{prefix}_{kind}")
        for kind in kinds
        if f"{sensor}_{kind}" in names
    }
    if all(value is None for value in values.values()):
        return None
    return [name for name, value in values.items() if value]
