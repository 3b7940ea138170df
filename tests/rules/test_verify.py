from typing import Any

from msgspec import structs

from hpcdoctor.definitions.remediation import Verify
from hpcdoctor.model.decision import Decision, Mode, Want
from hpcdoctor.model.finding import Cause, Finding, Outcome, Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Incident, Repair
from hpcdoctor.rules.verify import unverified

ENDED = Instant("boot", 1000.0, 1e9)
AFTER, BEFORE = ENDED.plus(10), ENDED.plus(-10)
REPAIR = Repair("k3f9.1.2", "k3f9", "gpu-reset", ENDED.plus(-60), ended=ENDED)
DECISION = Decision(Want.DRAIN, Mode.ACT, findings=["gpu-lost[gpu=3]"], explains=["gpu-ecc"])
INCIDENT = Incident("k3f9", 1, ENDED.plus(-100), DECISION)
VERIFY = Verify(all={"gpu-count": Verdict.OK})


def finding(check: str, **more: Any) -> Finding:
    values = {"subject": {}, "verdict": Verdict.CRITICAL, "cause": Cause.NODE} | more
    return Finding(check, summary=f"{check} is wrong", since=BEFORE, **values)


def asked(
    *findings: Finding,
    looked: dict[str, Instant] | None = None,
    outcomes: dict[str, Verdict | None] | None = None,
    repair: Repair = REPAIR,
) -> str:
    seen = {"gpu-lost": AFTER, "gpu-ecc": AFTER, "gpu-count": AFTER} | (looked or {})
    stand = dict.fromkeys(seen, Verdict.OK) | (outcomes or {})
    return unverified(
        repair,
        INCIDENT,
        VERIFY,
        {each.key: each for each in findings},
        {name: Outcome(name, verdict, "not present") for name, verdict in stand.items()},
        seen,
    )


def test_all_that_asked_is_gone_and_all_was_looked_at_again() -> None:
    assert asked() == ""


def test_what_asked_for_it_or_was_explained_by_it_is_still_open() -> None:
    assert asked(finding("gpu-lost", subject={"gpu": "3"})) == (
        "gpu-lost[gpu=3] is still open: gpu-lost is wrong"
    )
    assert "gpu-ecc is still open" in asked(finding("gpu-ecc"))


def test_silence_is_no_proof() -> None:
    assert asked(looked={"gpu-count": BEFORE}) == "gpu-count has not looked since"
    assert asked(looked={"gpu-lost": BEFORE}) == "gpu-lost has not looked since"
    assert asked(looked={"gpu-count": Instant("next boot", 5.0, 1e9)}) == ""


def test_what_has_to_be_ok_has_to_be_just_that() -> None:
    assert asked(outcomes={"gpu-count": Verdict.WARNING}) == "gpu-count is warning, not ok"
    assert asked(outcomes={"gpu-count": Verdict.UNKNOWN}) == "gpu-count is unknown, not ok"
    assert asked(outcomes={"gpu-count": None}) == "gpu-count is skipped: not present"


def test_any_other_serious_fault_of_the_node_keeps_it_out() -> None:
    assert asked(finding("dimm")) == "dimm is critical: dimm is wrong"
    assert asked(finding("dimm", acknowledged_by="alice")) == ""
    assert asked(finding("job-oom", cause=Cause.JOB)) == ""
    assert asked(finding("dimm", verdict=Verdict.WARNING)) == ""


def test_a_repair_whose_end_nobody_saw_counts_from_when_it_was_asked() -> None:
    unknown = structs.replace(REPAIR, ended=None)
    assert asked(looked={"gpu-count": ENDED.plus(-30)}, repair=unknown) == ""
