"""Does a fault on this machine end as a drained Slurm node and as events on the broker?

The real thing throughout: kernel log, Slurm, Mosquitto, and the installed hpcdoctor with its three
processes. Only the fault is ours: a line in /dev/kmsg, which `--accept-user-kernel-log` lets count.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.doctor import (
    Doctor,
    all_but,
    fall_off_the_bus,
    some_pci_address,
    write_kernel_log,
)
from tests.doubles.mosquitto import Mosquitto, Subscriber
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

UNSAFE = ["--accept-user-kernel-log"]
# What this is about. The machine that the tests run on may have troubles of its own.
KEPT = ["gpu-lost", "gpu-xid-application"]
ADDRESS = some_pci_address()


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=2) as cluster:
        yield cluster


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def make(
    installed: Path, cluster: SlurmCluster, broker: Mosquitto
) -> Iterator[Callable[..., Doctor]]:
    """Return what makes a doctor of node n1; the node is idle before and after."""
    made: list[Doctor] = []

    def doctor(*, flags: list[str] = UNSAFE, **settings: Any) -> Doctor:
        made.append(
            Doctor(
                installed,
                {
                    "node": "n1",
                    "mode": "act",
                    "scheduler": "slurm",
                    "slurm": {"node_name": "n1", "conf": str(cluster.conf)},
                    "mqtt": {"host": broker.host, "port": broker.port},
                    **settings,
                },
                flags=flags,
                site=all_but(installed, KEPT),
            )
        )
        made[-1].start()
        return made[-1]

    yield doctor
    for one in made:
        print(one.log)
        one.end()
        shutil.rmtree(one.folder)
    cluster.run(["scancel", "--nodelist=n1"])
    if cluster.node("n1").state.startswith("drain"):
        cluster.resume("n1")
    cluster.wait_for_node("n1", "idle", "mixed", "allocated", seconds=60)


def types(subscriber: Subscriber) -> list[str]:
    return [event["type"].removeprefix("hpcdoctor.") for event in subscriber.events()]


def wait_for_drain(cluster: SlurmCluster) -> str:
    """Return the reason with which n1 is out."""
    seen = wait_for(
        "n1 to be drained by us",
        lambda: cluster.node("n1") if cluster.out() == ["n1"] else None,
        30,
    )
    return seen.reason


def assert_each_once_in_order(subscriber: Subscriber) -> None:
    """Duplicates by id are allowed on the wire; without them nothing is missing or out of order."""
    numbers = list(dict.fromkeys(int(event["sequence"]) for event in subscriber.events()))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_gpu_that_falls_off_the_bus_drains_the_node_and_a_release_resumes_it(
    make: Callable[..., Doctor], cluster: SlurmCluster, broker: Mosquitto
) -> None:
    job = cluster.submit("sleep 600", node="n1")
    cluster.wait_for_job(job, "RUNNING")
    with Subscriber(broker, "hpcdoctor/lab/n1/#") as heard:
        doctor = make()
        fall_off_the_bus(ADDRESS)
        reason = wait_for_drain(cluster)
        status = doctor.wait_for_state("draining")

        assert reason == status["quarantine"]
        assert reason.startswith(f"hd:{status['incident']}.1 GPU {ADDRESS.removeprefix('0000:')} ")
        assert reason.endswith("; rule gpu-lost")
        assert cluster.job_state(job) == "RUNNING", "the job that runs there is left alone"

        heard.wait_until("the quarantine", lambda _: "quarantine.claimed" in types(heard))
        told = types(heard)
        story = ["finding.opened", "incident.opened", "action.asked", "quarantine.claimed"]
        assert sorted(story, key=told.index) == story
        assert_each_once_in_order(heard)
        finding = next(e for e in heard.events() if e["type"] == "hpcdoctor.finding.opened")
        assert finding["specversion"] == "1.0"
        assert finding["source"] == "/hpcdoctor/lab/n1"
        assert finding["data"]["check"] == "gpu-lost"
        assert finding["data"]["evidence"][0]["text"].startswith("NVRM: Xid (PCI:")
        assert finding["data"]["accept_user_kernel_log"] is True
        with Subscriber(broker, "hpcdoctor/lab/n1/state", name="late") as late:
            late.wait_until(
                "the state with the claim",
                lambda came: any(
                    (m.json()["quarantine"] or {}).get("reason") == reason for m in came
                ),
            )
            assert late.messages[0].retained, "it was there before this reader came"

        report = doctor.report
        assert report["verdict"] == "critical"
        assert [f["check"] for f in report["findings"]] == ["gpu-lost"]

        done = doctor.hpcdoctor("release", "--why", "card reseated")
        assert done.returncode == 0, done.stderr
        doctor.wait_for_state("probation")
        assert cluster.node("n1").state in ("mixed", "allocated", "idle", "mixed*", "idle*")
        assert doctor.report["findings"] == []
        heard.wait_until("the end", lambda _: "quarantine.lifted" in types(heard))


def test_without_the_flag_a_line_that_a_process_wrote_does_nothing(
    make: Callable[..., Doctor], cluster: SlurmCluster
) -> None:
    doctor = make(flags=[])
    fall_off_the_bus(ADDRESS)
    time.sleep(3)  # with the flag it takes a fraction of a second, as the test above shows
    assert doctor.report["findings"] == []
    assert cluster.out() == []


def test_an_address_that_is_not_in_the_pci_tree_does_nothing(
    make: Callable[..., Doctor], cluster: SlurmCluster
) -> None:
    doctor = make()
    fall_off_the_bus("0000:fe:1f")
    _a_later_line_has_been_judged(doctor)
    assert [f["check"] for f in doctor.report["findings"]] == ["gpu-xid-application"]
    assert cluster.out() == []


def _a_later_line_has_been_judged(doctor: Doctor) -> None:
    """Lines are judged in order: once a later one counts, the earlier one has had its turn."""
    write_kernel_log(f"NVRM: Xid (PCI:{ADDRESS}): 13, pid=77, name=a.out, Graphics Exception")
    wait_for("the later line", lambda: doctor.report["findings"], 15)


def test_shadow_only_counts_what_it_would_have_done(
    make: Callable[..., Doctor], cluster: SlurmCluster, broker: Mosquitto
) -> None:
    with Subscriber(broker, "hpcdoctor/lab/n1/#") as heard:
        doctor = make(mode="shadow")
        fall_off_the_bus(ADDRESS)
        status = doctor.wait_for_state("degraded")
        assert status["would_have_drained_total"] == 1
        assert status["quarantine"] is None
        heard.wait_until("what it would do", lambda _: "decision.shadowed" in types(heard))
        assert "action.asked" not in types(heard)
    assert cluster.out() == []


def test_an_administrators_drain_is_never_touched(
    make: Callable[..., Doctor], cluster: SlurmCluster
) -> None:
    cluster.drain("n1", "alice: disk swap")
    before = cluster.node("n1")
    doctor = make()
    fall_off_the_bus(ADDRESS)
    status = doctor.wait_for_state("waiting")
    wait_for("the reason", lambda: "alice: disk swap" in doctor.status["because"])
    assert status["quarantine"] is None
    assert doctor.hpcdoctor("release", "--why", "seen").returncode == 0
    doctor.wait_for_state("healthy")
    assert cluster.node("n1") == before


@pytest.mark.parametrize("name", ["daemon", "prober", "helper"])
def test_a_kill_in_the_middle_loses_nothing_and_repeats_nothing(
    name: str, make: Callable[..., Doctor], cluster: SlurmCluster, broker: Mosquitto
) -> None:
    with Subscriber(broker, "hpcdoctor/lab/n1/#") as heard:
        doctor = make()
        cluster.freeze()  # so that the drain is under way when the kill comes
        fall_off_the_bus(ADDRESS)
        doctor.wait_for_state("waiting")
        doctor.kill(name)
        cluster.thaw()
        if name == "daemon":
            doctor.start()
        status = doctor.wait_for_state("drained", "handed_over", seconds=60)
        reason = wait_for_drain(cluster)
        assert reason.startswith(f"hd:{status['incident']}.1 ")
        assert len(doctor.report["findings"]) == 1
        assert doctor.report["findings"][0]["count"] == 1
        wait_for(f"the {name}", lambda: doctor.pid(name), 30)
        heard.wait_until("the quarantine", lambda _: "quarantine.claimed" in types(heard))
        told = {event["id"]: event["type"] for event in heard.events()}
        assert list(told.values()).count("hpcdoctor.finding.opened") == 1
        assert list(told.values()).count("hpcdoctor.quarantine.claimed") == 1
        assert_each_once_in_order(heard)


def test_a_broker_that_was_away_gets_every_event_once_and_in_order(
    make: Callable[..., Doctor], cluster: SlurmCluster, broker: Mosquitto
) -> None:
    with Subscriber(broker, "hpcdoctor/lab/n1/#") as heard:
        doctor = make()
        heard.wait_until("the start", lambda _: "node.started" in types(heard))
        broker.kill()
        fall_off_the_bus(ADDRESS)
        wait_for_drain(cluster)
        doctor.wait_for_state("drained", "handed_over")
        broker.start()
        heard.wait_until(
            "the quarantine", lambda _: "quarantine.claimed" in types(heard), timeout_seconds=90
        )
        ids = [event["id"] for event in heard.events()]
        assert len(ids) == len(set(ids))
        assert_each_once_in_order(heard)


def test_a_deleted_store_finds_its_own_drain_again(
    make: Callable[..., Doctor], cluster: SlurmCluster
) -> None:
    doctor = make()
    fall_off_the_bus(ADDRESS)
    reason = wait_for_drain(cluster)
    incident = doctor.wait_for_state("drained", "handed_over")["incident"]
    assert doctor.stop() == 0
    shutil.rmtree(doctor.folder / "state")
    doctor.start()
    status = doctor.wait_for_state("verifying", "handed_over")
    assert status["incident"] == incident
    assert status["quarantine"] == reason == cluster.node("n1").reason


def test_a_wrong_configuration_is_refused_at_a_reload_and_the_old_one_stays(
    make: Callable[..., Doctor],
) -> None:
    doctor = make()
    doctor.write("checks/gpu-lost.yaml", "critical:\n  when: cod == 79\n")
    os.kill(doctor.pid("daemon"), signal.SIGHUP)
    (notice,) = wait_for(
        "the refusal", lambda: [n for n in doctor.status["notices"] if "the old one stays" in n], 15
    )
    assert "gpu-lost.yaml:2" in notice
    assert "did you mean `code`?" in notice
    doctor.write("checks/gpu-lost.yaml", "enabled: false\n")
    os.kill(doctor.pid("daemon"), signal.SIGHUP)
    wait_for(
        "the new configuration",
        lambda: "gpu-lost" not in [c["check"] for c in doctor.report["checks"]],
        15,
    )
