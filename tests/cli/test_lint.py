"""Does `hpcdoctor lint` name every mistake at once, and is silence always good news?"""

from pathlib import Path

import pytest

from hpcdoctor.__main__ import main
from tests.doubles.site import CHECK, written


def test_no_mistake_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--config", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out.endswith(": no mistakes\n")
    assert said.out.count("\n") == 1
    assert said.err == ""


def test_mistakes_of_settings_checks_and_rules_come_in_one_run_sorted_by_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files: dict[str, str | bytes] = {
        "hpcdoctor.yaml": "mode: acts\ncluster: 5\n",
        "checks/our-clock.yaml": CHECK.format(name="our-clock").replace("every", "evry"),
        "rules/gpu-lost.yaml": "when: {any: {gpu-losd: critical}}\n",
        "checks/binary.yaml": b"\x00\x01",
    }
    assert main(["lint", "--config", str(written(tmp_path, files))]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "hpcdoctor lint: 6 mistakes"
    assert [line.removeprefix(f"{tmp_path}/").partition(": ")[0] for line in lines[:-1]] == [
        "checks/binary.yaml:1",
        "checks/our-clock.yaml:1",
        "checks/our-clock.yaml:4",
        "hpcdoctor.yaml:1",
        "hpcdoctor.yaml:2",
        "rules/gpu-lost.yaml:1",
    ]
    assert "did you mean `gpu-lost`?" in lines[5]


def test_what_needs_the_settings_refuses_a_wrong_configuration_and_name_every_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": "mode: acts\ncluster: 5\n"})
    for command in (
        ["check", "--here"],
        ["settings"],
    ):
        assert main([*command, "--config", str(site)]) == 78
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 2, lines
        assert all(line.startswith(f"hpcdoctor: {site}/hpcdoctor.yaml:") for line in lines)


def test_a_folder_that_is_not_there_is_no_wish_for_the_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lint", "--config", str(tmp_path / "etcc")])
    assert ended.value.code == 64
    said = capsys.readouterr().err
    assert "No such file or directory" in said
    assert said.count("\n") == 1


def test_a_hostile_file_name_fakes_no_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"checks/a\nb\x1b[2J.yaml": "{"})
    assert main(["lint", "--config", str(site)]) == 78
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert "\x1b" not in said
