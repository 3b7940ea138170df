"""Does `hpcdoctor lint --strict` doubt what nobody can have meant, and nothing else?"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpcdoctor.__main__ import main
from hpcdoctor.definitions.yamlfile import parse_yaml
from hpcdoctor.report.doubts import CODES, _deprecated
from hpcdoctor.report.pages import lint as page
from tests.conftest import CHECKOUT
from tests.doubles.site import CHECK, written

OURS = CHECK.format(name="our-clock") + "see: https://wiki.example.org/clock\n"
CRITICAL = OURS.replace("warning:", "critical:")
RULE = """\
rule: our-rule
summary: Our clock is slow
when: {any: {our-clock: critical}}
decide: {node: drain, remediate: [reboot-node]}
mode: act
"""
REPAIR = """\
remediation: our-repair
summary: Try it
disrupts: nothing
steps:
  - run: [systemctl, restart, x.service]
limit: 1 per 24h
"""

# code: the files, and what is said, place first
DOUBTS: dict[str, tuple[Mapping[str, str], str]] = {
    "same-as-shipped": (
        {"checks/filesystem-space.yaml": "every: 30s\nwarning:\n  for: 1s\n"},
        "checks/filesystem-space.yaml:1: `every` has the shipped value; leave it out",
    ),
    "same-as-shipped in a rule": (
        {"rules/gpu-lost.yaml": "decide:\n  hand_over: us\n  node: drain\n"},
        "rules/gpu-lost.yaml:3: `node` has the shipped value",
    ),
    "no-runbook": (
        {"checks/our-clock.yaml": CHECK.format(name="our-clock")},
        "checks/our-clock.yaml:1: `our-clock` has no `see:`; name the page",
    ),
    "nobody-asks": (
        {"checks/our-clock.yaml": CRITICAL},
        "checks/our-clock.yaml:1: no rule names `our-clock`: where it is critical, nothing follows",
    ),
    "nobody-asks for a repair": (
        {"remediations/our-repair.yaml": REPAIR},
        "remediations/our-repair.yaml:1: no rule asks for `our-repair`",
    ),
    "rule-never-matches": (
        {"checks/gpu-lost.yaml": "enabled: false\n"},
        "checks/gpu-lost.yaml:1: check `gpu-lost` is switched off, so rule `gpu-lost` can never "
        "match; write `enabled: false` in rules/gpu-lost.yaml as well",
    ),
    "rule-never-matches of the site": (
        {
            "checks/our-clock.yaml": CRITICAL + "enabled: false\n",
            "rules/our-rule.yaml": RULE.replace("act", "shadow"),
        },
        "rules/our-rule.yaml:3: check `our-clock` is switched off, so rule `our-rule` can never",
    ),
    "never-holds": (
        {"checks/cpu-thermal-throttling.yaml": "warning:\n  when: share(throttled, 5m) > 1\n"},
        "",
    ),
    "never-holds where the numbers are the wrong way round": (
        {
            "checks/our-clock.yaml": OURS.replace(
                'warning:\n  when: source == "hpet"',
                "critical:\n  when: offset_seconds > 1\nwarning:\n  when: offset_seconds > 5",
            ),
            "rules/our-rule.yaml": RULE.replace("act", "shadow"),
        },
        "checks/our-clock.yaml:8: `our-clock` is critical wherever this holds, so it is never a",
    ),
    "always-holds": (
        {
            "checks/our-clock.yaml": OURS.replace(
                'source == "hpet"', 'share(source == "x", 5m) >= 0'
            )
        },
        "checks/our-clock.yaml:6: `when` of `our-clock` always holds",
    ),
    "window-too-short": (
        {
            "checks/our-clock.yaml": OURS.replace(
                'source == "hpet"', 'share(source == "x", 30s) > 0'
            )
        },
        "looks back less far than the check pauses (`every: 60s`)",
    ),
    "repair-not-enabled": (
        {"checks/our-clock.yaml": CRITICAL, "rules/our-rule.yaml": RULE},
        "rules/our-rule.yaml:4: rule `our-rule` says `act`, and its `reboot-node` does not run",
    ),
    "repair-never-runs": (
        {"hpcdoctor.yaml": "cluster: x\nremediations: [driver-reload]\n"},
        "hpcdoctor.yaml:2: `driver-reload` is named here and never runs: it was tried on stand-ins",
    ),
    "repair-never-runs without a rule": (
        {
            "hpcdoctor.yaml": "remediations: [our-repair]\n",
            "remediations/our-repair.yaml": REPAIR + "trust: unproven\n",
        },
        "hpcdoctor.yaml:1: `our-repair` is named here and no rule asks for it; only a person can",
    ),
    "nobody-drains": (
        {"hpcdoctor.yaml": "tick: 5s\nmode: act\n"},
        "hpcdoctor.yaml:2: `mode: act` drains no node without a scheduler",
    ),
    "key-without-effect": (
        {"hpcdoctor.yaml": "tick: 5s\nact_without_fleet: [gpu-lost]\n"},
        "hpcdoctor.yaml:2: `act_without_fleet` has an effect only with `authority: fleet`",
    ),
    "key-without-effect of Slurm": (
        {"hpcdoctor.yaml": "slurm: {node_name: n1}\n"},
        "hpcdoctor.yaml:1: `slurm` has an effect only with `scheduler: slurm`",
    ),
    "profile-key-unused": (
        {
            "hpcdoctor.yaml": "profile: ours\n",
            "profiles/ours.yaml": "profile: ours\ncpu:\n  smt: false\nsite: {rack: r1}\n",
            "checks/cpu-hyperthreads.yaml": "enabled: false\n",
        },
        "profiles/ours.yaml:3: no check that is switched on reads `cpu.smt` of the profile",
    ),
}
DOUBTS["never-holds"] = (
    {"checks/our-clock.yaml": OURS.replace('source == "hpet"', 'share(source == "x", 5m) > 1')},
    "checks/our-clock.yaml:6: `when` of `our-clock` can never hold; look at its numbers",
)


def lint(capsys: pytest.CaptureFixture[str], site: Path, *arguments: str) -> tuple[int, str, str]:
    code = main(["lint", "--config", str(site), *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err.replace(f"{site}/", "")


@pytest.mark.parametrize("name", DOUBTS)
def test_a_doubt_is_a_warning_and_under_strict_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    files, expected = DOUBTS[name]
    code = name.split()[0]
    site = written(tmp_path, files)
    plain = lint(capsys, site)
    assert plain[0] == 0
    assert "no mistakes, " in plain[1]
    assert any("warning: " in line and line.endswith(f"[{code}]") for line in plain[2].splitlines())
    strict = lint(capsys, site, "--strict")
    assert strict[0] == 78
    assert any(
        expected in line and line.endswith(f"[{code}]") for line in strict[2].splitlines()
    ), strict[2]


def test_what_a_site_means_is_let_through_by_its_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"hpcdoctor.yaml": "mode: act\n", "checks/our-clock.yaml": CRITICAL}
    site = written(tmp_path, files)
    code, _, err = lint(capsys, site, "--strict", "--allow", "nobody-drains")
    assert (code, err.count("\n")) == (78, 2)
    assert "[nobody-asks]" in err
    both = ["--allow", "nobody-drains", "--allow", "nobody-asks"]
    assert lint(capsys, site, "--strict", *both)[0] == 0


def test_every_code_is_tried_here() -> None:
    assert {name.split()[0] for name in DOUBTS} | {"deprecated"} == set(CODES)


@pytest.mark.parametrize("settings", ["", "profile: cpu-only\n", "profile: h100x8\n"])
def test_nothing_that_is_shipped_is_doubtful(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: str
) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": settings})
    code, out, err = lint(capsys, site, "--strict")
    assert (code, err) == (0, "")
    assert out.endswith("no mistakes\n")


def test_what_a_careful_site_writes_raises_no_doubt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "hpcdoctor.yaml": "mode: act\nscheduler: slurm\nremediations: [our-repair]\n",
        "checks/our-clock.yaml": CRITICAL,
        "checks/filesystem-space.yaml": "warning:\n  when: free_bytes < 0.2 * size_bytes\n",
        "checks/gpu-lost.yaml": "enabled: false\n",
        "rules/gpu-lost.yaml": "rule: gpu-lost\nenabled: false\n",
        "rules/our-rule.yaml": RULE.replace("reboot-node", "our-repair"),
        "remediations/our-repair.yaml": REPAIR + "trust: unproven\n",
    }
    assert lint(capsys, written(tmp_path, files), "--strict")[0] == 0


def test_a_script_gets_every_problem_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": "tick: 5s\nmode: act\n"})
    code, out, err = lint(capsys, site, "--json")
    answer: dict[str, Any] = json.loads(out)
    assert (code, err) == (0, "")
    assert (answer["schema"], answer["strict"]) == ("hpcdoctor.lint/1", False)
    assert (answer["errors"], answer["warnings"]) == (0, 1)
    (problem,) = answer["problems"]
    assert problem == {
        "level": "warning",
        "code": "nobody-drains",
        "file": f"{site}/hpcdoctor.yaml",
        "line": 2,
        "key": "mode",
        "message": "`mode: act` drains no node without a scheduler; write `scheduler: slurm`",
    }
    code, out, _ = lint(capsys, site, "--json", "--strict")
    answer = json.loads(out)
    assert (code, answer["errors"], answer["problems"][0]["level"]) == (78, 1, "error")
    written(tmp_path, {"hpcdoctor.yaml": "mode: Act\n"})
    code, out, _ = lint(capsys, site, "--json")
    assert code == 78
    assert json.loads(out)["problems"][0]["code"] == "mistake"


def test_a_code_that_is_not_there_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lint", "--config", str(tmp_path), "--allow", "everything"])
    assert ended.value.code == 64
    assert "same-as-shipped" in capsys.readouterr().err


class _Old(msgspec.Struct):
    new_key: str = ""
    old_key: str = ""  # deprecated: write `new_key` instead


def test_a_key_that_will_go_is_told_with_what_to_write_instead() -> None:
    source = parse_yaml(b"new_key: x\nold_key: y\n", Path("x.yaml"))
    (doubt,) = _deprecated(source, _Old)
    assert (doubt.line, doubt.message) == (2, "`old_key` is deprecated: write `new_key` instead")


def test_the_page_about_lint_knows_every_code(expect: Any) -> None:
    expect(CHECKOUT / "docs/lint.md", page.render())
