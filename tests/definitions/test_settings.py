"""What holds where a site has said nothing, and what is told where it has said it wrongly?"""

from pathlib import Path

import pytest

from hpcdoctor.definitions.loader import load_definitions, load_settings
from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.remediation import Proven
from hpcdoctor.definitions.settings import Authority, SchedulerName, Settings
from hpcdoctor.knowledge import load, resolve
from hpcdoctor.model.decision import Mode, Want
from hpcdoctor.model.finding import Cause
from hpcdoctor.model.quantity import parse_duration, parse_size

NOWHERE = Path("/nonexistent")


def test_without_a_file_nothing_is_touched() -> None:
    settings = load_settings(NOWHERE)
    assert settings == Settings()
    assert settings.mode is Mode.SHADOW
    assert settings.authority is Authority.NODE
    assert settings.scheduler is SchedulerName.NONE
    assert settings.remediations == []
    assert (settings.mqtt, settings.metrics) == (None, None)


def test_the_limit_is_one_node_or_two_percent() -> None:
    assert (Settings().limit.nodes, Settings().limit.share_ratio) == (1, 0.02)


def test_probation_is_a_day_and_a_tick_five_seconds() -> None:
    assert parse_duration(Settings().probation) == 86400
    assert parse_duration(Settings().tick) == 5


def test_events_are_kept_for_seven_days_and_64_mebibytes() -> None:
    assert parse_duration(Settings().spool_age) == 7 * 86400
    assert parse_size(Settings().spool_size) == 64 << 20


def test_metrics_are_for_this_machine_alone(tmp_path: Path) -> None:
    (tmp_path / "hpcdoctor.yaml").write_text("metrics: {}\n")
    metrics = load_settings(tmp_path).metrics
    assert metrics is not None
    assert metrics.address == "127.0.0.1"


def test_link_and_service_checks_are_quiet_for_ten_minutes_after_boot() -> None:
    checks = load(NOWHERE).checks
    links = ["infiniband-link", "infiniband-rate", "ethernet-link", "ethernet-speed"]
    for name in [*links, "filesystem-missing", "clock-unsynchronised", "gpu-missing"]:
        assert checks[name].quiet_seconds == 600, name


def test_a_stuck_file_system_is_a_warning_after_30_s_critical_after_120_s_and_never_drains() -> (
    None
):
    known = load(NOWHERE)
    check = known.checks["filesystem-stuck"].definition
    assert check.cause is Cause.SHARED
    assert check.warning is not None
    assert check.critical is not None
    assert "stuck_seconds >= 30" in check.warning.when
    assert "stuck_seconds >= 120" in check.critical.when
    for rule in known.rules.values():
        if "filesystem-stuck" in {*rule.when.all, *rule.when.any}:
            assert rule.decide.node in (Want.NONE, Want.NOTE, Want.DEGRADED)


def test_no_shipped_rule_touches_a_running_job_or_lets_one_node_judge_what_is_shared() -> None:
    for rule in load(NOWHERE).rules.values():
        assert rule.decide.node in (Want.NONE, Want.NOTE, Want.DEGRADED, Want.DRAIN), rule.rule
        assert not rule.node_decides_shared, rule.rule


def test_shipped_rules_that_drain_act_only_on_a_threshold_from_outside() -> None:
    known = load(NOWHERE)
    for rule in known.rules.values():
        if rule.mode is Mode.ACT and rule.decide.node is Want.DRAIN:
            for name in {*rule.when.all, *rule.when.any}:
                origin = known.checks[name].definition.origin
                assert origin not in ("", "own"), f"{rule.rule} acts on {name}"


def test_what_was_only_tried_on_stand_ins_says_so() -> None:
    for remediation in load(NOWHERE).remediations.values():
        assert remediation.proven in Proven


