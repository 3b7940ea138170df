"""Are manual pages and completions what the commands' options say, and do the shells take them?"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcdoctor.__main__ import COMMANDS
from hpcdoctor.cli.pages import __main__ as pages
from hpcdoctor.cli.pages import manual
from hpcdoctor.cli.pages.options import commands
from tests.conftest import CHECKOUT

SHARE = CHECKOUT / "packaging/share"
GATE = """\
#!/bin/sh
# May a job start here? One line of a file decides.
#
# Used as Prolog, with an `exec` nowhere.
#
#     Prolog=/usr/bin/hpcdoctor-gate
#
# .TH is no order here.
set -u
# not this
"""


def run(*command: str, text: str = "") -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_page_is_what_the_code_says(expect: Callable[[Path, str], None]) -> None:
    made = pages.files()
    for name, text in made.items():
        (SHARE / name).parent.mkdir(parents=True, exist_ok=True)
        expect(SHARE / name, text)
    found = {str(path.relative_to(SHARE)) for path in SHARE.rglob("*") if path.is_file()}
    assert found == set(made), "and no file of something that is gone"


def test_every_command_has_its_options_there() -> None:
    known = {command.name: command for command in commands()}
    assert list(known) == list(COMMANDS)
    assert ["--kernel-log"] in [option.flags for option in known["check"].options]
    (why,) = (option for option in known["hold"].options if option.flags == ["--why"])
    assert (why.value, why.kind) == ("WHY", "")
    assert known["profile"].arguments[0].choices == ["learn", "diff"]


def test_asking_for_the_options_leaves_help_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    commands()
    with pytest.raises(SystemExit):
        __import__("hpcdoctor.cli.hold", fromlist=["main"]).main(["--help"])
    assert "--until" in capsys.readouterr().out


def complete_in_bash(*words: str) -> list[str]:
    script = (
        f"source {SHARE}/bash-completion/completions/hpcdoctor; "
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hpcdoctor; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return run("bash", "--norc", "-euc", script, "bash", *words).split()


def test_bash_offers_commands_options_choices_and_files(tmp_path: Path) -> None:
    assert complete_in_bash("hpcdoctor", "re") == ["record", "release", "repair", "replay"]
    assert complete_in_bash("hpcdoctor", "profile", "")[:2] == ["learn", "diff"]
    assert complete_in_bash("hpcdoctor", "hold", "--u") == ["--until"]
    assert complete_in_bash("hpcdoctor", "hold", "--until", "") == [], "nobody can know"
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert complete_in_bash("hpcdoctor", "check", "--root", f"{tmp_path}/f") == [
        f"{tmp_path}/folder"
    ]
    assert len(complete_in_bash("hpcdoctor", "check", "--kernel-log", f"{tmp_path}/f")) == 2


def test_fish_offers_commands_and_options() -> None:
    script = f"source {SHARE}/fish/vendor_completions.d/hpcdoctor.fish; complete -C '%s'"
    offered = run("fish", "--no-config", "-c", script % "hpcdoctor re")
    assert [line.split("\t")[0] for line in offered.splitlines()] == [
        "record",
        "release",
        "repair",
        "replay",
    ]
    assert "--until\t" in run("fish", "--no-config", "-c", script % "hpcdoctor hold --u")


def test_zsh_can_read_its_file() -> None:
    run("zsh", "-f", "-n", f"{SHARE}/zsh/site-functions/_hpcdoctor")


def test_the_pages_are_well_formed(tmp_path: Path) -> None:
    (tmp_path / "gate.8").write_text(manual.gate(GATE))
    for page in [*sorted(SHARE.glob("man/man*/*")), tmp_path / "gate.8"]:
        if shutil.which("mandoc") is None:
            pytest.skip("mandoc is not installed")
        done = subprocess.run(
            ["mandoc", "-T", "lint", str(page)], capture_output=True, text=True, check=False
        )
        told = [line for line in done.stdout.splitlines() if ": STYLE: " not in line]
        assert [line for line in told if "missing date" not in line] == []


def test_the_gates_page_comes_from_the_programs_own_words() -> None:
    page = manual.gate(GATE)
    assert "hpcdoctor-gate \\- May a job start here? One line of a file decides." in page
    assert "\\fBexec\\fR nowhere" in page
    assert ".nf\n\\&    Prolog=/usr/bin/hpcdoctor\\-gate\n.fi" in page
    assert "\n\\&.TH is no order here." in page
    assert "not this" not in page
