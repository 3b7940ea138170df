"""Has a repair helped? What asked for it is gone, what has to be ok is ok, and both were looked at.

Pure. Silence is no proof: a check counts only where it has looked since the repair ended.
"""

from collections.abc import Mapping

from hpcdoctor.definitions.remediation import Verify
from hpcdoctor.model.finding import Cause, Finding, Outcome, Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Incident, Repair


def unverified(
    repair: Repair,
    incident: Incident,
    verify: Verify | None,
    findings: Mapping[str, Finding],
    outcomes: Mapping[str, Outcome],
    looked: Mapping[str, Instant],
) -> str:
    """Return what is still wrong, or not looked at yet; "" where the repair has helped."""
    since = repair.ended or repair.asked
    asked = [*incident.decision.findings, *incident.decision.explains]
    for key in asked:
        if key in findings:
            return f"{key} is still open: {findings[key].summary}"
    wanted = dict.fromkeys((check_of(key) for key in asked), Verdict.OK)
    wanted |= verify.all if verify else {}
    for check, verdict in wanted.items():
        if reason := _why_not(check, verdict, outcomes.get(check), looked.get(check), since):
            return reason
    for finding in findings.values():
        if is_serious(finding):
            return f"{finding.check} is critical: {finding.summary}"
    return ""


def is_serious(finding: Finding) -> bool:
    """Tell whether nobody but a person may put the node back while this is open."""
    return (
        finding.verdict is Verdict.CRITICAL
        and finding.cause is Cause.NODE
        and finding.acknowledged_by is None
    )


def check_of(key: str) -> str:
    return key.partition("[")[0]


def _why_not(
    check: str, wanted: Verdict, outcome: Outcome | None, looked: Instant | None, since: Instant
) -> str | None:
    if outcome is None:
        return None  # disabled since: it will never look again
    if looked is None or not is_after(looked, since):
        return f"{check} has not looked since"
    if outcome.verdict is None:
        return f"{check} is skipped: {outcome.reason}"
    if outcome.verdict is not wanted:
        return f"{check} is {outcome.verdict.value}, not {wanted.value}"
    return None


def is_after(one: Instant, other: Instant) -> bool:
    """Tell whether a look came after; of another boot, it is one of the present boot."""
    return one.boot_id != other.boot_id or one.boottime > other.boottime
