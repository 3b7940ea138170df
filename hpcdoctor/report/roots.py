"""Which findings stand on a page by themselves, and what is folded under each?"""

from collections import defaultdict

from hpcdoctor.model.finding import finding_key
from hpcdoctor.report.document import FindingLine, Report

Explained = dict[str, list[FindingLine]]  # what each root explains, by the root's key


def key_of(finding: FindingLine) -> str:
    return finding_key(finding.check, finding.subject)


def roots_of(report: Report) -> tuple[list[FindingLine], Explained]:
    """Return the roots in their order; what is explained by nothing known stands for itself."""
    keys = {key_of(finding) for finding in report.findings}
    roots = [finding for finding in report.findings if finding.caused_by not in keys]
    explained: Explained = defaultdict(list)
    for finding in report.findings:
        if finding.caused_by in keys and finding.caused_by is not None:
            explained[finding.caused_by].append(finding)
    return roots, explained


def alike(roots: list[FindingLine], explained: Explained) -> list[list[FindingLine]]:
    """Put those together that one check says of several things; what explains others stands alone.

    Eight ports that are down are one problem to read, with one "why" and one list of next steps.
    """
    groups: dict[tuple[object, ...], list[FindingLine]] = defaultdict(list)
    for finding in roots:
        own = key_of(finding) if explained.get(key_of(finding)) else ""
        known = finding.acknowledged_by or ""
        groups[finding.check, finding.verdict, finding.caused_by, known, own].append(finding)
    return list(groups.values())
