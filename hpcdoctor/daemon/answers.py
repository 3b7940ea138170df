"""What does the daemon answer to a person? Builds the texts, and turns orders into inputs."""

import textwrap
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from hpcdoctor.daemon.callers import Caller, Right
from hpcdoctor.daemon.control import Answer, Check, Hold, Question, Release, Status
from hpcdoctor.daemon.pipeline import Pipeline
from hpcdoctor.definitions.mistake import did_you_mean
from hpcdoctor.lifecycle.inputs import HoldLifted, HoldOrdered, Input, Released
from hpcdoctor.model.finding import EXIT_CODE, worst
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node, State
from hpcdoctor.model.quantity import format_duration
from hpcdoctor.model.text import visible
from hpcdoctor.report.document import NodeLine, Report, node_line, report, stamp, summary_only
from hpcdoctor.report.text import render

log = structlog.get_logger()

WRONG_USAGE = 64
LONGEST_REASON = 300


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

    async def respond(self, question: Question, caller: Caller) -> Answer:
        match question:
            case Check():
                return self._check(question, caller)
            case Status():
                return self._status(question)
            case Hold():
                return await self._hold(question, caller)
            case Release():
                return await self._release(question, caller)

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
        )

    def _node_line(self) -> NodeLine:
        settings = self._pipeline.knowledge.settings
        return node_line(
            self._pipeline.node,
            mode=settings.mode.value,
            authority=settings.authority.value,
            notices=self._notices(),
        )

    def _check(self, question: Check, caller: Caller) -> Answer:
        unknown = [n for n in question.names if n not in self._pipeline.judge.checks]
        if unknown:
            name = unknown[0]
            hint = did_you_mean(name, self._pipeline.judge.checks)
            hint = hint or "; `hpcdoctor check` lists them all"
            text = f"hpcdoctor: no check is named {visible(name, 60)!r}{hint}\n"
            return Answer(text, WRONG_USAGE)
        whole = self.report(question.names)
        if caller.right < Right.DETAILS:
            whole = summary_only(whole)
        if question.json:
            text = msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n"
        else:
            text = render(whole, width=question.width, colour=question.colour)
            if caller.right < Right.DETAILS and whole.findings:
                text += "\nEvidence and next steps are for root and the group hpcdoctor.\n"
        return Answer(text, EXIT_CODE[whole.verdict])

    def _status(self, question: Status) -> Answer:
        line = self._node_line()
        if question.json:
            document = {
                "schema": "hpcdoctor.status/1",
                "node": self._pipeline.node.name,
                **msgspec.to_builtins(line),
                "verdict": self._pipeline.judge.verdict().value,
                "next": self._next(self._pipeline.node),
                "parts": self._parts(),
            }
            return Answer(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")
        return Answer(self._status_text(line, question.width))

    def _status_text(self, line: NodeLine, width: int) -> str:
        node = self._pipeline.node
        items = [
            ("node", f"{node.name}: {line.state} since {line.since}"),
            ("because", line.because),
            ("verdict", self._pipeline.judge.verdict().value),
            ("mode", f"{line.mode}, authority {line.authority}"),
        ]
        if line.incident:
            items.append(("incident", line.incident))
        if line.quarantine:
            items.append(("claim", line.quarantine))
        if line.hold:
            items.append(("held", line.hold))
        items.append(("next", self._next(node)))
        if line.would_have_drained_total:
            items.append(("shadow", f"would have drained {line.would_have_drained_total} times"))
        items += [("", f"{name}: {value}") for name, value in self._parts().items()]
        items += [("notice", notice) for notice in line.notices]
        lines = []
        for label, text in items:
            lines += textwrap.wrap(
                visible(text, 2000),
                max(60, min(140, width)),
                initial_indent=f"{label:<10}",
                subsequent_indent=" " * 10,
            )
        return "\n".join(lines) + "\n"

    def _next(self, node: Node) -> str:
        """Say what will happen next, and when."""
        now = self._pipeline.clock()
        if node.pending is not None:
            return f"waiting for the answer to action {node.pending}"
        if node.releasing is not None and node.retry_at is not None:
            return f"resume is tried again {_in(node.retry_at, now)}"
        match node.state:
            case State.WAITING if node.hold:
                return f"nothing while held by {node.hold.who}"
            case State.WAITING if node.retry_at:
                return f"the drain is asked for again {_in(node.retry_at, now)}"
            case State.DRAINING:
                return "drained as soon as no job runs here"
            case State.DRAINED | State.VERIFYING:
                return "handed over"
            case State.HANDED_OVER:
                return "a person repairs it, then `hpcdoctor release --quarantine --why ...`"
            case State.PROBATION if node.probation_until:
                return f"healthy {_in(node.probation_until, now)} if nothing comes again"
            case _:
                return "nothing to do"

    async def _hold(self, question: Hold, caller: Caller) -> Answer:
        if not question.why.strip():
            return Answer("hpcdoctor: say why, with --why\n", WRONG_USAGE)
        now = self._pipeline.clock()
        until = now.plus(question.until_seconds) if question.until_seconds else None
        order = HoldOrdered(who=caller.name, why=_said(question.why), until=until)
        await self._order([order], caller)
        ends = f"until {stamp(until)}" if until else "until `hpcdoctor release --hold`"
        hint = "" if until else "; a hold with an end is not forgotten: --until 3d"
        return Answer(f"held by {caller.name} {ends}: it is watched and not touched{hint}\n")

    async def _release(self, question: Release, caller: Caller) -> Answer:
        if not question.why.strip():
            return Answer("hpcdoctor: say why, with --why\n", WRONG_USAGE)
        node = self._pipeline.node
        claimed = node.quarantine is not None or node.incident is not None
        hold, quarantine = question.hold, question.quarantine
        if not hold and not quarantine:
            if node.hold is not None and claimed:
                text = "hpcdoctor: a hold and a quarantine stand here; say --hold or --quarantine\n"
                return Answer(text, WRONG_USAGE)
            hold, quarantine = node.hold is not None, node.hold is None
        if hold and node.hold is None:
            return Answer("hpcdoctor: nobody holds this node\n", 1)
        if quarantine and not claimed:
            return Answer("hpcdoctor: there is no quarantine to release\n", 1)
        why = _said(question.why)
        inputs: list[Input] = [HoldLifted(who=caller.name, why=why)] if hold else []
        inputs += [Released(who=caller.name, why=why)] if quarantine else []
        await self._order(inputs, caller)
        after = self._pipeline.node
        what = "the hold is lifted" if hold else "released; open findings are acknowledged"
        return Answer(f"{what}. {after.state.value}: {self._next(after)}\n")

    async def _order(self, inputs: list[Input], caller: Caller) -> None:
        log.info("order", orders=[type(i).__name__ for i in inputs], who=caller.name)
        await self._pipeline.ask(lambda: inputs)


def _said(text: str) -> str:
    return visible(text.strip(), LONGEST_REASON)


def _in(moment: Instant, now: Instant) -> str:
    seconds = moment.boottime - now.boottime
    if moment.boot_id != now.boot_id:
        seconds = moment.wall - now.wall
    return f"in {format_duration(seconds)}" if seconds > 0 else "now"
