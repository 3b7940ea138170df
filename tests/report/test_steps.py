"""Can the commands of a next step be copied, each whole, and nothing else be taken for one?"""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from hpcdoctor.model.steps import continued, is_command, taken_apart
from hpcdoctor.report.page import HANG, MARGIN, Page
from tests.conftest import CHECKOUT

CHECKS = sorted((CHECKOUT / "checks").rglob("*.yaml"))


def page_of(step: str) -> list[str]:
    page = Page(80)
    page.step("next", 1, step)
    return page.lines


def test_each_command_has_a_line_of_its_own() -> None:
    assert page_of("See the port: ibstat mlx5_0 1; rdma link show mlx5_0/1") == [
        "next      1. See the port:",
        "               ibstat mlx5_0 1",
        "               rdma link show mlx5_0/1",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "Polling: reseat the cable at both ends; disabled: somebody did that on purpose",
        "Look at the drive: `smartctl -a DEVICE` or `nvme smart-log DEVICE`",
        "With OpenMP in each rank: srun --cpus-per-task=N, and OMP_PROC_BIND=close",
        "Set it: sysctl kernel.numa_balancing=0 (or 1), and in /etc/sysctl.d",
    ],
)
def test_a_sentence_is_not_taken_for_a_command(sentence: str) -> None:
    assert not any(command for command, _ in taken_apart(sentence))


def test_words_and_commands_may_take_turns() -> None:
    assert taken_apart("See it: `iostat -x 5 3`; who uses it: `iotop -boqn1`; then restart") == [
        (False, "See it:"),
        (True, "iostat -x 5 3"),
        (False, "who uses it:"),
        (True, "iotop -boqn1"),
        (False, "then restart"),
    ]


def test_a_long_command_is_one_command_for_the_shell_too() -> None:
    command = "nvidia-smi -q -i 0000:9b:00 | grep -iE 'recovery action|pending|remap' | head -20"
    lines = continued(command, 40)
    assert len(lines) > 1
    assert all(len(line) <= 40 for line in lines)
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)


def test_a_semicolon_within_quotes_ends_no_command() -> None:
    assert taken_apart("See: grep 'a; b' /etc/x") == [(False, "See:"), (True, "grep 'a; b' /etc/x")]


@pytest.mark.parametrize("path", CHECKS, ids=lambda path: path.stem)
def test_the_steps_of_the_shipped_checks_fit_and_lose_no_word(path: Path) -> None:
    for step in yaml.safe_load(path.read_text()).get("next_steps", []):
        lines = page_of(step)
        assert all(len(line) <= 80 for line in lines)
        text = " ".join(line.removesuffix("\\") for line in lines)
        for command, piece in taken_apart(step):
            if command:
                assert re.sub(r"\s", "", piece) in re.sub(r"\s", "", text)
                assert is_command(piece)
                assert shlex.split(piece)
    assert MARGIN + HANG < 20
