"""Does a node change its state as the drawing in lifecycle/machine.py says?"""

from msgspec import structs

from hpcdoctor.lifecycle.inputs import Reloaded, Started
from hpcdoctor.model.action import Operation, Result
from hpcdoctor.model.decision import Mode, Want
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import State
from tests.lifecycle.story import ALICE, IDLE, LOST, START, Story, marked


def out_of_service() -> Story:
    """A node that we have drained, and that no job uses."""
    story = Story()
    story.decide()
    story.drained()
    return story


def test_a_fault_drains_hands_over_and_a_release_leads_back_to_healthy() -> None:
    story = Story()
    story.decide()
    assert story.state() is State.WAITING
    assert story.node.quarantine is None, "claimed only when the drain is read back"
    assert story.pending.reason == "hd:k000.1 GPU3 Xid79 off bus; rule gpu-lost"
    story.drained(in_use=True)
    assert story.state() is State.DRAINING
    assert story.node.quarantine is not None
    story.wait(4)
    story.answer(Result.DONE, story.ours(in_use=False))
    assert story.state() is State.DRAINED
    story.wait(5)
    assert story.state() is State.HANDED_OVER
    assert "hardware" in story.node.because
    story.release()
    assert story.acknowledged == ["bob: card reseated"]
    assert story.pending.operation is Operation.RESUME
    assert story.pending.claimed_at == "2026-11-21T02:00:00"
    story.clear()
    story.answer(Result.DONE, IDLE)
    assert story.state() is State.PROBATION
    assert story.node.quarantine is None
    story.wait(86399)
    assert story.state() is State.PROBATION
    story.wait(2)
    assert story.state() is State.HEALTHY
    assert story.node.incident is None


def test_a_repeat_within_probation_is_the_same_incident_in_its_next_epoch() -> None:
    story = out_of_service()
    story.release()
    story.clear()
    story.answer(Result.DONE, IDLE)
    story.decide()
    assert story.pending.mark == "hd:k000.2"
    story.drained()
    assert story.node.quarantine is not None
    assert story.node.quarantine.epoch == 2


def test_over_the_limit_it_waits_says_why_and_asks_again() -> None:
    story = Story()
    story.decide()
    first = story.pending
    story.answer(Result.OVER_LIMIT, IDLE, "3 of 60 nodes are out, the limit is 1")
    assert story.state() is State.WAITING
    assert story.node.because == "3 of 60 nodes are out, the limit is 1"
    assert story.node.quarantine is None
    story.wait(30)
    assert story.node.pending is None
    story.wait(31)
    assert story.pending.id != first.id
    story.drained()
    assert story.state() is State.DRAINED


def test_a_count_that_comes_too_late_gives_the_drain_back() -> None:
    story = out_of_service()
    story.wait(4)
    assert story.pending.operation is Operation.READ
    story.answer(Result.OVER_LIMIT, IDLE, "the limit is 1; given back")
    assert story.state() is State.WAITING
    assert story.node.quarantine is None


def test_an_administrators_drain_is_left_alone_and_looked_at_again() -> None:
    story = Story()
    story.decide()
    story.answer(Result.FOREIGN, ALICE, "drained by root: alice: disk swap")
    assert (story.node.state, story.node.quarantine) == (State.WAITING, None)
    assert "alice: disk swap" in story.node.because
    assert {a.operation for a in story.asked} == {Operation.DRAIN}, "asked, and not done"


def test_a_person_who_changes_the_reason_has_taken_over() -> None:
    story = out_of_service()
    story.wait(4)
    story.answer(Result.DONE, structs.replace(story.ours(), reason="alice: looking at it"))
    assert story.state() is State.HANDED_OVER
    assert story.node.quarantine is None
    assert "alice: looking at it" in story.node.because
    story.wait(90)
    story.answer(Result.DONE, IDLE)
    assert story.state() is State.PROBATION
    assert story.acknowledged == ["resumed at the scheduler by a person"]
    assert Operation.RESUME not in {a.operation for a in story.asked}


ALICE_TOO = "; alice: do not resume, memtest"


def test_a_person_who_adds_to_the_reason_has_taken_over_and_a_second_fault_changes_nothing() -> (
    None
):
    story = out_of_service()
    theirs = structs.replace(story.ours(), reason=story.ours().reason + ALICE_TOO)
    story.wait(4)
    story.answer(Result.DONE, theirs)
    assert story.state() is State.HANDED_OVER
    assert story.node.quarantine is None
    story.decide(BEHIND)
    for _ in range(3):
        story.wait(90)
        if story.node.pending:
            story.answer(Result.DONE, theirs)
    story.release()
    while story.node.pending:
        story.answer(Result.FOREIGN, theirs)
    assert story.node.quarantine is None
    assert Operation.RESUME not in {a.operation for a in story.asked}


