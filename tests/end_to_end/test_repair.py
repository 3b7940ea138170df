"""Does a drained node get repaired, verified and put back, once, whatever is killed meanwhile?

Real Slurm, real processes, a real mount that goes away and comes back.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.doctor import Doctor, all_but
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

CHECK = "filesystem-missing"
RULE = """\
rule: our-scratch
summary: "{mount_point} is gone"
when: {any: {filesystem-missing: critical}}
decide:
  node: drain
  remediate: [mount-it]
  hand_over: storage
node_decides_shared: true
mode: act
"""
REMEDIATION = """\
remediation: mount-it
summary: Mount it again
disrupts: node
steps:
  - run: [touch, {tried}]
  - run: [sleep, "{seconds}"]
  - run: ["{program}", -t, tmpfs, hpcdoctor-test, {folder}]
finally:
  - run: [touch, {after}]
verify:
  within: 15s
limit: 3 per 24h
trust: unproven
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=2) as cluster:
        yield cluster


class Scratch:
    """A tmpfs of ours that can be lost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mount()

    def mount(self) -> None:
        run = ["mount", "-t", "tmpfs", "hpcdoctor-test", str(self.folder)]
        subprocess.run(run, check=True)

    def lose(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)

    def is_there(self) -> bool:
        return os.path.ismount(self.folder)

    def end(self) -> None:
        while self.is_there():
            self.lose()


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    folder = Path(tempfile.mkdtemp(prefix="hds-", dir="/var/tmp"))
    made = Scratch(folder)
    yield made
    made.end()
    folder.rmdir()


Make = Callable[..., Doctor]


@pytest.fixture
def make(installed: Path, cluster: SlurmCluster, scratch: Scratch) -> Iterator[Make]:
    made: list[Doctor] = []

    def doctor(program: str = "mount", seconds: float = 0.0, **settings: Any) -> Doctor:
        site = all_but(installed, [CHECK])
        site[f"checks/{CHECK}.yaml"] = (
            "every: 5s\ncritical: {for: 0s}\nclear_after: 0s\nquiet_after_boot: 0s\n"
        )
        site["profiles/lab.yaml"] = f"profile: lab\nmounts: [{scratch.folder}]\n"
        site["rules/our-scratch.yaml"] = RULE
        one = Doctor(
            installed,
            {
                "node": "n1",
                "mode": "act",
                "scheduler": "slurm",
                "slurm": {"node_name": "n1", "conf": str(cluster.conf)},
                "profile": "lab",
                "remediations": ["mount-it"],
                **settings,
            },
            site=site,
        )
        text = REMEDIATION.format(
            program=program,
            seconds=seconds,
            folder=scratch.folder,
            tried=one.folder / "tried",
            after=one.folder / "after",
        )
        one.write("remediations/mount-it.yaml", text)
        made.append(one)
        one.start()
        return one

    yield doctor
    for one in made:
        print(one.log)
        one.end()
        shutil.rmtree(one.folder)
    if cluster.node("n1").state.startswith("drain"):
        cluster.resume("n1")
    cluster.wait_for_node("n1", "idle", "mixed", "allocated", seconds=60)


def test_a_lost_mount_drains_the_node_is_mounted_verified_and_the_node_is_back(
    make: Make, cluster: SlurmCluster, scratch: Scratch
) -> None:
    doctor = make()
    doctor.wait_for_state("healthy", seconds=60)
    scratch.lose()
    status = doctor.wait_for_state("probation", seconds=60)
    assert scratch.is_there()
    assert status["because"] == "released by mount-it: verified"
    assert (doctor.folder / "after").exists()
    cluster.wait_for_node("n1", "idle")


def test_a_repair_that_does_not_help_ends_with_people_and_the_node_stays_out(
    make: Make, cluster: SlurmCluster, scratch: Scratch
) -> None:
    doctor = make(program="false")
    scratch.lose()
    status = doctor.wait_for_state("handed_over", seconds=60)
    assert "handed over to storage" in status["because"]
    assert cluster.out() == ["n1"]
    assert (doctor.folder / "after").exists(), "finally is carried out in any case"
    refused = doctor.hpcdoctor("repair", "mount-it", "--why", "once more", "--on", "port=")
    assert refused.returncode == 64
    (doctor.folder / "after").unlink()
    again = doctor.hpcdoctor("repair", "mount-it", "--why", "once more")
    assert again.returncode == 0, again.stderr
    assert "mount-it is being carried out" in again.stdout
    wait_for("the order's `finally`", (doctor.folder / "after").exists)


@pytest.mark.parametrize("process", ["daemon", "helper"])
def test_a_kill_in_the_middle_of_a_repair_uses_the_try_up_and_never_runs_it_twice(
    make: Make, cluster: SlurmCluster, scratch: Scratch, process: str
) -> None:
    doctor = make(seconds=4.0)
    scratch.lose()
    tried = doctor.folder / "tried"
    wait_for("the repair to begin", tried.exists, 60)
    assert doctor.wait_for_state("remediating", seconds=60)
    tried.unlink()
    doctor.kill(process)
    if process == "daemon":
        doctor.start()
    status = doctor.wait_for_state("handed_over", seconds=120)
    assert not tried.exists()
    assert "mount-it has had its try" in status["because"]
    assert cluster.out() == ["n1"], "out of service until a person has looked"


def test_a_stand_down_touches_nothing_any_more(
    make: Make, cluster: SlurmCluster, scratch: Scratch
) -> None:
    doctor = make(remediations=[])
    scratch.lose()
    doctor.wait_for_state("handed_over", seconds=60)
    down = doctor.hpcdoctor("stand-down", "--why", "we change the file server", "--release")
    assert down.returncode == 0, down.stderr
    cluster.wait_for_node("n1", "idle")
    assert "stand-down: we change the file server" in doctor.status["hold"]
    would = doctor.hpcdoctor("status", "--would")
    assert would.stdout.startswith("nothing: no rule in shadow")
