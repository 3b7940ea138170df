"""What does `hpcdoctor check --json` say? The documented shape, schema `hpcdoctor.check/1`."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from hpcdoctor.model.finding import RANK, Cause, Finding, Outcome, Verdict
from hpcdoctor.model.grant import Kind, request_id
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.job import AffectedJob, JobHere
from hpcdoctor.model.node import Node
from hpcdoctor.model.reading import Value

SCHEMA = "hpcdoctor.check/1"
REPAIRS_TOLD = 3


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the document; keys may be added, never change their meaning."""


class CheckLine(_Document, frozen=True, kw_only=True):
    """How one check ended. Exactly one of `verdict` and `skipped` is there."""

    check: str
    verdict: Verdict | UnsetType = UNSET
    skipped: str | UnsetType = UNSET  # why it was not judged: "not present: ...", for one
    reason: str  # why it is skipped, unknown, critical or a warning; "" for ok
    subjects: int  # how many things were judged: ports, GPUs, mounts


class EvidenceLine(_Document, frozen=True, kw_only=True):
    taken: str  # RFC 3339, UTC
    text: str
    values: dict[str, Value]


class FindingLine(_Document, frozen=True, kw_only=True):
    """One thing that is wrong."""

    check: str
    subject: dict[str, str]
    verdict: Verdict
    summary: str
    since: str
    evidence: list[EvidenceLine]
    next_steps: list[str]
    caused_by: str | None
    cause: Cause
    object: str
    why: str
    count: int
    last_seen: str | None
    acknowledged_by: str | None
    # Those that it concerns, the nearest first; null: not to be seen here, or not yours to see.
    jobs: list[AffectedJob] | None = None
    label: str = ""  # what is wrong with the object in two words: "Xid79 off bus"


class RepairLine(_Document, frozen=True, kw_only=True):
    """One remediation that hpcdoctor began, whatever became of it."""

    remediation: str
    asked: str
    by: str = ""  # the person who ordered it; "" for hpcdoctor itself
    result: str = ""  # "" while it is under way
    message: str = ""


class NodeLine(_Document, frozen=True, kw_only=True):
    """Where the node stands, as the daemon knows it."""

    state: str
    since: str
    because: str
    mode: str
    authority: str
    incident: str | None = None
    quarantine: str | None = None  # the reason line at the scheduler
    quarantine_since: str | None = None
    # Who drains for it: null where it is only published, and others see to it.
    quarantine_by: Literal["node", "fleet"] | None = None
    hold: str | None = None
    probation_until: str | None = None
    would_have_drained_total: int = 0
    notices: list[str] = []  # about hpcdoctor itself: what is not as it should be
    next: str = ""  # what hpcdoctor does next, and when
    would: str = ""  # what rules in shadow ask for; "" where they ask for nothing
    repairs: list[RepairLine] = []  # the last ones, the latest last
    held_by: str | None = None
    held_why: str = ""
    held_until: str | None = None  # null: until somebody lifts it


# Who looked: the daemon; the command itself, once; or nobody: a recorded machine, a log file.
Source = Literal["daemon", "probes", "recording", "log"]


class Report(_Document, frozen=True, kw_only=True):
    """The whole answer. Times are RFC 3339 in UTC."""

    schema: str
    node: str
    time: str
    verdict: Verdict
    source: Source
    checks: list[CheckLine]
    findings: list[FindingLine]
    daemon: NodeLine | None = None
    # All on this node; null as in a finding.
    jobs: list[JobHere] | None = None


