"""What do findings together ask for, and what may they never ask for?"""

from typing import Any

import pytest
from msgspec import structs

from hpcdoctor.definitions.rule import Decide, Match, Rule
from hpcdoctor.model.decision import Mode, Want
from hpcdoctor.model.finding import Cause, Evidence, Finding, Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.rules.decide import decide
from hpcdoctor.rules.match import match

NOW = Instant("boot", 1000.0, 1_800_000_000.0)


def finding(
    check: str, verdict: Verdict = Verdict.CRITICAL, *, ago: float = 0.0, **more: Any
) -> Finding:
    moment = Instant("boot", NOW.boottime - ago, NOW.wall - ago)
    values = {"cause": Cause.NODE, "subject": {}, "object": "GPU3", "label": "lost"} | more
    evidence = [Evidence(moment, "seen", {"gpu": "GPU3"})]
    return Finding(check, verdict=verdict, summary="", since=moment, evidence=evidence, **values)


def rule(name: str = "r", want: Want = Want.DRAIN, mode: Mode = Mode.ACT, **when: Any) -> Rule:
    named = when or {"any": {"a": Verdict.CRITICAL}}
    return Rule(
        rule=name, summary="{gpu} is lost", when=Match(**named), decide=Decide(node=want), mode=mode
    )


def wants(rules: list[Rule], findings: list[Finding], site: Mode = Mode.ACT) -> Want:
    return decide({r.rule: r for r in rules}, findings, site).act.want


@pytest.mark.parametrize(
    ("asked", "seen", "matches"),
    [
        (Verdict.WARNING, Verdict.CRITICAL, True),
        (Verdict.WARNING, Verdict.WARNING, True),
        (Verdict.CRITICAL, Verdict.WARNING, False),
        (Verdict.WARNING, Verdict.UNKNOWN, False),
        (Verdict.CRITICAL, Verdict.UNKNOWN, False),
        (Verdict.UNKNOWN, Verdict.UNKNOWN, True),
        (Verdict.UNKNOWN, Verdict.CRITICAL, False),
    ],
)
def test_a_verdict_means_this_or_worse_and_unknown_means_itself(
    asked: Verdict, seen: Verdict, matches: bool
) -> None:
    assert bool(match(Match(any={"a": asked}), [finding("a", seen)])) is matches


def test_all_needs_every_one_about_the_same_thing() -> None:
    when = Match(all={"a": Verdict.CRITICAL, "b": Verdict.WARNING}, same="gpu")
    here = [finding("a", subject={"gpu": "3"}), finding("b", subject={"gpu": "4"})]
    assert match(when, here) == []
    both = [*here, finding("b", subject={"gpu": "3"})]
    assert [[f.subject["gpu"] for f in group] for group in match(when, both)] == [["3", "3"]]


def test_within_counts_from_the_first_to_the_last() -> None:
    when = Match(all={"a": Verdict.CRITICAL, "b": Verdict.CRITICAL}, within="1h")
    assert match(when, [finding("a", ago=3500), finding("b")])
    assert not match(when, [finding("a", ago=3700), finding("b")])


def test_all_and_any_together_need_both() -> None:
    when = Match(all={"a": Verdict.CRITICAL}, any={"b": Verdict.CRITICAL, "c": Verdict.CRITICAL})
    assert not match(when, [finding("a")])
    assert not match(when, [finding("c")])
    assert match(when, [finding("a"), finding("c")])


def test_the_oldest_finding_comes_first_and_names_the_reason() -> None:
    both = rule(all={"a": Verdict.CRITICAL, "b": Verdict.CRITICAL})
    findings = [finding("a", object="late"), finding("b", ago=50, object="early")]
    decided = decide({"r": both}, findings, Mode.ACT)
    assert decided.act.object == "early"
    assert decided.act.findings == ["b", "a"]
    assert decided.act.summary == "GPU3 is lost"


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({"cause": Cause.JOB}, Want.NOTE),
        ({"cause": Cause.SHARED}, Want.DEGRADED),
        ({"verdict": Verdict.UNKNOWN}, Want.DEGRADED),
        ({}, Want.DRAIN_NOW),
    ],
)
def test_what_one_node_cannot_judge_alone_never_drains(changes: dict[str, Any], most: Want) -> None:
    seen = structs.replace(finding("a"), **changes)
    asked = rule(want=Want.DRAIN_NOW, any={"a": seen.verdict})
    assert wants([asked], [seen]) is most


def test_a_site_may_say_that_one_nodes_view_is_enough_for_what_is_shared() -> None:
    seen = finding("a", cause=Cause.SHARED)
    assert wants([structs.replace(rule(), node_decides_shared=True)], [seen]) is Want.DRAIN


def test_what_is_known_to_a_person_or_explained_by_another_decides_nothing() -> None:
    assert wants([rule()], [finding("a", acknowledged_by="bob")]) is Want.NONE
    assert wants([rule()], [finding("a", caused_by="b")]) is Want.NONE
    assert wants([rule()], [finding("a")]) is Want.DRAIN


@pytest.mark.parametrize("site", list(Mode))
@pytest.mark.parametrize("own", list(Mode))
def test_the_weaker_of_site_and_rule_holds(site: Mode, own: Mode) -> None:
    decided = decide({"r": rule(mode=own)}, [finding("a")], site)
    weaker = min(site, own, key=list(Mode).index)
    assert decided.act.want is (Want.DRAIN if weaker is Mode.ACT else Want.NONE)
    assert decided.shadow.want is (Want.DRAIN if weaker is Mode.SHADOW else Want.NONE)


def test_the_strongest_wins_and_the_others_stay_visible() -> None:
    rules = [rule("weak", Want.DEGRADED), rule("strong", Want.DRAIN), rule("mild", Want.NOTE)]
    decided = decide({r.rule: r for r in rules}, [finding("a")], Mode.ACT)
    assert decided.act.rule == "strong"
    assert decided.act.also == ["mild", "weak"]


def test_a_rule_that_is_switched_off_does_not_count() -> None:
    assert wants([structs.replace(rule(), enabled=False)], [finding("a")]) is Want.NONE


def test_what_the_findings_explain_is_told_with_the_decision_oldest_first() -> None:
    late = finding("late", caused_by="a")
    early = finding("early", ago=60, caused_by="a")
    other = finding("other", caused_by="b")
    decided = decide({"r": rule()}, [late, finding("a"), early, other], Mode.ACT)
    assert decided.act.explains == ["early", "late"]
