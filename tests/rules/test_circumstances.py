"""What a rule may ask for besides the findings: how often, how long, and how the node stands."""

from typing import Any

import pytest

from hpcdoctor.definitions.rule import Decide, Match, Rule
from hpcdoctor.expressions.errors import ExpressionError
from hpcdoctor.model.decision import Mode, Want
from hpcdoctor.model.finding import Cause, Evidence, Finding, Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.rules.circumstances import KEPT, Circumstances, Opening, condition, opening, trimmed
from hpcdoctor.rules.decide import decide

NOW = Instant("boot", 1_000_000.0, 1_800_000_000.0)
HOUR, DAY = 3600.0, 86400.0


def finding(gpu: str = "a", ago: float = 0.0, cause: Cause = Cause.NODE, **more: Any) -> Finding:
    at = NOW.plus(-ago)
    evidence = [Evidence(at, "seen", {"gpu": gpu, **more})]
    return Finding("xid", {"gpu": gpu}, Verdict.WARNING, cause, "", at, evidence=evidence)


def opened(gpu: str = "a", hours_ago: float = 0.0, job: str = "") -> Opening:
    return Opening("xid", {"gpu": gpu}, Verdict.WARNING, NOW.plus(-hours_ago * HOUR), job)


def want(
    when: dict[str, Any],
    found: Finding | None = None,
    openings: list[Opening] | None = None,
    **here: Any,
) -> Want:
    match = Match(any={"xid": Verdict.WARNING}, **when)
    rule = Rule(rule="r", summary="", when=match, decide=Decide(node=Want.DRAIN), mode=Mode.ACT)
    around = Circumstances(now=NOW, openings=openings or [], **here)
    return decide({"r": rule}, [found or finding()], Mode.ACT, around).act.want


REPEAT = {"times": 2, "within": "24h", "same": "gpu"}


def test_the_second_time_on_the_same_thing_counts_and_on_another_does_not() -> None:
    assert want(REPEAT, openings=[opened(), opened(hours_ago=23)]) is Want.DRAIN
    assert want(REPEAT, openings=[opened(), opened(hours_ago=25)]) is Want.NONE
    assert want(REPEAT, openings=[opened(), opened("b", 1)]) is Want.NONE
    assert want(REPEAT, openings=[opened()]) is Want.NONE


def test_different_things_are_counted_once_each() -> None:
    different = {"times": 2, "within": "24h", "different": "gpu"}
    assert want(different, openings=[opened(), opened("b", 1)]) is Want.DRAIN
    assert want(different, openings=[opened(), opened(hours_ago=1)]) is Want.NONE


def test_three_jobs_one_after_the_other_point_at_the_node() -> None:
    jobs = {"times": 3, "within": "7d", "different": "job"}
    one, two, three = (opened(hours_ago=n, job=str(100 + n)) for n in range(3))
    assert want(jobs, openings=[one, two, three]) is Want.DRAIN
    assert want(jobs, openings=[one, two, two]) is Want.NONE
    assert want(jobs, openings=[one, two, opened()]) is Want.NONE, "a job that is not known"


def test_what_a_job_did_never_drains_but_a_repeat_is_worth_a_label() -> None:
    of_job = finding(cause=Cause.JOB)
    assert want({}, of_job) is Want.NOTE
    assert want(REPEAT, of_job, [opened(), opened(hours_ago=1)]) is Want.DEGRADED


def test_for_waits_until_the_finding_has_stood_so_long() -> None:
    assert want({"hold": "5m"}, finding(ago=299)) is Want.NONE
    assert want({"hold": "5m"}, finding(ago=300)) is Want.DRAIN


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("incidents_7d >= 2", True),
        ("incidents_1d >= 2", False),
        ("incidents_30d == 3", True),
        ("repairs_7d == 1", True),
        ("!maintenance", True),
        ("uptime_seconds > 24h", True),
        ("jobs == 0", False),  # not known: a rule that needs to know does not match
        ("jobs > 0", False),
    ],
)
def test_the_circumstances_decide(text: str, holds: bool) -> None:
    around: dict[str, Any] = {
        "incidents": [NOW.plus(-days * DAY) for days in (0.5, 6, 20)],
        "repairs": [NOW.plus(-DAY), NOW.plus(-8 * DAY)],
    }
    assert want({"condition": text}, **around) is (Want.DRAIN if holds else Want.NONE)


def test_a_name_that_is_not_there_is_a_mistake_with_a_hint() -> None:
    with pytest.raises(ExpressionError, match="incidents_7d"):
        condition("incidents_7 > 1")


def test_what_is_remembered_is_bounded_in_time_and_number() -> None:
    assert trimmed([opened(hours_ago=31 * 24), opened()], NOW) == [opened()]
    assert len(trimmed([opened()] * (KEPT + 5), NOW)) == KEPT


def test_an_opening_remembers_the_job_where_the_finding_says_it() -> None:
    assert opening(finding(job="4711")).job == "4711"
    assert opening(finding(job=None)).job == ""


def test_where_asks_what_the_finding_itself_says() -> None:
    assert want({"where": "number in [2, 7]"}, finding(number=7)) is Want.DRAIN
    assert want({"where": "number in [2, 7]"}, finding(number=1)) is Want.NONE
    assert want({"where": "number in [2, 7]"}, finding()) is Want.NONE, "it does not say"
    assert want({"where": 'gpu == "a"'}, finding()) is Want.DRAIN, "its subject counts as well"
