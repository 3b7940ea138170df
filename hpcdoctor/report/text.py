"""How does a report read at 3 a.m. on a serial console? 80 columns, no colour needed."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.job import NEARNESS, Place
from hpcdoctor.model.node import NOTHING_KNOWN, State
from hpcdoctor.report.document import (
    CheckLine,
    EvidenceLine,
    FindingLine,
    NodeLine,
    Report,
    stamp,
)
from hpcdoctor.report.page import MARGIN, Page
from hpcdoctor.report.roots import Explained, alike, key_of, roots_of
from hpcdoctor.report.when import clock, day_and_clock, for_how_long, since, until
from hpcdoctor.report.width import fitted

LONGEST_NAME = 30
FILES = ("recording", "log")  # sources that have no clock of their own
SEEN_BY = {
    "daemon": "by the daemon",
    "probes": "no daemon",
    "recording": "recording, judged",
    "log": "log file, judged",
}
EVIDENCE_SHOWN = 3  # the first, and the latest
ALIKE_SHOWN = 8
SYMPTOMS_SHOWN = 5
JOBS_SHOWN = 8
SHOWN_IN_FULL = 30  # checks; more of them are counted, and named with --verbose
NOT_PRESENT = "not present: "
NOT_KNOWN = "when it began is not known without the daemon"
SECOND = "needs a second reading"
MORE = "--verbose names every check; `hpcdoctor explain NAME` says more of one in [brackets]"


def render(
    report: Report,
    *,
    width: int = 80,
    colour: bool = False,
    verbose: bool = False,
    ascii_only: bool = False,
    first_look: tuple[Instant, Instant] | None = None,
) -> str:
    """Return the whole text, newline at its end; `verbose` leaves out nothing.

    `first_look`: of somebody who looks again and again without a daemon, its begin and end.
    """
    page = Page(width, colour=colour, ascii_only=ascii_only)
    roots, explained = roots_of(report)
    groups = alike(roots, explained)
    first = [stamp(moment) for moment in first_look or ()]
    told = _head(page, report, groups)
    for group in groups:
        if not told:
            page.blank()
            page.titled(group[0].verdict, _titled(group[0]))
        _problem(page, group, explained, report, first, verbose=verbose)
    if report.daemon is not None:
        page.blank()
        _node(page, report.daemon, report.time)
    _checks(page, report, verbose=verbose)
    return page.text


def status(
    node: str,
    line: NodeLine,
    verdict: Verdict,
    findings: Iterable[Verdict],
    now: str,
    parts: dict[str, str],
    width: int,
) -> str:
    """Return the page of `hpcdoctor status`; `findings` are the open ones, `parts` our own."""
    page = Page(width)
    page.item("status", f"{node}: {verdict.value}; {day_and_clock(now)} UTC")
    if found := _found(list(findings)):
        page.item("found", f"{found}; `hpcdoctor check` shows what")
        if line.because == NOTHING_KNOWN:
            line = msgspec.structs.replace(line, because="no rule asks for anything")
    _node(page, line, now)
    if line.incident:
        page.item("incident", line.incident)
    label = "hpcdoctor"
    for name, value in parts.items():
        page.item(label, f"{name}: {value}", hang=2)
        label = ""
    return page.text


def _found(findings: list[Verdict]) -> str:
    counts = {one: findings.count(one) for one in (Verdict.CRITICAL, Verdict.WARNING)}
    words = {Verdict.CRITICAL: "critical finding", Verdict.WARNING: "warning"}
    return ", ".join(
        f"{number} {words[one]}{'' if number == 1 else 's'}"
        for one, number in counts.items()
        if number
    )


def _head(page: Page, report: Report, groups: list[list[FindingLine]]) -> bool:
    """The verdict in one line with the root cause in words; who looked when, and the counts.

    Return True where that line said of the only problem all that its own title would say.
    """
    longest = min(LONGEST_NAME, (page.width - MARGIN) // 2)
    before = f"{fitted(page.safe(report.node), longest)}: "
    text, after = _in_a_word(report), ""
    if groups:
        text = groups[0][0].summary
        others = len(groups) - 1
        after = f"; {others} more" if others else ""
        if not others:
            text = _titled(groups[0][0])
        if report.verdict is Verdict.UNKNOWN and groups[0][0].verdict is Verdict.WARNING:
            text, after = _in_a_word(report), f"; {others + 1} more"
    whole = page.headline(report.verdict, before, text, after)
    page.item("", f"{_seen(report)}; {_counts(report)}")
    if report.jobs:
        page.item("jobs", _listed([_job(job.job, job.user) for job in report.jobs]))
    elif report.jobs is not None and groups and not _in_use(report):
        page.item("jobs", "none on this node, as cgroups tell")
    return whole and len(groups) == 1 and groups[0][0].verdict is report.verdict


def _seen(report: Report) -> str:
    """Say who looked, and when: which of a file is not when it was written."""
    moment = f"{day_and_clock(report.time)} UTC"
    who = SEEN_BY[report.source]
    return f"{who} {moment}" if report.source in FILES else f"{moment}, {who}"


def _in_a_word(report: Report) -> str:
    """Say what there is to say where nothing was found."""
    unknown = [check for check in report.checks if check.verdict is Verdict.UNKNOWN]
    fine = sum(check.verdict is Verdict.OK for check in report.checks)
    if unknown:
        return f"{len(unknown)} of {_counted(len(unknown) + fine)} could not be measured"
    if not fine:
        return "nothing could be judged here"
    state = report.daemon.state if report.daemon is not None else "healthy"
    said = f"nothing is wrong in {_counted(fine)}"
    return said if state == "healthy" else f"{said}, but the node is {_words(state)}"


def _counts(report: Report) -> str:
    judged = [check.verdict for check in report.checks if isinstance(check.verdict, Verdict)]
    parts = []
    for verdict in (Verdict.CRITICAL, Verdict.UNKNOWN, Verdict.WARNING, Verdict.OK):
        if number := judged.count(verdict):
            parts.append(f"{number} {verdict.value}")
    if skipped := len(report.checks) - len(judged):
        parts.append(f"{skipped} skipped")
    return ", ".join(parts) or "no check"


def _titled(finding: FindingLine) -> str:
    return f"{finding.summary} [{finding.check}]"


def _problem(
    page: Page,
    group: list[FindingLine],
    explained: Explained,
    report: Report,
    first: list[str],
    *,
    verbose: bool,
) -> None:
    """One thing that is wrong, or several of which one check says the same."""
    finding, *others = group
    if finding.caused_by:  # by one that this report does not have
        page.item("caused by", finding.caused_by)
    if words := _since(finding, report, first):
        page.item("seen" if report.source in FILES else "since", words)
    _jobs(page, group)
    _others(page, others, report, verbose=verbose)
    _symptoms(page, explained.get(key_of(finding), []), verbose=verbose)
    _evidence(page, finding, report, verbose=verbose)
    if finding.acknowledged_by:
        page.item("known to", finding.acknowledged_by)
    if finding.why:
        page.item("why", finding.why)
    label = "next"
    if others and finding.next_steps and finding.object:
        page.item(label, f"for {finding.object}; the others alike:")
        label = ""
    for number, step in enumerate(finding.next_steps, start=1):
        page.step(label, number, step)
        label = ""


def _jobs(page: Page, group: list[FindingLine]) -> None:
    """Which jobs it concerns, as near as is known; those that just run here stand at the top."""
    near: dict[str, list[str]] = defaultdict(list)
    for job in (job for finding in group for job in finding.jobs or []):
        if job.on is Place.NODE and not job.ended:
            continue
        words = "" if job.on in (Place.JOB, Place.NODE) else f" {NEARNESS[job.on]}"
        if job.ended:
            words += ", ended since"
        name = _job(job.job, job.user)
        if name not in near[words]:
            near[words].append(name)
    label = "affects"
    for words, names in near.items():
        page.item(label, f"{'job' if len(names) == 1 else 'jobs'} {_listed(names)}{words}")
        label = ""


def _job(number: str, user: str) -> str:
    return f"{number} of {user}" if user else number


def _listed(names: list[str]) -> str:
    more = len(names) - JOBS_SHOWN
    return ", ".join(names[:JOBS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _others(page: Page, others: list[FindingLine], report: Report, *, verbose: bool) -> None:
    shown = others if verbose else others[:ALIKE_SHOWN]
    label = "also"
    for finding in shown:
        page.one_line(label, f"{_stamp_of(finding, report)}{finding.summary}")
        label = ""
    if hidden := others[len(shown) :]:
        names = ", ".join(finding.object or "?" for finding in hidden)
        page.one_line("", f"and {len(hidden)} more: {names}")


def _symptoms(page: Page, symptoms: list[FindingLine], *, verbose: bool) -> None:
    shown = symptoms if verbose else symptoms[:SYMPTOMS_SHOWN]
    label = "explains"
    for symptom in shown:
        page.item(label, f"{symptom.verdict.value}: {symptom.summary} [{symptom.check}]", hang=2)
        label = ""
    if hidden := symptoms[len(shown) :]:
        names = ", ".join(dict.fromkeys(symptom.check for symptom in hidden))
        page.one_line("", f"and {len(hidden)} more: {names}")


def _since(finding: FindingLine, report: Report, first: list[str]) -> str:
    """Say when it began, where that is known: a file has no clock, and one look no past.

    What a log tells has its moment; what the `first` of several looks found began before it.
    """
    times = f"{finding.count} times" if finding.count > 1 else ""
    if report.source in FILES:
        return times
    words = since(finding.since, report.time)
    if report.source == "probes" and for_how_long(finding.since, report.time) == "0 s":
        words = f"this look; {NOT_KNOWN}"
    elif report.source == "probes" and first and first[0] <= finding.since <= first[1]:
        words = f"the first look of this watch; {NOT_KNOWN}"
    if times and finding.last_seen and finding.last_seen != finding.since:
        times += f", the last at {clock(finding.last_seen, report.time)}"
    return f"{words}; {times}" if times else words


def _evidence(page: Page, finding: FindingLine, report: Report, *, verbose: bool) -> None:
    """Show the first that was seen and the latest; the others are in the JSON."""
    every = finding.evidence
    kept = every
    if len(every) > EVIDENCE_SHOWN and not verbose:
        kept = [every[0], *every[1 - EVIDENCE_SHOWN :]]
    left_out = finding.count - len(kept) if finding.count > 1 else len(every) - len(kept)
    label = "evidence"
    for number, evidence in enumerate(kept):
        if number == 1 and left_out > 0:
            page.item("", f"... {left_out} more ...")
        same = number > 0 and evidence.text == kept[number - 1].text
        said = "the same" if same else evidence.text
        page.item(label, f"{_stamp(evidence, report)}{said}", hang=2)
        label = ""


def _stamp_of(finding: FindingLine, report: Report) -> str:
    if report.source in FILES:
        return _stamp(finding.evidence[0], report) if finding.evidence else ""
    return f"{clock(finding.since, report.time)} "


def _stamp(evidence: EvidenceLine, report: Report) -> str:
    """Return when it was; of a line of the kernel log in a file, by the log's own clock."""
    if report.source not in FILES:
        return f"{clock(evidence.taken, report.time)} "
    seconds = evidence.values.get("boottime_seconds")
    return f"[{seconds:.6f}]  " if isinstance(seconds, (int, float)) else ""


