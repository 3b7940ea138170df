"""The example of docs/ that drains for `authority: consumer`: whose drain does it take for its own?

The program itself, at a real Slurm whose Prolog fails where a file says so.
"""

import calendar
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.doubles.mosquitto import Mosquitto
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "drain_consumer.py"
REASON = "hd:k3f9.1 GPU3 Xid79 off bus; rule gpu-lost"
STATE = '{"authority": "consumer", "quarantine": null, "hold": null}'


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("drain_consumer", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROGRAM = loaded()


@pytest.fixture(scope="module")
def prolog() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hdc-", dir="/var/tmp"))
    folder.chmod(0o755)
    path = folder / "prolog"
    path.write_text(f"#!/bin/sh\n[ ! -e {folder}/closed ]\n")
    path.chmod(0o755)
    yield path
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cluster(prolog: Path) -> Iterator[SlurmCluster]:
    extra = {"Prolog": str(prolog), "PrologFlags": "Alloc"}
    with SlurmCluster(nodes=1, extra=extra) as cluster:
        yield cluster


@pytest.fixture
def memory(cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    if cluster.node("n1").state.startswith("drain"):
        cluster.resume("n1")
    cluster.wait_for_node("n1", "idle")
    return tmp_path / "drained.json"


def wish(reason: str | None = REASON, *, ago: float = 0, held_by: str = "") -> Any:
    since = calendar.timegm(time.gmtime()) - ago
    return PROGRAM.Wish(reason, since, held_by)


def stands(cluster: SlurmCluster) -> tuple[str, str]:
    seen = cluster.node("n1")
    return seen.state, seen.reason


@pytest.mark.real
@pytest.mark.parametrize("added", ["", " : reboot issued : reboot complete"])
def test_it_drains_what_is_quarantined_and_resumes_its_own_drain(
    cluster: SlurmCluster, memory: Path, added: str
) -> None:
    PROGRAM.Consumer(memory).take("n1", wish())
    assert stands(cluster) == ("drained", REASON)
    cluster.drain("n1", REASON + added)
    PROGRAM.Consumer(memory).take("n1", wish(None))  # also after it was started anew
    cluster.wait_for_node("n1", "idle")


@pytest.mark.real
def test_what_a_person_has_added_to_our_reason_keeps_the_node_out(
    cluster: SlurmCluster, memory: Path
) -> None:
    consumer = PROGRAM.Consumer(memory)
    consumer.take("n1", wish())
    theirs = f"{REASON}; alice: memtest, do not resume"
    cluster.drain("n1", theirs)
    consumer.take("n1", wish())
    consumer.take("n1", wish(None))
    assert stands(cluster) == ("drained", theirs)


@pytest.mark.real
def test_a_mark_that_it_knows_nothing_of_is_not_resumed(
    cluster: SlurmCluster, memory: Path
) -> None:
    cluster.drain("n1", REASON)
    PROGRAM.Consumer(memory).take("n1", wish(None))
    assert stands(cluster) == ("drained", REASON)


@pytest.mark.real
def test_a_node_that_a_person_has_resumed_is_not_drained_twice_for_one_quarantine(
    cluster: SlurmCluster, memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PROGRAM.Consumer(memory).take("n1", wish())
    cluster.resume("n1")
    cluster.wait_for_node("n1", "idle")
    consumer = PROGRAM.Consumer(memory)
    consumer.take("n1", wish())
    consumer.look_again()
    assert cluster.node("n1").state == "idle"
    assert capsys.readouterr().out.count("left in service: somebody has resumed it") == 1
    later = REASON.replace(".1 ", ".2 ")
    consumer.take("n1", wish(later))
    assert stands(cluster) == ("drained", later)


@pytest.mark.real
def test_a_held_node_is_left_alone(cluster: SlurmCluster, memory: Path) -> None:
    PROGRAM.Consumer(memory).take("n1", wish(held_by="ann"))
    assert cluster.node("n1").state == "idle"


@pytest.mark.real
def test_slurms_own_drain_after_our_gate_gets_our_reason_and_ends_with_the_quarantine(
    cluster: SlurmCluster, memory: Path, prolog: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = prolog.parent / "closed"
    closed.touch()
    job = cluster.submit("true", node="n1")
    assert cluster.wait_for_node("n1", "drained").reason == "Prolog error"
    closed.unlink()
    cluster.run(["scancel", str(job)])
    consumer = PROGRAM.Consumer(memory)
    consumer.take("n1", wish(ago=-3600))  # it was so long before the quarantine began
    assert stands(cluster) == ("drained", "Prolog error")
    consumer.take("n1", wish(ago=10))
    assert stands(cluster) == ("drained", REASON)
    assert "instead of: Prolog error" in capsys.readouterr().out
    consumer.take("n1", wish(None))
    cluster.wait_for_node("n1", "idle")


@pytest.mark.real
def test_without_an_answer_from_slurm_it_tries_again(
    memory: Path, cluster: SlurmCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    consumer = PROGRAM.Consumer(memory)
    consumer.take("n9", wish())
    assert "Slurm: Node n9 not found; trying again" in capsys.readouterr().out
    consumer.look_again()
    assert capsys.readouterr().out == ""


PYTHONS = [sys.executable, "/usr/bin/python3"]  # with the paho of this project, and the system's


@pytest.mark.real
@pytest.mark.parametrize("python", PYTHONS)
def test_it_runs_with_either_paho(tmp_path: Path, python: str) -> None:
    asked = [python, "-c", "import paho.mqtt.client"]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip(f"{python} has no paho: apt-get install python3-paho-mqtt")
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho 'NodeName=n1 State=IDLE ThreadsPerCore=1'\n")
    scontrol.chmod(0o755)
    with Mosquitto(tmp_path / "broker") as broker, (tmp_path / "said").open("w") as said:
        consumer = subprocess.Popen(
            [python, str(EXAMPLE), "--host", broker.host, "--port", str(broker.port)]
            + ["--cluster", "lab", "--memory", str(tmp_path / "drained.json")],
            stdout=said,
            stderr=said,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        )
        try:
            publish = ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-r"]
            subprocess.run([*publish, "-t", "hpcdoctor/lab/n1/state", "-m", STATE], check=True)
            heard = tmp_path / "said"
            wait_for("the state", lambda: "n1: in service" in heard.read_text(), 30)
        finally:
            consumer.terminate()
            consumer.wait(10)
            print((tmp_path / "said").read_text())
