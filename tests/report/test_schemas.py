"""Do the editors' schemas take every file that we ship, and refuse what the loader refuses?"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hpcdoctor.__main__ import main
from hpcdoctor.definitions.loader import as_plain, load_definitions, load_settings
from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.yamlfile import load_yaml, parse_yaml
from hpcdoctor.report.pages import example, schemas
from tests.conftest import CHECKOUT
from tests.doubles.site import CHECK, mistakes, written
from tests.report.test_example import used

FOLDERS = {
    "check": "checks",
    "rule": "rules",
    "remediation": "remediations",
    "profile": "profiles",
    "command": "commands",
}
RULE = """\
rule: our-rule
summary: It is so
when:
  any: {gpu-lost: critical}
decide:
  node: drain
"""
REMEDIATION = """\
remediation: our-repair
summary: Try it
disrupts: node
steps:
  - run: [systemctl, restart, x.service]
    timeout: 2m
limit: 1 per 24h
"""
COMMAND = "command: ours\nrun: [/usr/bin/true]\n"
GOOD: dict[str, list[str]] = {
    "settings": ["", "mode: act\nmqtt: {host: b}\n", used(example.render())],
    "check": [
        CHECK.format(name="our-clock"),
        "warning:\n  for: 10m\n",  # an override
        "enabled: false\n",
        "explained_by: {our-own: node}\nclear_after: reboot\n",
    ],
    "rule": [RULE, "mode: act\n", "decide: {remediate: [our-repair]}\n"],
    "remediation": [REMEDIATION, "trust: unproven\n", "limit: 2 per 7d\n"],
    "profile": ["profile: ours\ngpu: {count: 8}\nsite: {rack: r1}\n", "mounts: [/work]\n"],
    "command": [COMMAND, "enabled: false\n"],
}
BAD: dict[str, list[str]] = {
    "settings": [
        "mod: act\n",
        "mode: Act\n",
        "tick: 5 min\n",
        "tick: 5\n",
        "limit: {share_ratio: 2}\n",
        "mqtt: {}\n",
        "spool_size: 64\n",
        "remediations: gpu-reset\n",
        "cluster: a/b\n",
        "metrics: {port: 99999}\n",
    ],
    "check": [
        CHECK.format(name="our-clock").replace("every: 60s", "every: 60"),
        CHECK.format(name="our-clock").replace("probe: clock", "probe: clocks"),
        CHECK.format(name="our-clock").replace("cause: node", "cause: nobody"),
        CHECK.format(name="our-clock").replace("why:", "because:"),
        CHECK.format(name="our-clock").replace("  when:", "  whenever:"),
        CHECK.format(name="our-clock") + "clear_after: sometimes\n",
    ],
    "rule": [
        RULE.replace("critical", "bad"),
        RULE.replace("drain", "drained"),
        RULE.replace("decide:", "decides:"),
        RULE + "mode: live\n",
        RULE.replace("  node: drain\n", "  hand_over: us\n"),
    ],
    "remediation": [
        REMEDIATION.replace("1 per 24h", "1 a day"),
        REMEDIATION.replace("2m", "2 min"),
        REMEDIATION.replace("disrupts: node", "disrupts: all"),
        REMEDIATION.replace("  - run:", "  - runs:"),
    ],
    "profile": ["profile: ours\ngpu: {cuont: 8}\n", "profile: ours\ngpu: {count: many}\n"],
    "command": [
        COMMAND.replace("run", "runs"),
        COMMAND + "format: xml\n",
        COMMAND + "timeout: 5\n",
    ],
}


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((CHECKOUT / f"docs/schemas/{kind}.json").read_text()))


def complaints(kind: str, content: object) -> list[str]:
    return [error.message for error in validator(kind).iter_errors(content)]


def content_of(text: str) -> dict[str, Any]:
    return as_plain(parse_yaml(text.encode(), Path("x.yaml")))


@pytest.mark.parametrize("kind", schemas.KINDS)
def test_the_schema_is_what_the_code_says(kind: str, expect: Callable[[Path, str], None]) -> None:
    expect(CHECKOUT / f"docs/schemas/{kind}.json", schemas.render(kind))
    Draft202012Validator.check_schema(schemas.build(kind))


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_shipped_file_is_taken(kind: str) -> None:
    judge = validator(kind)
    for path in sorted((CHECKOUT / FOLDERS[kind]).rglob("*.yaml")):
        wrong = [error.message for error in judge.iter_errors(as_plain(load_yaml(path)))]
        assert wrong == [], path


def cases(of: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(kind, text) for kind, texts in of.items() for text in texts]


@pytest.mark.parametrize(("kind", "text"), cases(GOOD))
def test_what_is_right_is_taken(kind: str, text: str) -> None:
    assert complaints(kind, content_of(text)) == []


@pytest.mark.parametrize(("kind", "text"), cases(BAD))
def test_what_is_wrong_is_refused_by_the_schema_and_by_us(
    tmp_path: Path, kind: str, text: str
) -> None:
    assert complaints(kind, content_of(text)) != []
    if kind == "settings":
        with pytest.raises(DefinitionError):
            load_settings(written(tmp_path, {"hpcdoctor.yaml": text}))
        return
    name = next(iter(content_of(text).values()))
    site = written(tmp_path, {f"{FOLDERS[kind]}/{name}.yaml": text})
    if kind == "profile":
        assert load_definitions(site, str(name)).problems
    else:
        assert mistakes(site)


def test_what_every_key_means_stands_in_the_schema_of_settings() -> None:
    parts = schemas.build("settings")["$defs"]
    for name, part in parts.items():
        for key, schema in part.get("properties", {}).items():
            assert schema.get("description") or "$ref" in schema, f"{name}.{key}"


def test_a_site_is_offered_its_own_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"checks/our-clock.yaml": CHECK.format(name="our-clock")})
    assert main(["lint", "--config", str(site), "--schema", "rule"]) == 0
    offered = json.loads(capsys.readouterr().out)["$defs"]["check-names"]["anyOf"][0]["enum"]
    assert "our-clock" in offered
    assert "gpu-lost" in offered


def test_a_kind_that_is_not_there_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lint", "--schema", "checks"])
    assert ended.value.code == 64
    assert "remediation" in capsys.readouterr().err
