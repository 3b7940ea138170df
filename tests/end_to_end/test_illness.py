"""Does a real doctor that is ill say so, and does its node stay in service?

The state directory is a small tmpfs, the prober is stopped, the database is damaged, rights are
taken away. The clock alone is injected (tests/daemon/test_selfwatch.py): this machine has others.
"""

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.doctor import Doctor
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

NOT_STORED = 74
SETTINGS: dict[str, Any] = {"node": "n1", "mode": "act", "tick": "1s"}


@pytest.fixture
def doctor(installed: Path) -> Iterator[Doctor]:
    with Doctor(installed, SETTINGS) as doctor:
        yield doctor


def notice(doctor: Doctor, code: str) -> str:
    status = doctor.status
    told = [one for one in status["notices"] if one.startswith(f"{code}: ")] if status else []
    return told[0] if told else ""


def told(doctor: Doctor, kind: str) -> list[str]:
    """Return the codes of the events about ourselves that are in the spool."""
    with sqlite3.connect(f"file:{doctor.folder}/state/hpcdoctor.db?mode=ro", uri=True) as store:
        rows = store.execute(
            "SELECT payload FROM spool WHERE type = ?", (f"hpcdoctor.self.{kind}",)
        ).fetchall()
    return [json.loads(payload)["data"]["code"] for (payload,) in rows]


@pytest.mark.soak  # it is a minute until silence is called so
def test_a_prober_that_is_stopped_is_told_and_drains_nothing(doctor: Doctor) -> None:
    prober = doctor.pid("prober")
    os.kill(prober, signal.SIGSTOP)
    try:
        said = wait_for("the notice", lambda: notice(doctor, "prober-silent"), 120)
        assert "nothing new is measured" in said
        wait_for("the event", lambda: "prober-silent" in told(doctor, "noticed"), 30)
        wait_for("unknown", lambda: doctor.report["verdict"] == "unknown", 30)
        assert doctor.status["quarantine"] is None
        assert doctor.status["state"] in ("healthy", "degraded")
    finally:
        os.kill(prober, signal.SIGCONT)
    wait_for("it to be over", lambda: not notice(doctor, "prober-silent"), 60)
    wait_for("the event", lambda: "prober-silent" in told(doctor, "cleared"), 30)


def test_a_prober_that_dies_again_and_again_is_called_a_loop(doctor: Doctor) -> None:
    killed = {0}  # 0: there is none now

    def told_or_killed() -> str:
        pid = doctor.pid("prober")
        if pid not in killed and doctor.status["parts"]["prober"] == "connected":
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        return notice(doctor, "prober-restarts")

    said = wait_for("the notice", told_or_killed, 120)
    assert "broke 3 times" in said
    assert doctor.status["quarantine"] is None


def test_a_damaged_database_is_set_aside_and_named_until_somebody_has_looked(
    doctor: Doctor,
) -> None:
    doctor.stop()
    state = doctor.folder / "state"
    (state / "hpcdoctor.db").write_bytes(b"no database at all" * 1000)
    for suffix in ("-wal", "-shm"):
        (state / f"hpcdoctor.db{suffix}").unlink(missing_ok=True)
    doctor.start()
    said = notice(doctor, "store-damaged")
    (aside,) = state.glob("hpcdoctor.db.damaged-*")
    assert aside.name in said
    wait_for("the event", lambda: "store-damaged" in told(doctor, "noticed"), 30)
    assert doctor.status["quarantine"] is None


