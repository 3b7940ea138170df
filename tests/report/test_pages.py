"""Are the pages about settings true, and does the command that writes pages know them all?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from hpcdoctor.definitions.settings import Authority
from hpcdoctor.model.decision import Mode, Want
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.node import State
from hpcdoctor.report.pages import __main__ as pages
from hpcdoctor.report.pages import (
    alerts,
    dashboard,
    glossary,
    lifecycle,
    metrics,
    settings,
    troubleshooting,
)
from hpcdoctor.report.words import WORDS
from tests.conftest import CHECKOUT


def test_the_page_of_settings_is_what_the_code_says(expect: Callable[[Path, str], None]) -> None:
    expect(CHECKOUT / "docs/settings.md", settings.render())


def test_the_page_of_metrics_is_what_the_code_says(expect: Callable[[Path, str], None]) -> None:
    expect(CHECKOUT / "docs/metrics.md", metrics.render())


def test_the_page_of_alerts_is_what_the_rules_say(expect: Callable[[Path, str], None]) -> None:
    expect(CHECKOUT / "docs/alerts.md", alerts.render())


def test_the_dashboard_is_what_its_generator_draws(expect: Callable[[Path, str], None]) -> None:
    expect(CHECKOUT / "monitoring/grafana/hpcdoctor.json", dashboard.render())


def test_every_illness_of_our_own_is_on_the_page(expect: Callable[[Path, str], None]) -> None:
    page = CHECKOUT / "docs/troubleshooting.md"
    expect(page, troubleshooting.put_into(page.read_text()))


def test_the_drawing_of_the_lifecycle_is_what_the_code_does(
    expect: Callable[[Path, str], None],
) -> None:
    expect(CHECKOUT / "docs/lifecycle.md", lifecycle.render())


def test_some_ways_are_there_and_some_never() -> None:
    ways = {(one.value, other.value) for one, other in lifecycle.transitions()}
    assert ("remediating", "verifying") in ways
    assert ("verifying", "probation") in ways
    for never in (("healthy", "drained"), ("degraded", "draining"), ("waiting", "probation")):
        assert never not in ways


def test_every_setting_is_explained() -> None:
    rows = [line for line in settings.render().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    bare = [row for row in rows if row.endswith("|  |")]
    known = ("port", "address", "profile", "host", "username", "password_file")
    assert [row for row in bare if row.split("`")[1] not in known] == []


def test_a_page_that_is_not_there_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert pages.main(["rumours"]) == 64
    assert " | settings | troubleshooting | schema-settings" in capsys.readouterr().err
    assert pages.main(["settings"]) == 0
    assert capsys.readouterr().out == settings.render()


def test_the_glossary_is_what_explain_says(expect: Callable[[Path, str], None]) -> None:
    expect(CHECKOUT / "docs/glossary.md", glossary.render())


def test_every_state_verdict_decision_and_mode_is_a_word() -> None:
    known = {(word.kind, word.name) for word in WORDS}
    for kind, values in (
        ("state", State),
        ("verdict", Verdict),
        ("decision", Want),
        ("mode", Mode),
        ("authority", Authority),
    ):
        assert {(kind, value.value) for value in values} <= known
