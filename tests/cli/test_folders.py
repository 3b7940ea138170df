"""Do the commands that ask a running daemon work while the configuration is wrong?"""

from pathlib import Path

import pytest

from hpcdoctor.__main__ import main
from hpcdoctor.cli.folders import settings_for_folders
from hpcdoctor.definitions.settings import Settings
from tests.doubles.daemon import StandIn
from tests.doubles.site import written

MISTAKES = {
    "an unknown key": "modes: act\n",
    "no YAML": "limit:\n\tnodes: 3\n",
    "a wrong value": "tick: soon\nspool_size: much\n",
}
COMMANDS = {
    "status": ["status"],
    "hold": ["hold", "--why", "a cable"],
    "release": ["release", "--why", "mended"],
    "repair": ["repair", "reboot-node", "--why", "a try"],
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_mistake_is_told_in_one_line_and_the_daemon_is_asked(
    command: list[str], mistake: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = f"{mistake}run_directory: {tmp_path}  # of a test\n"
    written(tmp_path, {"etc/hpcdoctor.yaml": text})
    with StandIn(tmp_path / "control.sock", b"0\nall well\n"):
        code = main([*command, "--config", str(tmp_path / "etc")])
    out, told = capfd.readouterr()
    assert (code, out) == (0, "all well\n")
    (line,) = told.splitlines()
    assert line.startswith(f"hpcdoctor: {tmp_path}/etc/hpcdoctor.yaml:")
    assert line.endswith(f"; going on with run_directory {tmp_path}")


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_the_gate_is_asked_in_the_folder_that_the_file_names(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, {"etc/hpcdoctor.yaml": f'{mistake}run_directory: "{tmp_path}"\n'})
    assert main(["gate", "--config", str(tmp_path / "etc")]) == 3
    assert f"there is no {tmp_path}/gate" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line", ["run_directory: run", "run_directory: /x/../y", "slurm:\n  run_directory: /x", ""]
)
def test_what_cannot_be_used_is_the_default(line: str, tmp_path: Path) -> None:
    written(tmp_path, {"hpcdoctor.yaml": f"modes: act\n{line}\n"})
    assert settings_for_folders(tmp_path).run_directory == Settings().run_directory


def test_a_file_that_others_may_write_names_no_folder(tmp_path: Path) -> None:
    written(tmp_path, {"hpcdoctor.yaml": "run_directory: /tmp/mine\n"})
    (tmp_path / "hpcdoctor.yaml").chmod(0o666)
    assert settings_for_folders(tmp_path).run_directory == Settings().run_directory
