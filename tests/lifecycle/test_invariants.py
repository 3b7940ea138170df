"""What holds whatever happens, in whatever order? Any story, with a scheduler and a person."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from hpcdoctor.definitions.remediation import Disrupts
from hpcdoctor.definitions.settings import Authority
from hpcdoctor.lifecycle.inputs import Facts, Reloaded
from hpcdoctor.model.action import Action, Operation, Result, SchedulerView
from hpcdoctor.model.decision import Want
from hpcdoctor.model.grant import Kind, Request
from hpcdoctor.model.node import Node, State
from hpcdoctor.model.text import is_reason_line
from tests.lifecycle.story import IDLE, LOST, Story

PERSON = "alice: disk swap"
PROLOG = "Prolog error"
THEIRS = "; alice: do not resume"
LADDER = {
    "reset": Facts(Disrupts.GPU, "2 per 7d", 2, 7 * 86400.0, 300.0),
    "reboot": Facts(Disrupts.NODE, "1 per 24h", 1, 86400.0, 600.0),
    "restart": Facts(Disrupts.NOTHING, "3 per 24h", 3, 86400.0, 60.0),
}


class AnyStory(RuleBasedStateMachine):
    """The scheduler is one reason: ours, a person's or none; it may answer, be silent or late."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()
        self.reason: str | None = None
        self.late: list[Action] = []
        self.in_use = False
        self.note = False  # our gate has turned a job away
        self.seen = 0
        self.controller_started = self.story.now

    # The world

    def view(self) -> SchedulerView:
        if self.reason is None:
            up_seconds = self.story.now.seconds_since(self.controller_started)
            return structs.replace(IDLE, controller_up_seconds=up_seconds)
        return SchedulerView(
            drained=True,
            in_use=self.in_use,
            prolog_failed=self.reason == PROLOG,
            reason=self.reason,
            reason_by="slurm" if self.reason == PROLOG else "root",
            reason_at="then",
            state="IDLE+DRAIN",
        )

    def carry_out(self, action: Action) -> Result:
        """What the helper does, by the ownership protocol."""
        if action.operation is Operation.REMEDIATE:
            return Result.DONE
        if action.operation in (Operation.SIGNAL, Operation.REQUEUE):
            if self.reason is None or self.reason not in action.reasons:
                return Result.REFUSED
            self.in_use = self.in_use and action.operation is Operation.SIGNAL
            return Result.DONE
        ours = self.reason is not None and self.reason in [*action.reasons, action.reason]
        if action.operation is Operation.DRAIN:
            if self.reason is None or (self.reason == PROLOG and self.note):
                self.reason = action.reason
                return Result.DONE
            if ours:
                return Result.DONE
            ours = is_reason_line(self.reason) and not self.view().marked(action.mark)
            return Result.NOT_OURS if ours else Result.FOREIGN
        if action.operation is Operation.RESUME:
            if not ours:
                return Result.NOT_OURS
            assert self.reason is not None
            assert THEIRS not in self.reason, "a drain that a person took over is never undone"
            self.reason = None
            return Result.DONE
        return Result.DONE

    def answer(self) -> None:
        action = self.story.pending
        result = self.carry_out(action)
        self.story.answer(result, self.view())

    # What may happen

    @rule()
    def a_fault(self) -> None:
        self.story.unverified = "it is still wrong"
        self.story.decide(structs.replace(LOST, remediate=list(LADDER)))

    @rule()
    def a_fault_without_a_repair(self) -> None:
        self.story.unverified = "it is still wrong"
        self.story.decide()

    @rule(want=st.sampled_from([Want.DRAIN_NOW, Want.REQUEUE]))
    def a_fault_that_touches_jobs(self, want: Want) -> None:
        self.story.decide(structs.replace(LOST, want=want))

    @rule(are=st.booleans())
    def jobs_are_here(self, are: bool) -> None:
        self.in_use = are

    @precondition(lambda self: self.reason is None and self.story.node.quarantine is not None)
    @rule()
    def the_gate_drains_anew(self) -> None:
        assert self.story.node.quarantine is not None
        self.reason = self.story.node.quarantine.reason

    @precondition(lambda self: self.reason is None)
    @rule(ours=st.booleans())
    def slurm_drains_for_a_failed_prolog(self, ours: bool) -> None:
        self.reason, self.note = PROLOG, ours

    @rule()
    def a_mild_fault_that_a_service_restart_may_mend(self) -> None:
        mild = structs.replace(LOST, want=Want.DEGRADED, remediate=["restart"], rule="mild")
        self.story.decide(mild)

    @rule()
    def the_site_names_its_remediations(self) -> None:
        self.story.remediations = dict(LADDER)

    @rule()
    def the_site_names_none(self) -> None:
        self.story.remediations = {}

    @rule(name=st.sampled_from(["reset", "reboot", "restart", "nothing"]))
    def a_person_orders_a_repair(self, name: str) -> None:
        self.story.order(name)

    @rule()
    def a_person_takes_over(self) -> None:
        self.story.take_over()

    @precondition(lambda self: self.repairing())
    @rule(
        result=st.sampled_from([Result.FAILED, Result.TOO_LONG, Result.NO_ANSWER, Result.REFUSED])
    )
    def a_repair_goes_wrong(self, result: Result) -> None:
        self.story.answer(result, None, "it went wrong")

    @precondition(lambda self: self.repairing())
    @rule()
    def a_repair_helps(self) -> None:
        self.story.unverified = ""
        self.story.clear()
        self.answer()

    def repairing(self) -> bool:
        node = self.story.node
        return bool(node.pending) and self.story.pending.operation is Operation.REMEDIATE

    @rule()
    def it_clears(self) -> None:
        self.story.unverified = ""
        self.story.clear()

    @precondition(lambda self: self.story.node.pending)
    @rule()
    def the_scheduler_answers(self) -> None:
        self.answer()

    @precondition(lambda self: self.story.node.pending)
    @rule(happens=st.booleans())
    def the_scheduler_does_not_answer(self, happens: bool) -> None:
        action = self.story.pending
        if happens:
            self.carry_out(action)
        else:
            self.late.append(action)
        self.story.answer(Result.NO_ANSWER, None, "no answer")

    @precondition(lambda self: self.late)
    @rule()
    def a_frozen_controller_wakes(self) -> None:
        action = self.late.pop()
        if action.operation is not Operation.READ:
            self.carry_out(action)

    @rule(seconds=st.sampled_from([1, 5, 70, 400, 90_000]))
    def time_goes_by(self, seconds: int) -> None:
        self.story.wait(seconds)

    @rule(wall=st.sampled_from([-100_000.0, 100_000.0]))
    def the_clock_steps(self, wall: float) -> None:
        now = self.story.now
        self.story.now = structs.replace(now, wall=now.wall + wall)

    @rule()
    def a_reload(self) -> None:
        self.story.happens(Reloaded())

    @rule()
    def a_crash(self) -> None:
        self.story.start()

    @rule()
    def a_reboot(self) -> None:
        self.story.reboot()
        self.story.start()

    @rule()
    def the_store_is_lost(self) -> None:
        """Everything that was known is gone; what stands at the scheduler is all there is."""
        story = self.story
        # Only looks at the scheduler could be asked under a name again, and those do no harm; here
        # the names stay apart, so that an answer finds its question.
        story.now = story.now.plus(100)
        fresh = Node("n1", State.HEALTHY, story.now, "nothing is known to be wrong")
        story.node = structs.replace(fresh, asked=len(story.asked) + 1000 * story.losses)
        story.losses += 1
        story.start(empty_store=True)

    @rule()
    def a_person_drains(self) -> None:
        self.reason = PERSON

    @precondition(lambda self: self.reason is not None)
    @rule()
    def a_person_adds_to_the_reason(self) -> None:
        assert self.reason is not None
        self.reason = self.reason.removesuffix(THEIRS) + THEIRS

    @rule()
    def a_person_resumes(self) -> None:
        self.reason = None

    @rule(loses=st.booleans())
    def the_controller_is_started_anew(self, loses: bool) -> None:
        self.controller_started = self.story.now
        if loses:
            self.reason = None

    @rule()
    def a_hold(self) -> None:
        self.story.hold()

    @rule()
    def its_end(self) -> None:
        self.story.lift()

    @rule()
    def a_release(self) -> None:
        self.story.release()
        self.story.clear()  # as the pipeline does: what is known decides nothing

    # What holds

    @invariant()
    def no_action_is_asked_twice(self) -> None:
        ids = [action.id for action in self.story.asked]
        assert len(ids) == len(set(ids))

    @invariant()
    def every_drain_has_an_incident_and_every_quarantine_its_own(self) -> None:
        node = self.story.node
        if node.quarantine is not None:
            assert node.incident is not None
            assert node.quarantine.incident == node.incident.id
        for action in self.story.asked[self.seen :]:
            if action.operation is Operation.DRAIN:
                assert action.reason.startswith(action.mark + " ")
                assert node.hold is None or node.releasing is not None
            if action.operation is Operation.REMEDIATE:
                self.may_be_repaired(action)
            if action.operation is Operation.RESUME and node.releasing is not None:
                # Nobody but a person puts a node back while something is still wrong with it.
                by_itself = node.releasing.who in LADDER
                assert not (by_itself and self.story.unverified)
        self.seen = len(self.story.asked)

    def may_be_repaired(self, action: Action) -> None:
        node = self.story.node
        assert node.hold is None
        assert node.state is State.REMEDIATING
        assert node.pending == action.id
        if LADDER[action.remediation].disrupts is not Disrupts.NOTHING:
            assert node.quarantine is not None
        week = [r for r in node.repairs if self.story.now.seconds_since(r.asked) < 7 * 86400]
        assert len([r for r in week if r.result != "refused"]) <= 4
        by_ladder = [(r.incident, r.remediation) for r in node.repairs if not r.by and r.incident]
        assert len(by_ladder) == len(set(by_ladder)), "a rung is tried once in an incident"

    @invariant()
    def two_repairs_never_run_at_once(self) -> None:
        assert sum(not repair.ended for repair in self.story.node.repairs) <= 1
        if self.story.node.state is State.REMEDIATING:
            assert self.story.node.pending is not None

    @invariant()
    def waiting_and_everything_else_has_its_reason(self) -> None:
        assert self.story.node.because

    @invariant()
    def healthy_means_no_claim(self) -> None:
        if self.story.node.state in (State.HEALTHY, State.DEGRADED, State.PROBATION):
            assert self.story.node.quarantine is None

    def others_act(self) -> None:
        """Do what the fleet or the consumer does; under `authority: node` there is none."""

    def teardown(self) -> None:
        """Once the world is calm and a person has looked, every node gets back to healthy."""
        story = self.story
        self.late.clear()
        self.in_use = self.note = False
        story.lift()
        if self.reason in (PERSON, PROLOG) or (self.reason or "").endswith(THEIRS):
            self.reason = None
        for _ in range(40):
            story.unverified = ""
            story.clear()
            self.others_act()
            if story.node.pending:
                self.answer()
            story.release()
            story.clear()
            self.others_act()
            if story.node.pending:
                self.answer()
            story.wait(90_000)
        assert story.node.state is State.HEALTHY, (story.node.state, story.node.because)
        assert self.reason is None, "no drain of ours is left behind"


