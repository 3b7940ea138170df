"""What becomes of an order that a person gives? Checked, recorded with the caller, carried out."""

import structlog

from hpcdoctor.daemon.callers import Caller
from hpcdoctor.daemon.control import (
    WRONG_USAGE,
    Answer,
    Hold,
    Release,
    Repair,
    StandDown,
)
from hpcdoctor.daemon.outlook import coming
from hpcdoctor.daemon.pipeline import Pipeline
from hpcdoctor.definitions.mistake import did_you_mean
from hpcdoctor.lifecycle.inputs import (
    HandedOver,
    HoldLifted,
    HoldOrdered,
    Input,
    Released,
    RepairOrdered,
)
from hpcdoctor.lifecycle.repair import why_not_order
from hpcdoctor.model.text import visible
from hpcdoctor.report.document import stamp

log = structlog.get_logger()

LONGEST_REASON = 300
REFUSED = 1
NOT_STORED = 74  # sysexits: EX_IOERR


class Orders:
    """Carries out what people ask for, in the pipeline's own turn."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def give(self, order: Hold | Release | Repair | StandDown, caller: Caller) -> Answer:
        if not order.why.strip():
            return Answer("hpcdoctor: say why, with --why\n", WRONG_USAGE)
        match order:
            case Hold():
                return await self._hold(order, caller)
            case Release():
                return await self._release(order, caller)
            case Repair():
                return await self._repair(order, caller)
            case StandDown():
                return await self._stand_down(order, caller)

    async def _hold(self, order: Hold, caller: Caller) -> Answer:
        now = self._pipeline.clock()
        until = now.plus(order.until_seconds) if order.until_seconds else None
        held = HoldOrdered(who=caller.name, why=_said(order.why), until=until)
        unwritten = await self._carry_out([held], caller)
        ends = f"until {stamp(until)}" if until else "until `hpcdoctor release --hold`"
        hint = "" if until else "; a hold with an end is not forgotten: --until 3d"
        text = f"held by {caller.name} {ends}: it is watched and not touched{hint}"
        return _answer(text, unwritten)

    async def _release(self, order: Release, caller: Caller) -> Answer:
        node = self._pipeline.node
        claimed = node.quarantine is not None or node.incident is not None
        hold, quarantine = order.hold, order.quarantine
        if not hold and not quarantine:
            if node.hold is not None and claimed:
                text = "hpcdoctor: a hold and a quarantine stand here; say --hold or --quarantine\n"
                return Answer(text, WRONG_USAGE)
            hold, quarantine = node.hold is not None, node.hold is None
        if hold and node.hold is None:
            return Answer("hpcdoctor: nobody holds this node\n", REFUSED)
        if quarantine and not claimed:
            return Answer("hpcdoctor: there is no quarantine to release\n", REFUSED)
        why = _said(order.why)
        inputs: list[Input] = [HoldLifted(who=caller.name, why=why)] if hold else []
        inputs += [Released(who=caller.name, why=why)] if quarantine else []
        unwritten = await self._carry_out(inputs, caller)
        what = "the hold is lifted" if hold else "released; open findings are acknowledged"
        return _answer(f"{what}. {self._standing()}", unwritten)

    async def _repair(self, order: Repair, caller: Caller) -> Answer:
        known = self._pipeline.knowledge.remediations
        name = order.remediation
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are {', '.join(sorted(known))}"
            text = f"hpcdoctor: no remediation is named {visible(name, 60)!r}{hint}\n"
            return Answer(text, WRONG_USAGE)
        node, now = self._pipeline.node, self._pipeline.clock()
        reason = why_not_order(node, name, now, self._pipeline.context())
        if reason is not None:
            return Answer(f"hpcdoctor: {name} is not carried out: {reason}\n", REFUSED)
        subject = order.subject or (node.incident.decision.subject if node.incident else {})
        ordered = RepairOrdered(caller.name, _said(order.why), name, subject)
        unwritten = await self._carry_out([ordered], caller)
        return _answer(self._standing(), unwritten)

    async def _stand_down(self, order: StandDown, caller: Caller) -> Answer:
        """Touch nothing from now on; what we have drained goes back, or to a person."""
        why = f"stand-down: {_said(order.why)}"
        inputs: list[Input] = [HoldOrdered(who=caller.name, why=why, until=None)]
        node = self._pipeline.node
        if node.quarantine is not None or node.incident is not None:
            give = Released if order.release else HandedOver
            inputs.append(give(who=caller.name, why=why))
        unwritten = await self._carry_out(inputs, caller)
        text = "hpcdoctor touches nothing here until `hpcdoctor release --hold`"
        return _answer(f"{text}. {self._standing()}", unwritten)

    def _standing(self) -> str:
        node, now = self._pipeline.node, self._pipeline.clock()
        ahead = coming(node, now, self._pipeline.context())
        return f"{node.state.value}: {node.because}; next: {ahead}"

    async def _carry_out(self, inputs: list[Input], caller: Caller) -> str:
        """Return why it could not be written; "" where it was."""
        orders = [type(i).__name__ for i in inputs]
        log.info("order", orders=orders, who=caller.name)
        if unwritten := await self._pipeline.ask(lambda: inputs):
            log.warning("order.not-stored", orders=orders, who=caller.name, reason=unwritten)
        return unwritten


def _answer(text: str, unwritten: str) -> Answer:
    if not unwritten:
        return Answer(f"{text}\n")
    return Answer(
        f"{text}\nhpcdoctor: not stored: {unwritten}; it holds until the daemon ends. Once it can "
        "be written it is, by itself: `hpcdoctor status` shows a notice until then\n",
        NOT_STORED,
    )


def _said(text: str) -> str:
    return visible(text.strip(), LONGEST_REASON)
