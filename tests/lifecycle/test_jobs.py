"""What becomes of the jobs? Nothing; or what the rule says, once, while our drain stands."""

from msgspec import structs

from hpcdoctor.model.action import Operation, Result
from hpcdoctor.model.decision import Want
from hpcdoctor.model.node import State
from tests.lifecycle.story import ALICE, IDLE, LOST, Story

SEND_BACK = structs.replace(LOST, want=Want.REQUEUE)
NOW = structs.replace(LOST, want=Want.DRAIN_NOW)


def operations(story: Story) -> list[Operation]:
    return [action.operation for action in story.asked if action.operation is not Operation.READ]


def test_a_drain_leaves_jobs_alone() -> None:
    story = Story()
    story.decide()
    story.drained(in_use=True)
    for _ in range(10):
        story.wait(61)
        story.answer(Result.DONE, story.ours(in_use=True))
    assert operations(story) == [Operation.DRAIN]


def test_requeue_sends_them_back_as_soon_as_the_drain_stands_and_once() -> None:
    story = Story()
    story.decide(SEND_BACK)
    story.drained(in_use=True)
    assert story.pending.operation is Operation.REQUEUE
    assert story.pending.mark == "hd:k000.1"
    story.answer(Result.DONE, story.ours(in_use=True), "requeued job 12")
    assert story.node.because == "requeued job 12"
    for _ in range(3):
        story.wait(61)
        story.answer(Result.DONE, story.ours(in_use=True))
    assert operations(story) == [Operation.DRAIN, Operation.REQUEUE]
    story.wait(61)
    story.answer(Result.DONE, story.ours())
    assert story.state() is State.DRAINED


def test_drain_now_asks_waits_and_sends_back_what_is_left_and_what_died_of_it() -> None:
    story = Story()
    story.decide(NOW)
    story.drained(in_use=True)
    assert operations(story)[-1:] == [Operation.SIGNAL]
    story.answer(Result.DONE, story.ours(in_use=True), "sent SIGTERM to job 12, 13", jobs=["12"])
    assert story.node.because == "sent SIGTERM to job 12, 13; what is left is requeued after 5 min"
    story.wait(299)
    if story.node.pending:
        story.answer(Result.DONE, story.ours(in_use=True))
    assert operations(story) == [Operation.DRAIN, Operation.SIGNAL]
    story.wait(2)
    assert story.pending.operation is Operation.REQUEUE
    assert story.pending.jobs == ["12"]


def test_no_answer_is_asked_again_and_a_refusal_is_not() -> None:
    story = Story()
    story.decide(SEND_BACK)
    story.drained(in_use=True)
    story.answer(Result.NO_ANSWER, None, "slurmctld does not answer")
    story.wait(301)
    story.answer(Result.DONE, story.ours(in_use=True))
    assert story.pending.operation is Operation.REQUEUE
    story.answer(Result.REFUSED, None, "rule gpu-lost leaves jobs alone")
    story.wait(301)
    story.answer(Result.DONE, story.ours(in_use=True))
    assert story.node.pending is None
    assert operations(story)[1:] == [Operation.REQUEUE, Operation.REQUEUE]


def test_a_hold_and_a_release_keep_hands_off_the_jobs() -> None:
    story = Story()
    story.decide(NOW)
    story.hold()
    assert story.pending.operation is Operation.DRAIN
    story.drained(in_use=True)
    assert story.node.pending is None
    story.lift()
    story.release()
    assert operations(story) == [Operation.DRAIN, Operation.RESUME]


def test_a_repeat_begins_anew() -> None:
    story = Story()
    story.decide(SEND_BACK)
    story.drained(in_use=True)
    story.answer(Result.DONE, story.ours(in_use=True))
    story.release()
    story.clear()
    story.answer(Result.DONE, IDLE)
    story.decide(SEND_BACK)
    story.drained(in_use=True)
    assert story.pending.operation is Operation.REQUEUE


# --- Our gate turned a job away, and Slurm has drained the node for it ----------------------------

