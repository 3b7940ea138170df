"""Is our drain gone since a person resumed, or since the controller that kept it has lost it?

A controller that dies right after it has accepted a drain comes back without it: its state is saved
some seconds later. The node then looks as after a resume. What tells the two apart: a person's
resume is believed where we saw the drain after that controller's start, or where it has not been
started since. So a drain is set again once for each start, and a few times at most.
"""

from hpcdoctor.definitions.settings import Authority
from hpcdoctor.lifecycle.inputs import Ask, Context
from hpcdoctor.lifecycle.moves import ask_for_drain, change, enter
from hpcdoctor.model.action import SchedulerView
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node, Standing
from hpcdoctor.model.quantity import format_duration

# An answer is older than it looks, and the controller tells its times in seconds.
SLACK_SECONDS = 5.0
MOST_TIMES = 5
LOST = "the scheduler's controller was started anew and has lost our drain"


def seen(node: Node, now: Instant) -> Node:
    """Note that our drain stands."""
    before = node.standing
    return change(node, standing=change(before, seen=now) if before else Standing(seen=now))


def told(node: Node, now: Instant) -> Node:
    """Say that the drain that was lost stands again."""
    if not node.because.startswith(LOST):
        return node
    return enter(node, node.state, f"{LOST}; it was set again, and stands", now)


def is_lost(node: Node, view: SchedulerView, now: Instant, context: Context) -> bool:
    """Tell whether the controller was started since our drain was seen, and is without it."""
    up_seconds, quarantine = view.controller_up_seconds, node.quarantine
    if context.authority is not Authority.NODE or node.releasing is not None:
        return False
    if view.drained or up_seconds is None or quarantine is None:
        return False
    standing = node.standing or Standing(seen=quarantine.since)
    if standing.restored >= MOST_TIMES:
        return False
    by = standing.lost_by
    if by is not None and abs(now.seconds_since(by) - up_seconds) <= SLACK_SECONDS:
        return False  # since this very start it was set again already
    return now.seconds_since(standing.seen) + SLACK_SECONDS >= up_seconds


def restore(
    node: Node, view: SchedulerView, now: Instant, context: Context
) -> tuple[Node, list[Ask]]:
    """Ask for the lost drain again, where nothing forbids a drain now."""
    up_seconds = view.controller_up_seconds or 0.0
    if why := why_not(node, context):
        because = f"{LOST}; it is not asked for again: {why}"
        return (node if node.because == because else enter(node, node.state, because, now)), []
    before = node.standing or Standing(seen=now)
    after = change(before, restored=before.restored + 1, lost_by=now.plus(-up_seconds))
    because = (
        f"{LOST} ({format_duration(up_seconds)} ago; nobody has resumed the node since we saw it "
        "drained); it is asked for again"
    )
    return ask_for_drain(enter(node, node.state, because, now, standing=after))


def why_not(node: Node, context: Context) -> str:
    """Return why this node may not be drained now, or ""."""
    if node.hold is not None:
        return f"held by {node.hold.who}: {node.hold.why}"
    return context.maintenance
