"""Does a real job of a real Slurm start where it may, and not start where it must not?

slurmd runs the installed `hpcdoctor-gate` as its Prolog; a whole doctor keeps the file.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.doctor import Doctor, all_but, fall_off_the_bus, some_pci_address
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

KEPT = "gpu-lost"


class Prolog:
    """The program that slurm.conf names; the file of the gate is known only later."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hdg-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.path = self.folder / "prolog"
        self.log = self.folder / "log"
        self.write("exit 0")

    def write(self, line: str) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(f"#!/bin/sh\n{line}\n")
        new.chmod(0o755)
        new.replace(self.path)

    def be_the_gate(self, doctor: Doctor, *arguments: str) -> None:
        gate = doctor.program.parent / "hpcdoctor-gate"
        file = doctor.folder / "run" / "gate"
        call = f"{gate} --file {file} {' '.join(arguments)} 2>>{self.log}"
        self.write(f"[ $SLURMD_NODENAME = n1 ] || exit 0\n{call}")

    @property
    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture(scope="module")
def prolog() -> Iterator[Prolog]:
    made = Prolog()
    yield made
    shutil.rmtree(made.folder)


@pytest.fixture(scope="module")
def cluster(prolog: Prolog) -> Iterator[SlurmCluster]:
    extra = {"Prolog": str(prolog.path), "PrologFlags": "Alloc"}
    with SlurmCluster(nodes=2, extra=extra) as cluster:
        yield cluster


@pytest.fixture
def doctor(installed: Path, cluster: SlurmCluster, prolog: Prolog) -> Iterator[Doctor]:
    one = Doctor(
        installed,
        {
            "node": "n1",
            "mode": "act",
            "scheduler": "slurm",
            "slurm": {"node_name": "n1", "conf": str(cluster.conf)},
        },
        flags=["--accept-user-kernel-log"],
        site=all_but(installed, [KEPT]),
    )
    prolog.log.unlink(missing_ok=True)
    with one:
        yield one
        with_hands_free(one)
        print(one.log)
    shutil.rmtree(f"{one.folder}/run-gate", ignore_errors=True)
    cluster.run(["scancel", "--user=root"])
    if cluster.node("n1").state.startswith("drain"):
        cluster.resume("n1")
    cluster.wait_for_node("n1", "idle")


def with_hands_free(doctor: Doctor) -> None:
    if doctor.process is not None and (pid := doctor.pid("daemon")):
        os.kill(pid, signal.SIGCONT)


def gate_of(doctor: Doctor) -> str:
    return doctor.hpcdoctor("gate").stdout


def quarantined(doctor: Doctor, cluster: SlurmCluster) -> str:
    """Have the doctor drain its node; return the reason."""
    fall_off_the_bus(some_pci_address())
    doctor.wait_for_state("drained", "handed_over")
    wait_for("the gate to close", lambda: gate_of(doctor).startswith("closed"))
    reason = cluster.node("n1").reason
    assert reason.startswith("hd:")
    assert f"closed: {reason}" in gate_of(doctor)
    return reason


def behind_its_back(doctor: Doctor, cluster: SlurmCluster) -> int:
    """Put the node back while the doctor does not see it, and send a job there."""
    os.kill(doctor.pid("daemon"), signal.SIGSTOP)  # its file counts for some time yet
    cluster.resume("n1")
    cluster.wait_for_node("n1", "idle")
    return cluster.submit("sleep 1", node="n1")


def turned_away(cluster: SlurmCluster, job: int) -> str:
    """Return the job's line in scontrol once it is back in the queue, held."""

    def line() -> str | None:
        shown = cluster.run(["scontrol", "-o", "show", "job", str(job)])
        return shown if "JobState=PENDING" in shown and "Restarts=1" in shown else None

    return wait_for("the job to be sent back", line, 60)


def test_an_open_gate_lets_the_job_start_and_says_nothing(
    doctor: Doctor, cluster: SlurmCluster, prolog: Prolog
) -> None:
    prolog.be_the_gate(doctor)
    assert gate_of(doctor).startswith("open")
    job = cluster.submit("true", node="n1")
    cluster.wait_for_job(job, "COMPLETED")
    assert prolog.said == ""


def test_without_an_answer_the_job_starts_and_the_prolog_says_so(
    doctor: Doctor, cluster: SlurmCluster, prolog: Prolog
) -> None:
    prolog.be_the_gate(doctor)
    (doctor.folder / "run" / "gate").unlink()
    job = cluster.submit("true", node="n1")
    cluster.wait_for_job(job, "COMPLETED")
    assert "cannot know whether this node is well (missing" in prolog.said
    assert f"job {job} starts" in prolog.said


