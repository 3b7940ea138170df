"""Are the jobs of a node sent back where a site's own rule says so, by the whole doctor?"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.doctor import Doctor, all_but, fall_off_the_bus, some_pci_address
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]


@pytest.fixture
def cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=2) as cluster:
        yield cluster


@pytest.mark.parametrize("want", ["requeue", "drain-now"])
def test_the_jobs_of_this_node_start_elsewhere(
    installed: Path, cluster: SlurmCluster, want: str
) -> None:
    site = all_but(installed, ["gpu-lost"])
    site["rules/gpu-lost.yaml"] = f"decide: {{node: {want}}}\n"
    settings = {
        "node": "n1",
        "mode": "act",
        "scheduler": "slurm",
        "slurm": {
            "node_name": "n1",
            "conf": str(cluster.conf),
            "grace": "5s",
            "grace_signal": "USR1",
        },
    }
    saved = cluster.folder / "jobs" / "saved"
    script = f"trap 'echo >{saved}' USR1\necho >here-$SLURM_RESTART_COUNT\n"
    job = cluster.submit(script + "while :; do sleep 0.2; done", node="n1")
    wait_for("the job to run", (cluster.folder / "jobs" / "here-").exists, 30)
    with Doctor(installed, settings, flags=["--accept-user-kernel-log"], site=site) as doctor:
        fall_off_the_bus(some_pci_address())
        status = doctor.wait_for_state("draining", "drained", "handed_over")
        assert status["quarantine"].endswith("rule gpu-lost")

        def sent_back() -> bool:
            shown = cluster.run(["scontrol", "-o", "show", "job", str(job)])
            return "Restarts=1" in shown and "JobState=PENDING" in shown

        wait_for("the job to be sent back", sent_back, 90)
        doctor.wait_for_state("drained", "handed_over", seconds=90)
        assert saved.exists() is (want == "drain-now")
        assert f"requeued job {job}" in doctor.log
