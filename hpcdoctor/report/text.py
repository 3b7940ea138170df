"""How does a report read at 3 a.m. on a serial console? 80 columns, no colour needed."""

import textwrap
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from hpcdoctor.model.finding import Verdict, finding_key
from hpcdoctor.model.quantity import format_duration
from hpcdoctor.model.text import visible
from hpcdoctor.report.document import CheckLine, EvidenceLine, FindingLine, NodeLine, Report

NARROWEST, WIDEST = 60, 140
MARGIN = 10
LONGEST_NAME = 40
COLOURS = {"critical": "31;1", "warning": "33", "unknown": "35", "ok": "32"}
FILES = ("recording", "log")  # sources that have no clock of their own
EVIDENCE_SHOWN = 3  # the first, and the latest
SHOWN_IN_FULL = 30  # checks; more of them are counted, and named with --verbose
NOT_PRESENT = "not present: "
SECOND = "needs a second reading"


def render(report: Report, *, width: int = 80, colour: bool = False, verbose: bool = False) -> str:
    """Return the whole text, newline at its end; `verbose` names what is fine or not here too."""
    page = _Page(max(NARROWEST, min(WIDEST, width)), colour)
    name = visible(report.node, LONGEST_NAME)[: page.width - 45]
    page.line(f"hpcdoctor check   {name}   {_clock(report.time, date=True)} UTC")
    page.line(f"{page.verdict(report.verdict, MARGIN - 1)} {_counts(report)}")
    for root, explained in _folded(report.findings):
        page.blank()
        _finding(page, root, explained, report)
    if report.daemon is not None:
        page.blank()
        _node(page, report.daemon, report.time)
    _checks(page, report, verbose=verbose)
    return "\n".join(page.lines) + "\n"


class _Page:
    """Lines of one width."""

    def __init__(self, width: int, colour: bool) -> None:
        self.width = width
        self.colour = colour
        self.lines: list[str] = []

    def blank(self) -> None:
        self.lines.append("")

    def line(self, text: str) -> None:
        self.lines.append(text.rstrip())

    def item(self, label: str, text: str, *, hang: int = 0) -> None:
        """A label in the margin, and the text beside it; further lines `hang` more to the right."""
        wrapped = textwrap.wrap(
            visible(text, 2000),
            self.width - MARGIN,
            subsequent_indent=" " * hang,
            break_on_hyphens=False,
        ) or [""]
        self.line(f"{label:<{MARGIN - 1}} {wrapped[0]}")
        for more in wrapped[1:]:
            self.line(" " * MARGIN + more)

    def groups(self, title: str, groups: dict[str, list[str]]) -> None:
        """Under a title, each reason once, and below it the checks that it holds for."""
        if not groups:
            return
        self.blank()
        self.line(title)
        for reason, names in groups.items():
            self.item("", reason)
            for line in textwrap.wrap(
                ", ".join(names), self.width - MARGIN - 2, break_on_hyphens=False
            ):
                self.line(" " * (MARGIN + 2) + line)

    def verdict(self, verdict: Verdict, width: int = 0) -> str:
        text = f"{verdict.value.upper():<{width}}"
        return f"\x1b[{COLOURS[verdict.value]}m{text}\x1b[0m" if self.colour else text


def _counts(report: Report) -> str:
    judged = [check.verdict for check in report.checks if isinstance(check.verdict, Verdict)]
    if not judged:
        return f"nothing could be judged here: {len(report.checks)} skipped"
    parts = []
    for verdict in (Verdict.CRITICAL, Verdict.UNKNOWN, Verdict.WARNING, Verdict.OK):
        if number := judged.count(verdict):
            parts.append(f"{number} {verdict.value}")
    if skipped := len(report.checks) - len(judged):
        parts.append(f"{skipped} skipped")
    return f"of {_counted(len(report.checks))}: {', '.join(parts)}"


def _folded(findings: list[FindingLine]) -> list[tuple[FindingLine, list[FindingLine]]]:
    """Return every root with what it explains; what explains nothing known stands for itself."""
    keys = {finding_key(finding.check, finding.subject) for finding in findings}
    roots = [finding for finding in findings if finding.caused_by not in keys]
    return [
        (root, [f for f in findings if f.caused_by == finding_key(root.check, root.subject)])
        for root in roots
    ]


def _finding(
    page: _Page, finding: FindingLine, explained: list[FindingLine], report: Report
) -> None:
    page.line(f"{page.verdict(finding.verdict, MARGIN - 1)} {visible(finding.check)}")
    page.item("", finding.summary)
    if finding.caused_by:  # by one that this report does not have
        page.item("caused by", finding.caused_by)
    for number, symptom in enumerate(explained):
        text = f"{symptom.check} ({symptom.verdict.value}): {symptom.summary}"
        page.item("" if number else "explains", text, hang=2)
    if since := _since(finding, report):
        page.item("seen" if report.source in FILES else "since", since)
    _evidence(page, finding, report)
    if finding.acknowledged_by:
        page.item("known to", finding.acknowledged_by)
    if finding.why:
        page.item("why", finding.why)
    for number, next_step in enumerate(finding.next_steps, start=1):
        _next_step(page, "next" if number == 1 else "", f"{number}. {next_step}")


