"""Does every rule lead to a runbook, and every link in docs/ to a file?"""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcdoctor.__main__ import COMMANDS, main
from hpcdoctor.definitions.loader import load_definitions
from hpcdoctor.model.decision import STRENGTH, Want
from hpcdoctor.report.pages.runbooks import SHIPPED, runbooks, with_head
from tests.conftest import CHECKOUT
from tests.doubles.site import written

PAGES = sorted((CHECKOUT / "docs").rglob("*.md"))
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^(?:    |\$ )+hpcdoctor ([a-z][a-z-]*)", re.MULTILINE)


def test_every_rule_above_a_note_has_a_runbook() -> None:
    for name, defined in load_definitions(SHIPPED).rules.items():
        rule = defined.value
        if STRENGTH[rule.decide.node] > STRENGTH[Want.NOTE]:
            assert (CHECKOUT / rule.runbook).is_file() and rule.runbook, name


@pytest.mark.parametrize("page", sorted(runbooks()))
def test_the_head_of_a_runbook_is_what_the_rules_say(
    page: str, expect: Callable[[Path, str], None]
) -> None:
    file = CHECKOUT / page
    expect(file, with_head(file.read_text(), runbooks()[page]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(page.read_text())]
    local = [target for target in targets if target and ":" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_docs_is_one(page: Path) -> None:
    commands = set(COMMAND.findall(page.read_text()))
    assert commands - {*COMMANDS, "settings", "fleet", "import-nhc", "watch", "simulate"} == set()


def command_lines(page: Path) -> list[str]:
    """Return the lines that call hpcdoctor in the blocks of a page, without shell around them."""
    lines = re.findall(r"^    (hpcdoctor [^#|&>\n]+)", page.read_text(), re.MULTILINE)
    return [line.strip() for line in lines if "   " not in line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_in_the_docs_is_one(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in command_lines(page):
        _, command, *rest = shlex.split(line)
        if command not in COMMANDS:
            continue
        with pytest.raises(SystemExit):
            main([command, "--help"])
        known = capsys.readouterr().out
        used = [word.partition("=")[0] for word in rest if word.startswith("--")]
        assert [option for option in used if option not in known] == [], line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_yaml_example_that_names_its_file_loads(page: Path, tmp_path: Path) -> None:
    """`# /etc/hpcdoctor/checks/x.yaml` in the first line: it is laid where it says, and linted."""
    for example in YAML.findall(page.read_text()):
        first, _, rest = example.partition("\n")
        named = re.fullmatch(
            r"# /etc/hpcdoctor/((?:checks|rules|remediations)/[\w-]+\.yaml)", first
        )
        if named is None:
            continue
        site = written(tmp_path, {named[1]: rest})
        problems = load_definitions(site).problems
        assert [str(problem) for problem in problems] == []
