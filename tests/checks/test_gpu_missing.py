"""Is a GPU that the profile has and the PCI bus does not critical, and nothing else?"""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpcdoctor.checks.judge import Judge
from hpcdoctor.definitions.loader import load_profile
from hpcdoctor.knowledge import load
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.probes import nvidia_driver
from tests.conftest import recorded

NOW = Instant("boot", 10_000.0, 1e9)
NOWHERE = Path("/nonexistent")


def verdicts(profile: dict[str, Any], look: Look) -> dict[str, str]:
    check = load(NOWHERE).checks["gpu-missing"]
    judge = Judge({check.name: check}, profile)
    judge.judge(look)
    return {key: finding.verdict.value for key, finding in judge.findings.items()}


def with_gpus(number: int) -> Look:
    (driver,) = nvidia_driver.read(recorded("gpu-node"))
    reading = msgspec.to_builtins(msgspec.structs.replace(driver, gpus_in_pci=number))
    return Look("nvidia_driver", ReadStatus.READ, NOW, readings=[reading])


@pytest.mark.parametrize(
    ("number", "expected"), [(8, {}), (9, {}), (7, {"gpu-missing": "critical"})]
)
def test_one_gpu_fewer_than_the_profile_has_is_critical(
    number: int, expected: dict[str, str]
) -> None:
    assert verdicts(load_profile("h100x8", NOWHERE), with_gpus(number)) == expected


def test_none_at_all_is_critical_where_the_profile_has_them_and_skipped_elsewhere() -> None:
    look = Look("nvidia_driver", ReadStatus.ABSENT, NOW, reason="no GPU is on this machine")
    assert verdicts(load_profile("h100x8", NOWHERE), look) == {"gpu-missing": "critical"}
    assert verdicts(load_profile("cpu-only", NOWHERE), look) == {}


def test_without_a_number_in_the_profile_nobody_counts() -> None:
    assert verdicts({}, with_gpus(1)) == {}