def _in_use(report: Report) -> bool:
    """Tell whether the scheduler says that jobs run here, whatever the cgroups tell."""
    return report.daemon is not None and report.daemon.state == "draining"


def _node(page: Page, node: NodeLine, now: str) -> None:
    """What hpcdoctor makes of it: where the node stands, what was done, and what comes then."""
    words = f"{_words(node.state)} since {since(node.since, now)}"
    if node.probation_until and node.state == State.PROBATION:  # later states keep the date
        words += f", until {clock(node.probation_until, now)}"
    because = _because(node)
    page.item("node", f"{words}: {because}" if because else words)
    if node.held_by:
        until_when = f" until {until(node.held_until, now)}" if node.held_until else ""
        page.item("held", f"by {node.held_by}{until_when}: {node.held_why}")
    label = "did"
    if node.quarantine:
        when = since(node.quarantine_since or now, now)
        page.item(label, f"{_claimed(node)} at {when} ago: {node.quarantine}", hang=2)
        label = ""
    for repair in node.repairs:
        if not repair.result:
            continue  # under way, which `then` tells
        by = f", ordered by {repair.by}" if repair.by else ""
        why = f": {repair.message}" if repair.message and repair.result != "done" else ""
        page.item(
            label,
            f"{repair.remediation} at {clock(repair.asked, now)}{by}: {_words(repair.result)}{why}",
            hang=2,
        )
        label = ""
    if node.next and node.next != "nothing to do":
        page.item("then", node.next, hang=2)
    page.item("mode", f"{node.mode}, authority {node.authority}{_shadow(node)}", hang=2)
    if node.would:
        page.item("would", node.would, hang=2)
    for notice in node.notices:
        page.item("notice", notice, hang=2)


