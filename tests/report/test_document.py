"""Does the JSON of a report say what its page promises?"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from hpcdoctor.checks.affected import told
from hpcdoctor.model.finding import Cause, Evidence, Finding, Outcome, Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.job import JobHere, Place
from hpcdoctor.model.node import Hold, Node, State
from hpcdoctor.report.document import Report, node_line, report, summary_only
from hpcdoctor.report.pages import check_json
from tests.conftest import CHECKOUT

NOW = Instant("boot", 5000.0, 1_800_000_000.0)
EARLIER = NOW.plus(-60)


def finding(check: str, verdict: Verdict = Verdict.CRITICAL, **changes: Any) -> Finding:
    made = Finding(
        check=check,
        subject={"device": "x"},
        verdict=verdict,
        cause=Cause.NODE,
        summary=f"{check} is wrong",
        since=EARLIER,
        evidence=[Evidence(EARLIER, "seen", {"a": 1, "b": None, "c": ["x"]})],
        next_steps=["Look"],
    )
    return msgspec.structs.replace(made, **changes)


def made() -> Report:
    outcomes = [
        Outcome("fine", Verdict.OK, subjects=2),
        Outcome("bad", Verdict.CRITICAL, subjects=1),
        Outcome("absent", None, reason="not present: no such thing"),
        Outcome("unclear", Verdict.UNKNOWN, reason="it cannot be read", subjects=1),
    ]
    findings = [
        finding("follows", caused_by="bad[device=x]"),
        finding("mild", Verdict.WARNING),
        finding("bad"),
    ]
    held = Hold(who="alice", why="memory test", since=EARLIER, until=NOW.plus(60))
    node = Node("n1", State.HEALTHY, EARLIER, hold=held)
    line = node_line(node, mode="shadow", authority="node", notices=[])
    here = JobHere(job="4711", scheduler="slurm", user_id=1000, user="anna", gpus=["0000:3b:00"])
    findings[2] = msgspec.structs.replace(findings[2], jobs=[told(here, Place.GPU)])
    return report(
        "n1", outcomes, findings, Verdict.CRITICAL, NOW, source="daemon", daemon=line, jobs=[here]
    )


def as_json(whole: Report) -> Any:
    return json.loads(msgspec.json.encode(whole))


def test_a_report_fits_its_schema_and_a_crooked_one_does_not() -> None:
    schema = check_json.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    document = as_json(made())
    jsonschema.validate(document, schema)
    for spoil in ({"verdict": "bad"}, {"schema": "other/1"}, {"source": "rumour"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, **spoil}, schema)
    both = {"check": "x", "verdict": "ok", "skipped": "y", "reason": "", "subjects": 0}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "checks": [both]}, schema)
    neither = {"check": "x", "reason": "", "subjects": 0}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "checks": [neither]}, schema)


def test_the_example_of_the_page_fits_the_schema() -> None:
    jsonschema.validate(json.loads(check_json.EXAMPLE), check_json.json_schema())


def test_the_page_is_what_the_code_says(expect: Callable[[Path, str], None]) -> None:
    expect(CHECKOUT / "docs/check-json.md", check_json.render())


def test_every_check_has_a_verdict_or_why_it_was_skipped_and_the_reason() -> None:
    lines = {line["check"]: line for line in as_json(made())["checks"]}
    assert lines["fine"] == {"check": "fine", "verdict": "ok", "reason": "", "subjects": 2}
    assert lines["bad"]["reason"] == "bad is wrong"
    assert lines["unclear"]["reason"] == "it cannot be read"
    absent = lines["absent"]
    assert "verdict" not in absent
    assert absent["skipped"] == absent["reason"] == "not present: no such thing"


def test_the_root_cause_comes_first_and_what_it_explains_last() -> None:
    assert [line["check"] for line in as_json(made())["findings"]] == ["bad", "mild", "follows"]


def test_the_keys_that_scripts_rely_on_are_there() -> None:
    document = as_json(made())
    assert {"schema", "node", "verdict", "checks", "findings"} <= set(document)
    wanted = {"check", "subject", "verdict", "summary", "since", "evidence", "next_steps"}
    for line in document["findings"]:
        assert wanted | {"caused_by"} <= set(line)
    assert document["findings"][0]["since"] == "2027-01-15T07:59:00Z"


def test_the_jobs_of_the_node_and_of_each_finding_are_there_and_null_is_not_none() -> None:
    document = as_json(made())
    assert document["jobs"][0]["gpus"] == ["0000:3b:00"]
    assert [job["on"] for job in document["findings"][0]["jobs"]] == ["gpu"]
    assert document["findings"][1]["jobs"] is None


def test_who_may_not_read_evidence_gets_none_and_the_document_still_fits() -> None:
    document = as_json(summary_only(made()))
    assert [line["evidence"] + line["next_steps"] for line in document["findings"]] == [[]] * 3
    assert [line["jobs"] for line in (document, *document["findings"])] == [None] * 4
    assert "anna" not in json.dumps(document)
    jsonschema.validate(document, check_json.json_schema())
