"""Do the checks on links see what this kernel does to a link? In a network namespace of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

# Nothing made of software has a device behind it, so the profile has to name the interface, and
# another one stands for the machine's hardware.
INSIDE = """
import subprocess

import msgspec

from hpcdoctor.checks.compiled import compile_check
from hpcdoctor.checks.judge import Judge
from hpcdoctor.definitions.loader import load_definitions
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.probes import ethernet, registry
from hpcdoctor.probes.host import Host

PROBES = ("ethernet", "network_route")
PROFILE = {"interfaces": ["hdtest2"], "mtu_bytes": 1400, "default_route": True}
definitions = load_definitions()
catalogs = {name: defined.value for name, defined in definitions.catalogs.items()}
checks = {
    name: compile_check(defined, registry.find(defined.value.probe), catalogs)
    for name, defined in definitions.checks.items()
    if defined.value.probe in PROBES
}
judge = Judge(checks, {"ethernet": PROFILE}, patient=False)
host = Host.this_machine()
other = ethernet.read_interface("/sys/class/net", "hdtest2")
other = msgspec.structs.replace(other, interface="eth9", hardware=True)
host.memory["ethernet"] = {"eth9": other}


def look(*commands):
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
    for name in PROBES:
        readings = [msgspec.to_builtins(one) for one in registry.find(name).read(host)]
        judge.judge(Look(name, ReadStatus.READ, host.clock().plus(1e6), None, readings))
    wrong = {outcome.check: outcome.verdict.value for outcome in judge.outcomes()
             if outcome.verdict and outcome.verdict.value != "ok"}
    print(*sorted(f"{name} {verdict}" for name, verdict in wrong.items()), sep=", ")


"""


@pytest.fixture
def space(as_root: None) -> Iterator[str]:
    name = f"hdtest{os.getpid()}"
    commands = [
        f"netns add {name}",
        f"-n {name} link add hdtest0 type veth peer name hdtest1",
        f"-n {name} link add link hdtest0 name hdtest2 mtu 1400 type macvlan",
        f"-n {name} link set hdtest0 up",
        f"-n {name} link set hdtest1 up",
        f"-n {name} link set hdtest2 up",
        f"-n {name} addr add 192.0.2.1/24 dev hdtest2",
        f"-n {name} route add default via 192.0.2.2",
    ]
    try:
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.mark.real
def test_each_fault_of_a_link_is_told_and_goes_with_it(space: str) -> None:
    steps = [
        ("", ""),
        ("link set hdtest1 down", "ethernet-link critical"),  # the far end
        ("link set hdtest1 up", "ethernet-link critical"),  # until it has been well for a while
        ("link set hdtest2 mtu 1300", "ethernet-link critical, ethernet-mtu critical"),
        ("route del default", "default-route-missing critical, ethernet-link critical, "
         "ethernet-mtu critical"),
    ]  # fmt: skip
    program = INSIDE + "".join(
        f"look({command!r})\n" if command else "look()\n" for command, _ in steps
    )
    ran = subprocess.run(
        ["ip", "netns", "exec", space, sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.splitlines() == [expected for _, expected in steps]
