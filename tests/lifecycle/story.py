"""A node in a test: what happens to it, one line after the other."""

from msgspec import structs

from hpcdoctor.definitions.settings import Authority
from hpcdoctor.lifecycle.inputs import (
    Acknowledge,
    Answered,
    Ask,
    Context,
    Decision,
    Facts,
    Granted,
    HandedOver,
    HoldLifted,
    HoldOrdered,
    Input,
    Released,
    RepairOrdered,
    Started,
    Tick,
)
from hpcdoctor.lifecycle.machine import step
from hpcdoctor.model import decision
from hpcdoctor.model.action import Action, ActionResult, Operation, Result, SchedulerView
from hpcdoctor.model.decision import Decided, Mode, Want
from hpcdoctor.model.grant import Grant, Request
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node, State

START = Instant("boot-1", 1000.0, 1_800_000_000.0)
LOST = decision.Decision(
    want=Want.DRAIN,
    mode=Mode.ACT,
    rule="gpu-lost",
    summary="GPU3 is lost",
    object="GPU3",
    label="Xid79 off bus",
    findings=["gpu-lost[pci_address=0000:3b:00]"],
    hand_over="hardware",
)


class Story:
    """One node over time, with everything that it has asked for."""

    def __init__(self, authority: Authority = Authority.NODE) -> None:
        self.now = START
        self.authority = authority
        self.node = Node(name="n1", state=State.HEALTHY, since=START, because="new")
        self.asked: list[Action] = []
        self.acknowledged: list[str] = []
        self.requests: list[Request] = []
        self.remediations: dict[str, Facts] = {}
        self.unverified = "not looked at yet"
        self.why_no_repair = ""
        self.maintenance = ""
        self.act_without_fleet: frozenset[str] = frozenset()
        self.losses = 1  # of the store, for names that stay apart
        self.ids = iter(f"k{number:03d}" for number in range(1000))

    def happens(self, event: Input) -> list[Ask]:
        context = Context(
            incident_id=next(self.ids),
            jitter=0.5,
            authority=self.authority,
            remediations=self.remediations,
            unverified=self.unverified,
            why_no_repair=self.why_no_repair,
            maintenance=self.maintenance,
            act_without_fleet=self.act_without_fleet,
        )
        self.node, asks = step(self.node, event, self.now, context)
        for ask in asks:
            if isinstance(ask, Acknowledge):
                self.acknowledged.append(ask.who)
            elif isinstance(ask, Request):
                self.requests.append(ask)
            else:
                self.asked.append(ask)
        return asks

    def decide(
        self, act: decision.Decision = LOST, shadow: decision.Decision = decision.NOTHING
    ) -> None:
        self.happens(Decision(Decided(act=act, shadow=shadow)))

    def clear(self) -> None:
        self.decide(decision.NOTHING)

    def wait(self, seconds: float) -> None:
        self.now = self.now.plus(seconds)
        self.happens(Tick())

    def reboot(self) -> None:
        self.now = Instant(self.now.boot_id + "+", 10.0, self.now.wall + 120.0)

    def start(self, *, empty_store: bool = False) -> None:
        self.happens(Started(empty_store=empty_store))

    def hold(self, until: float | None = None) -> None:
        end = self.now.plus(until) if until else None
        self.happens(HoldOrdered(who="alice", why="memory test", until=end))

    def lift(self) -> None:
        self.happens(HoldLifted(who="alice", why="done"))

    def release(self) -> None:
        self.happens(Released(who="bob", why="card reseated"))

    def order(self, name: str) -> None:
        self.happens(RepairOrdered(who="bob", why="by hand", remediation=name))

    def take_over(self) -> None:
        self.happens(HandedOver(who="bob", why="I look at it"))

    def grant(
        self, request: str, *, granted: bool = True, because: str = "", term: int = 0
    ) -> None:
        """The fleet answers."""
        self.happens(Granted(Grant(request, granted, 600.0, because, term)))

    def state(self) -> State:
        """Return the state; a call, since the type checker believes that an attribute stays."""
        return self.node.state

    @property
    def pending(self) -> Action:
        """The action that waits for its answer."""
        (action,) = [a for a in self.asked if a.id == self.node.pending]
        return action

    def answer(
        self,
        result: Result,
        view: SchedulerView | None = None,
        message: str = "as it is",
        of: Action | None = None,
        jobs: list[str] | None = None,
    ) -> None:
        action = of or self.pending
        self.happens(
            Answered(
                ActionResult(
                    id=action.id,
                    operation=action.operation,
                    result=result,
                    message=message,
                    view=view,
                    jobs=jobs or [],
                )
            )
        )

    def drained(self, *, in_use: bool = False) -> None:
        """The drain that waits is done."""
        assert self.pending.operation is Operation.DRAIN
        self.answer(Result.DONE, self.ours(in_use=in_use))

    def ours(self, *, in_use: bool = False) -> SchedulerView:
        drains = [a for a in self.asked if a.operation is Operation.DRAIN]
        return SchedulerView(
            drained=True,
            in_use=in_use,
            reason=drains[-1].reason if drains else "",
            reason_by="root",
            reason_at="2026-11-21T02:00:00",
            state="IDLE+DRAIN",
        )


IDLE = SchedulerView(drained=False, state="IDLE")
ALICE = SchedulerView(
    drained=True,
    reason="alice: disk swap",
    reason_by="root",
    reason_at="2026-11-21T01:00:00",
    state="IDLE+DRAIN",
)


def marked(mark: str) -> SchedulerView:
    return structs.replace(ALICE, reason=f"{mark} GPU3 Xid79 off bus; rule gpu-lost")
