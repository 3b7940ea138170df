"""Does one look become a finding, a decision and an action, in one transaction?"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpcdoctor.daemon.pipeline import Pipeline
from hpcdoctor.daemon.store import Store, StoreUnusable
from hpcdoctor.knowledge import load
from hpcdoctor.lifecycle.inputs import Answered, Input, Started, Tick
from hpcdoctor.model.action import ActionResult, Operation, Result, SchedulerView
from hpcdoctor.model.decision import Mode
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import State
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.probes.kernel_messages import Message

LINE = "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."


class Clock:
    def __init__(self) -> None:
        self.now = Instant("boot", 5000.0, 1_800_000_000.0)

    def __call__(self) -> Instant:
        return self.now


class World:
    """A pipeline with a real store, driven turn by turn."""

    def __init__(self, folder: Path, mode: Mode = Mode.ACT) -> None:
        self.clock = Clock()
        self.executor = ThreadPoolExecutor(1)
        self.store = Store(folder, "/hpcdoctor/lab/n1", age_seconds=3600, size_bytes=1 << 20)
        knowledge = load()
        settings = msgspec.structs.replace(knowledge.settings, mode=mode)
        self.pipeline = Pipeline(
            msgspec.structs.replace(knowledge, settings=settings),
            self.store,
            self.store.load(),
            name="n1",
            version="0",
            clock=self.clock,
            executor=self.executor,
        )

    async def start(self) -> None:
        await self.pipeline.take(Started(empty_store=self.pipeline.node.incident is None))

    async def turn(self, *items: list[Look] | Input) -> None:
        for item in items:
            await self.pipeline.take(item)

    def fault(self) -> list[Look]:
        message = Message(
            kind="xid",
            text=LINE,
            pci_address="0000:3b:00",
            in_pci_tree=True,
            gpu="GPU3",
            code=79,
        )
        return [
            Look(
                "kernel_log",
                ReadStatus.READ,
                self.clock(),
                readings=[msgspec.to_builtins(message)],
                position="boot:42",
            )
        ]

    def events(self) -> list[str]:
        rows = self.store.spool.unpublished(100)
        return [json.loads(e.payload)["type"].removeprefix("hpcdoctor.") for e in rows]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.executor.shutdown()
    world.store.close()


async def test_a_fault_is_committed_with_its_events_its_action_and_its_place_in_the_log(
    world: World,
) -> None:
    await world.start()
    await world.turn(world.fault())
    saved = world.store.load()
    assert saved.node is not None
    assert saved.node.state is State.WAITING
    assert [f.check for f in saved.findings] == ["gpu-lost"]
    assert saved.positions == {"kernel_log": "boot:42"}
    told = world.events()
    story = ["node.started", "finding.opened", "decision.made", "incident.opened", "node.state"]
    assert [t for t in told if t in story] == story


async def test_an_answer_becomes_a_quarantine(world: World) -> None:
    await world.start()
    action = world.store.next_action()
    assert action is not None
    assert action.operation is Operation.READ, "an empty store reads the scheduler first"
    idle = SchedulerView(drained=False)
    await world.turn(Answered(ActionResult(action.id, Operation.READ, Result.DONE, view=idle)))
    await world.turn(world.fault())
    action = world.store.next_action()
    assert action is not None
    assert action.operation is Operation.DRAIN
    ours = SchedulerView(drained=True, reason=action.reason, reason_by="root", reason_at="then")
    await world.turn(Answered(ActionResult(action.id, Operation.DRAIN, Result.DONE, view=ours)))
    assert world.pipeline.node.state is State.DRAINED
    assert "quarantine.claimed" in world.events()


async def test_a_store_that_cannot_be_written_keeps_the_verdict_and_acts_on_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = world.store.save

    def full(*_arguments: Any) -> int:
        raise StoreUnusable("database or disk is full")

    monkeypatch.setattr(world.store, "save", full)
    await world.turn(world.fault())
    assert "disk is full" in world.pipeline.trouble
    assert world.pipeline.judge.verdict().value == "critical"
    assert world.store.next_action() is None
    monkeypatch.setattr(world.store, "save", real)
    await world.pipeline.retry()
    assert world.pipeline.trouble == ""
    assert world.store.next_action() is not None
    assert world.events().count("finding.opened") == 1


async def test_after_a_reload_what_was_refused_is_asked_for_soon(world: World) -> None:
    await world.start()
    await world.turn(world.fault())
    refused = ActionResult(world.pipeline.node.pending or "", Operation.DRAIN, Result.REFUSED, "no")
    await world.turn(Answered(refused))
    world.pipeline.adopt(world.pipeline.knowledge)
    await world.turn(Tick())
    world.clock.now = world.clock.now.plus(4)
    await world.turn(Tick())
    assert world.pipeline.node.pending is not None


async def test_a_look_that_changes_nothing_writes_nothing(world: World) -> None:
    await world.turn(Tick())
    before = world.events()
    await world.turn([Look("edac", ReadStatus.ABSENT, world.clock(), reason="none")], Tick())
    assert world.events() == before


async def test_a_restart_goes_on_with_the_open_finding_and_tells_it_only_once(
    tmp_path: Path,
) -> None:
    first = World(tmp_path)
    await first.turn(first.fault())
    first.executor.shutdown()
    first.store.close()
    second = World(tmp_path)
    await second.turn(Tick())
    assert [f.check for f in second.pipeline.judge.findings.values()] == ["gpu-lost"]
    assert second.events().count("finding.opened") == 1
    assert second.pipeline.positions == {"kernel_log": "boot:42"}
    second.executor.shutdown()
    second.store.close()


async def test_rules_may_ask_whether_jobs_are_here(world: World) -> None:
    await world.start()
    assert world.pipeline._circumstances(world.clock()).jobs is None  # noqa: SLF001  # not seen yet
    readings: list[dict[str, Any]] = [{"job": "4711", "scheduler": "slurm"}]
    await world.turn([Look("jobs", ReadStatus.READ, world.clock(), readings=readings)])
    assert world.pipeline._circumstances(world.clock()).jobs == 1  # noqa: SLF001
    gone = Look("jobs", ReadStatus.ABSENT, world.clock(), reason="this machine has no cgroups")
    await world.turn([gone])
    assert world.pipeline._circumstances(world.clock()).jobs is None  # noqa: SLF001
