"""Does a well node stay well when its configuration is read anew?"""

import os
import signal
from pathlib import Path

import pytest

from hpcdoctor.checks.judge import NOT_YET
from tests.doubles.doctor import Doctor, all_but
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

CHECKS = ["gpu-lost", "memory-size", "hung-task", "clock-step"]


def test_a_reload_forgets_nothing_and_looks_with_what_is_new(installed: Path) -> None:
    site = all_but(installed, CHECKS)
    with Doctor(installed, {"node": "n1"}, site=site) as doctor:
        before = {each["check"]: each for each in doctor.report["checks"]}
        doctor.write("checks/clock-step.yaml", "enabled: false\n")
        (doctor.configuration / "checks/kernel-lockup.yaml").unlink()
        os.kill(doctor.pid("daemon"), signal.SIGHUP)
        wait_for("the reload", lambda: '"event": "reloaded"' in doctor.log)
        after = {each["check"]: each for each in doctor.report["checks"]}
        assert "clock-step" not in after
        for name in ("gpu-lost", "memory-size", "hung-task"):
            assert after[name] == before[name]
        wait_for(
            "a look by the check that is new",
            lambda: NOT_YET not in [each["reason"] for each in doctor.report["checks"]],
        )
