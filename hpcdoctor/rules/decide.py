"""What do the rules ask for now? The strongest decision wins; the others stay visible in it."""

from collections.abc import Mapping, Sequence

from msgspec import structs

from hpcdoctor.definitions.rule import Rule
from hpcdoctor.model.decision import NOTHING, STRENGTH, Decided, Decision, Mode, Want, weakest
from hpcdoctor.model.finding import Cause, Finding, Verdict
from hpcdoctor.model.text import fill
from hpcdoctor.rules.circumstances import Circumstances
from hpcdoctor.rules.match import match


def decide(
    rules: Mapping[str, Rule],
    findings: Sequence[Finding],
    site: Mode,
    here: Circumstances | None = None,
) -> Decided:
    """Return the strongest decision that may act and the strongest that only shadow rules ask for.

    A finding that a person has acknowledged, or that another finding explains, decides nothing.
    """
    driving = [f for f in findings if f.acknowledged_by is None and f.caused_by is None]
    decisions = [
        _decision(rule, group, weakest(site, rule.mode), findings)
        for rule in rules.values()
        if rule.enabled and weakest(site, rule.mode) is not Mode.DISABLED
        for group in match(rule.when, driving, here)
    ]
    return Decided(
        act=_strongest([decision for decision in decisions if decision.mode is Mode.ACT]),
        shadow=_strongest([decision for decision in decisions if decision.mode is Mode.SHADOW]),
    )


def _decision(
    rule: Rule, group: list[Finding], mode: Mode, findings: Sequence[Finding]
) -> Decision:
    root = group[0]
    keys = [finding.key for finding in group]
    explained = [finding for finding in findings if finding.caused_by in keys]
    values = {**root.subject, **(root.evidence[-1].values if root.evidence else {})}
    return Decision(
        want=min(rule.decide.node, _ceiling(rule, group), key=STRENGTH.__getitem__),
        mode=mode,
        rule=rule.rule,
        summary=fill(rule.summary, values),
        object=root.object,
        label=root.label,
        subject=root.subject,
        findings=keys,
        explains=[f.key for f in sorted(explained, key=lambda f: (f.since.wall, f.key))],
        remediate=rule.decide.remediate,
        hand_over=rule.decide.hand_over,
        resume=rule.decide.resume.value,
        runbook=rule.runbook,
    )


def _ceiling(rule: Rule, group: list[Finding]) -> Want:
    """Return the most that these findings can ever ask for, whatever the rule says.

    One node's view of what many share, what a job did to itself, and what could not be measured
    never drain a node.
    """
    if any(finding.cause is Cause.JOB for finding in group):
        # One job may fail as it likes; what fails again and again on the same thing, or under
        # one job after the other, is worth a label. It still never drains.
        return Want.DEGRADED if rule.when.times > 1 else Want.NOTE
    if any(finding.verdict is Verdict.UNKNOWN for finding in group):
        return Want.DEGRADED
    if any(finding.cause is Cause.SHARED for finding in group) and not rule.node_decides_shared:
        return Want.DEGRADED
    return Want.DRAIN_NOW


def _strongest(decisions: list[Decision]) -> Decision:
    if not decisions:
        return NOTHING
    first, *others = sorted(decisions, key=lambda decision: -STRENGTH[decision.want])
    also = sorted({decision.rule for decision in others} - {first.rule})
    return structs.replace(first, also=also)