def test_a_full_disk_is_called_by_its_name_and_over_when_there_is_room(installed: Path) -> None:
    doctor = Doctor(installed, SETTINGS | {"record_size": "0B"})
    state = doctor.folder / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0750", "tmpfs", state], check=True)
    try:
        subprocess.run(["chown", "hpcdoctor:hpcdoctor", state], check=True)
        with doctor:
            assert not notice(doctor, "disk-full")
            filler = state / "filler"
            with filler.open("wb") as file:
                for _ in range(48):
                    try:
                        file.write(b"x" * (1 << 20))
                        file.flush()
                    except OSError:
                        break
            # What makes it write: an order by a person, whatever becomes of it.
            held = doctor.hpcdoctor("hold", "--why", "a test", "--until", "1h")
            assert held.returncode == NOT_STORED
            assert "not stored: nothing can be written" in held.stderr
            assert "it holds until the daemon ends" in held.stderr
            said = wait_for("the notice", lambda: notice(doctor, "disk-full"), 90)
            assert "Make room on it" in said
            assert doctor.status["quarantine"] is None
            filler.unlink()
            wait_for("it to be over", lambda: not notice(doctor, "disk-full"), 90)
            doctor.kill("daemon")
            doctor.end()
            doctor.start()
            assert doctor.status["held_by"], "what could be written in the end outlives a kill"
            doctor.stop()
    finally:
        subprocess.run(["umount", "-l", state], check=True)


def test_rights_that_were_taken_away_are_told(doctor: Doctor) -> None:
    run = doctor.folder / "run"
    os.chown(run, 0, 0)
    wait_for("the gate's notice", lambda: notice(doctor, "gate-unwritable"), 60)
    subprocess.run(["chown", "hpcdoctor:hpcdoctor", run], check=True)
    wait_for("it to be over", lambda: not notice(doctor, "gate-unwritable"), 60)


def test_a_clean_stop_leaves_one_file_with_everything_in_it(doctor: Doctor) -> None:
    doctor.hpcdoctor("hold", "--why", "a cable")
    doctor.stop()
    state = doctor.folder / "state"
    assert [path.name for path in state.glob("hpcdoctor.db*")] == ["hpcdoctor.db"]
    with sqlite3.connect(f"file:{state}/hpcdoctor.db?immutable=1", uri=True) as store:
        (node,) = store.execute("SELECT value FROM document WHERE name = 'node'").fetchone()
    assert json.loads(node)["hold"]["why"] == "a cable"


def test_a_port_that_a_reload_cannot_change_is_named_until_the_restart(doctor: Doctor) -> None:
    doctor.write_settings(metrics={"port": 19735})
    os.kill(doctor.pid("daemon"), signal.SIGHUP)
    said = wait_for("the notice", lambda: notice(doctor, "restart-needed"), 30)
    assert "changed and not wholly in force: metrics." in said
    doctor.stop()
    doctor.start()
    assert not notice(doctor, "restart-needed")


def test_a_node_without_a_slurm_client_says_that_it_could_not_be_drained(installed: Path) -> None:
    slurm = {"scheduler": "slurm", "slurm": {"programs": "/opt/no-slurm-here"}}
    with Doctor(installed, SETTINGS | slurm) as doctor:
        said = wait_for("the notice", lambda: notice(doctor, "scheduler-away"), 60)
        assert "/opt/no-slurm-here" in said
        doctor.write_settings(scheduler="none")
        os.kill(doctor.pid("daemon"), signal.SIGHUP)
        wait_for("it to be over", lambda: not notice(doctor, "scheduler-away"), 30)


def test_a_node_with_a_new_name_is_not_called_damaged(doctor: Doctor) -> None:
    doctor.stop()
    doctor.write_settings(node="n2")
    doctor.start()
    assert "hpcdoctor.db.of-n1" in notice(doctor, "store-of-another")
    assert not notice(doctor, "store-damaged")


@pytest.mark.soak  # the folder is looked at once a minute
def test_files_that_were_changed_are_told_until_the_reload(doctor: Doctor) -> None:
    doctor.write("rules/gpu-lost.yaml", "mode: shadow\n")
    said = wait_for("the notice", lambda: notice(doctor, "configuration-newer"), 90)
    assert "rules/gpu-lost.yaml" in said
    os.kill(doctor.pid("daemon"), signal.SIGHUP)
    wait_for("it to be over", lambda: not notice(doctor, "configuration-newer"), 30)