class FleetStory(AnyStory):
    """The same under a fleet controller, which drains and resumes when it gets round to it."""

    authority = Authority.FLEET

    def __init__(self) -> None:
        super().__init__()
        self.story.authority = self.authority

    @rule()
    def others_act(self) -> None:
        incident = self.story.node.incident
        for made in self.story.node.requests:
            if incident is None or (made.incident, made.epoch) != (incident.id, incident.epoch):
                continue
            if made.kind is Kind.DRAIN and self.reason is None and self.wants(made):
                self.reason = made.reason
            theirs = THEIRS in (self.reason or "")
            if made.kind is Kind.RESUME and self.view().marked(incident.mark) and not theirs:
                self.reason = None

    def wants(self, made: Request) -> bool:
        """A controller forgets a drain for which it has been asked to resume."""
        resume = made.id.replace(".drain", ".resume")
        return resume not in {each.id for each in self.story.node.requests}

    @rule(granted=st.booleans(), number=st.integers(0, 3), term=st.integers(0, 2))
    def the_fleet_answers(self, granted: bool, number: int, term: int) -> None:
        if self.story.requests:
            made = self.story.requests[-1 - number % len(self.story.requests)]
            self.story.grant(made.id, granted=granted, because="budget", term=term)

    @invariant()
    def the_node_itself_neither_drains_nor_resumes(self) -> None:
        asked = {action.operation for action in self.story.asked}
        assert not asked & {Operation.DRAIN, Operation.RESUME}


class ConsumerStory(FleetStory):
    """The same where somebody else's program reads the published quarantine."""

    authority = Authority.CONSUMER

    @rule()
    def others_act(self) -> None:
        quarantine = self.story.node.quarantine
        if quarantine is not None and self.reason is None:
            self.reason = quarantine.reason
        if quarantine is None and self.reason is not None and is_reason_line(self.reason):
            self.reason = None


class LongStory(AnyStory):
    """The same at length, for `make soak`."""


AnyStory.TestCase.settings = settings(
    max_examples=400,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
LongStory.TestCase.settings = settings(
    max_examples=20_000,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
for others in (FleetStory, ConsumerStory):
    others.TestCase.settings = settings(AnyStory.TestCase.settings, max_examples=200)
TestAnyStory = AnyStory.TestCase
TestFleetStory = FleetStory.TestCase
TestConsumerStory = ConsumerStory.TestCase
TestLongStory = pytest.mark.soak(LongStory.TestCase)
