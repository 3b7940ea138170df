"""What becomes of the jobs that run on a node which is being drained? Nothing, unless a rule says.

`requeue` sends them back to the queue at once; `drain-now` asks them to checkpoint, waits, and then
sends back what is left. Both only while our drain stands; each is asked for once an incident.
"""

from hpcdoctor.lifecycle.inputs import Ask, Context
from hpcdoctor.lifecycle.moves import change, enter, next_action
from hpcdoctor.model.action import ActionResult, Operation, Result
from hpcdoctor.model.decision import Want
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node, State
from hpcdoctor.model.quantity import format_duration


def touch_jobs(node: Node, now: Instant, context: Context) -> tuple[Node, list[Ask]]:
    """Ask for what the rule says of the jobs here, where its time has come."""
    incident = node.incident
    if incident is None or node.state is not State.DRAINING or node.requeued:
        return node, []
    if node.hold is not None or node.releasing is not None or node.pending is not None:
        return node, []
    match incident.decision.want:
        case Want.REQUEUE:
            return _requeue(node)
        case Want.DRAIN_NOW if node.grace_until is None:
            node, action = next_action(node, Operation.SIGNAL)
            return change(node, grace_until=now.plus(context.grace_seconds)), [action]
        case Want.DRAIN_NOW if node.grace_until is not None and now.reached(node.grace_until):
            return _requeue(node)
        case _:
            return node, []


def _requeue(node: Node) -> tuple[Node, list[Ask]]:
    node, action = next_action(node, Operation.REQUEUE)
    return node, [change(action, jobs=node.signalled)]


def touched(node: Node, result: ActionResult, now: Instant, context: Context) -> Node:
    """Return the node after its jobs were signalled or requeued."""
    done = result.result in (Result.DONE, Result.NONE)
    said = result.message or "done"
    if result.operation is Operation.SIGNAL:
        wait = format_duration(context.grace_seconds)
        then = f"; what is left is requeued after {wait}" if done else ""
        return enter(node, node.state, f"{said}{then}", now, signalled=result.jobs)
    return enter(node, node.state, said, now, requeued=True)
