"""Does `hpcdoctor explain` say what a thing means, what to do, and which file says so?"""

from pathlib import Path

import pytest

from hpcdoctor.__main__ import main
from tests.doubles.site import written

XID = "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def explained(capsys: pytest.CaptureFixture[str], folder: Path, *name: str, code: int = 0) -> str:
    assert main(["explain", "--config", str(folder), *name]) == code
    said = capsys.readouterr()
    text = said.err if code else said.out
    assert all(len(line) <= 80 for line in text.splitlines() if "/" not in line)
    return text


def test_a_check_names_its_steps_its_rules_and_the_line_of_each_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"checks/gpu-lost.yaml": "\nclear_after: by-hand\n"})
    text = explained(capsys, site, "gpu-lost")
    assert "check gpu-lost\n" in text
    assert "rule gpu-lost\n" in text
    assert "1. See what came before it" in text
    assert "gpu-lost (critical: asks for drain, mode act)" in text
    own = text.partition(f"  {site}/checks/gpu-lost.yaml\n")[2]
    assert own.startswith("     2  clear_after: by-hand\n")
    assert "    10  critical.when: code == 79\n" in text


def test_what_is_switched_off_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = written(tmp_path, {"checks/hung-task.yaml": "enabled: false\n"})
    text = explained(capsys, site, "hung-task")
    assert text.startswith("check hung-task   (switched off)\n")
    assert "     1  enabled: false\n" in text


@pytest.mark.parametrize("name", [("xid", "79"), ("Xid79",), ("xid 79",), ("XID-079",)])
def test_a_code_is_explained_from_the_catalogue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: tuple[str, ...]
) -> None:
    text = explained(capsys, tmp_path, *name)
    assert text.startswith("Xid 79\n")
    assert "fallen off the bus" in text
    assert "catalogs/xid.yaml:" in text


def test_an_unknown_code_says_that_it_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(capsys, tmp_path, "xid", "99999")
    assert text.startswith("Xid 99999: not in the catalogue")


@pytest.mark.parametrize(
    "before", ["", "[  123.456] ", "Nov 21 05:00:00 n1 kernel: ", "<4>[    1.500000] "]
)
def test_a_line_of_the_log_is_explained_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str
) -> None:
    text = explained(capsys, tmp_path, before + XID)
    assert "kernel message xid\n" in text
    assert "pci_address   0000:3b:00\n" in text
    assert "critical by check gpu-lost\n" in text
    assert "hpcdoctor explain xid 79" in text


def test_a_line_that_ends_a_fault_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(capsys, tmp_path, "nfs: server home1 OK")
    assert "It ends what storage-server-lost found" in text


def test_a_line_that_means_nothing_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "makes nothing of this line" in explained(capsys, tmp_path, "usb 1-1: new device")


def test_a_name_that_is_not_there_is_answered_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(capsys, tmp_path, "gpu-los", code=64)
    assert text == "hpcdoctor: nothing is named 'gpu-los'; did you mean `gpu-lost`?\n"


def test_a_broken_file_is_explained_by_its_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"checks/hung-task.yaml": "every: 5\n"})
    text = explained(capsys, site, "hung-task", code=78)
    assert "hung-task.yaml:1: `every: 5` has no unit" in text


def test_hostile_words_move_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "NVRM: Xid (PCI:0000:3b:00): 79, pid=1, name=\x1b[2J, GPU has fallen off the bus."
    assert "\x1b" not in explained(capsys, tmp_path, line)
