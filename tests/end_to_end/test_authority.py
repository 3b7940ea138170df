"""Where somebody else drains: does the node ask or publish, see what they did, and keep off?

Real Slurm, a real broker, a whole doctor; the fleet is a small double, the consumer is the example
program of docs/.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.doctor import Doctor, all_but, fall_off_the_bus, some_pci_address
from tests.doubles.fleet import Fleet
from tests.doubles.mosquitto import Mosquitto
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "drain_consumer.py"
KEPT = "gpu-lost"


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=1) as cluster:
        yield cluster


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


def doctor(
    installed: Path, cluster: SlurmCluster, broker: Mosquitto, authority: str, **settings: object
) -> Doctor:
    return Doctor(
        installed,
        {
            "node": "n1",
            "mode": "act",
            "authority": authority,
            "scheduler": "slurm",
            "slurm": {"node_name": "n1", "conf": str(cluster.conf)},
            "mqtt": {"host": broker.host, "port": broker.port},
            **settings,
        },
        flags=["--accept-user-kernel-log"],
        site=all_but(installed, [KEPT]),
    )


@pytest.fixture(autouse=True)
def in_service(cluster: SlurmCluster) -> Iterator[None]:
    yield
    if cluster.node("n1").state.startswith("drain"):
        cluster.resume("n1")
    cluster.wait_for_node("n1", "idle")


def test_the_fleet_is_asked_drains_and_resumes_and_the_node_touches_nothing(
    installed: Path, cluster: SlurmCluster, broker: Mosquitto
) -> None:
    with Fleet(broker, cluster) as fleet, doctor(installed, cluster, broker, "fleet") as node:
        fleet.says = "budget: 1 of 1 nodes is out"
        fall_off_the_bus(some_pci_address())
        status = node.wait_for_state("waiting")
        wait_for("the request", lambda: fleet.requests)
        assert status["quarantine"] is None
        wait_for("what the fleet says", lambda: "1 of 1 nodes is out" in node.status["because"], 30)
        assert cluster.node("n1").state == "idle"
        said = " ".join(node.hpcdoctor("gate").stdout.split())
        but = "but the node waits to be drained, and jobs start until it is: "
        assert said.startswith(f"open: jobs may start here {but}")
        # A grant that nobody has asked for, or for another kind, starts nothing.
        base = fleet.requests[0]["base"]
        fleet.tell(base, request="zzzz.1.drain", granted=True)
        fleet.tell(
            base, request=fleet.requests[0]["request"].replace("drain", "repair"), granted=True
        )
        fleet.says = ""
        fleet.answer(fleet.requests[0]["request"])
        node.wait_for_state("drained", "handed_over")
        seen = cluster.node("n1")
        assert seen.reason == node.status["quarantine"] == fleet.requests[0]["reason"]
        assert "had the fleet drain the node" in node.hpcdoctor("status").stdout
        wait_for("the gate", lambda: node.hpcdoctor("gate").stdout.startswith("closed"))
        assert node.hpcdoctor("release", "--quarantine", "--why", "reseated").returncode == 0
        node.wait_for_state("probation", seconds=90)
        assert [each["kind"] for each in fleet.requests] == ["drain", "resume"]
        asked = [line for line in node.log.splitlines() if "action.asked" in line]
        assert asked == [], "the node asked its helper for nothing"


def test_without_a_fleet_only_the_listed_rules_drain(
    installed: Path, cluster: SlurmCluster, broker: Mosquitto
) -> None:
    with doctor(
        installed, cluster, broker, "fleet", act_without_fleet=["gpu-lost"], fleet_patience="10s"
    ) as node:
        fall_off_the_bus(some_pci_address())
        assert "the fleet was asked to drain" in node.wait_for_state("waiting")["because"]
        node.wait_for_state("drained", "handed_over", seconds=60)
        assert cluster.node("n1").reason.endswith("rule gpu-lost")


def test_the_consumer_of_docs_drains_what_is_published_and_resumes_what_is_released(
    installed: Path, cluster: SlurmCluster, broker: Mosquitto, tmp_path: Path
) -> None:
    with doctor(installed, cluster, broker, "consumer") as node:
        # `accept_user_kernel_log` marks a test, which the program leaves alone.
        text = EXAMPLE.read_text().replace('state.get("accept_user_kernel_log")', "False")
        program = tmp_path / "consumer.py"
        program.write_text(text)
        with (tmp_path / "said").open("w") as said:
            arguments = ["--host", broker.host, "--port", str(broker.port), "--cluster", "lab"]
            arguments += ["--memory", str(tmp_path / "drained.json")]
            consumer = subprocess.Popen(
                [sys.executable, str(program), *arguments],
                stdout=said,
                stderr=said,
                env={"PATH": os.environ["PATH"] + ":/usr/sbin", "SLURM_CONF": str(cluster.conf)},
            )
        try:
            fall_off_the_bus(some_pci_address())
            node.wait_for_state("draining", "drained", "handed_over")
            wait_for("the gate", lambda: node.hpcdoctor("gate").stdout.startswith("closed"))
            reason = node.status["quarantine"]
            assert "published a quarantine at" in node.hpcdoctor("status").stdout
            wait_for("the drain", lambda: cluster.node("n1").reason == reason, 30)
            node.wait_for_state("drained", "handed_over", seconds=90)
            assert node.hpcdoctor("release", "--quarantine", "--why", "reseated").returncode == 0
            wait_for("the resume", lambda: cluster.node("n1").state in ("idle", "idle*"), 30)
            assert node.status["state"] == "probation"
        finally:
            consumer.terminate()
            consumer.wait(10)
            print((tmp_path / "said").read_text())
