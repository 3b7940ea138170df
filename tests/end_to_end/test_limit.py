"""Does the local limit hold when sixty nodes see the same fault in the same second?

Sixty real slurmd, and for each a whole hpcdoctor of its own: daemon, prober and helper.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.doubles.doctor import Doctor, all_but, fall_off_the_bus, some_pci_address
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

NODES = 60
ALLOWED = 1  # the larger of 1 and 2 % of 60
KEPT = "gpu-lost"


@pytest.fixture
def doctors(installed: Path) -> Iterator[tuple[SlurmCluster, list[Doctor]]]:
    others = all_but(installed, [KEPT])
    with SlurmCluster(nodes=NODES) as cluster, ExitStack() as stack:
        doctors = [
            Doctor(
                installed,
                {
                    "node": name,
                    "mode": "act",
                    "scheduler": "slurm",
                    "slurm": {"node_name": name, "conf": str(cluster.conf)},
                },
                flags=["--accept-user-kernel-log"],
                site=others,
            )
            for name in cluster.nodes
        ]
        for doctor in doctors:
            doctor.start(wait=False)
            stack.push(doctor)
        for doctor in doctors:
            doctor.wait_until_up()
        yield cluster, doctors


def test_sixty_nodes_with_the_same_fault_are_never_more_than_the_limit_out(
    doctors: tuple[SlurmCluster, list[Doctor]],
) -> None:
    cluster, everyone = doctors
    fall_off_the_bus(some_pci_address())

    def decided() -> list[dict[str, str]] | None:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda doctor: doctor.status, everyone))
        done = [one for one in answers if _has_decided(one)]
        return done if len(done) == NODES else None

    # Every one has asked, counted, and where the limit was passed given its own back.
    statuses = wait_for("all sixty to have their answer", decided, 120)
    assert len(cluster.out()) <= ALLOWED, cluster.out()
    waiting = [one for one in statuses if one["state"] == "waiting"]
    assert len(waiting) >= NODES - ALLOWED
    for one in waiting:
        assert f"the limit is {ALLOWED}" in one["because"], json.dumps(one, indent=1)
        assert "asked for again in" in one["next"]
        assert one["quarantine"] is None


def _has_decided(status: dict[str, str]) -> bool:
    if status["state"] == "waiting":
        return "the limit is" in status["because"]
    return status["state"] in ("drained", "handed_over")