def test_behind_a_closed_gate_no_job_starts_and_the_node_gets_our_reason(
    doctor: Doctor, cluster: SlurmCluster, prolog: Prolog
) -> None:
    prolog.be_the_gate(doctor)
    reason = quarantined(doctor, cluster)
    job = behind_its_back(doctor, cluster)
    assert "launch_failed_requeued_held" in turned_away(cluster, job)
    seen = cluster.node("n1")
    assert (seen.state, seen.reason, seen.reason_by) == ("drained", reason, "root")
    assert f"closed, job {job} does not start here: {reason}" in prolog.said
    with_hands_free(doctor)
    # The doctor takes that drain for its own: it can be released as ever.
    done = doctor.hpcdoctor("release", "--quarantine", "--why", "card reseated")
    assert done.returncode == 0, done
    doctor.wait_for_state("probation")
    cluster.wait_for_node("n1", "idle")
    assert gate_of(doctor).startswith("open")
    cluster.run(["scancel", str(job)])
    cluster.wait_for_job(cluster.submit("true", node="n1"), "COMPLETED")


def test_a_held_node_is_left_to_the_person_who_holds_it(
    doctor: Doctor, cluster: SlurmCluster, prolog: Prolog
) -> None:
    prolog.be_the_gate(doctor)
    reason = quarantined(doctor, cluster)
    assert doctor.hpcdoctor("hold", "--why", "memtest", "--until", "3d").returncode == 0
    wait_for("the gate to open", lambda: gate_of(doctor).startswith("open"))
    first, _, rest = gate_of(doctor).partition("\n")
    assert first.endswith(": the gate stays open")
    left = f"what stands at the scheduler is left as it is: {reason} file "
    assert " ".join(rest.split()).startswith(left)
    job = behind_its_back(doctor, cluster)
    cluster.wait_for_job(job, "COMPLETED")
    assert cluster.node("n1").state == "idle"
    assert prolog.said == ""
    with_hands_free(doctor)
    doctor.wait_for_state("probation", "waiting", seconds=90)
    assert cluster.node("n1").state == "idle"


def test_where_the_gate_could_not_drain_slurms_own_reason_is_replaced_by_ours(
    doctor: Doctor, cluster: SlurmCluster, prolog: Prolog
) -> None:
    folder = prolog.folder / "broken"
    folder.mkdir()
    (folder / "scontrol").write_text("#!/bin/sh\nexit 1\n")
    (folder / "scontrol").chmod(0o755)
    prolog.be_the_gate(doctor, "--programs", str(folder))
    reason = quarantined(doctor, cluster)
    job = behind_its_back(doctor, cluster)
    turned_away(cluster, job)
    seen = cluster.wait_for_node("n1", "drained")
    assert (seen.reason, seen.reason_by) == ("Prolog error", "slurm")
    with_hands_free(doctor)
    doctor.kill("daemon")  # it looks at the scheduler when it starts
    doctor.start()
    wait_for("our reason", lambda: cluster.node("n1").reason == reason, 30)
    assert doctor.status["quarantine"] is not None


def test_another_programs_failed_prolog_is_not_ours_to_rename(
    doctor: Doctor, cluster: SlurmCluster, prolog: Prolog
) -> None:
    prolog.write("exit 0")
    quarantined(doctor, cluster)
    prolog.write("[ $SLURMD_NODENAME = n1 ] && exit 7")
    job = behind_its_back(doctor, cluster)
    turned_away(cluster, job)
    assert cluster.wait_for_node("n1", "drained").reason == "Prolog error"
    with_hands_free(doctor)
    doctor.kill("daemon")
    doctor.start()
    status = doctor.wait_for_state("handed_over")
    wait_for("it to be said", lambda: "Prolog error" in doctor.status["because"], 30)
    assert cluster.node("n1").reason == "Prolog error"
    assert status["quarantine"] is None or doctor.status["quarantine"] is None


def test_as_epilog_it_names_what_the_job_has_left_behind_and_never_fails(doctor: Doctor) -> None:
    left = Path("/dev/shm") / f"hpcdoctor-test-{os.getpid()}"
    left.write_bytes(b"x" * 5000)
    os.chown(left, 64123, 64123)
    epilog = {
        "SLURM_SCRIPT_CONTEXT": "epilog_slurmd",
        "SLURMD_NODENAME": "n1",
        "SLURM_JOB_ID": "12",
        "SLURM_JOB_UID": "64123",
    }
    gate = doctor.program.parent / "hpcdoctor-gate"
    try:
        done = doctor.hpcdoctor("gate", "--after-job", "12", "--user", "64123")
        as_epilog = subprocess.run(
            [gate], env=epilog, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        left.unlink()
    assert done.returncode == 1
    assert done.stdout.startswith("left behind by user 64123: 1 files with")
    assert (as_epilog.returncode, as_epilog.stdout) == (0, "")
    assert "job 12: left behind by user 64123: 1 files" in as_epilog.stderr
    done = doctor.hpcdoctor("gate", "--after-job", "12", "--user", "64123")
    assert (done.returncode, done.stdout) == (0, "")
