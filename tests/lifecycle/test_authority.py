"""Under `fleet` and `consumer` somebody else drains: does the node ask, and keep its hands off?"""

import pytest
from msgspec import structs

from hpcdoctor.definitions.remediation import Disrupts
from hpcdoctor.definitions.settings import Authority
from hpcdoctor.lifecycle.inputs import Facts
from hpcdoctor.model.action import Operation, Result, SchedulerView
from hpcdoctor.model.decision import Want
from hpcdoctor.model.grant import Kind
from hpcdoctor.model.node import State
from tests.lifecycle.story import ALICE, IDLE, LOST, Story

REASON = "hd:k000.1 GPU3 Xid79 off bus; rule gpu-lost"
RESET = Facts(Disrupts.GPU, "2 per 7d", 2, 7 * 86400.0, 300.0)


def drained_view(*, in_use: bool = False, by: str = "slurm") -> SchedulerView:
    return SchedulerView(
        drained=True,
        in_use=in_use,
        reason=REASON,
        reason_by=by,
        reason_at="2026-11-21T02:00:00",
        state="IDLE+DRAIN",
    )


def look(story: Story, view: SchedulerView, seconds: float = 61.0) -> None:
    """Let a minute go by; the node looks at the scheduler and sees this."""
    story.wait(seconds)
    if story.node.pending is None:
        story.wait(5)
    assert story.pending.operation is Operation.READ
    story.answer(Result.DONE, view)


def operations(story: Story) -> set[Operation]:
    return {action.operation for action in story.asked}


# --- fleet ----------------------------------------------------------------------------------------


def asked_for() -> Story:
    story = Story(Authority.FLEET)
    story.decide()
    return story


def test_the_fleet_is_asked_once_and_the_node_waits_for_what_it_does() -> None:
    story = asked_for()
    (made,) = story.requests
    assert (made.id, made.kind, made.reason) == ("k000.1.drain", Kind.DRAIN, REASON)
    assert story.state() is State.WAITING
    assert story.node.because == "the fleet was asked to drain"
    for _ in range(20):
        story.wait(5)
        if story.node.pending:
            story.answer(Result.DONE, IDLE)
    assert len(story.requests) == 1
    assert story.node.because == "the fleet was asked to drain"
    assert operations(story) == {Operation.READ}
    look(story, drained_view(in_use=True))
    assert story.state() is State.DRAINING
    assert story.node.quarantine is not None
    assert story.node.quarantine.reason == REASON


def test_waiting_ticks_change_nothing_that_would_have_to_be_written() -> None:
    story = asked_for()
    before = story.node
    for _ in range(5):
        story.wait(5)
    assert story.node == before


def test_what_the_fleet_says_is_shown_and_makes_the_node_look_at_once() -> None:
    story = asked_for()
    story.grant("k000.1.drain", granted=False, because="budget: 3 of 3 nodes are out")
    story.wait(1)
    story.answer(Result.DONE, IDLE)
    story.wait(1)
    assert story.node.because == "the fleet was asked to drain: budget: 3 of 3 nodes are out"
    story.grant("k000.1.drain")
    story.wait(1)
    assert story.pending.operation is Operation.READ


@pytest.mark.parametrize("name", ["k000.2.drain", "zzzz.1.drain", "k000.1.repair"])
def test_an_answer_to_what_was_never_asked_changes_nothing(name: str) -> None:
    story = asked_for()
    before = story.node
    story.grant(name)
    assert story.node == before


def test_a_controller_that_was_succeeded_is_not_heard() -> None:
    story = asked_for()
    story.grant("k000.1.drain", granted=False, because="new one", term=5)
    before = story.node
    story.grant("k000.1.drain", term=4)
    assert story.node == before


def test_a_silent_fleet_drains_nothing_but_what_the_site_has_listed() -> None:
    story = asked_for()
    story.wait(301)
    story.answer(Result.DONE, IDLE)
    story.wait(5)
    assert operations(story) == {Operation.READ}
    story.act_without_fleet = frozenset({"gpu-lost"})
    story.wait(5)
    assert story.pending.operation is Operation.DRAIN
    assert story.pending.reason == REASON