PROLOG = structs.replace(ALICE, reason="Prolog error", reason_by="slurm", prolog_failed=True)


def out() -> Story:
    story = Story()
    story.decide()
    story.drained()
    story.wait(5)
    return story


def test_slurms_own_drain_after_our_gate_gets_our_reason_and_nothing_else_changes() -> None:
    story = out()
    story.answer(Result.DONE, story.ours()) if story.node.pending else None
    state, since = story.node.state, story.node.quarantine
    story.wait(90)
    story.answer(Result.DONE, PROLOG)
    assert story.pending.operation is Operation.DRAIN
    later = structs.replace(story.ours(), reason_at="2026-11-21T03:00:00")
    story.answer(Result.DONE, later)
    assert story.node.state is state
    assert story.node.quarantine is not None
    assert since is not None
    assert story.node.quarantine.since == since.since
    assert story.node.quarantine.claimed_at == "2026-11-21T03:00:00"


def test_a_node_that_slurm_has_rebooted_is_drained_anew_and_goes_on_where_it_was() -> None:
    story = out()
    story.answer(Result.DONE, story.ours()) if story.node.pending else None
    state = story.node.state
    story.wait(90)
    reason = f"{story.ours().reason} : reboot issued : reboot complete"
    node = story.node
    story.node = structs.replace(node, state=State.VERIFYING)
    issued = structs.replace(story.ours(), reason=reason, reason_by="slurm", reason_at="2026-11-21")
    story.answer(Result.DONE, issued)
    assert "resumed" not in story.node.because, "no person has done that"
    story.node = node
    down = structs.replace(story.ours(), drained=False, down=True, reason=reason, reason_by="slurm")
    story.answer(Result.DONE, down)
    assert story.pending.operation is Operation.DRAIN
    later = structs.replace(story.ours(), reason_at="2026-11-21T03:00:00")
    story.answer(Result.DONE, later)
    assert story.node.state is state
    assert story.node.quarantine is not None
    assert story.node.quarantine.claimed_at == "2026-11-21T03:00:00"


def test_another_programs_failed_prolog_stays_its_own() -> None:
    story = out()
    story.answer(Result.DONE, story.ours()) if story.node.pending else None
    story.wait(90)
    story.answer(Result.DONE, PROLOG)
    story.answer(Result.FOREIGN, PROLOG)
    assert story.state() is State.HANDED_OVER
    assert "Prolog error" in story.node.because


def test_a_drain_that_the_gate_made_anew_is_ours_and_can_be_released() -> None:
    story = out()
    story.answer(Result.DONE, story.ours()) if story.node.pending else None
    story.release()
    later = structs.replace(story.ours(), reason_at="2026-11-21T03:00:00")
    story.answer(Result.NOT_OURS, later)
    assert story.pending.operation is Operation.RESUME
    assert story.pending.claimed_at == "2026-11-21T03:00:00"
    story.answer(Result.DONE, IDLE)
    assert story.state() is State.PROBATION


def test_a_drain_that_the_gate_made_anew_tells_that_a_person_may_have_resumed() -> None:
    story = out()
    story.answer(Result.DONE, story.ours()) if story.node.pending else None
    state = story.node.state
    story.wait(90)
    story.answer(Result.DONE, story.ours())
    assert "resumed" not in story.node.because
    story.wait(90)
    story.answer(Result.DONE, structs.replace(story.ours(), reason_at="2026-11-21T03:00:00"))
    assert story.node.state is state
    assert "a person may have resumed the node" in story.node.because
    assert "2026-11-21T03:00:00" in story.node.because


def test_a_person_who_writes_another_reason_is_not_taken_for_the_gate() -> None:
    story = out()
    story.answer(Result.DONE, story.ours()) if story.node.pending else None
    story.release()
    reason = story.ours().reason + " (bob looks)"
    story.answer(Result.NOT_OURS, structs.replace(story.ours(), reason=reason, reason_by="bob"))
    assert story.state() is State.HANDED_OVER
