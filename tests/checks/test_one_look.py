"""What does a person see who looks once, with sources that hang or cannot be read?"""

from hpcdoctor.checks.judge import Judge
from hpcdoctor.knowledge import load
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus

NOW = Instant("boot", 5000.0, 1_800_000_000.0)


def judge(*names: str) -> Judge:
    knowledge = load()
    return Judge({n: knowledge.checks[n] for n in names}, {}, patient=False)


def test_what_could_not_be_measured_is_told_as_unknown_and_is_no_finding() -> None:
    one = judge("dimm-corrected-errors")
    one.judge(Look("edac", ReadStatus.UNAVAILABLE, NOW, reason="mc0 cannot be read"))
    assert one.verdict() is Verdict.UNKNOWN
    assert [o.reason for o in one.outcomes()] == ["mc0 cannot be read"]
    assert one.findings == {}


def test_nothing_judged_is_unknown_and_never_ok() -> None:
    one = judge("dimm-corrected-errors")
    one.judge(Look("edac", ReadStatus.ABSENT, NOW, reason="no EDAC driver"))
    assert [o.verdict for o in one.outcomes()] == [None]
    assert one.verdict() is Verdict.UNKNOWN


def test_a_hung_mount_is_named_with_the_moment_since_when() -> None:
    one = judge("filesystem-stuck", "filesystem-latency")
    since = Instant("boot", 5000.0 - 200, 1_800_000_000.0 - 200)
    look = Look(
        "filesystem_latency",
        ReadStatus.STUCK,
        NOW,
        subject="/scratch",
        reason="no answer",
        stuck_since=since,
    )
    one.judge(look)
    (finding,) = one.findings.values()
    assert finding.verdict is Verdict.CRITICAL
    assert finding.summary == "File system /scratch is hung since 2027-01-15 07:56:40 UTC"
    assert finding.object == "/scratch"