def test_a_changed_reason_with_our_mark_is_not_adopted_by_an_empty_store() -> None:
    story = Story()
    story.start(empty_store=True)
    theirs = marked("hd:zzzz.4")
    story.answer(Result.DONE, structs.replace(theirs, reason=theirs.reason + ALICE_TOO))
    assert story.state() is State.HEALTHY
    assert story.node.quarantine is None


def test_an_earlier_reason_of_the_incident_is_still_ours() -> None:
    story = out_of_service()
    first = story.ours()
    story.decide(BEHIND)
    story.wait(90)
    assert story.pending.reasons == [first.reason]
    story.answer(Result.DONE, structs.replace(first, down=True, drained=False))
    assert story.pending.operation is Operation.DRAIN
    assert story.pending.reasons == [first.reason, story.pending.reason]
    story.answer(Result.DONE, first)
    assert story.node.quarantine is not None
    story.release()
    story.answer(Result.DONE, IDLE)
    assert story.state() is State.PROBATION


def test_another_user_who_drains_with_our_very_words_has_taken_over() -> None:
    story = out_of_service()
    story.wait(4)
    story.answer(Result.DONE, structs.replace(story.ours(), reason_by="alice"))
    assert story.state() is State.HANDED_OVER
    assert story.node.quarantine is None


def test_a_person_who_resumes_ends_the_quarantine_and_is_not_fought() -> None:
    story = out_of_service()
    story.wait(4)
    story.answer(Result.DONE, IDLE)
    assert story.state() is State.PROBATION
    assert story.node.quarantine is None
    assert story.node.pending is None


def test_no_answer_is_tried_again_with_growing_pauses() -> None:
    story = Story()
    story.decide()
    pauses = []
    for _ in range(5):
        story.answer(Result.NO_ANSWER, None, "slurmctld does not answer")
        assert story.node.retry_at is not None
        pauses.append(story.node.retry_at.seconds_since(story.now))
        assert story.node.because == "slurmctld does not answer"
        story.wait(pauses[-1])
    assert pauses == sorted(pauses)
    assert pauses[-1] > 4 * pauses[0]
    assert len({a.id for a in story.asked}) == len(story.asked)


def test_a_refused_drain_is_asked_for_soon_after_a_reload_or_a_start() -> None:
    for event in (Reloaded(), Started(empty_store=False)):
        story = Story()
        story.decide()
        story.answer(Result.REFUSED, None, "Slurm knows no node nope; correct slurm.node_name")
        story.wait(10)
        assert story.node.pending is None
        story.happens(event)
        assert story.node.pending is None, "a helper with the old settings may still be there"
        story.wait(4)
        assert story.pending.operation is Operation.DRAIN
        assert story.node.failures == 0


def test_a_refused_resume_is_asked_for_soon_after_a_reload() -> None:
    story = out_of_service()
    story.release()
    story.answer(Result.REFUSED, None, "Slurm does not allow it")
    story.happens(Reloaded())
    story.wait(4)
    assert story.pending.operation is Operation.RESUME


def test_a_reload_leaves_what_is_under_way_and_what_comes_sooner() -> None:
    story = Story()
    story.decide()
    action = story.node.pending
    story.happens(Reloaded())
    assert story.node.pending == action
    story.answer(Result.NO_ANSWER, None, "slurmctld does not answer")
    at = story.node.retry_at
    story.happens(Reloaded())
    assert story.node.retry_at == at


def test_an_answer_that_nobody_waits_for_any_more_changes_nothing() -> None:
    story = Story()
    story.decide()
    old = story.pending
    story.answer(Result.NO_ANSWER)
    story.wait(10)
    before = story.node
    story.answer(Result.DONE, story.ours(), of=old)
    assert story.node == before


def test_after_a_crash_the_drain_is_read_back_before_anything_is_asked_again() -> None:
    story = Story()
    story.decide()
    lost = story.pending
    story.start()
    assert story.pending.operation is Operation.READ
    assert story.pending.mark == lost.mark
    story.answer(Result.DONE, marked(lost.mark))
    assert story.state() is State.DRAINED
    assert [a.operation for a in story.asked] == [Operation.DRAIN, Operation.READ]


def test_after_a_crash_a_drain_that_did_not_happen_is_asked_again_under_a_new_id() -> None:
    story = Story()
    story.decide()
    story.start()
    story.answer(Result.DONE, IDLE)
    assert story.pending.operation is Operation.DRAIN
    assert len({a.id for a in story.asked}) == 3


def test_an_empty_store_adopts_a_drain_that_carries_our_mark() -> None:
    story = Story()
    story.start(empty_store=True)
    story.answer(Result.DONE, marked("hd:zzzz.4"))
    assert story.state() is State.VERIFYING
    assert story.node.incident is not None
    assert (story.node.incident.id, story.node.incident.epoch) == ("zzzz", 4)
    assert story.node.quarantine is not None
    story.wait(301)
    story.answer(Result.DONE, marked("hd:zzzz.4"))
    assert story.state() is State.HANDED_OVER


