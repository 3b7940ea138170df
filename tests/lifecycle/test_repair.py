"""Does a repair go through its states as lifecycle/repair.py says, and end with people in time?"""

import pytest
from msgspec import structs

from hpcdoctor.definitions.remediation import Disrupts
from hpcdoctor.definitions.settings import Authority
from hpcdoctor.lifecycle.inputs import Context, Facts
from hpcdoctor.lifecycle.repair import why_not_order
from hpcdoctor.model.action import Operation, Result
from hpcdoctor.model.decision import Mode, Want
from hpcdoctor.model.node import State
from tests.lifecycle.story import IDLE, LOST, Story

RESET = Facts(Disrupts.GPU, "2 per 7d", 2, 7 * 86400.0, 300.0)
REBOOT = Facts(Disrupts.NODE, "1 per 24h", 1, 86400.0, 600.0)
RESTART = Facts(Disrupts.NOTHING, "3 per 24h", 3, 86400.0, 60.0)
LADDER = {"reset": RESET, "reboot": REBOOT}
FAULT = structs.replace(LOST, remediate=["reset", "reboot"], subject={"pci_address": "0000:3b:00"})


def drained(**facts: Facts) -> Story:
    """A node that we have drained, without jobs; these remediations are enabled."""
    story = Story()
    story.remediations = facts or dict(LADDER)
    story.decide(FAULT)
    story.drained()
    story.wait(5)
    return story


def go_on(story: Story, seconds: float = 5.0) -> None:
    """Let time pass; a look at the scheduler finds our drain and no job."""
    story.wait(seconds)
    if story.node.pending and story.pending.operation is Operation.READ:
        story.answer(Result.DONE, story.ours(in_use=False))
        story.wait(5)


def helped(story: Story) -> None:
    story.unverified = ""
    story.clear()


def test_the_first_rung_is_asked_for_on_the_thing_that_is_wrong() -> None:
    story = drained()
    assert story.state() is State.REMEDIATING
    action = story.pending
    assert action.operation is Operation.REMEDIATE
    assert (action.remediation, action.subject) == ("reset", {"pci_address": "0000:3b:00"})
    assert story.node.because == "rule gpu-lost: reset is being carried out"


def test_a_repair_that_helps_is_verified_and_puts_the_node_back() -> None:
    story = drained()
    story.answer(Result.DONE)
    assert story.state() is State.VERIFYING
    go_on(story)
    assert story.state() is State.VERIFYING, "not looked at yet"
    helped(story)
    go_on(story)
    assert story.pending.operation is Operation.RESUME
    story.answer(Result.DONE, IDLE)
    assert story.state() is State.PROBATION
    assert story.node.because == "released by reset: verified"
    assert story.node.repairs[-1].result == "done"


def test_one_that_does_not_help_in_time_leads_to_the_next_and_then_to_people() -> None:
    story = drained()
    story.answer(Result.DONE)
    story.unverified = "gpu-lost is still open"
    story.wait(301)
    assert story.state() is State.DRAINED
    assert story.node.because == "reset did not help: gpu-lost is still open"
    go_on(story)
    assert story.pending.remediation == "reboot"
    story.answer(Result.FAILED, message="slurmctld has no RebootProgram")
    go_on(story)
    assert story.state() is State.HANDED_OVER
    assert story.node.because == (
        "reset has had its try; reboot has had its try: handed over to hardware"
    )


def test_a_reboot_is_verified_by_the_daemon_that_starts_after_it() -> None:
    story = drained(reboot=REBOOT)
    story.reboot()
    story.start()
    assert story.state() is State.VERIFYING
    assert "the machine has rebooted since" in story.node.because
    assert story.node.repairs[-1].result == "unknown"
    assert story.node.quarantine is not None
    again = structs.replace(
        story.ours(in_use=False),
        reason=f"{story.node.quarantine.reason} : reboot complete",
        reason_by="slurm",
        reason_at="2026-11-21T03:00:00",
    )
    story.answer(Result.DONE, again)
    helped(story)
    go_on(story)
    assert story.pending.operation is Operation.RESUME
    assert (story.pending.claimed_by, story.pending.claimed_at) == (
        "slurm",
        "2026-11-21T03:00:00",
    )


