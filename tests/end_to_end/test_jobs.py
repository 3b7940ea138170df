"""Does the owner of a job hear that its node is drained, on the broker and in Slurm itself?"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.doctor import Doctor, all_but, fall_off_the_bus, some_pci_address
from tests.doubles.mosquitto import Mosquitto, Subscriber
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

CPUSETS = Path("/sys/fs/cgroup/cpuset")

pytestmark = [
    pytest.mark.real,
    pytest.mark.usefixtures("as_root"),
    pytest.mark.skipif(
        not (CPUSETS.is_dir() and os.access(CPUSETS, os.W_OK)),
        reason="the cgroups of this machine are not version 1, or not ours to make",
    ),
]

CGROUPS = {"CgroupPlugin": "cgroup/v1", "CgroupAutomount": "yes", "ConstrainCores": "yes"}
NOBODY = 65534


@pytest.fixture
def cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster(cgroups=CGROUPS) as cluster:
        yield cluster


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


def test_the_owner_of_a_job_on_a_drained_node_is_told_once(
    installed: Path, cluster: SlurmCluster, broker: Mosquitto
) -> None:
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    submit = [*become, "sbatch", "--parsable", "--chdir=/tmp", "--comment=mine", "-o/dev/null"]
    job = int(cluster.run([*submit, "--wrap=sleep 600"]))
    cluster.wait_for_job(job, "RUNNING")
    settings = {
        "node": "n1",
        "mode": "act",
        "scheduler": "slurm",
        "slurm": {"node_name": "n1", "conf": str(cluster.conf), "tell_jobs": "comment"},
        "mqtt": {"host": broker.host, "port": broker.port},
    }
    doctor = Doctor(
        installed,
        settings,
        flags=["--accept-user-kernel-log"],
        site=all_but(installed, ["gpu-lost"]),
    )
    with Subscriber(broker, "hpcdoctor/lab/n1/#") as heard, doctor:
        wait_for("the job", lambda: doctor.report["jobs"])
        fall_off_the_bus(some_pci_address())
        doctor.wait_for_state("draining")
        wait_for("the claim", lambda: [one for one in heard.events() if "claim" in one["type"]])
        told = [
            event["data"] for event in heard.events() if event["type"] == "hpcdoctor.job.affected"
        ]
        reason = doctor.status["quarantine"]
        (here,) = doctor.report["jobs"]
        print(doctor.log)
    shutil.rmtree(doctor.folder, ignore_errors=True)
    assert (here["job"], here["scheduler"], here["user"]) == (str(job), "slurm", "nobody")
    (one,) = told
    assert (one["job"], one["user_id"], one["happens"]) == (str(job), NOBODY, "may-finish")
    assert "fallen off the bus" in one["about"]
    shown = cluster.run(["scontrol", "show", "job", str(job)])
    assert f"AdminComment={reason}; node n1" in shown
    assert "   Comment=mine" in shown
    assert cluster.job_state(job) == "RUNNING"
