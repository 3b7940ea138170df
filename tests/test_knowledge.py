"""Is every name held against what there is, and every mistake of one run told?"""

from pathlib import Path

import pytest

from hpcdoctor.definitions import profile
from hpcdoctor.knowledge import WrongConfiguration, load
from tests.doubles.site import CHECK, mistakes, resolved, written

OUR = CHECK.format(name="our-clock")
RULE = """\
rule: our-rule
summary: It is slow
when:
  any:
    our-clock: warning
decide:
  node: degraded
"""
REPAIR = """\
remediation: our-repair
summary: Try again
disrupts: nothing
steps:
  - run: [true-program]
limit: 1 per 24h
"""
EVENT = """\
check: our-event
summary: "{device} says {kind}"
probe: kernel_log
every: 5s
per: device
warning:
  when: kind == "x"
cause: node
why: It matters.
next_steps:
  - Look
"""


def test_what_is_shipped_has_no_mistake() -> None:
    knowledge = load(Path("/nonexistent"))
    assert len(knowledge.checks) > 60
    assert len(knowledge.rules) >= 4


def test_our_own_examples_have_none_either(tmp_path: Path) -> None:
    files = {
        "checks/our-clock.yaml": OUR,
        "checks/our-event.yaml": EVENT,
        "rules/our-rule.yaml": RULE,
        "remediations/our-repair.yaml": REPAIR,
    }
    assert mistakes(written(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("probe: clock", "probe: clok", "3: no probe is named `clok`; did you mean `clock`?"),
        ("probe: clock", "probe: ../x", "3: no probe is named `../x`"),
        ("probe: clock", "probe: files", "3: no probe is named `files`"),
        ("every: 60s", "every: 60", "4: `every: 60` has no unit; write it as in 60s, 60m"),
        ("every: 60s", "every: soon", "4: `every`: `soon` is not a duration"),
        ("every: 60s", "every: 0s", "4: `every: 0s` has to be 1s or more"),
        ("every: 60s", "evry: 60s", "4: there is no key `evry` here; did you mean `every`?"),
        ("every: 60s", "evry: 60s", "1: the key `every` is missing"),
        ('source == "hpet"', 'sorce == "hpet"', "6: `when`, column 1: the probe gives no `sorce`;"),
        ('source == "hpet"', 'sorce == "hpet"', "did you mean `source`?"),
        ('source == "hpet"', "source == 5", "6: `when`, column 8: a text cannot be compared with"),
        ('source == "hpet"', "source ==", "6: `when`, column"),
        ('source == "hpet"', "source", "6: `when`, column 1: a condition must be true or false"),
        ('source == "hpet"', "has(profile.infinband.ports)", "no profile has `profile.infinband.p"),
        ('source == "hpet"', "has(profile.infinband.ports)", "did you mean `profile.infiniband.po"),
        ('source == "hpet"', "source == profile.cpu.govenor", "column 11: no profile has"),
        ('source == "hpet"', "profile.gpu.count == source", "a number cannot be compared with"),
        ('source == "hpet"', "xid.action == source", "6: `when`, column 1: no name begins with"),
        ("when:", "wen:", "6: there is no key `wen` here; did you mean `when`?"),
        ("warning:\n  when", "warnin:\n  when", "5: there is no key `warnin` here; did you mean"),
        ('warning:\n  when: source == "hpet"\n', "", "1: a check needs `critical:`, `warning:`"),
        ("warning:", "critical:\n  label: x\nwarning:", "6: the key `when` is missing"),
        ("cause: node", "cause: nodes", "7: `cause`: there is no `nodes`; did you mean `node`?"),
        ("{source}", "{sorce}", "2: `summary`: there is no `{sorce}`; did you mean `source`?"),
        ("- Look why", "- Look {wy}", "9: `next_steps`: there is no `{wy}`"),
        ("\n  - Look why", " []", "9: `next_steps` is empty; say what to do first"),
        ("\n  - Look why", " Look why", "9: `next_steps`: a list is due here, not a text; write"),
        ("A slow clock slows programs down.", "' '", "8: `why` is empty"),
        ("every", "per: sorce\nevery", "4: probe `clock` gives no field `sorce`; did you mean"),
        ("every", "per: [source, source]\nevery", "4: `per` names a field twice"),
        ("every", "where: sourc == 1\nevery", "4: `where`, column 1: the probe gives no `sourc`"),
        ("every", "expected: profile.gpus\nevery", "4: no profile has `profile.gpus`; did you mea"),
        ("every", "catalog: {xd: source}\nevery", "4: no catalogue is named `xd`; did you mean"),
        ("every", "catalog: {xid: sorce}\nevery", "4: probe `clock` gives no field `sorce`; did"),
        ("every", "clear_after: Reboot\nevery", "or reboot or by-hand; did you mean `reboot`?"),
        ("every", "enabled: no\nevery", "4: YAML reads `no` as false"),
        ("every", "unknown_after: 10\nevery", "4: `unknown_after: 10` has no unit"),
        ("every", "object: {source}\nevery", "4: `object`: a text is due here, not a mapping"),
        ("every", "object: {source}\nevery", "quote a text that begins with {"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_check_is_answered_with_its_line_and_the_fix(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in OUR
    said = mistakes(written(tmp_path, {"checks/our-clock.yaml": OUR.replace(old, new, 1)}))
    line, _, words = expected.partition(": ")
    if line.isdigit():
        start = f"checks/our-clock.yaml:{line}: {words}"
        assert any(mistake.startswith(start) for mistake in said), said
    else:
        assert any(expected in mistake for mistake in said), said


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"x"\n', '"x"\n  for: 10s\n', "8: `for` has no meaning for probe `kernel_log`: an event"),
        ("per:", "quiet_after_boot: 10m\nper:", "5: `quiet_after_boot` has no meaning for probe"),
        ("per:", "expected: profile.gpu\nper:", "5: `expected` has no meaning for probe"),
    ],
)
def test_what_would_do_nothing_is_refused(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    said = mistakes(written(tmp_path, {"checks/our-event.yaml": EVENT.replace(old, new, 1)}))
    assert [m.startswith(f"checks/our-event.yaml:{expected}") for m in said] == [True], said


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("our-clock: warning", "our-clok: warning", "5: no check is named `our-clok`; did you mea"),
        ("our-clock: warning", "our-clock: bad", "5: `our-clock`: there is no `bad`; write ok, wa"),
        ("our-clock: warning", "our-clock: ok", "5: a rule asks for warning, critical or unknown"),
        ("our-clock: warning", "our-clock: critical", "5: check `our-clock` is never critical"),
        ("any:\n    our-clock: warning", "any: {}", "3: `when` names no check"),
        ("any:\n    our-clock: warning", "ani:\n    a: b", "4: there is no key `ani` here; did yo"),
        ("any:", "same: source\n  any:", "4: check `our-clock` has no `source` in its `per:`"),
        ("any:", "same: source\n  any:", "4: `same` has no meaning where only one finding is"),
        ("any:", "within: 1 h\n  any:", "4: `within`: `1 h` is not a duration"),
        ("node: degraded", "node: degrade", "7: `node`: there is no `degrade`; did you mean `degr"),
        ("node: degraded", "node: drain_now", "7: `node`: there is no `drain_now`; did you mean"),
        ("node: degraded", "node: note\n  remediate: [reboot]", "8: no remediation is named `rebo"),
        ("It is slow", '"{sorce} is slow"', "2: `summary`: not every check of `when` gives `{sorc"),
        ("It is slow", "''", "2: `summary` is empty"),
        ("rule: our-rule", "rule: our-rule\nmode: on", "2: YAML reads `on` as true"),
        ("rule: our-rule", "rule: our-rule\nmode: live", "2: `mode`: there is no `live`; write"),
        ("decide:", "decides:", "6: there is no key `decides` here; did you mean `decide`?"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_rule_is_answered_with_its_line_and_the_fix(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in RULE
    files = {"checks/our-clock.yaml": OUR, "rules/our-rule.yaml": RULE.replace(old, new, 1)}
    said = mistakes(written(tmp_path, files))
    assert any(m.startswith(f"rules/our-rule.yaml:{expected}") for m in said), said


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("run: [true-program]", "run: [a]\n    do: reboot", "6: each step has either"),
        ("run: [true-program]", "do: rebot", "5: `do`: there is no `rebot`; did you mean"),
        ("run: [true-program]", "run: [a, '{gpu}']", "5: `run`: there is no `{gpu}`"),
        ("run: [true-program]", "timeout: 5m", "5: each step has either `do:` or `run:`"),
        ("run: [true-program]", "run: []", "5: `run` is empty"),
        ("run: [true-program]", "run: rm -rf", "5: `run`: a list is due here, not a text"),
        ("run: [true-program]", "run: [a]\n    timeout: 5", "6: `timeout: 5` has no unit"),
        ("run: [true-program]", "run: [a]\n    timeout: x", "6: `timeout`: `x` is not a duration"),
        ("run: [true-program]", "runs: [a]", "5: there is no key `runs` here; did you mean `run`?"),
        ("- run: [true-program]", "- a", "4: `steps`: each item of this list has keys and values"),
        ("disrupts: nothing", "disrupts: gpus", "3: `disrupts`: there is no `gpus`; did you mean"),
        ("limit: 1 per 24h", "limit: once", "6: `limit: once`: write it as in `1 per 24h`"),
        ("limit: 1 per 24h", "limit: 0 per 24h", "6: `limit: 0 per 24h`: write it as in"),
        ("limit:", "verify: {all: {gpu-los: ok}}\nlimit:", "6: no check is named `gpu-los`; did y"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_remediation_is_answered_with_its_line_and_the_fix(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in REPAIR
    text = REPAIR.replace(old, new, 1)
    said = mistakes(written(tmp_path, {"remediations/our-repair.yaml": text}))
    assert any(m.startswith(f"remediations/our-repair.yaml:{expected}") for m in said), said


def test_one_run_tells_every_mistake_of_every_file(tmp_path: Path) -> None:
    check = OUR.replace("{source}", "{a} {b}").replace("source ==", "sorce ==")
    check = check.replace("every: 60s", "every: x\nclear_after: y\nwhere: z")
    files = {
        "checks/our-clock.yaml": check,
        "rules/our-rule.yaml": RULE.replace("degraded", "degrade").replace("summary", "sumary"),
        "remediations/our-repair.yaml": REPAIR.replace("1 per 24h", "often"),
        "checks/other.yaml": "nonsense",
    }
    said = mistakes(written(tmp_path, files))
    assert len([m for m in said if m.startswith("checks/our-clock.yaml")]) == 6
    assert len([m for m in said if m.startswith("rules/our-rule.yaml")]) == 3
    assert len([m for m in said if m.startswith("remediations/our-repair.yaml")]) == 1
    assert len([m for m in said if m.startswith("checks/other.yaml")]) == 1
    assert all("did you mean" in m or ": " in m for m in said)
    with pytest.raises(WrongConfiguration) as refused:
        load(tmp_path)
    assert len(refused.value.problems) == len(said)


def test_a_name_of_the_sites_own_may_stand_in_its_checks(tmp_path: Path) -> None:
    text = OUR.replace('source == "hpet"', "source != profile.site.clock")
    files = {
        "checks/our-clock.yaml": text,
        "profiles/p.yaml": "profile: p\nsite: {clock: tsc}\n",
    }
    knowledge, problems = resolved(written(tmp_path, files), "p")
    assert problems == []
    assert knowledge.profile["site"] == {"clock": "tsc"}


def test_every_name_of_a_profile_that_a_shipped_check_uses_is_in_its_shape() -> None:
    names = profile.names()
    used = {
        name
        for check in load(Path("/nonexistent")).checks.values()
        for expression in check.expressions
        for name in expression.dotted
        if name.startswith("profile.")
    }
    assert used <= set(names)
    # What a probe is told to look at, and no condition asks for.
    probes = {
        *("profile.mounts", "profile.services.units", "profile.names.user"),
        *(name for name in names if name.startswith("profile.system.")),
    }
    for name in set(names) - used - probes:
        assert name.count(".") == 1, f"nothing looks at {name}"
