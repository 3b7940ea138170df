"""Are the shipped alert rules and the dashboard what a real promtool takes, and tested each?"""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from hpcdoctor.report.metrics import FAMILIES
from hpcdoctor.report.pages import dashboard
from hpcdoctor.report.pages.alerts import alerts
from tests.conftest import CHECKOUT
from tests.daemon.test_web import WELL
from tests.doubles.prometheus import needs_prometheus

RULES = CHECKOUT / "monitoring/prometheus/hpcdoctor.rules.yaml"
TESTS = sorted((CHECKOUT / "monitoring/prometheus").glob("*.test.yaml"))
RECORDED = {"hpcdoctor:nodes:count", "hpcdoctor:nodes_out:sum"}


def promtool(*arguments: str | Path, text: bytes = b"") -> None:
    done = subprocess.run(
        ["promtool", *arguments], input=text, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


@needs_prometheus
@pytest.mark.real
def test_promtool_takes_the_rules_without_a_complaint() -> None:
    promtool("check", "rules", "--lint-fatal", RULES)


@needs_prometheus
@pytest.mark.real
def test_each_alert_fires_and_stays_quiet_as_its_stories_say() -> None:
    promtool("test", "rules", *TESTS)


@needs_prometheus
@pytest.mark.real
def test_promtool_takes_the_metrics_without_a_complaint() -> None:
    from hpcdoctor.report.metrics import render

    promtool("check", "metrics", text=render(WELL))


@pytest.mark.parametrize("name", [alert.alert for alert in alerts()])
def test_each_alert_has_a_story_in_which_it_fires_and_one_in_which_it_is_quiet(name: str) -> None:
    asked = [
        story
        for file in TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for story in test["promql_expr_test"]
        if f'alertname="{name}"' in story["expr"]
    ]
    fires = [story for story in asked if story["exp_samples"]]
    # A test names every series that fires: one that is left out of several stays quiet too.
    assert fires, "no story has it fire"
    assert len(asked) > len(fires), "no story has it quiet"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.alert)
def test_each_alert_says_how_urgent_it_is_what_to_do_and_where_to_read_on(alert: object) -> None:
    one = next(each for each in alerts() if each is alert or each == alert)
    assert one.labels["severity"] in ("page", "ticket")
    assert set(one.annotations) == {"summary", "description", "next_steps", "runbook_url"}
    page, _, anchor = one.annotations["runbook_url"].partition("#")
    text = (CHECKOUT / page).read_text()
    assert not anchor or anchor in [line[3:].lower() for line in text.splitlines()]


def test_only_metrics_that_there_are_stand_in_rules_and_dashboard() -> None:
    known = {one.name for one in FAMILIES} | RECORDED
    asked = " ".join([*dashboard.expressions(), *(one.expr for one in alerts())])
    asked = re.sub(r'"[^"]*"', '""', asked)
    names = set(re.findall(r"\bhpcdoctor[a-z_:]+", asked))
    assert names - known == set()
    assert len(names) > 20


def test_labels_in_rules_and_dashboard_are_labels_that_there_are() -> None:
    given = {label for one in FAMILIES for label in one.labels} | {"cluster", "instance"}
    asked = " ".join([*dashboard.expressions(), *(one.expr for one in alerts())])
    named = set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', asked))
    for group in re.findall(r"(?:by|on|group_left) \(([^)]*)\)", asked):
        named |= {name.strip() for name in group.split(",") if name.strip()}
    assert named - given == set()


def test_metrics_are_named_as_prometheus_wants_it() -> None:
    for one in FAMILIES:
        assert re.fullmatch(r"hpcdoctor_[a-z]+(_[a-z]+)*", one.name)
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name
        assert one.meaning.endswith("."), one.name
    assert len({one.name for one in FAMILIES}) == len(FAMILIES)


def test_no_label_can_carry_what_a_user_chooses() -> None:
    """design.md section 7: the loopback is shared with jobs. A new label is thought about here."""
    labels = {label for one in FAMILIES for label in one.labels}
    ours = {"version", "python", "mode", "state", "verdict", "outcome", "check", "reason", "probe"}
    ours |= {"operation", "result", "remediation", "type", "status", "kind", "code"}
    assert labels <= ours


def test_the_dashboard_is_whole() -> None:
    document = json.loads((CHECKOUT / "monitoring/grafana/hpcdoctor.json").read_text())
    numbers = [panel["id"] for panel in document["panels"]]
    assert len(numbers) == len(set(numbers))
    places = [panel["gridPos"] for panel in document["panels"]]
    for number, one in enumerate(places):
        assert one["x"] + one["w"] <= dashboard.WIDTH
        for other in places[:number]:
            apart = (
                one["x"] >= other["x"] + other["w"]
                or other["x"] >= one["x"] + one["w"]
                or one["y"] >= other["y"] + other["h"]
                or other["y"] >= one["y"] + one["h"]
            )
            assert apart, "two panels lie on each other"