def test_a_crash_in_the_middle_uses_the_try_up_and_never_runs_it_again() -> None:
    story = drained()
    story.start()
    assert story.state() is State.VERIFYING
    story.answer(Result.DONE, story.ours(in_use=False))
    go_on(story, 301)
    go_on(story)
    assert story.pending.remediation == "reboot"


def test_one_that_outlives_its_limit_is_for_people_at_once() -> None:
    story = drained()
    story.answer(Result.TOO_LONG, message="no end after 2m")
    assert story.state() is State.HANDED_OVER
    assert "outlived its limit" in story.node.because


def test_a_repeat_within_probation_goes_on_with_the_next_rung() -> None:
    story = drained()
    story.answer(Result.DONE)
    helped(story)
    go_on(story)
    story.answer(Result.DONE, IDLE)
    story.unverified = "again"
    story.decide(FAULT)
    story.drained()
    go_on(story)
    assert story.pending.remediation == "reboot"
    assert story.pending.mark.endswith(".2")


def test_the_fifth_repair_in_seven_days_is_for_people() -> None:
    often = {f"r{number}": structs.replace(RESET, limit_count=9) for number in range(6)}
    story = Story()
    story.remediations = often
    story.decide(structs.replace(FAULT, remediate=list(often)))
    story.drained()
    for _ in range(4):
        go_on(story)
        story.answer(Result.FAILED)
    go_on(story)
    assert story.state() is State.HANDED_OVER
    assert "4 repairs in seven days are enough" in story.node.because


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"other": RESET}, "reset is not enabled on this node"),
        ({"reset": structs.replace(RESET, mode=Mode.SHADOW)}, "reset is in shadow"),
        ({"reset": structs.replace(RESET, unproven=True)}, "trust: unproven"),
    ],
)
def test_what_may_not_run_is_named_when_the_node_is_handed_over(
    facts: dict[str, Facts], reason: str
) -> None:
    story = drained(**facts)
    assert story.state() is State.HANDED_OVER
    assert reason in story.node.because


def test_a_hold_stops_the_ladder_and_its_end_lets_it_go_on() -> None:
    story = Story()
    story.remediations = dict(LADDER)
    story.decide(FAULT)
    story.drained()
    story.hold()
    go_on(story)
    assert story.state() is State.DRAINED
    assert "held by alice" in story.node.because
    story.lift()
    go_on(story)
    assert story.state() is State.REMEDIATING


def test_a_verified_node_that_is_held_is_not_put_back() -> None:
    story = drained()
    story.answer(Result.DONE)
    story.hold()
    helped(story)
    go_on(story)
    assert story.state() is State.VERIFYING
    assert "has helped; held by alice" in story.node.because
    story.lift()
    go_on(story)
    assert story.pending.operation is Operation.RESUME


def test_without_a_store_that_lasts_nothing_that_disrupts_runs() -> None:
    story = Story()
    story.remediations = dict(LADDER)
    story.why_no_repair = "the store does not survive a reboot"
    story.decide(FAULT)
    story.drained()
    go_on(story)
    assert story.state() is State.HANDED_OVER
    assert "the store does not survive a reboot" in story.node.because


def test_an_adopted_incident_has_no_rung_left() -> None:
    story = Story()
    story.remediations = dict(LADDER)
    story.start(empty_store=True)
    story.answer(
        Result.DONE,
        structs.replace(IDLE, drained=True, reason="hd:k3f9.1 GPU3 Xid79; rule gpu-lost"),
    )
    assert story.state() is State.VERIFYING
    story.unverified = ""
    go_on(story, 301)
    go_on(story)
    assert story.state() is State.HANDED_OVER


