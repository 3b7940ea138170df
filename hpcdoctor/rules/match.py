"""Which findings satisfy a rule's `when:`?"""

from collections.abc import Sequence

from hpcdoctor.definitions.rule import Match
from hpcdoctor.model.finding import RANK, Finding, Verdict
from hpcdoctor.model.quantity import parse_duration
from hpcdoctor.rules.circumstances import Circumstances, Told, about_finding, condition

JOB = "job"


def match(
    when: Match, findings: Sequence[Finding], here: Circumstances | None = None
) -> list[list[Finding]]:
    """Return every group of findings that satisfies the rule, the oldest finding first in each."""
    if when.where is not None:
        fits = about_finding(when.where)
        findings = [finding for finding in findings if fits.evaluate(Told(finding)) is True]
    groups = _together(when, findings)
    if here is None:  # nothing is known of the past: what would have to be counted does not match
        return groups if when.times <= 1 and when.condition is None else []
    if when.condition is not None and condition(when.condition).evaluate(here) is not True:
        return []
    seconds = parse_duration(when.hold)
    return [
        group
        for group in groups
        if all(here.now.seconds_since(finding.since) >= seconds for finding in group)
        and _often_enough(when, group[0], here)
    ]


def _often_enough(when: Match, root: Finding, here: Circumstances) -> bool:
    """Tell whether findings like this one have opened `times` times within the window."""
    if when.times <= 1:
        return True
    window = parse_duration(when.within or "24h")
    wanted = {**when.all, **when.any}
    alike = [
        each
        for each in here.openings
        if each.check in wanted
        and reaches(each.verdict, wanted[each.check])
        and here.now.seconds_since(each.at) < window
        and all(each.subject.get(f) == root.subject.get(f) for f in when.same_fields)
    ]
    if when.different is None:
        return len(alike) >= when.times
    names = {
        each.job if when.different == JOB else each.subject.get(when.different) for each in alike
    }
    return len(names - {None, ""}) >= when.times


def _together(when: Match, findings: Sequence[Finding]) -> list[list[Finding]]:
    groups = [[]] if not when.all else _agreeing(when, findings)
    if not when.any:
        return [sorted(group, key=_age) for group in groups if group]
    alternatives = [
        finding
        for finding in findings
        if (wanted := when.any.get(finding.check)) and reaches(finding.verdict, wanted)
    ]
    return [
        sorted([*group, finding], key=_age)
        for group in groups
        for finding in alternatives
        if finding not in group and (not group or _agree(when, [*group, finding]))
    ]


def reaches(verdict: Verdict, wanted: Verdict) -> bool:
    """Tell whether `verdict` is `wanted` or worse; `unknown` and `ok` mean only themselves."""
    if Verdict.UNKNOWN in (verdict, wanted) or wanted is Verdict.OK:
        return verdict is wanted
    return RANK[verdict] >= RANK[wanted]


def _agreeing(when: Match, findings: Sequence[Finding]) -> list[list[Finding]]:
    """Return the groups with one finding for each check of `all` that agree in `same`."""
    groups: list[list[Finding]] = [[]]
    for check, wanted in when.all.items():
        fitting = [f for f in findings if f.check == check and reaches(f.verdict, wanted)]
        groups = [
            [*group, finding]
            for group in groups
            for finding in fitting
            if _agree(when, [*group, finding])
        ]
    return groups


def _agree(when: Match, group: list[Finding]) -> bool:
    first = group[0]
    for field in when.same_fields:
        if len({finding.subject.get(field) for finding in group}) > 1:
            return False
    if when.within is None or when.times > 1:
        return True
    apart = max(abs(_seconds_apart(first, finding)) for finding in group)
    return apart <= parse_duration(when.within)


def _seconds_apart(one: Finding, other: Finding) -> float:
    return max(one.since.seconds_since(other.since), other.since.seconds_since(one.since))


def _age(finding: Finding) -> float:
    return finding.since.wall
