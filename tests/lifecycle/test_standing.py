"""Is a drain that the controller has lost set again, and a person's resume believed?"""

from msgspec import structs

from hpcdoctor.definitions.settings import Authority
from hpcdoctor.lifecycle.standing import MOST_TIMES
from hpcdoctor.model.action import Operation, Result, SchedulerView
from hpcdoctor.model.node import State
from tests.lifecycle.story import IDLE, Story


def up(seconds: float) -> SchedulerView:
    """A node in service, under a controller that has run for so long."""
    return structs.replace(IDLE, controller_up_seconds=seconds)


def out() -> Story:
    """A node that we have drained, and that was seen so."""
    story = Story()
    story.decide()
    story.drained()
    story.wait(4)
    story.answer(Result.DONE, story.ours())
    return story


def looks(story: Story, view: SchedulerView, after: float = 80) -> None:
    story.wait(after)
    assert story.pending.operation is Operation.READ
    assert story.pending.claimed_at, "so that the helper asks for the controller's start"
    story.answer(Result.DONE, view)


def test_a_drain_that_a_restarted_controller_has_lost_is_asked_for_again() -> None:
    story = out()
    state, claim = story.node.state, story.node.quarantine
    looks(story, up(60))
    assert story.pending.operation is Operation.DRAIN
    assert "started anew and has lost our drain (1 min ago" in story.node.because
    assert story.node.quarantine == claim, "the gate stays closed meanwhile"
    story.answer(Result.DONE, structs.replace(story.ours(), reason_at="2026-11-21T03:00:00"))
    assert story.node.state is state
    assert story.node.quarantine is not None
    assert story.node.quarantine.claimed_at == "2026-11-21T03:00:00"
    story.release()
    assert story.asked[-1].operation is Operation.RESUME


def test_where_people_have_the_node_already_it_is_said_that_the_drain_stands_again() -> None:
    story = out()
    story.wait(5)
    assert story.state() is State.HANDED_OVER
    looks(story, up(60))
    assert story.node.because.endswith("it is asked for again")
    story.answer(Result.DONE, story.ours())
    assert story.state() is State.HANDED_OVER
    assert story.node.because.endswith("has lost our drain; it was set again, and stands")


def test_a_resume_under_a_controller_that_was_not_started_since_is_a_persons() -> None:
    story = out()
    looks(story, up(86400))
    assert story.state() is State.PROBATION
    assert story.node.because == "resumed at the scheduler by a person"


def test_a_resume_after_a_restart_that_kept_the_drain_is_a_persons() -> None:
    story = out()
    looks(story, story.ours())
    looks(story, up(100))
    assert story.state() is State.PROBATION


def test_a_drain_that_a_controller_shows_before_it_has_heard_from_the_node_was_kept() -> None:
    story = out()
    looks(story, structs.replace(story.ours(), settled=False, state="UNKNOWN+DRAIN"))
    looks(story, up(30), after=20)
    assert story.state() is State.PROBATION


def test_it_is_set_again_once_for_each_start_of_the_controller() -> None:
    story = out()
    looks(story, up(60))
    story.answer(Result.DONE, story.ours())
    looks(story, up(62), after=4)
    assert story.state() is State.PROBATION, "the same start: now it was a person"


def test_it_is_set_again_a_few_times_and_not_for_ever() -> None:
    story = out()
    for _ in range(MOST_TIMES):
        looks(story, up(20))
        assert story.pending.operation is Operation.DRAIN
        story.answer(Result.DONE, story.ours())
    looks(story, up(20))
    assert story.state() is State.PROBATION


def test_a_drain_without_an_answer_is_looked_for_and_asked_for_again() -> None:
    story = out()
    looks(story, up(60))
    story.answer(Result.NO_ANSWER, None, "slurmctld does not answer")
    story.wait(3)
    assert story.asked[-1].operation is Operation.READ
    story.answer(Result.DONE, up(5))
    assert story.pending.operation is Operation.DRAIN


def test_a_hold_keeps_it_from_being_asked_for_until_it_ends() -> None:
    story = out()
    story.hold()
    looks(story, up(60))
    assert "held by alice" in story.node.because
    assert story.node.pending is None
    assert story.node.quarantine is not None
    story.lift()
    looks(story, up(140))
    assert story.pending.operation is Operation.DRAIN


def test_a_released_node_is_not_drained_again() -> None:
    story = out()
    story.release()
    story.answer(Result.NOT_OURS, up(60))
    assert story.state() is State.PROBATION


def test_where_others_drain_the_node_itself_asks_for_nothing() -> None:
    story = out()
    story.authority = Authority.FLEET
    looks(story, up(60))
    assert {a.operation for a in story.asked} == {Operation.DRAIN, Operation.READ}
    assert story.state() is State.PROBATION
