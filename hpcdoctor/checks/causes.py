"""Which findings are explained by others? Only a root opens an incident; the rest is its evidence.

A check names in `explained_by:` the checks whose findings can be behind its own, and in which
fields the two have to agree. Pure: findings in, the key of each one's root out.

What keeps a real fault from being explained away: a cause is at least as bad as what it explains,
it began before or soon after it, and what a job did never explains what is wrong with the node.
"""

from collections.abc import Iterator, Mapping

import msgspec

from hpcdoctor.model.finding import Cause, Finding, Verdict
from hpcdoctor.model.reading import Value

# A cause may be seen later than what it causes: its check looks more rarely, or holds longer.
LATE_SECONDS = 900.0
ANYWHERE = "node"
# Unknown is what a warning explains as well: what hangs cannot be measured.
WEIGHT = {Verdict.OK: 0, Verdict.UNKNOWN: 1, Verdict.WARNING: 1, Verdict.CRITICAL: 2}


class Link(msgspec.Struct, frozen=True):
    """One check that can be behind another, and what both have to say alike."""

    check: str
    agree: tuple[tuple[str, str], ...]  # field of the explained one, field of its cause

    @classmethod
    def parse(cls, check: str, text: str | list[str]) -> "Link":
        """Read `pci_address`, `server=device`, a list of such, or `node` for anywhere here."""
        texts = [text] if isinstance(text, str) else text
        pairs = [each.partition("=") for each in texts if each != ANYWHERE]
        return cls(check, tuple((mine, theirs or mine) for mine, _, theirs in pairs))


def roots(
    findings: Mapping[str, Finding], links: Mapping[str, list[Link]]
) -> dict[str, str | None]:
    """Return for each finding the key of the one behind it all, or None where it is a root."""
    causes: dict[str, str] = {}
    for key, finding in findings.items():
        behind = [
            other
            for link in links.get(finding.check, ())
            for other in _of_check(findings, link.check)
            if other.key != key and _explains(other, finding, link)
        ]
        if behind:
            causes[key] = min(behind, key=_precedence).key
    return {key: _root(key, causes) for key in findings}


def _of_check(findings: Mapping[str, Finding], check: str) -> Iterator[Finding]:
    return (finding for finding in findings.values() if finding.check == check)


def _explains(cause: Finding, finding: Finding, link: Link) -> bool:
    if cause.verdict not in (Verdict.WARNING, Verdict.CRITICAL):
        return False
    if WEIGHT[cause.verdict] < WEIGHT[finding.verdict]:
        return False
    if cause.cause is Cause.JOB and finding.cause is not Cause.JOB:
        return False
    if cause.since.seconds_since(finding.since) > LATE_SECONDS:
        return False
    return all(
        _value(finding, mine) is not None and _value(finding, mine) == _value(cause, theirs)
        for mine, theirs in link.agree
    )


def _value(finding: Finding, name: str) -> Value:
    if name in finding.subject:
        return finding.subject[name]
    for evidence in reversed(finding.evidence):
        value = evidence.values.get(name)
        if value is not None:
            return str(value)
    return None


def _precedence(finding: Finding) -> tuple[int, float, str]:
    return -WEIGHT[finding.verdict], finding.since.wall, finding.key


def _root(key: str, causes: Mapping[str, str]) -> str | None:
    """Follow the causes to their end; in a circle nobody is to blame for the others."""
    seen = [key]
    while (behind := causes.get(seen[-1])) is not None:
        if behind in seen:
            return None if key in seen[seen.index(behind) :] else behind
        seen.append(behind)
    return seen[-1] if len(seen) > 1 else None
