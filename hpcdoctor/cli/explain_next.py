"""What would follow from a finding, in this site's mode, by which rules?"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from hpcdoctor.definitions.loader import Definitions
from hpcdoctor.definitions.rule import Resume, Rule
from hpcdoctor.definitions.settings import Authority, SchedulerName, Settings
from hpcdoctor.model.decision import QUARANTINES, Mode, Want, weakest
from hpcdoctor.model.finding import Verdict

DRAINS = {
    Authority.NODE: "the node is drained as soon as the limit allows; until then it is `waiting`",
    Authority.FLEET: "the node asks the fleet controller for a drain; until then it is `waiting`",
    Authority.CONSUMER: "the quarantine is published, and a program of the site has to drain",
}


class Follows(msgspec.Struct, frozen=True):
    """One rule that names a check, and what it comes to on this node."""

    rule: str
    verdict: Verdict
    want: Want
    mode: Mode  # of the rule
    effective: Mode  # the weaker of the rule's and the site's
    runbook: str
    next: list[str]


def follows(check: str, definitions: Definitions, settings: Settings) -> Iterator[Follows]:
    """Yield what the rules make of a finding of this check."""
    for name, defined in sorted(definitions.rules.items()):
        rule = defined.value
        for verdict in (rule.when.all.get(check), rule.when.any.get(check)):
            if verdict is not None and rule.enabled:
                yield Follows(
                    name,
                    verdict,
                    rule.decide.node,
                    rule.mode,
                    weakest(rule.mode, settings.mode),
                    rule.runbook,
                    next_of(rule, settings),
                )


def next_of(rule: Rule, settings: Settings) -> list[str]:
    """Return, as sentences, what happens on this node once the rule's findings stand."""
    mode = weakest(rule.mode, settings.mode)
    if not rule.enabled or mode is Mode.DISABLED:
        return ["Nothing: it is switched off."]
    weaker = f"site {settings.mode.value}, rule {rule.mode.value}"
    if mode is Mode.SHADOW:
        return [
            f"Mode shadow ({weaker}): that it would ask for `{rule.decide.node.value}` is recorded "
            "and published. Nothing is drained, nothing is repaired, jobs start. "
            "See: hpcdoctor status --would"
        ]
    return [f"Mode act ({weaker}): {_deed(rule, settings)}", *_repairs(rule, settings)]


def _deed(rule: Rule, settings: Settings) -> str:
    want = rule.decide.node
    if want not in QUARANTINES:
        return {
            Want.NONE: "nothing is done.",
            Want.NOTE: "it is recorded and published; nothing else.",
        }.get(want, "the node is called degraded; jobs go on and start.")
    if settings.authority is Authority.NODE and settings.scheduler is SchedulerName.NONE:
        return "a drain is wanted, but `scheduler: none`: nobody carries it out; the gate closes."
    jobs = {
        Want.DRAIN: "Running jobs finish.",
        Want.DRAIN_NOW: "Running jobs are not waited for.",
        Want.REQUEUE: "Running jobs go back to the queue.",
    }[want]
    return f"{DRAINS[settings.authority]}. {jobs}"


def _repairs(rule: Rule, settings: Settings) -> Iterator[str]:
    for name in rule.decide.remediate:
        if name in settings.remediations:
            yield f"Then remediation `{name}` is carried out and verified."
        else:
            yield f"Remediation `{name}` is not run: hpcdoctor.yaml does not name it."
    if rule.decide.hand_over:
        yield f"What that does not mend is handed over to: {rule.decide.hand_over}."
    if rule.decide.node in QUARANTINES:
        yield (
            "The node comes back when the findings clear."
            if rule.decide.resume is Resume.WHEN_CLEAR
            else "The node comes back after a verified repair, or by hand: hpcdoctor release"
        )


def runbook_at(runbook: str) -> str:
    """Return where this runbook is on this machine, or what the rule says where it is not."""
    package = Path(__file__).parent.parent
    for above in (package / "_data", package.parent):
        if runbook.startswith("docs/") and (above / runbook).is_file():
            return str(above / runbook)
    return runbook
