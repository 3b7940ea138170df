"""Do the unit files lock up what they can, and hide nothing from the prober?"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hpcdoctor.cli.unit import grant_of
from hpcdoctor.definitions.settings import Settings

UNITS = Path(__file__).parents[1] / "systemd"
PROBES = Path(__file__).parents[1] / "hpcdoctor/probes"
PROBER = UNITS / "hpcdoctor-prober.service"
# What the design asks of the process that faces the network: an exposure of 2.5.
DAEMON_THRESHOLD = 25

# Each of these gives a service its own view of mounts, devices, interfaces, /proc or kernel log.
SWITCHES = {
    "DevicePolicy", "PrivateDevices", "PrivateIPC", "PrivateMounts", "PrivateNetwork", "PrivateTmp",
    "PrivateUsers", "ProcSubset", "ProtectClock", "ProtectControlGroups", "ProtectHome",
    "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
    "ProtectProc", "ProtectSystem",
}  # fmt: skip
# These do it by a list of things, so there is nothing to be named as left open.
LISTS = {
    "BindPaths", "BindReadOnlyPaths", "DeviceAllow", "DynamicUser", "ExecPaths", "ExtensionImages",
    "InaccessiblePaths", "MountAPIVFS", "MountFlags", "MountImages", "NetworkNamespacePath",
    "NoExecPaths", "ReadOnlyPaths", "ReadWritePaths", "RootDirectory", "RootImage",
    "TemporaryFileSystem",
}  # fmt: skip


def keys(path: Path) -> dict[str, str]:
    """Return the assignments of all sections; the last one of a key counts here."""
    lines = [line for line in path.read_text().splitlines() if line and line[0] not in "#;["]
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def left_open() -> dict[str, str]:
    """Return what the prober's comment says of each option that it leaves open."""
    text = PROBER.read_text().split("# Left open, and for which probe:\n")[1]
    text = re.sub(r"\n#   +", " ", text)  # a long reason goes on in the next line
    return dict(line.removeprefix("# ").split(": ", 1) for line in text.splitlines())


@pytest.mark.parametrize("option", sorted(SWITCHES | LISTS))
def test_the_prober_has_no_option_that_hides_or_pins_what_it_measures(option: str) -> None:
    assert option not in keys(PROBER)


@pytest.mark.parametrize("option", sorted({*SWITCHES, "MemoryDenyWriteExecute"}))
def test_each_option_that_the_prober_leaves_open_is_named_with_its_probe(option: str) -> None:
    named = re.split(r",\s*", left_open()[option].split(":")[0])
    for probe in named:
        assert (PROBES / f"{probe}.py").exists(), f"{option}: there is no probe {probe}"


def test_each_capability_of_the_prober_is_named_with_its_probe() -> None:
    for capability in keys(PROBER)["CapabilityBoundingSet"].split():
        match = re.search(rf"^# {capability} +(\w+): \S+", PROBER.read_text(), re.MULTILINE)
        assert match, f"{capability} has no reason"
        assert (PROBES / f"{match[1]}.py").exists(), f"{capability}: there is no probe {match[1]}"


def test_the_prober_can_reach_no_network() -> None:
    assert keys(PROBER)["RestrictAddressFamilies"].split() == ["AF_UNIX", "AF_NETLINK"]
    assert keys(PROBER)["IPAddressDeny"] == "any"


def test_the_daemon_has_no_capability_at_all() -> None:
    daemon = grant_of("daemon")
    assert (daemon.user, daemon.bounding, daemon.ambient) == ("hpcdoctor", [], [])
    assert daemon.no_new_privileges


@pytest.mark.parametrize("name", ["prober", "helper"])
def test_the_sockets_are_where_the_settings_say_and_open_to_the_daemon_alone(name: str) -> None:
    socket = keys(UNITS / f"hpcdoctor-{name}.socket")
    assert socket["ListenStream"] == str(getattr(Settings(), f"{name}_socket"))
    assert (socket["SocketUser"], socket["SocketGroup"]) == ("root", Settings().user)
    assert socket["SocketMode"] == "0660"


def test_the_folders_are_those_of_the_settings() -> None:
    daemon = keys(UNITS / "hpcdoctor.service")
    helper = keys(UNITS / "hpcdoctor-helper.service")
    assert f"/run/{daemon['RuntimeDirectory']}" == Settings().run_directory
    assert f"/var/lib/{daemon['StateDirectory']}" == Settings().state_directory
    assert f"/var/lib/{helper['StateDirectory']}" == Settings().helper_state_directory


@pytest.mark.parametrize("name", ["hpcdoctor", "hpcdoctor-prober", "hpcdoctor-helper"])
def test_a_service_is_stopped_within_five_seconds_with_all_its_children(name: str) -> None:
    service = keys(UNITS / f"{name}.service")
    assert (service["KillMode"], service["TimeoutStopSec"]) == ("mixed", "5")


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("the program systemd-analyze is missing; it comes with the package systemd")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.real
def test_systemd_rates_the_daemons_exposure_at_two_and_a_half_or_less() -> None:
    done = systemd_analyze(
        "security", "--offline=true", f"--threshold={DAEMON_THRESHOLD}", "--no-pager",
        str(UNITS / "hpcdoctor.service"),
    )  # fmt: skip
    assert "Overall exposure level" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout


@pytest.mark.real
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    for path in UNITS.glob("*.*"):
        text = path.read_text().replace("/opt/hpcdoctor/bin/hpcdoctor", "/bin/true")
        (tmp_path / path.name).write_text(text)
    units = [str(path) for path in tmp_path.iterdir() if path.suffix in (".service", ".socket")]
    done = systemd_analyze("verify", "--man=no", *units)
    ours = [line for line in done.stderr.splitlines() if "hpcdoctor" in line]
    assert ours == []
    assert len(units) == 5


@pytest.mark.real
def test_the_users_and_groups_can_be_made(tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("the program systemd-sysusers is missing; it comes with the package systemd")
    (tmp_path / "etc").mkdir()
    done = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", str(UNITS / "hpcdoctor.sysusers")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    users = (tmp_path / "etc/passwd").read_text()
    groups = (tmp_path / "etc/group").read_text()
    assert re.search("^hpcdoctor:", users, re.MULTILINE)
    assert re.search("^hpcdoctor:", groups, re.MULTILINE)
    assert re.search("^hpcdoctor-admin:", groups, re.MULTILINE)
