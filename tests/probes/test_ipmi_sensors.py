"""Are the board's sensors read as ipmitool tells them, however slow the controller is?"""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, NeedsSecondReading, Unavailable
from hpcdoctor.probes import ipmi_sensors, ipmi_tool
from hpcdoctor.probes.host import Host, Ran
from tests.conftest import NODES, recorded
from tests.doubles.machines import host_of, written

NODE = "board-controller"
FAULTS = NODES / NODE / "faults"
TABLE = "commands/ipmitool_sdr_elist"


def sensors_of(folder: Path, text: str) -> dict[str, ipmi_sensors.Sensor]:
    host = host_of(written(folder, {TABLE: text}))
    return {sensor.sensor: sensor for sensor in ipmi_sensors.read(host, "BMC")}


def test_a_machine_without_a_controller_is_absent() -> None:
    with pytest.raises(Absent, match="nothing of a BMC"):
        ipmi_sensors.subjects(recorded("gpu-node"))
    assert ipmi_sensors.subjects(recorded(NODE)) == ["BMC"]


def test_a_live_machine_without_the_device_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="/dev/ipmi0"):
        ipmi_sensors.subjects(live(tmp_path))


def test_values_units_and_kinds_are_told() -> None:
    sensors = {sensor.sensor: sensor for sensor in ipmi_sensors.read(recorded(NODE), "BMC")}
    fan, inlet, supply = sensors["FAN1"], sensors["Inlet Temp"], sensors["PS1 Status"]
    assert (fan.kind, fan.level, fan.value, fan.unit, fan.state) == ("fan", "ok", 4700, "RPM", "")
    assert (inlet.kind, inlet.value, inlet.unit) == ("temperature", 24, "degrees C")
    assert (supply.kind, supply.value, supply.state) == (
        "power supply",
        None,
        "Presence detected",
    )
    assert {sensor.level for sensor in sensors.values()} == {"ok"}


def test_faults_are_told_in_the_controllers_words(tmp_path: Path) -> None:
    sensors = sensors_of(tmp_path, (FAULTS / "ipmitool_sdr_elist").read_text())
    assert {name: sensor.level for name, sensor in sensors.items() if sensor.level != "ok"} == {
        "FAN1": "non-recoverable",
        "FAN2": "critical",
    }
    assert sensors["PS2 Status"].state == "Presence detected, Failure detected"
    assert sensors["Fan Redundancy"].state == "Non-Redundant: Sufficient from Redundant"
    assert sensors["PS Redundancy"].kind == "power supply"


@pytest.mark.parametrize(
    ("column", "level"),
    [
        ("ok", "ok"),
        ("nc", "non-critical"),
        ("unc", "non-critical"),
        ("cr", "critical"),
        ("lcr", "critical"),
        ("ucr", "critical"),
        ("nr", "non-recoverable"),
        ("ns", "none"),
    ],
)
def test_every_verdict_of_the_tool_is_known(tmp_path: Path, column: str, level: str) -> None:
    sensors = sensors_of(tmp_path, f"Temp | 0Eh | {column} | 3.1 | 91 degrees C\n")
    assert sensors["Temp"].level == level


def test_two_sensors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    line = "Temp             | {}h | ok  |  3.{} | {} degrees C\n"
    sensors = sensors_of(tmp_path, line.format("0E", 1, 41) + line.format("0F", 2, 43))
    assert sorted(sensors) == ["Temp (0Eh)", "Temp (0Fh)"]


def test_what_is_not_there_to_be_read_has_no_state(tmp_path: Path) -> None:
    sensors = sensors_of(
        tmp_path,
        "Fan3 | 32h | ns  |  7.1 | No Reading\n"
        "VBAT | 10h | ok | 7.1 | 0x02\nX|1h|ok|x.y|-3.5 Volts",
    )
    assert (sensors["Fan3"].level, sensors["Fan3"].state) == ("none", "")
    assert (sensors["VBAT"].value, sensors["VBAT"].state) == (None, "0x02")
    assert (sensors["X"].value, sensors["X"].unit, sensors["X"].kind) == (-3.5, "Volts", "other")


@pytest.mark.parametrize("text", ["\n", "no table", "|||||\n", "\x00|\xff|ok"])
def test_a_text_that_is_no_table_is_unavailable(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unavailable, match="no sensor"):
        sensors_of(tmp_path, text)


# --- a live controller, which may take its time


def live(folder: Path) -> Host:
    return Host(folder, live=True, clock=lambda: Instant("boot", 1000.0, 2000.0))


class Controller:
    """Answers when it is let go."""

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.asked = 0
        self.answer = Ran(0, "FAN1 | 30h | ok | 29.1 | 4700 RPM\n")
        monkeypatch.setattr(host, "run", self.run)
        monkeypatch.setattr(ipmi_tool, "PATIENCE_SECONDS", 0.05)

    def run(self, arguments: Sequence[str], timeout_seconds: float) -> Ran:
        assert list(arguments) == ["ipmitool", "sdr", "elist"]
        self.asked += 1
        self.go.wait(10)
        return self.answer


def test_a_slow_controller_is_asked_once_and_answers_at_a_later_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = live(tmp_path)
    controller = Controller(host, monkeypatch)
    for _ in range(2):
        with pytest.raises(NeedsSecondReading, match="not answered yet"):
            ipmi_sensors.read(host, "BMC")
    controller.go.set()
    assert [sensor.sensor for sensor in ipmi_sensors.read(host, "BMC")] == ["FAN1"]
    assert controller.asked == 1
    controller.go.clear()  # slow again: the last answer stands meanwhile
    assert [sensor.value for sensor in ipmi_sensors.read(host, "BMC")] == [4700]
    controller.go.set()


def test_a_controller_that_refuses_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = live(tmp_path)
    controller = Controller(host, monkeypatch)
    controller.go.set()
    controller.answer = Ran(1, "", "Could not open device at /dev/ipmi0: No such file\n")
    monkeypatch.setattr(ipmi_tool, "PATIENCE_SECONDS", 5.0)
    with pytest.raises(Unavailable, match="Could not open device"):
        ipmi_sensors.read(host, "BMC")


def test_a_controller_that_hangs_is_not_well_while_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = live(tmp_path)
    controller = Controller(host, monkeypatch)
    controller.answer = Ran(1, "", "Unable to send\n")
    with pytest.raises(NeedsSecondReading):
        ipmi_sensors.read(host, "BMC")
    controller.go.set()
    with pytest.raises(Unavailable, match="Unable to send"):
        while controller.asked == 1:
            try:
                ipmi_sensors.read(host, "BMC")
            except NeedsSecondReading:
                continue
    controller.go.clear()
    with pytest.raises(Unavailable, match="Unable to send"):
        ipmi_sensors.read(host, "BMC")
    controller.go.set()