def _claimed(node: NodeLine) -> str:
    """Say what was done for the quarantine, by whom: only `authority: node` drains by itself."""
    match node.quarantine_by:
        case "node":
            return "drained the node"
        case "fleet":
            return "had the fleet drain the node"
        case _:
            return "published a quarantine"


def _because(node: NodeLine) -> str:
    """Return the reason of the state, less what another line of the page tells in full."""
    if node.would and node.because.startswith("mode is shadow"):
        return ""
    if node.held_by and node.because == f"held by {node.held_by}: {node.held_why}":
        return "it is held"
    because = node.because.removeprefix(f"drained as {node.quarantine}; ")
    return because.replace(f"published as {node.quarantine}; ", "published; ")


def _shadow(node: NodeLine) -> str:
    number = node.would_have_drained_total
    if not number:
        return ""
    return f"; would have drained {'once' if number == 1 else f'{number} times'} so far"


def _checks(page: Page, report: Report, *, verbose: bool) -> None:
    """What could not be measured and why; what was skipped; what is not on this machine."""
    found = {finding.check for finding in report.findings}
    unknown = [c for c in report.checks if c.verdict is Verdict.UNKNOWN and c.check not in found]
    fine = [check.check for check in report.checks if check.verdict is Verdict.OK]
    absent, skipped = [], []
    for check in report.checks:
        if not isinstance(check.skipped, str):
            continue
        if check.skipped.startswith(NOT_PRESENT):
            absent.append((check.skipped.removeprefix(NOT_PRESENT), check))
            continue
        reason = check.skipped
        if reason == SECOND and report.source == "probes":
            reason += ": `hpcdoctor check --apart 10s` looks twice"
        skipped.append((reason, check))
    page.blank()
    label = "unknown"
    for reason, names in _by_reason((check.reason, check) for check in unknown).items():
        page.item(label, f"{', '.join(names)}: {reason}", hang=2)
        label = ""
    if verbose or len(report.checks) <= SHOWN_IN_FULL:
        if fine:
            page.item("ok", ", ".join(fine))
        for title, group in (("skipped", skipped), ("not here", absent)):
            label = title
            for reason, names in _largest_first(group):
                page.item(label, f"{reason}: {', '.join(names)}", hang=2)
                label = ""
    else:
        label = "skipped"
        for reason, names in _largest_first(skipped):
            page.item(label, f"{_counted(len(names))}: {reason}", hang=2)
            label = ""
        if absent:
            look = "looks" if len(absent) == 1 else "look"
            page.item("not here", f"{_counted(len(absent))} {look} at what this machine lacks")
        page.item("more", MORE if report.findings else MORE.partition(";")[0])
    if page.lines[-1] == "":
        page.lines.pop()


def _counted(number: int) -> str:
    return "1 check" if number == 1 else f"{number} checks"


def _words(state: str) -> str:
    return "on probation" if state == "probation" else state.replace("_", " ")


def _largest_first(checks: Iterable[tuple[str, CheckLine]]) -> list[tuple[str, list[str]]]:
    return sorted(_by_reason(checks).items(), key=lambda group: (-len(group[1]), group[0]))


def _by_reason(checks: Iterable[tuple[str, CheckLine]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for reason, check in checks:
        groups[reason or "no reason is known"].append(check.check)
    return groups
