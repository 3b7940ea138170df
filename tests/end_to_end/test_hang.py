"""What happens when a file system has read the request and never answers?

It is named, with the moment since when; nothing else is late or blamed; nothing is drained; and the
daemon stops as cleanly as ever.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.doctor import Doctor
from tests.doubles.fuse import FuseMount, needs_fuse
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root"), needs_fuse]

# The shipped 30 s and 120 s are for the site; here we want to see both on the same afternoon.
QUICK = """
every: 5s
critical:
  when: stuck_seconds > 15
warning:
  when: stuck_seconds > 5
"""


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[FuseMount]:
    with FuseMount(tmp_path) as mount:
        yield mount


def test_a_mount_that_never_answers_is_named_and_nothing_else_is_late_or_blamed(
    installed: Path, mount: FuseMount
) -> None:
    settings: dict[str, Any] = {"node": "n1", "mode": "act", "profile": "scratch"}
    site = {
        "profiles/scratch.yaml": f"profile: scratch\nmounts: [{mount.mount_point}]\n",
        "checks/filesystem-stuck.yaml": QUICK,
    }
    with Doctor(installed, settings, site=site) as doctor:
        wait_for("a first look at it", lambda: _judged(doctor, "filesystem-stuck") >= 2, 30)
        mount.set("hang")
        finding = wait_for("the finding", lambda: _finding(doctor, "critical"), 60)
        assert finding["check"] == "filesystem-stuck"
        assert finding["subject"] == {"mount_point": str(mount.mount_point)}
        assert finding["cause"] == "shared"
        assert f"{mount.mount_point} is hung since 20" in finding["summary"]
        report = doctor.report
        subjects = [f["subject"] for f in report["findings"]]
        blamed = {s["mount_point"] for s in subjects if "mount_point" in s}
        assert blamed == {str(mount.mount_point)}, "no bystander is blamed"
        unknown = {c["check"] for c in report["checks"] if c.get("verdict") == "unknown"}
        assert unknown == set(), "what hangs is told by one check, and by no other as unknown"
        assert doctor.status["state"] == "degraded"
        assert doctor.status["quarantine"] is None
        start = time.monotonic()
        assert doctor.stop() == 0
        assert time.monotonic() - start < 5.0, "a clean stop within 5 s, as promised"
        assert not _left_behind(doctor)


def _judged(doctor: Doctor, check: str) -> int:
    return sum(int(c.get("subjects", 0)) for c in doctor.report["checks"] if c["check"] == check)


def _finding(doctor: Doctor, verdict: str) -> Any:
    found = [f for f in doctor.report["findings"] if f["verdict"] == verdict]
    return found[0] if found else None


def _left_behind(doctor: Doctor) -> list[str]:
    """Return what still runs of this hpcdoctor, but for a child that the kernel does not let go."""
    left = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            command = (process / "cmdline").read_bytes().decode()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(doctor.configuration) in command and state != "D":
            left.append(command)
    return left
