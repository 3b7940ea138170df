"""Does docs/checks.md say of every shipped check what it looks at and when it fires?"""

from collections.abc import Callable
from pathlib import Path

from hpcdoctor.knowledge import load
from hpcdoctor.probes import registry
from hpcdoctor.report.pages import checks
from tests.conftest import CHECKOUT


def test_the_page_is_what_the_yaml_says(expect: Callable[[Path, str], None]) -> None:
    expect(CHECKOUT / "docs/checks.md", checks.render())


def test_every_check_stands_there_with_its_source_threshold_and_origin() -> None:
    page = checks.render()
    sections = {part.partition("`")[0]: part for part in page.split("### `")[1:]}
    for name, check in load(Path("/nonexistent")).checks.items():
        section = sections[name]
        definition = check.definition
        assert f"probe `{definition.probe}`" in section
        assert f"cause: {definition.cause.value}; origin: {definition.origin}" in section
        for level in check.levels:
            assert f"{level.verdict.value}: `{' '.join(level.when.text.split())}`" in section
        assert "- clears: " in section


def test_every_shipped_check_says_where_its_thresholds_come_from() -> None:
    checks_of_ours = load(Path("/nonexistent")).checks.values()
    assert [check.name for check in checks_of_ours if not check.definition.origin] == []


def test_every_probe_stands_there_with_what_it_gives() -> None:
    page = checks.render()
    for name in registry.names():
        assert f"### `{name}`\n" in page
    assert "- `symbol_errors_total`: number, stops at 65535" in page


def test_every_probe_says_what_it_reads_and_what_that_costs() -> None:
    for name in registry.names():
        about = checks.headings(registry.find(name).module.__doc__ or "")
        assert {"Source", "Cost", "Absent"} <= about.keys(), name
