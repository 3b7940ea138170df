"""Which events tell what just happened? Pure: the node before and after, and what changed."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import UNSET, structs

from hpcdoctor.checks.judge import Change
from hpcdoctor.events.envelope import timestamp
from hpcdoctor.events.vocabulary import (
    ActionAsked,
    ActionEnded,
    DecisionData,
    EventData,
    EvidenceData,
    FindingData,
    HoldData,
    HoldLifted,
    HoldNow,
    IncidentData,
    IncidentNow,
    JobAffected,
    NodeChanged,
    NodeState,
    OpenFinding,
    QuarantineData,
    QuarantineNow,
    RequestData,
    RequestNow,
)
from hpcdoctor.model.action import Action, ActionResult, Operation
from hpcdoctor.model.decision import Decision, Mode, Want
from hpcdoctor.model.finding import Finding, Verdict
from hpcdoctor.model.grant import Request
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.job import AffectedJob
from hpcdoctor.model.node import Hold, Incident, Node, Quarantine


class Told(NamedTuple):
    """One event, not numbered yet."""

    type: str
    data: EventData
    subject: str = ""


def tell(
    before: Node,
    after: Node,
    changes: Iterable[Change],
    shadow: Decision,
    actions: Iterable[Action],
    ended: Iterable[ActionResult],
    requests: Iterable[Request] = (),
    jobs: list[AffectedJob] | None = None,
    affected: Iterable[JobAffected] = (),
) -> list[Told]:
    """Return the events in the order in which the story reads: what was seen, decided, done.

    `jobs` are those that the incident concerns, `affected` what their owners do not know yet.
    """
    incident = after.incident or before.incident
    name = incident.id if incident else None
    told = [
        Told(f"hpcdoctor.finding.{c.kind}", finding_data(c.finding, name), c.finding.key)
        for c in changes
        if c.kind != "counted"
    ]
    told += [
        Told("hpcdoctor.action.ended", _ended(result, name), result.id)
        for result in ended
        if result.operation is not Operation.READ  # a look changes nothing
    ]
    told += _decisions(before, after, shadow, name)
    told += _holds(before.hold, after.hold)
    told += _incidents(before.incident, after.incident, after.because, jobs)
    told += _quarantines(before.quarantine, after.quarantine, after.because, jobs)
    if after.state is not before.state or after.because != before.because:
        data = NodeChanged(
            from_state=before.state, to=after.state, because=after.because, incident=name
        )
        told.append(Told("hpcdoctor.node.state", data))
    told += [Told("hpcdoctor.job.affected", each, each.job) for each in affected]
    told += [
        Told(
            "hpcdoctor.action.asked",
            ActionAsked(
                id=action.id,
                operation=action.operation.value,
                reason=action.reason,
                incident=name or "",
            ),
            action.id,
        )
        for action in actions
        if action.operation is not Operation.READ
    ]
    told += [Told("hpcdoctor.request.made", _request(made), made.id) for made in requests]
    return told


def _request(made: Request) -> RequestData:
    return RequestData(
        request=made.id,
        kind=made.kind,
        incident=made.incident,
        epoch=made.epoch,
        reason=made.reason,
        rule=made.rule,
        remediation=made.remediation,
    )


def finding_data(finding: Finding, incident: str | None) -> FindingData:
    return FindingData(
        key=finding.key,
        check=finding.check,
        subject=finding.subject,
        verdict=finding.verdict,
        cause=finding.cause,
        summary=finding.summary,
        since=timestamp(finding.since.wall),
        object=finding.object,
        label=finding.label,
        count=finding.count,
        evidence=[
            EvidenceData(taken=timestamp(e.taken.wall), text=e.text, values=e.values)
            for e in finding.evidence
        ],
        why=finding.why,
        next_steps=finding.next_steps,
        caused_by=finding.caused_by,
        acknowledged_by=finding.acknowledged_by,
        incident=incident,
        jobs=finding.jobs,
    )


def _decisions(before: Node, after: Node, shadow: Decision, name: str | None) -> list[Told]:
    told = []
    if _asks(after.decision) != _asks(before.decision):
        told.append(
            Told("hpcdoctor.decision.made", _decision(after.decision, name), after.decision.rule)
        )
    if after.would_have_drained > before.would_have_drained:
        told.append(Told("hpcdoctor.decision.shadowed", _decision(shadow, name), shadow.rule))
    return told


def _asks(decision: Decision) -> tuple[Want, str, tuple[str, ...]]:
    return decision.want, decision.rule, tuple(decision.findings)


def _decision(decision: Decision, incident: str | None) -> DecisionData:
    return DecisionData(
        want=decision.want,
        mode=decision.mode,
        rule=decision.rule,
        summary=decision.summary,
        object=decision.object,
        findings=decision.findings,
        also=decision.also,
        explains=decision.explains,
        runbook=decision.runbook,
        incident=incident,
    )


def _holds(before: Hold | None, after: Hold | None) -> list[Told]:
    if before == after:
        return []
    if before is not None and after is None:
        return [Told("hpcdoctor.hold.lifted", HoldLifted(who=before.who, why=before.why))]
    return (
        []
        if after is None
        else [
            Told(
                "hpcdoctor.hold.set",
                HoldData(
                    who=after.who,
                    why=after.why,
                    since=timestamp(after.since.wall),
                    until=timestamp(after.until.wall) if after.until else None,
                ),
            )
        ]
    )


def _incidents(
    before: Incident | None, after: Incident | None, because: str, jobs: list[AffectedJob] | None
) -> list[Told]:
    told = []
    if before is not None and (after is None or after.id != before.id):
        told.append(Told("hpcdoctor.incident.closed", _incident(before, because), before.id))
    if after is not None and (before is None or before.id != after.id):
        told.append(Told("hpcdoctor.incident.opened", _incident(after, because, jobs), after.id))
    elif after is not None and before is not None and _root(after) != _root(before):
        data = _incident(after, f"what is behind it is known now: {after.decision.summary}", jobs)
        told.append(Told("hpcdoctor.incident.rerooted", data, after.id))
    return told


def _root(incident: Incident) -> str:
    return incident.decision.findings[0] if incident.decision.findings else ""


def _incident(
    incident: Incident, because: str, jobs: list[AffectedJob] | None = None
) -> IncidentData:
    return IncidentData(
        incident=incident.id,
        epoch=incident.epoch,
        opened=timestamp(incident.opened.wall),
        rule=incident.decision.rule,
        summary=incident.decision.summary,
        because=because,
        jobs=jobs,
    )


def _quarantines(
    before: Quarantine | None,
    after: Quarantine | None,
    because: str,
    jobs: list[AffectedJob] | None,
) -> list[Told]:
    def name(quarantine: Quarantine | None) -> tuple[str, int] | None:
        return (quarantine.incident, quarantine.epoch) if quarantine else None

    if name(before) == name(after):
        return []
    told = []
    if before is not None:
        told.append(Told("hpcdoctor.quarantine.lifted", _claim(before, because), before.incident))
    if after is not None:
        claim = _claim(after, because, jobs)
        told.append(Told("hpcdoctor.quarantine.claimed", claim, after.incident))
    return told


def _claim(
    quarantine: Quarantine, because: str, jobs: list[AffectedJob] | None = None
) -> QuarantineData:
    return QuarantineData(
        incident=quarantine.incident,
        epoch=quarantine.epoch,
        reason=quarantine.reason,
        owner=quarantine.owner,
        since=timestamp(quarantine.since.wall),
        because=because,
        jobs=jobs,
    )


def _ended(result: ActionResult, incident: str | None) -> ActionEnded:
    return ActionEnded(
        id=result.id,
        operation=result.operation.value,
        result=result.result.value,
        message=result.message,
        incident=incident or "",
    )


def shout(told: Sequence[Told]) -> list[Told]:
    """Mark every event: log lines that any user can write are believed here."""
    return [
        one._replace(data=structs.replace(one.data, accept_user_kernel_log=True)) for one in told
    ]


def node_state(
    node: Node,
    findings: Iterable[Finding],
    verdict: Verdict,
    now: Instant,
    *,
    cluster: str,
    mode: Mode,
    authority: str,
    stream: str,
    sequence: int,
    accept_user_kernel_log: bool,
) -> NodeState:
    """Return the retained document on .../state."""
    incident, quarantine, hold = node.incident, node.quarantine, node.hold
    return NodeState(
        cluster=cluster,
        node=node.name,
        time=timestamp(now.wall),
        state=node.state,
        since=timestamp(node.since.wall),
        because=node.because,
        verdict=verdict,
        mode=mode,
        authority=authority,
        incident=IncidentNow(
            id=incident.id,
            epoch=incident.epoch,
            mark=incident.mark,
            opened=timestamp(incident.opened.wall),
        )
        if incident
        else None,
        quarantine=QuarantineNow(
            incident=quarantine.incident,
            epoch=quarantine.epoch,
            reason=quarantine.reason,
            since=timestamp(quarantine.since.wall),
            owner=quarantine.owner,
        )
        if quarantine
        else None,
        hold=HoldNow(
            who=hold.who,
            why=hold.why,
            since=timestamp(hold.since.wall),
            until=timestamp(hold.until.wall) if hold.until else None,
        )
        if hold
        else None,
        requests=[
            RequestNow(
                request=made.id,
                kind=made.kind,
                asked=timestamp(made.asked.wall),
                because=made.because,
            )
            for made in node.requests
            if incident and (made.incident, made.epoch) == (incident.id, incident.epoch)
        ],
        findings=[
            OpenFinding(
                key=f.key,
                check=f.check,
                verdict=f.verdict,
                cause=f.cause,
                summary=f.summary,
                since=timestamp(f.since.wall),
                object=f.object,
                caused_by=f.caused_by,
                acknowledged_by=f.acknowledged_by,
            )
            for f in findings
        ],
        would_have_drained_total=node.would_have_drained,
        stream=stream,
        sequence=sequence,
        accept_user_kernel_log=True if accept_user_kernel_log else UNSET,
    )