def test_a_repair_that_disrupts_nothing_runs_without_a_drain() -> None:
    story = Story()
    story.remediations = {"restart": RESTART}
    mild = structs.replace(LOST, want=Want.DEGRADED, remediate=["restart"], rule="chronyd-dead")
    story.decide(mild)
    assert story.state() is State.REMEDIATING
    assert story.node.quarantine is None
    story.answer(Result.DONE)
    helped(story)
    go_on(story)
    assert story.state() is State.PROBATION
    assert story.node.because == "restart: verified"


def test_where_it_does_not_help_the_node_is_handed_over_and_heals_when_it_clears() -> None:
    story = Story()
    story.remediations = {"restart": RESTART}
    mild = structs.replace(LOST, want=Want.DEGRADED, remediate=["restart"], rule="chronyd-dead")
    story.decide(mild)
    story.answer(Result.FAILED, message="no such unit")
    assert story.state() is State.HANDED_OVER
    story.clear()
    assert story.state() is State.HEALTHY


def test_a_worse_fault_meanwhile_drains_all_the_same() -> None:
    story = Story()
    story.remediations = {"restart": RESTART}
    mild = structs.replace(LOST, want=Want.DEGRADED, remediate=["restart"], rule="chronyd-dead")
    story.decide(mild)
    story.answer(Result.DONE)
    story.decide(LOST)
    assert story.pending.operation is Operation.DRAIN


def test_a_persons_order_obeys_the_same_guards() -> None:
    story = Story()
    story.remediations = {"reset": RESET, "restart": RESTART}

    def why(name: str) -> str | None:
        context = Context("k000", 0.5, remediations=story.remediations)
        return why_not_order(story.node, name, story.now, context)

    assert why("reset") == (
        "reset disrupts: the node has to be drained by hpcdoctor and without jobs first"
    )
    assert why("power-cycle") == "power-cycle is not enabled on this node"
    assert why("restart") is None
    story.hold()
    assert "held by alice" in (why("restart") or "")
    story.lift()
    story.order("restart")
    assert story.state() is State.REMEDIATING
    assert story.node.repairs[-1].by == "bob"
    story.answer(Result.DONE)
    helped(story)
    go_on(story)
    assert story.state() is State.PROBATION


def test_under_another_authority_nothing_that_disrupts_runs_by_itself() -> None:
    story = Story(Authority.CONSUMER)
    story.remediations = dict(LADDER)
    context = Context("k000", 0.5, Authority.CONSUMER, remediations=dict(LADDER))
    assert "authority is consumer" in (why_not_order(story.node, "reset", story.now, context) or "")


def test_in_a_maintenance_window_nothing_is_drained_and_after_it_everything_goes_on() -> None:
    story = Story()
    story.maintenance = "maintenance until 12:00: new switch"
    story.decide(FAULT)
    assert story.state() is State.WAITING
    assert story.node.because == "maintenance until 12:00: new switch"
    story.wait(3600)
    assert story.node.pending is None
    story.maintenance = ""
    story.wait(5)
    assert story.pending.operation is Operation.DRAIN


def test_in_a_maintenance_window_no_rung_is_climbed() -> None:
    story = Story()
    story.remediations = dict(LADDER)
    story.decide(FAULT)
    story.drained()
    story.maintenance = "maintenance until 12:00: new switch"
    go_on(story)
    assert story.state() is State.DRAINED
    assert "no remediation runs meanwhile" in story.node.because
    story.maintenance = ""
    go_on(story)
    assert story.state() is State.REMEDIATING


def test_a_release_during_a_repair_waits_for_its_end_and_is_no_repair_itself() -> None:
    story = drained()
    story.release()
    story.answer(Result.FAILED)
    assert story.state() is State.DRAINED
    assert story.pending.operation is Operation.RESUME
    story.answer(Result.NO_ANSWER)
    assert story.state() is State.DRAINED
    context = Context("k000", 0.5, remediations=dict(LADDER))
    assert "is being put back" in (why_not_order(story.node, "reset", story.now, context) or "")
