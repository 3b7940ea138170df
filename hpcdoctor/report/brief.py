"""What is the state of this node in one line, the same on every node with the same trouble?

Without times, numbers that were measured, or the node's name: `clush -b` and `dshbak -c` fold it.
"""

from hpcdoctor.model.finding import RANK, Cause, Verdict
from hpcdoctor.report.document import FindingLine, Report
from hpcdoctor.report.roots import roots_of
from hpcdoctor.report.width import harmless

MOST_NAMED = 6  # problems; then how many more there are
MOST_OBJECTS = 8
LONGEST_OBJECT = 40


def brief(report: Report) -> str:
    """Return the line without its end: "CRITICAL: gpu-lost GPU3 (Xid79 off bus); node draining"."""
    roots = roots_of(report)[0]
    parts = _problems(roots, report.verdict)
    if not any(finding.verdict is report.verdict for finding in roots):
        parts.insert(0, _without_findings(report))
    if len(parts) > MOST_NAMED:
        parts = [*parts[:MOST_NAMED], f"{len(parts) - MOST_NAMED} more"]
    if report.daemon is not None:
        if report.daemon.state != "healthy":
            parts.append(f"node {report.daemon.state}")
        if report.daemon.hold:
            parts.append("held")
    return f"{report.verdict.value.upper()}: {'; '.join(parts)}"


def _problems(roots: list[FindingLine], worst: Verdict) -> list[str]:
    """Return each check once with its objects, in an order that no moment decides."""
    grouped: dict[tuple[str, Verdict], list[FindingLine]] = {}
    for finding in roots:
        grouped.setdefault((finding.check, finding.verdict), []).append(finding)
    names = sorted(grouped, key=lambda name: (-RANK[name[1]], name[0]))
    parts = []
    for check, verdict in names:
        findings = grouped[check, verdict]
        word = "" if verdict is worst else f"{verdict.value} "
        labels = {finding.label for finding in findings} - {"", check}
        label = f" ({_short(labels.pop())})" if len(labels) == 1 else ""
        parts.append(f"{word}{check}{_objects(findings)}{label}")
    return parts


def _objects(findings: list[FindingLine]) -> str:
    if findings[0].cause is Cause.JOB:
        return ""  # each node has other jobs
    names = sorted({_short(finding.object) for finding in findings if finding.object})
    if not names:
        return ""
    if len(names) > MOST_OBJECTS:
        return f" on {len(names)}"
    return " " + ",".join(names)


def _without_findings(report: Report) -> str:
    unknown = sorted(line.check for line in report.checks if line.verdict is Verdict.UNKNOWN)
    if unknown and report.verdict is Verdict.UNKNOWN:
        more = f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else ""
        return f"could not measure {', '.join(unknown[:MOST_NAMED])}{more}"
    if report.verdict is Verdict.OK:
        return "nothing wrong"
    return "nothing could be judged"


def _short(text: str) -> str:
    return harmless(text, limit=LONGEST_OBJECT, ascii_only=True)
