"""How does a report read at 3 a.m. on a serial console? 80 columns, no colour needed."""

import textwrap
from collections import defaultdict
from datetime import datetime

from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.quantity import format_duration
from hpcdoctor.model.text import visible
from hpcdoctor.report.document import CheckLine, FindingLine, NodeLine, Report

NARROWEST, WIDEST = 60, 140
MARGIN = 10
COLOURS = {"critical": "31;1", "warning": "33", "unknown": "35", "ok": "32"}


def render(report: Report, *, width: int = 80, colour: bool = False) -> str:
    """Return the whole text, newline at its end."""
    page = _Page(max(NARROWEST, min(WIDEST, width)), colour)
    page.line(f"hpcdoctor check   {report.node}   {_clock(report.time, date=True)} UTC")
    page.line(f"{page.verdict(report.verdict, 9)} {_counts(report)}")
    for finding in report.findings:
        page.blank()
        _finding(page, finding, report)
    if report.daemon is not None:
        page.blank()
        _node(page, report.daemon, report.time)
    _checks(page, report.checks)
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

    def item(self, label: str, text: str) -> None:
        """A label in the margin, and the text beside it."""
        margin = " " * MARGIN
        wrapped = textwrap.wrap(
            visible(text, 2000),
            self.width - MARGIN,
            break_on_hyphens=False,
        ) or [""]
        self.line(f"{label:<{MARGIN - 1}} {wrapped[0]}")
        for more in wrapped[1:]:
            self.line(margin + more)

    def verdict(self, verdict: Verdict, width: int = 0) -> str:
        text = f"{verdict.value.upper():<{width}}"
        return f"\x1b[{COLOURS[verdict.value]}m{text}\x1b[0m" if self.colour else text


def _counts(report: Report) -> str:
    judged = [check for check in report.checks if check.verdict is not None]
    parts = []
    for verdict in (Verdict.CRITICAL, Verdict.UNKNOWN, Verdict.WARNING, Verdict.OK):
        number = sum(check.verdict is verdict for check in judged)
        if number:
            parts.append(f"{number} {verdict.value}")
    skipped = len(report.checks) - len(judged)
    if skipped:
        parts.append(f"{skipped} skipped")
    if not judged:
        return "nothing here could be judged"
    return f"of {len(report.checks)} checks: {', '.join(parts)}"


def _finding(page: _Page, finding: FindingLine, report: Report) -> None:
    page.line(f"{page.verdict(finding.verdict, MARGIN - 1)} {visible(finding.check)}")
    page.item("", finding.summary)
    since = f"{_clock(finding.since, date=True)} UTC ({_ago(finding.since, report.time)})"
    if finding.count > 1:
        since += f", {finding.count} times"
    page.item("since", since)
    for number, evidence in enumerate(finding.evidence):
        page.item("evidence" if number == 0 else "", f"{_clock(evidence.taken)}  {evidence.text}")
    if finding.acknowledged_by:
        page.item("known to", finding.acknowledged_by)
    if finding.caused_by:
        page.item("caused by", finding.caused_by)
    if finding.why:
        page.item("why", finding.why)
    for number, next_step in enumerate(finding.next_steps, start=1):
        page.item("next" if number == 1 else "", f"{number}. {next_step}")


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
        page.item("shadow", f"would have drained {node.would_have_drained_total} times")
    for notice in node.notices:
        page.item("notice", notice)


def _checks(page: _Page, checks: list[CheckLine]) -> None:
    """What was looked at; what could not be measured and why; what is not on this machine."""
    unknown = [check for check in checks if check.verdict is Verdict.UNKNOWN]
    if unknown:
        page.blank()
        page.line("Could not be measured")
        for check in unknown:
            page.item("  unknown", f"{check.check}: {check.reason}")
    fine = [check.check for check in checks if check.verdict is Verdict.OK]
    if fine:
        page.blank()
        page.line("Checked and ok")
        page.item("", ", ".join(fine))
    skipped: dict[str, list[str]] = defaultdict(list)
    for check in checks:
        if check.verdict is None:
            skipped[check.skipped or "?"].append(check.check)
    if skipped:
        page.blank()
        page.line("Skipped")
        for reason, names in skipped.items():
            page.item("", f"{', '.join(names)}: {reason}")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _clock(text: str, *, date: bool = False) -> str:
    return _moment(text).strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")


def _ago(since: str, now: str) -> str:
    return format_duration(max(0.0, (_moment(now) - _moment(since)).total_seconds()))
