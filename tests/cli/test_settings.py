"""Does `hpcdoctor settings` say what holds, whose word it is, and nothing that is secret?"""

import json
import pwd
from pathlib import Path
from typing import Any

import pytest

from hpcdoctor.__main__ import main
from hpcdoctor.definitions.loader import load_settings
from hpcdoctor.definitions.rule import Decide, Resume
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.model import gate
from hpcdoctor.model.decision import Mode, Want, weakest
from hpcdoctor.report.pages import example
from hpcdoctor.report.pages.fields import keys
from tests.doubles.site import written

SITE = """\
mode: act
scheduler: slurm
limit:
  nodes: 2
probation: 24h
mqtt:
  host: broker.example.org
  username: n017
  password_file: {file}
maintenance:
  - {{every: "sat 02:00", for: 4h, why: patches}}
"""


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["settings", *arguments]) == 0
    return capsys.readouterr().out


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(capsys, "--json", *arguments))
    return found


def test_the_first_lines_are_the_defaults_that_a_careful_operator_asks_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = document(capsys, "--config", str(tmp_path))
    assert known["file"] is None
    assert [(p["what"], p["value"]) for p in known["promises"]] == [
        ("mode", "shadow"),
        ("authority", "node"),
        ("scheduler", "none"),
        ("quarantine", "drain"),
        ("remediations", "none"),
        ("limit", "1 node or 2 %"),
        ("resume", "by-hand"),
        ("probation", "24h"),
        ("gate", "job starts"),
    ]
    lines = said(capsys, "--config", str(tmp_path)).splitlines()
    assert lines[0].endswith("there is no hpcdoctor.yaml, so all are defaults")
    assert lines[2].split()[:2] == ["mode", "shadow"]


def test_what_the_first_lines_promise_of_rules_is_what_rules_do_without_a_word() -> None:
    assert Decide(node=Want.DRAIN).resume is Resume.BY_HAND
    assert weakest(Mode.ACT, Mode.SHADOW) is Mode.SHADOW
    assert weakest(Mode.ACT, Mode.DISABLED, Mode.SHADOW) is Mode.DISABLED


def test_a_gate_that_cannot_know_lets_the_job_start_and_gives_up_after_three_beats() -> None:
    line = gate.Gate(gate.Answer.CLOSED, "boot", 1000, 30, 1, "node", "hd:k3f9.1 x; rule y")
    assert gate.judge(line, "boot", 1000 + 3 * 30, alive=True).answer is gate.Answer.CLOSED
    late = gate.judge(line, "boot", 1000 + 3 * 30 + 1, alive=True)
    assert late.answer is gate.Answer.UNKNOWN  # which gate/hpcdoctor-gate answers with 0
    assert late.why.startswith("stale: ")


def test_every_key_is_there_with_its_value_and_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": SITE.format(file="/x")})
    known = document(capsys, "--config", str(site))
    rows = {row["key"]: row for row in known["settings"]}
    file = str(site / "hpcdoctor.yaml")
    assert rows["mode"] == {
        "key": "mode",
        "value": "act",
        "file": file,
        "line": 1,
        "is_default": False,
    }
    assert (rows["limit.nodes"]["value"], rows["limit.nodes"]["line"]) == (2, 4)
    assert (rows["limit.share_ratio"]["value"], rows["limit.share_ratio"]["file"]) == (0.02, None)
    assert (rows["probation"]["line"], rows["probation"]["is_default"]) == (5, True)
    assert (rows["metrics"]["value"], rows["node"]["value"]) == (None, None)
    assert rows["maintenance"]["value"][0]["for"] == "4h"
    assert {key.partition(".")[0] for key in rows} == {key.name for key in keys(Settings)}
    text = said(capsys, "--config", str(site))
    assert "limit.nodes             2                             line 4\n" in text
    assert "line 5 (the default)\n" in text
    assert all(len(line) <= 80 for line in text.split("Every key")[0].splitlines()[1:])


def test_a_secret_is_never_shown_and_its_file_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2")
    secret.chmod(0o644)
    site = written(tmp_path, {"hpcdoctor.yaml": SITE.format(file=secret)})
    me = pwd.getpwuid(site.stat().st_uid).pw_name
    with (site / "hpcdoctor.yaml").open("a") as file:
        file.write(f"user: {me}\n")
    for arguments in ([], ["--json"]):
        text = said(capsys, "--config", str(site), *arguments)
        assert "hunter2" not in text
        assert f"is open to others; chmod 0600 {secret}" in text
    secret.chmod(0o600)
    assert "the daemon can use it" in said(capsys, "--config", str(site))
    (state,) = document(capsys, "--config", str(site))["files"]
    assert state == {
        "key": "mqtt.password_file",
        "written": str(secret),
        "secret": True,
        "reader": "daemon",
        "trouble": "",
    }


def test_slurms_token_is_judged_as_the_helper_judges_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("eyJhbGciOi.secret.x")
    token.chmod(0o644)
    site = written(tmp_path, {"hpcdoctor.yaml": f"slurm: {{token_file: {token}}}\n"})
    text = said(capsys, "--config", str(site))
    assert "CANNOT BE USED" in text
    assert "eyJ" not in text
    token.chmod(0o600)
    text = said(capsys, "--config", str(site))
    assert "the helper can use it" in text
    assert "eyJ" not in text


def test_a_rule_that_touches_running_jobs_is_named_in_the_first_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"rules/gpu-lost.yaml": "decide: {node: drain-now}\n"})
    promises = {p["what"]: p for p in document(capsys, "--config", str(site))["promises"]}
    meaning = promises["quarantine"]["meaning"]
    assert meaning == "no new jobs; running ones are touched by gpu-lost alone"


def test_a_credential_of_systemd_is_named_with_the_line_that_the_unit_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": SITE.format(file="credential:mqtt")})
    text = said(capsys, "--config", str(site))
    assert "LoadCredential=mqtt:… has to be in hpcdoctor.service" in text


def test_a_wrong_file_is_told_in_one_line_a_mistake_and_nothing_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": "mode: Act\ntick: 5\n"})
    assert main(["settings", "--config", str(site)]) == 78
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 2


def test_other_files_that_are_wrong_are_said_and_do_not_hide_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"rules/gpu-lost.yaml": "nonsense: 1\n"})
    assert main(["settings", "--config", str(site)]) == 0
    told = capsys.readouterr()
    assert "Every key" in told.out
    assert told.err == "hpcdoctor: 1 file is wrong and not counted; see `hpcdoctor lint`\n"


def test_the_example_can_be_written_and_used_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "--example")
    assert text == example.render()
    assert load_settings(written(tmp_path, {"hpcdoctor.yaml": text})) == Settings()


def test_hostile_values_move_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": 'mqtt: {host: "a\\e[2Jb\\nc"}\n'})
    text = said(capsys, "--config", str(site))
    assert "\x1b" not in text
    assert "a" in text