def test_a_fleet_that_says_no_is_not_a_silent_one() -> None:
    story = asked_for()
    story.act_without_fleet = frozenset({"gpu-lost"})
    story.grant("k000.1.drain", granted=False, because="over budget")
    for _ in range(100):
        story.wait(5)
        if story.node.pending:
            story.answer(Result.DONE, IDLE)
    assert operations(story) == {Operation.READ}


def repairing() -> Story:
    story = Story(Authority.FLEET)
    story.remediations = {"reset": RESET}
    story.decide(structs.replace(LOST, remediate=["reset"]))
    look(story, drained_view(by="root"))
    look(story, drained_view(by="root"), seconds=5)
    story.wait(5)
    return story


def test_what_disrupts_waits_for_a_grant_of_its_own() -> None:
    story = repairing()
    assert story.state() is State.DRAINED
    assert story.requests[-1].id == "k000.1.repair"
    assert story.node.because == "the fleet was asked whether reset may run"
    story.grant("k000.1.repair")
    story.wait(1)
    story.answer(Result.DONE, drained_view(by="root"))
    story.wait(5)
    assert story.pending.operation is Operation.REMEDIATE


def test_a_grant_ends_by_the_nodes_own_clock() -> None:
    story = repairing()
    story.grant("k000.1.repair")
    story.now = story.now.plus(601)
    story.wait(1)
    if story.node.pending:
        story.answer(Result.DONE, drained_view(by="root"))
    story.wait(5)
    assert Operation.REMEDIATE not in operations(story)


def test_a_release_asks_the_fleet_and_the_node_is_back_when_it_has_resumed() -> None:
    story = asked_for()
    look(story, drained_view())
    story.release()
    assert story.requests[-1].id == "k000.1.resume"
    assert Operation.RESUME not in operations(story)
    look(story, drained_view())
    assert story.node.quarantine is not None
    look(story, IDLE)
    assert story.state() is State.PROBATION
    assert story.node.because == "released by bob: card reseated"


# --- consumer -------------------------------------------------------------------------------------


def published() -> Story:
    story = Story(Authority.CONSUMER)
    story.decide()
    return story


def test_the_quarantine_is_in_force_at_once_and_nothing_is_asked_of_the_scheduler() -> None:
    story = published()
    assert story.state() is State.DRAINING
    assert story.node.quarantine is not None
    assert story.node.quarantine.reason == REASON
    assert story.asked == []
    assert story.requests == []


def test_the_consumers_drain_is_seen_and_said() -> None:
    story = published()
    look(story, IDLE)
    assert story.node.because.endswith("at the scheduler the node is not drained yet")
    look(story, structs.replace(ALICE))
    assert "is drained by root (alice: disk swap)" in story.node.because
    look(story, drained_view(in_use=True))
    assert story.state() is State.DRAINING
    look(story, drained_view())
    assert story.state() is State.DRAINED
    story.wait(5)
    assert story.state() is State.HANDED_OVER


def test_a_release_lifts_the_published_claim_at_once() -> None:
    story = published()
    look(story, drained_view())
    story.release()
    assert story.node.quarantine is None
    assert story.state() is State.PROBATION
    assert operations(story) == {Operation.READ}


def test_a_person_who_resumes_the_consumers_drain_is_not_fought() -> None:
    story = published()
    look(story, drained_view())
    look(story, IDLE)
    assert story.state() is State.PROBATION
    assert story.node.quarantine is None


def test_without_any_scheduler_the_claim_stands_until_it_is_released() -> None:
    story = published()
    story.wait(20)
    story.answer(Result.NONE, None)
    story.wait(300)
    assert story.state() is State.DRAINING
    story.release()
    assert story.state() is State.PROBATION


def test_what_clears_by_itself_lifts_it_only_where_the_rule_says_so() -> None:
    story = Story(Authority.CONSUMER)
    story.decide(structs.replace(LOST, want=Want.DRAIN, resume="when-clear"))
    story.clear()
    assert story.node.quarantine is None
    story = published()
    story.clear()
    assert story.node.quarantine is not None