def test_an_empty_store_leaves_anybody_elses_drain_alone() -> None:
    story = Story()
    story.start(empty_store=True)
    story.answer(Result.DONE, ALICE)
    assert story.state() is State.HEALTHY
    assert story.node.quarantine is None
    assert story.node.pending is None


def test_a_hold_stops_the_drain_says_so_and_its_end_lets_it_go_on() -> None:
    story = Story()
    story.hold()
    story.decide()
    assert story.state() is State.WAITING
    assert story.node.because == "held by alice: memory test"
    story.wait(1000)
    assert story.asked == []
    story.lift()
    assert story.pending.operation is Operation.DRAIN


def test_a_hold_with_an_end_ends() -> None:
    story = Story()
    story.hold(until=3600)
    story.decide()
    story.wait(3601)
    assert story.node.hold is None
    assert story.pending.operation is Operation.DRAIN


def test_shadow_only_counts_and_one_story_counts_once() -> None:
    story = Story()
    would = structs.replace(LOST, mode=Mode.SHADOW)
    for _ in range(3):
        story.decide(structs.replace(LOST, want=Want.NONE), would)
        story.wait(5)
    assert story.node.would_have_drained == 1
    assert story.state() is State.DEGRADED
    assert "mode is shadow" in story.node.because
    assert story.asked == []
    story.clear()
    assert story.state() is State.HEALTHY


def test_a_finding_that_clears_while_waiting_ends_the_incident() -> None:
    story = Story()
    story.decide()
    story.answer(Result.OVER_LIMIT, IDLE, "the limit is 1")
    story.clear()
    assert story.state() is State.HEALTHY
    assert story.node.incident is None


def test_a_finding_that_clears_while_out_of_service_stays_until_a_person_releases() -> None:
    story = out_of_service()
    story.clear()
    for _ in range(10):
        story.wait(100)
        if story.node.pending:
            story.answer(Result.DONE, story.ours())
    assert story.node.quarantine is not None
    assert story.state() is State.HANDED_OVER


def test_a_rule_may_say_that_it_resumes_when_clear() -> None:
    story = Story()
    story.decide(structs.replace(LOST, resume="when-clear"))
    story.drained()
    story.clear()
    assert story.pending.operation is Operation.RESUME
    story.answer(Result.DONE, IDLE)
    assert story.state() is State.PROBATION


def test_a_release_while_the_drain_is_under_way_resumes_as_soon_as_it_is_done() -> None:
    story = Story()
    story.decide()
    story.release()
    story.drained()
    assert story.pending.operation is Operation.RESUME


def test_a_clock_step_may_lengthen_probation_and_never_shorten_it() -> None:
    story = out_of_service()
    story.release()
    story.clear()
    story.answer(Result.DONE, IDLE)
    # The wall clock jumps a week ahead; the boot clock does not.
    story.now = Instant(START.boot_id, story.now.boottime + 10, story.now.wall + 7 * 86400)
    story.wait(1)
    assert story.state() is State.PROBATION


def test_an_incident_with_all_epochs_used_up_makes_way_for_a_new_one() -> None:
    story = out_of_service()
    assert story.node.incident is not None
    worn = structs.replace(story.node.incident, epoch=99)
    story.release()
    story.clear()
    story.answer(Result.DONE, IDLE)
    story.node = structs.replace(story.node, incident=worn)
    story.decide()
    assert len(story.pending.mark) <= 10
    assert story.pending.mark.endswith(".1")


BEHIND = structs.replace(
    LOST,
    rule="pcie-switch-dead",
    object="switch 3a:00",
    findings=["pcie-switch[pci_address=0000:3a:00]"],
    explains=LOST.findings,
)


def test_a_cause_that_is_seen_later_becomes_the_root_and_the_incident_keeps_its_id() -> None:
    story = out_of_service()
    before = story.node.incident
    story.decide(BEHIND)
    assert before is not None
    assert story.node.incident == structs.replace(before, decision=BEHIND)
    assert story.node.state is State.DRAINED
    assert story.node.quarantine is not None
    assert story.node.quarantine.incident == before.id


def test_a_cause_that_is_seen_while_the_scheduler_is_asked_waits_for_the_answer() -> None:
    story = Story()
    story.decide()
    story.decide(BEHIND)
    assert story.node.incident is not None
    assert story.node.incident.decision == LOST, "the reason that is on its way names this one"
    story.drained()
    assert story.node.incident.decision == BEHIND


def test_another_fault_beside_it_does_not_become_the_root() -> None:
    story = out_of_service()
    story.decide(structs.replace(BEHIND, explains=[]))
    assert story.node.incident is not None
    assert story.node.incident.decision == LOST