def said(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "hpcdoctor.yaml").write_text(text)
    with pytest.raises(DefinitionError) as refused:
        load_settings(tmp_path)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in refused.value.every]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mod: act\n", "hpcdoctor.yaml:1: there is no key `mod` here; did you mean `mode`?"),
        ("\nmode: acts\n", "hpcdoctor.yaml:2: `mode`: there is no `acts`; did you mean `act`?"),
        ("mode: live\n", "`mode`: there is no `live`; write disabled, shadow or act"),
        ("mode: [act]\n", "hpcdoctor.yaml:1: `mode`: "),
        ("mode:\n", "`mode`: nothing is written here; write disabled, shadow or act"),
        ("cluster: 12\n", "`cluster`: a text is due here, not a whole number; quote it"),
        ("cluster: a/b\n", "`cluster: a/b`: use letters, digits, dot, underscore and hyphen"),
        ("cluster: '#'\n", "`cluster: #`: use letters"),
        ("node: ''\n", "`node: `: use letters"),
        ("limit:\n  node: 3\n", "hpcdoctor.yaml:2: there is no key `node` here; did you mean"),
        ("limit:\n  nodes: three\n", "hpcdoctor.yaml:2: `nodes`: a whole number is due here, not"),
        ("limit:\n  nodes: '3'\n", "a whole number is due here, not `3`; write it without quotes"),
        ("limit:\n  nodes: -1\n", "hpcdoctor.yaml:2: `nodes` has to be 0 or more"),
        ("limit:\n  share_ratio: 2\n", "hpcdoctor.yaml:2: `share_ratio` is a fraction between 0"),
        ("limit:\n  share_ratio: 2\n", "did you mean 0.02?"),
        ("limit: 2\n", "hpcdoctor.yaml:1: `limit`: a mapping of keys and values is due here"),
        ("tick: 5\n", "hpcdoctor.yaml:1: `tick: 5` has no unit; write it as in 5s, 5m, 5h or 5d"),
        ("tick: 0s\n", "`tick: 0s` has to be between 1 s and 1 min"),
        ("tick: 5 s\n", "`tick`: `5 s` is not a duration; did you mean `5s`?"),
        ("probation: 9000d\n", "`probation: 9000d` has to be between 0 s and 365 d"),
        ("spool_size: 64\n", "`spool_size: 64` has no unit; write it as in 64MiB"),
        ("spool_size: 64MB/s\n", "`spool_size`: `64MB/s` is not a size"),
        ("spool_size: " + "9" * 400 + "TB\n", "is not a size"),
        ("spool_size: 1kB\n", "`spool_size` has to be 1MiB or more"),
        ("maintenance: [{why: x}]\n", "write either `from` and `until`, or `every` and `for`"),
        ("maintenance: [{why: x, from: 2026-12-01T08:00}]\n", "write either `from`"),
        ("maintenance: [{why: x, every: Sat 2, for: 4h}]\n", "write it as sat 02:00"),
        ("maintenance: [{why: x, every: 'sat 02:00', for: 9d}]\n", "has to be from 1m to 7d"),
        ("maintenance: [{why: x, from: '1', until: '2'}]\n", "write it as 2026-12-01T08:00"),
        (
            "remediations: reboot-node\n",
            "a list is due here, not a text; write it as [reboot-node]",
        ),
        ("remediations: [1]\n", "each item of the list: a text is due here"),
        ("profile: ../x\n", "`profile: ../x`: write the name of a file in profiles/"),
        ("run_directory: run\n", "`run_directory: run` has to be a whole path"),
        ("run_directory: /run/../etc\n", "`run_directory: /run/../etc` has to be a whole path"),
        ("run_directory: /" + "x" * 100 + "\n", "longer path than the kernel takes"),
        ("slurm:\n  programs: bin\n", "hpcdoctor.yaml:2: `programs: bin` has to be a whole path"),
        ("mqtt: {}\n", "hpcdoctor.yaml:1: the key `host` is missing"),
        ("mqtt:\n  host: ''\n", "hpcdoctor.yaml:2: `host` is empty"),
        ("mqtt:\n  host: b\n  port: 0\n", "hpcdoctor.yaml:3: `port: 0` is no TCP port"),
        ("mqtt: {host: b, keepalive_seconds: 0}\n", "`keepalive_seconds` has to be between"),
        ("mqtt: {host: b, cert_file: /c}\n", "`cert_file` and `key_file` go together"),
        ("mqtt: {host: b, cert_file: /c, key_file: /k}\n", "without `ca_file`, which turns TLS on"),
        ("mqtt: {host: b, password_file: /p}\n", "is of no use without `username`"),
        ("metrics: {port: 99999}\n", "`port: 99999` is no TCP port"),
        ("- mode: act\n", "has to be a mapping of keys and values"),
    ],
)
def test_a_mistake_is_answered_with_its_line_and_the_fix(
    tmp_path: Path, text: str, expected: str
) -> None:
    problems = said(tmp_path, text)
    assert any(expected in problem for problem in problems), problems
    assert all(problem.startswith("hpcdoctor.yaml:") for problem in problems)


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    text = "mod: act\ncluster: 1\nlimit:\n  nodes: x\n  shares: 1\nmqtt:\n  prt: 1\n"
    assert [problem.partition(": ")[0] for problem in said(tmp_path, text)] == [
        "hpcdoctor.yaml:1",
        "hpcdoctor.yaml:2",
        "hpcdoctor.yaml:5",
        "hpcdoctor.yaml:4",
        "hpcdoctor.yaml:7",
        "hpcdoctor.yaml:7",
    ]
    values = "tick: 0s\ncluster: '#'\nspool_age: x\n"
    assert len(said(tmp_path, values)) == 3


@pytest.mark.parametrize("name", ["cpu-only", "h100x8"])
def test_shipped_profiles_load_and_every_shipped_check_with_them(name: str) -> None:
    definitions = load_definitions(NOWHERE, name)
    knowledge, problems = resolve(Settings(), NOWHERE, definitions)
    assert problems == []
    assert knowledge.profile["profile"] == name


def test_the_profile_of_eight_h100_says_so() -> None:
    profile = resolve(Settings(), NOWHERE, load_definitions(NOWHERE, "h100x8"))[0].profile
    assert profile["gpu"]["count"] == 8
    assert len(profile["infiniband"]["ports"]) == 8
    assert profile["infiniband"]["rate_gigabits_per_second"] == 400
