"""Do the tools that all tests share do what they say?"""

from pathlib import Path

import pytest

from tests.conftest import recorded
from tests.doubles.waiting import free_port, wait_for


def test_a_machine_that_nobody_recorded_is_an_error_and_not_an_empty_machine() -> None:
    with pytest.raises(FileNotFoundError, match="no machine of this name"):
        recorded("never-recorded")


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(AssertionError, match="in vain for the moon"):
        wait_for("the moon", lambda: None, timeout_seconds=0)


def test_waiting_returns_what_the_condition_found() -> None:
    assert wait_for("the answer", lambda: 42) == 42


def test_a_free_port_can_be_bound() -> None:
    assert 1024 <= free_port() <= 65535


@pytest.mark.real
def test_the_installed_program_is_readable_by_everybody(installed: Path) -> None:
    assert installed.exists()
    for folder in [installed, *installed.parents]:
        assert folder.stat().st_mode & 0o005 == 0o005, f"{folder} is closed to others"
