"""What may the people on a node see and do, and what do the three processes hold?"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.doctor import Doctor, all_but, fall_off_the_bus, some_pci_address
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

NO_RIGHT = 77
# include/uapi/linux/capability.h
DAC_READ_SEARCH, FOWNER, SYS_PTRACE, SYSLOG = 2, 3, 19, 34


@pytest.fixture
def doctor(installed: Path) -> Iterator[Doctor]:
    """A node without a scheduler: its quarantine is a claim and nothing more."""
    doctor = Doctor(
        installed,
        {"node": "n1", "mode": "act"},
        flags=["--accept-user-kernel-log"],
        site=all_but(installed, ["gpu-lost"]),
    )
    with doctor:
        yield doctor


def as_nobody(doctor: Doctor, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"),
            *(str(doctor.program), arguments[0], "--config", str(doctor.configuration)),
            *arguments[1:],
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_each_process_has_the_user_and_the_rights_of_its_unit(doctor: Doctor) -> None:
    daemon, prober = (status_of(doctor.pid(name)) for name in ("daemon", "prober"))
    helper = status_of(wait_for("the helper", lambda: doctor.pid("helper")))
    for process in (daemon, prober, helper):
        assert process["NoNewPrivs"] == "1"
        assert int(process["CapAmb"], 16) == 0
    assert daemon["Uid"].split()[0] != "0"
    assert int(daemon["CapEff"], 16) == int(daemon["CapBnd"], 16) == 0
    reading = 1 << DAC_READ_SEARCH | 1 << SYS_PTRACE | 1 << SYSLOG
    assert int(prober["CapEff"], 16) == int(prober["CapBnd"], 16) == reading
    helping = 1 << DAC_READ_SEARCH | 1 << SYS_PTRACE | 1 << FOWNER
    assert int(helper["CapBnd"], 16) == helping


def test_a_bundle_is_refused_to_everybody_else_in_words(doctor: Doctor) -> None:
    done = as_nobody(doctor, "bundle")
    assert done.returncode == NO_RIGHT
    assert "may be read by root and the daemon's own user only" in done.stderr
    assert "Errno" not in done.stderr


def test_everybody_gets_the_summary_and_only_admins_give_orders(doctor: Doctor) -> None:
    fall_off_the_bus(some_pci_address())
    wait_for("the finding", lambda: doctor.report["findings"])
    done = as_nobody(doctor, "check", "--json")
    (seen,) = json.loads(done.stdout)["findings"]
    assert done.returncode == 2
    assert seen["summary"].endswith("has fallen off the bus")
    assert seen["evidence"] == [] == seen["next_steps"]
    assert doctor.report["findings"][0]["evidence"] != []
    page = as_nobody(doctor, "check").stdout
    assert page.startswith("CRITICAL  n1: GPU ")
    assert page.endswith("Evidence, jobs and next steps are for root and the group hpcdoctor.\n")
    assert "NVRM" not in page
    line = as_nobody(doctor, "check", "--brief")
    assert line.returncode == 2
    assert line.stdout.startswith("CRITICAL: gpu-lost GPU ")
    assert line.stdout.count("\n") == 1
    for order in (["hold", "--why", "x"], ["release", "--why", "x"]):
        refused = as_nobody(doctor, *order)
        assert refused.returncode == NO_RIGHT
        assert "hpcdoctor-admin" in refused.stderr
    assert doctor.status["hold"] is None


def test_a_hold_stops_it_and_a_release_asks_which_of_the_two_is_meant(doctor: Doctor) -> None:
    held = doctor.hpcdoctor("hold", "--why", "memory test", "--until", "3d")
    assert held.returncode == 0, held.stderr
    fall_off_the_bus(some_pci_address())
    status: Any = doctor.wait_for_state("waiting")
    assert "memory test" in status["because"]
    assert status["quarantine"] is None
    asked = doctor.hpcdoctor("release", "--why", "done")
    assert asked.returncode == 64
    assert "--hold or --quarantine" in asked.stderr
    assert doctor.hpcdoctor("release", "--hold", "--why", "done").returncode == 0
    status = doctor.wait_for_state("drained", "handed_over")
    assert status["quarantine"] is not None
    assert doctor.hpcdoctor("release", "--why", "reseated").returncode == 0
    assert doctor.wait_for_state("probation")["quarantine"] is None


def test_a_hold_and_a_claim_survive_a_restart(doctor: Doctor) -> None:
    fall_off_the_bus(some_pci_address())
    before = doctor.wait_for_state("drained", "handed_over")
    assert doctor.hpcdoctor("hold", "--why", "looking", "--until", "3d").returncode == 0
    assert doctor.stop() == 0
    doctor.start()
    after = doctor.status
    assert after["incident"] == before["incident"]
    assert after["quarantine"] == before["quarantine"]
    assert "looking" in after["hold"]