def report(
    node: str,
    outcomes: Iterable[Outcome],
    findings: Iterable[Finding],
    verdict: Verdict,
    now: Instant,
    *,
    source: Source,
    daemon: NodeLine | None = None,
    jobs: list[JobHere] | None = None,
) -> Report:
    """Put it together: the worst and oldest finding first, those that another explains last."""
    ordered = in_order(findings)
    return Report(
        schema=SCHEMA,
        node=node,
        time=stamp(now),
        verdict=verdict,
        source=source,
        checks=[_check(outcome, ordered) for outcome in outcomes],
        findings=[_finding(finding) for finding in ordered],
        daemon=daemon,
        jobs=jobs,
    )


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return what to look at first, first: roots, the worst, this node's own, what explains most.

    What a person has acknowledged comes after what nobody knows of; the oldest wins a tie.
    """
    every = list(findings)
    explained = Counter(finding.caused_by for finding in every)
    return sorted(
        every,
        key=lambda f: (
            f.caused_by is not None,
            f.acknowledged_by is not None,
            -RANK[f.verdict],
            list(Cause).index(f.cause),
            -explained[f.key],
            f.since.wall,
            f.key,
        ),
    )


def node_line(
    node: Node, *, mode: str, authority: str, notices: list[str], coming: str = "", would: str = ""
) -> NodeLine:
    """Return where the node stands; `coming` and `would` are the daemon's outlook."""
    hold, quarantine = node.hold, node.quarantine
    until = f" until {stamp(hold.until)}" if hold and hold.until else ""
    return NodeLine(
        state=node.state.value,
        since=stamp(node.since),
        because=node.because,
        mode=mode,
        authority=authority,
        incident=node.incident.id if node.incident else None,
        quarantine=quarantine.reason if quarantine else None,
        quarantine_since=stamp(quarantine.since) if quarantine else None,
        quarantine_by=_drained_by(node, authority) if quarantine else None,
        hold=f"{hold.who}: {hold.why}{until}" if hold else None,
        probation_until=stamp(node.probation_until) if node.probation_until else None,
        would_have_drained_total=node.would_have_drained,
        notices=notices,
        held_by=hold.who if hold else None,
        held_why=hold.why if hold else "",
        held_until=stamp(hold.until) if hold and hold.until else None,
        next=coming,
        would=would,
        repairs=[
            RepairLine(
                remediation=repair.remediation,
                asked=stamp(repair.asked),
                by=repair.by,
                result=repair.result,
                message=repair.message,
            )
            for repair in node.repairs[-REPAIRS_TOLD:]
        ],
    )


def _drained_by(node: Node, authority: str) -> Literal["node", "fleet"] | None:
    """Tell who drains for the claim; under `fleet` the controller, once it has said so."""
    incident = node.incident
    if authority == "node" or incident is None:
        return "node" if authority == "node" else None
    wanted = request_id(incident.id, incident.epoch, Kind.DRAIN)
    granted = any(made.id == wanted and made.granted_until for made in node.requests)
    return "fleet" if authority == "fleet" and granted else None


def summary_only(whole: Report) -> Report:
    """Leave out what only the group hpcdoctor may read: evidence, next steps, and jobs."""
    findings = [
        msgspec.structs.replace(f, evidence=[], next_steps=[], jobs=None) for f in whole.findings
    ]
    return msgspec.structs.replace(whole, findings=findings, jobs=None)


def stamp(moment: Instant) -> str:
    text = datetime.fromtimestamp(moment.wall, UTC).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")


def _check(outcome: Outcome, findings: list[Finding]) -> CheckLine:
    if outcome.verdict is None:
        return CheckLine(
            check=outcome.check, skipped=outcome.reason, reason=outcome.reason, subjects=0
        )
    worst = next((f.summary for f in findings if f.check == outcome.check), "")
    return CheckLine(
        check=outcome.check,
        verdict=outcome.verdict,
        reason=outcome.reason or (worst if outcome.verdict is not Verdict.OK else ""),
        subjects=outcome.subjects,
    )


def _finding(finding: Finding) -> FindingLine:
    return FindingLine(
        check=finding.check,
        subject=finding.subject,
        verdict=finding.verdict,
        summary=finding.summary,
        since=stamp(finding.since),
        evidence=[
            EvidenceLine(taken=stamp(e.taken), text=e.text, values=e.values)
            for e in finding.evidence
        ],
        next_steps=finding.next_steps,
        caused_by=finding.caused_by,
        cause=finding.cause,
        object=finding.object,
        why=finding.why,
        count=finding.count,
        last_seen=stamp(finding.last_seen) if finding.last_seen else None,
        acknowledged_by=finding.acknowledged_by,
        jobs=finding.jobs,
        label=finding.label,
    )
