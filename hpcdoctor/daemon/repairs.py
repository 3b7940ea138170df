"""What does the lifecycle have to know of the site's remediations, and how one has helped?"""

from hpcdoctor.checks.judge import Judge
from hpcdoctor.definitions.remediation import Proven, Remediation, Trust
from hpcdoctor.knowledge import Knowledge
from hpcdoctor.lifecycle.inputs import Facts
from hpcdoctor.lifecycle.ladder import current
from hpcdoctor.model.decision import weakest
from hpcdoctor.model.node import Node, State
from hpcdoctor.model.quantity import parse_duration
from hpcdoctor.rules.verify import unverified

VERIFY_SECONDS = 300.0
MARGIN_SECONDS = 60.0  # of the helper: killing, reading back, writing its journal


def facts_of(knowledge: Knowledge) -> dict[str, Facts]:
    """Return the remediations that the site has named, as the lifecycle has to see them."""
    found = {}
    for name in knowledge.settings.remediations:
        remediation = knowledge.remediations.get(name)
        if remediation is None or not remediation.enabled:
            continue
        count, seconds = remediation.limit_of
        found[name] = Facts(
            disrupts=remediation.disrupts,
            limit=remediation.limit,
            limit_count=count,
            limit_seconds=seconds,
            verify_seconds=parse_duration(remediation.verify.within)
            if remediation.verify
            else VERIFY_SECONDS,
            mode=weakest(knowledge.settings.mode, remediation.mode),
            unproven=remediation.proven is Proven.STAND_IN
            and remediation.trust is not Trust.UNPROVEN,
        )
    return found


def longest_seconds(remediation: Remediation) -> float:
    """Return how long the helper may take over it before nobody knows how far it came."""
    steps = [*remediation.steps, *remediation.last]
    return sum(parse_duration(step.timeout) for step in steps) + MARGIN_SECONDS


def why_unverified(node: Node, judge: Judge, knowledge: Knowledge) -> str:
    """Return what is still wrong with a node that is being verified; "" where nothing is."""
    repair, incident = current(node), node.incident
    if node.state is not State.VERIFYING or repair is None or incident is None:
        return "nothing has been repaired"
    remediation = knowledge.remediations.get(repair.remediation)
    outcomes = {outcome.check: outcome for outcome in judge.outcomes()}
    verify = remediation.verify if remediation else None
    return unverified(repair, incident, verify, judge.findings, outcomes, judge.looked)
