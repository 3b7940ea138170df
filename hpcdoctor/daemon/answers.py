"""What does the daemon answer to a person who asks how things stand?"""

from collections.abc import Callable
from typing import Any

import msgspec

from hpcdoctor.daemon.callers import Caller, Right
from hpcdoctor.daemon.control import (
    WRONG_USAGE,
    Answer,
    Check,
    Hold,
    Question,
    Release,
    Repair,
    StandDown,
    Status,
)
from hpcdoctor.daemon.orders import Orders
from hpcdoctor.daemon.outlook import coming, would
from hpcdoctor.daemon.pipeline import Pipeline
from hpcdoctor.definitions.mistake import did_you_mean
from hpcdoctor.model.decision import Want
from hpcdoctor.model.finding import EXIT_CODE, worst
from hpcdoctor.model.json_text import json_text
from hpcdoctor.model.text import visible
from hpcdoctor.report.brief import brief
from hpcdoctor.report.document import NodeLine, Report, node_line, report, stamp, summary_only
from hpcdoctor.report.text import render, status


class Answers:
    """The voice of one daemon."""

    def __init__(
        self,
        pipeline: Pipeline,
        notices: Callable[[], list[str]],
        parts: Callable[[], dict[str, Any]],
    ) -> None:
        """`notices` are sentences about hpcdoctor itself; `parts` the state of its own parts."""
        self._pipeline = pipeline
        self._notices = notices
        self._parts = parts
        self._orders = Orders(pipeline)

    async def respond(self, question: Question, caller: Caller) -> Answer:
        match question:
            case Check():
                return self._check(question, caller)
            case Status():
                return self._status(question)
            case Hold() | Release() | Repair() | StandDown():
                return await self._orders.give(question, caller)

    def report(self, names: list[str]) -> Report:
        judge, now = self._pipeline.judge, self._pipeline.clock()
        outcomes = [o for o in judge.outcomes() if not names or o.check in names]
        findings = [f for f in judge.findings.values() if not names or f.check in names]
        verdicts = [o.verdict for o in outcomes if o.verdict is not None]
        return report(
            self._pipeline.node.name,
            outcomes,
            findings,
            worst(verdicts),
            now,
            source="daemon",
            daemon=self._node_line(),
            jobs=judge.jobs,
        )

    def _node_line(self) -> NodeLine:
        settings, shadow = self._pipeline.knowledge.settings, self._pipeline.decided.shadow
        return node_line(
            self._pipeline.node,
            mode=settings.mode.value,
            authority=settings.authority.value,
            notices=self._notices(),
            coming=self._coming(),
            would=would(shadow) if shadow.want is not Want.NONE else "",
        )

    def _check(self, question: Check, caller: Caller) -> Answer:
        unknown = [n for n in question.names if n not in self._pipeline.judge.checks]
        if unknown:
            name = unknown[0]
            hint = did_you_mean(name, self._pipeline.judge.checks)
            hint = hint or "; `hpcdoctor check --verbose` lists them all"
            text = f"hpcdoctor: no check is named {visible(name, 60)!r}{hint}\n"
            return Answer(text, WRONG_USAGE)
        whole = self.report(question.names)
        if caller.right < Right.DETAILS:
            whole = summary_only(whole)
        if question.json:
            text = json_text(whole) + "\n"
        elif question.brief:
            text = brief(whole) + "\n"
        else:
            text = render(
                whole,
                width=question.width,
                colour=question.colour,
                verbose=question.verbose,
                ascii_only=question.ascii,
            )
            if caller.right < Right.DETAILS and whole.findings:
                text += "\nEvidence, jobs and next steps are for root and the group hpcdoctor.\n"
        return Answer(text, EXIT_CODE[whole.verdict])

    def _coming(self) -> str:
        return coming(self._pipeline.node, self._pipeline.clock(), self._pipeline.context())

    def _status(self, question: Status) -> Answer:
        if question.would and not question.json:
            return Answer(f"{would(self._pipeline.decided.shadow)}\n")
        line = self._node_line()
        if question.json:
            document = {
                "schema": "hpcdoctor.status/1",
                "node": self._pipeline.node.name,
                **msgspec.to_builtins(line),
                "verdict": self._pipeline.judge.verdict().value,
                "next": self._coming(),
                "would": would(self._pipeline.decided.shadow),
                "parts": self._parts(),
            }
            return Answer(json_text(document) + "\n")
        parts = {name: str(value) for name, value in self._parts().items()}
        now = stamp(self._pipeline.clock())
        judge, name = self._pipeline.judge, self._pipeline.node.name
        found = [finding.verdict for finding in judge.findings.values()]
        return Answer(status(name, line, judge.verdict(), found, now, parts, question.width))
