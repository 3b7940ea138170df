"""Does hwmon name each sensor by where it sits, and take no alarm for one that nobody set?"""

from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import hwmon
from hpcdoctor.probes.host import Host
from tests.doubles.machines import host_of, written

BASE = "sys/class/hwmon"


def chip(number: int, name: str, **files: str) -> dict[str, str | bytes]:
    return {
        f"{BASE}/hwmon{number}/name": name,
        **{f"{BASE}/hwmon{number}/{file}": text for file, text in files.items()},
    }


def sensors_of(folder: Path, *chips: dict[str, str | bytes]) -> dict[str, hwmon.Sensor]:
    for each in chips:
        written(folder, each)
    host = host_of(folder)
    groups = hwmon.subjects(host)
    return {one.sensor: one for group in groups for one in hwmon.read(host, group)}


def test_a_machine_without_chips_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no hwmon chip"):
        hwmon.subjects(host_of(tmp_path))


def test_a_chip_is_named_by_its_device_and_not_by_its_number(tmp_path: Path) -> None:
    written(tmp_path, {"sys/devices/platform/coretemp.1/x": ""})
    written(tmp_path, chip(7, "coretemp", temp1_input="61000", temp1_label="Package id 1"))
    (tmp_path / BASE / "hwmon7/device").symlink_to("../../../devices/platform/coretemp.1")
    (sensor,) = sensors_of(tmp_path).values()
    assert (sensor.sensor, sensor.name) == ("coretemp.1/temp1", "coretemp.1 Package id 1")
    assert (sensor.kind, sensor.celsius) == ("temperature", 61.0)


def test_the_cores_of_a_processor_are_not_woken_where_the_package_tells(tmp_path: Path) -> None:
    files = {"temp1_input": "61000", "temp1_label": "Package id 0"}
    files |= {"temp2_input": "60000", "temp2_label": "Core 0"}
    assert list(sensors_of(tmp_path, chip(0, "coretemp", **files))) == ["coretemp hwmon0/temp1"]
    old = {"temp2_input": "60000", "temp2_label": "Core 0"}
    assert len(sensors_of(tmp_path / "old", chip(0, "coretemp", **old))) == 1


def test_limits_are_taken_where_they_can_be_meant(tmp_path: Path) -> None:
    sensors = sensors_of(
        tmp_path,
        chip(
            0,
            "nvme",
            temp1_input="43850",
            temp1_max="84850",
            temp1_crit="94850",
            temp1_alarm="1",
            temp2_input="43850",
            temp2_max="65261850",
            temp2_alarm="1",
        ),
        chip(1, "k10temp", temp1_input="71000", temp1_max="70000", temp1_crit="0"),
        chip(2, "nct6798", temp7_input="127500", temp7_max="127000", temp7_alarm="1"),
    )
    first, second = sensors["nvme hwmon0/temp1"], sensors["nvme hwmon0/temp2"]
    assert (first.maximum_celsius, first.critical_celsius, first.alarm) == (84.85, 94.85, True)
    assert (second.maximum_celsius, second.alarm) == (None, None)
    assert sensors["k10temp hwmon1/temp1"].maximum_celsius is None
    assert sensors["nct6798 hwmon2/temp7"].alarm is None


def test_a_fan_that_nobody_connected_has_no_alarm(tmp_path: Path) -> None:
    files = {"fan1_input": "0", "fan1_min": "0", "fan1_alarm": "1"}
    files |= {"fan2_input": "0", "fan2_min": "600", "fan2_alarm": "1"}
    files |= {"fan3_fault": "1"}
    sensors = sensors_of(tmp_path, chip(0, "nct6798", **files))
    one, two, three = (sensors[f"nct6798 hwmon0/fan{number}"] for number in (1, 2, 3))
    assert (one.fan_rpm, one.alarm) == (0, None)
    assert (two.fan_rpm, two.alarm, two.what) == (0, True, "fan2_alarm")
    assert (three.fan_rpm, three.fault, three.what) == (None, True, "fan3_fault")


def test_a_power_supply_is_known_by_its_input(tmp_path: Path) -> None:
    files = {"in1_label": "vin", "in1_input": "0", "in1_lcrit_alarm": "1"}
    files |= {"power1_label": "pin", "power1_input": "0", "fan1_input": "0", "fan1_alarm": "0"}
    sensors = sensors_of(tmp_path, chip(0, "dps800", **files))
    vin = sensors["dps800 hwmon0/in1"]
    assert (vin.supply, vin.value, vin.critical_alarm, vin.what) == (
        True,
        0,
        True,
        "in1_lcrit_alarm",
    )
    assert sensors["dps800 hwmon0/fan1"].can_rest


def test_a_boards_voltage_has_an_alarm_only_with_both_limits(tmp_path: Path) -> None:
    files = {"in0_input": "3300", "in0_min": "2970", "in0_max": "3630", "in0_alarm": "1"}
    files |= {"in1_input": "0", "in1_min": "0", "in1_max": "0", "in1_alarm": "1"}
    sensors = sensors_of(tmp_path, chip(0, "nct6798", **files))
    assert [sensors[f"nct6798 hwmon0/in{n}"].alarm for n in (0, 1)] == [True, None]


def test_devices_that_may_hang_have_a_child_of_their_own(tmp_path: Path) -> None:
    written(tmp_path, chip(0, "nvme", temp1_input="40000"))
    written(tmp_path, chip(1, "acpitz", temp1_input="27800"))
    host = host_of(tmp_path)
    assert hwmon.subjects(host) == ["board", "devices"]
    assert [sensor.chip for sensor in hwmon.read(host, "board")] == ["acpitz"]


def test_a_drive_is_asked_every_five_minutes_only(tmp_path: Path) -> None:
    moment = [1000.0]
    host = Host(tmp_path, live=False, clock=lambda: Instant("boot", moment[0], 0))
    for at, written_value, expected in ((0, "40", 40), (60, "45", 40), (300, "45", 45)):
        moment[0] = 1000.0 + at
        written(tmp_path, chip(0, "drivetemp", temp1_input=f"{written_value}000"))
        assert [sensor.celsius for sensor in hwmon.read(host, "devices")] == [expected]


@pytest.mark.parametrize("odd", ["", "N/A", "x", "9" * 5000, "\x00"])
def test_one_odd_file_costs_one_none(tmp_path: Path, odd: str) -> None:
    files = {"temp1_input": odd, "temp1_crit": "90000", "temp1_crit_alarm": "0"}
    (sensor,) = sensors_of(tmp_path, chip(0, "acpitz", **files)).values()
    assert (sensor.celsius, sensor.critical_celsius, sensor.critical_alarm) == (None, 90.0, False)
