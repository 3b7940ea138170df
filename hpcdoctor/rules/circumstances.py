"""What may a rule know besides the findings? The node's circumstances, and its recent past.

A rule asks for them with `if:`, in the language of the checks:

    if: incidents_7d >= 3 && !maintenance
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from hpcdoctor.expressions.compile import compile_expression
from hpcdoctor.expressions.expression import Expression, Window
from hpcdoctor.expressions.types import Known, Scope, Type, Unknown
from hpcdoctor.model.finding import Finding, Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Value

DAY = 86400.0
KEPT_SECONDS = 30 * DAY
KEPT = 2000  # openings; beyond it the oldest are forgotten

FIELDS = {
    "jobs": Type.NUMBER,  # on this node, by their cgroups; unknown where there are none to see
    "maintenance": Type.BOOL,  # a window of the settings, or a reservation of the scheduler
    "uptime_seconds": Type.NUMBER,
    "incidents_1d": Type.NUMBER,  # that ended in the last day, the present one not included
    "incidents_7d": Type.NUMBER,
    "incidents_30d": Type.NUMBER,
    "repairs_7d": Type.NUMBER,
}


class Opening(msgspec.Struct, frozen=True):
    """A finding that opened at some time; what a rule counts."""

    check: str
    subject: dict[str, str]
    verdict: Verdict
    at: Instant
    job: str = ""  # that ran there, where the finding says it


class Circumstances(msgspec.Struct, frozen=True):
    """The node at this moment, as rules see it."""

    now: Instant
    jobs: int | None = None
    maintenance: bool = False
    incidents: Sequence[Instant] = ()  # when each ended
    repairs: Sequence[Instant] = ()  # when each was asked for
    openings: Sequence[Opening] = ()

    def field(self, name: str, /) -> Value | Unknown:
        match name:
            case "jobs":
                return self.jobs
            case "maintenance":
                return self.maintenance
            case "uptime_seconds":
                return self.now.boottime
            case "repairs_7d":
                return self._since(self.repairs, 7)
            case _:
                days = int(name.removeprefix("incidents_").removesuffix("d"))
                return self._since(self.incidents, days)

    def _since(self, moments: Sequence[Instant], days: int) -> int:
        return sum(self.now.seconds_since(moment) < days * DAY for moment in moments)

    def dotted(self, _name: str, /) -> Value | Unknown:
        return None

    def window(self, _window: Window, /) -> Known | Unknown:
        return Unknown("a rule has no windows")


SCOPE = Scope(fields=FIELDS, dotted={})


@lru_cache(maxsize=256)
def condition(text: str) -> Expression:
    """Return the compiled `if:`; knowledge.py has met the ExpressionError of a wrong one."""
    return compile_expression(text, SCOPE)


class _AnyField(dict[str, Type]):
    """Findings of many checks have many fields; knowledge.py holds the names against each check."""

    def __missing__(self, name: str) -> Type:
        return Type.ANY

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002, ANN401  # as dict has it
        return self[key]


@lru_cache(maxsize=256)
def about_finding(text: str) -> Expression:
    """Return the compiled `where:` of a rule, over whatever fields a finding has."""
    return compile_expression(text, Scope(fields=_AnyField(), dotted={}))


class Told(msgspec.Struct, frozen=True):
    """A finding, as an expression sees it: its subject, and its last reading."""

    finding: Finding

    def field(self, name: str, /) -> Value | Unknown:
        if name in self.finding.subject:
            return self.finding.subject[name]
        last = self.finding.evidence[-1].values if self.finding.evidence else {}
        return last.get(name)

    def dotted(self, _name: str, /) -> Value | Unknown:
        return None

    def window(self, _window: Window, /) -> Known | Unknown:
        return Unknown("a rule has no windows")


def opening(finding: Finding, only_job: str = "") -> Opening:
    """Return what is remembered of it; `only_job` is the one that has the node to itself."""
    values = finding.evidence[-1].values if finding.evidence else {}
    job = values.get("job") or only_job
    return Opening(finding.check, finding.subject, finding.verdict, finding.since, str(job))


def trimmed(openings: Sequence[Opening], now: Instant) -> list[Opening]:
    """Return what is young enough to be counted by any rule."""
    return [each for each in openings if now.seconds_since(each.at) < KEPT_SECONDS][-KEPT:]