def _next_step(page: _Page, label: str, text: str) -> None:
    """Keep a command in one piece where that is possible: it is there to be copied."""
    words, colon, command = text.partition(": ")
    if colon and len(text) > page.width - MARGIN:
        page.item(label, words + ":", hang=3)
        page.item("", "   " + command, hang=3)
    else:
        page.item(label, text, hang=3)


def _since(finding: FindingLine, report: Report) -> str:
    """Say when it began, where that is known: a file has no clock, and one look no past."""
    times = f"{finding.count} times" if finding.count > 1 else ""
    if report.source in FILES:
        return times
    ago = _ago(finding.since, report.time)
    words = f"{_clock(finding.since, date=True)} UTC ({ago} ago)"
    if report.source == "probes" and ago == "0 s":
        words = "this look, now"
    return f"{words}, {times}" if times else words


def _evidence(page: _Page, finding: FindingLine, report: Report) -> None:
    """Show the first that was seen and the latest; the others are in the JSON."""
    every = finding.evidence
    kept = every if len(every) <= EVIDENCE_SHOWN else [every[0], *every[1 - EVIDENCE_SHOWN :]]
    left_out = finding.count - len(kept) if finding.count > 1 else len(every) - len(kept)
    for number, evidence in enumerate(kept):
        if number == 1 and left_out > 0:
            page.item("", f"... {left_out} more ...")
        stamp = _stamp(evidence, report)
        page.item("" if number else "evidence", f"{stamp}{evidence.text}", hang=2)


def _stamp(evidence: EvidenceLine, report: Report) -> str:
    """Return when it was; of a line of the kernel log in a file, by the log's own clock."""
    if report.source not in FILES:
        return f"{_clock(evidence.taken)}  "
    seconds = evidence.values.get("boottime_seconds")
    return f"[{seconds:.6f}]  " if isinstance(seconds, (int, float)) else ""


def _node(page: _Page, node: NodeLine, now: str) -> None:
    page.item("node", f"{node.state} since {_clock(node.since, date=True)} UTC: {node.because}")
    page.item("mode", f"{node.mode}, authority {node.authority}")
    if node.quarantine:
        since = _ago(node.quarantine_since or now, now)
        page.item("claim", f"{node.quarantine} (for {since})")
    if node.hold:
        page.item("held", node.hold)
    if node.probation_until:
        page.item("probation", f"until {_clock(node.probation_until, date=True)} UTC")
    if node.would_have_drained_total:
        times = "once" if node.would_have_drained_total == 1 else ""
        page.item(
            "shadow", f"would have drained {times or f'{node.would_have_drained_total} times'}"
        )
    for notice in node.notices:
        page.item("notice", notice)


def _checks(page: _Page, report: Report, *, verbose: bool) -> None:
    """What could not be measured and why; what was looked at; what is not on this machine."""
    checks = report.checks
    unknown = [check for check in checks if check.verdict is Verdict.UNKNOWN]
    page.groups("Could not be measured", _by_reason((c.reason, c) for c in unknown))
    fine = [check.check for check in checks if check.verdict is Verdict.OK]
    absent, skipped = [], []
    for check in checks:
        if not isinstance(check.skipped, str):
            continue
        if check.skipped.startswith(NOT_PRESENT):
            absent.append((check.skipped.removeprefix(NOT_PRESENT), check))
            continue
        reason = check.skipped
        if reason == SECOND and report.source == "probes":
            reason += ": `hpcdoctor check --apart 10s` looks twice"
        skipped.append((reason, check))
    if verbose or len(checks) <= SHOWN_IN_FULL:
        if fine:
            page.blank()
            page.line("Checked and ok")
            page.item("", ", ".join(fine))
        page.groups("Skipped", _by_reason(skipped))
        page.groups("Skipped: not on this machine", _by_reason(absent))
        return
    page.blank()
    if fine:
        page.item("ok", _counted(len(fine)))
    for number, (reason, group) in enumerate(_largest_first(skipped)):
        page.item("" if number else "skipped", f"{_counted(len(group))}: {reason}", hang=2)
    for number, (reason, group) in enumerate(_largest_first(absent)):
        page.item("" if number else "not here", f"{_counted(len(group))}: {reason}", hang=2)
    page.item("", "`hpcdoctor check --verbose` names them")


def _counted(number: int) -> str:
    return "1 check" if number == 1 else f"{number} checks"


def _largest_first(checks: Iterable[tuple[str, CheckLine]]) -> list[tuple[str, list[str]]]:
    return sorted(_by_reason(checks).items(), key=lambda group: (-len(group[1]), group[0]))


def _by_reason(checks: Iterable[tuple[str, CheckLine]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for reason, check in checks:
        groups[reason or "no reason is known"].append(check.check)
    return groups


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _clock(text: str, *, date: bool = False) -> str:
    return _moment(text).strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")


def _ago(since: str, now: str) -> str:
    return format_duration(max(0.0, (_moment(now) - _moment(since)).total_seconds()))
