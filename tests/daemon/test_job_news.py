"""Is each job of an incident told once, and what happens to it?"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from hpcdoctor.daemon.job_news import NEXT_STEPS, news
from hpcdoctor.events.vocabulary import Fate
from hpcdoctor.lifecycle.inputs import Answered
from hpcdoctor.model.action import ActionResult, Operation, Result, SchedulerView
from hpcdoctor.model.decision import Decision, Mode, Want
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.job import AffectedJob, Place
from hpcdoctor.model.node import Incident, Node, Quarantine, State
from hpcdoctor.model.reading import Look, ReadStatus
from tests.daemon.test_pipeline import World

NOW = Instant("boot", 100.0, 1000.0)
CALM = Node(name="n1", state=State.HEALTHY, since=NOW)
ANNA = AffectedJob(job="1", scheduler="slurm", on=Place.GPU, user="anna", user_id=1000)
BERT = AffectedJob(job="2", scheduler="slurm")


def sick(want: Want = Want.DRAIN, incident: str = "k3f9") -> Node:
    decision = Decision(want, Mode.ACT, rule="gpu-lost", summary="GPU3 is gone", object="GPU3")
    about = Incident(id=incident, epoch=1, opened=NOW, decision=decision)
    return structs.replace(CALM, state=State.WAITING, incident=about)


def claimed(node: Node) -> Node:
    claim = Quarantine(incident="k3f9", epoch=1, reason="hd:k3f9.1 x; rule y", since=NOW)
    return structs.replace(node, state=State.DRAINING, quarantine=claim)


def wanted(node: Node, want: Want) -> Node:
    assert node.incident is not None
    decision = structs.replace(node.incident.decision, want=want)
    return structs.replace(node, incident=structs.replace(node.incident, decision=decision))


def test_when_the_incident_opens_each_job_is_told_what_it_is_about() -> None:
    _, told = news(CALM, sick(), [ANNA, BERT])
    assert [(one.job, one.on, one.happens) for one in told] == [
        ("1", Place.GPU, Fate.MAY_FINISH),
        ("2", Place.NODE, Fate.MAY_FINISH),
    ]
    assert (told[0].about, told[0].object, told[0].user_id) == ("GPU3 is gone", "GPU3", 1000)


def test_at_the_quarantine_only_who_has_come_since_is_told() -> None:
    opened, _ = news(CALM, sick(), [ANNA])
    node, told = news(opened, claimed(opened), [ANNA, BERT])
    assert [one.job for one in told] == ["2"]
    assert news(opened, node, [ANNA, BERT]).told == []


def test_between_these_moments_nobody_is_told_anything() -> None:
    opened, _ = news(CALM, sick(), [ANNA])
    assert news(opened, opened, [ANNA, BERT]) == (opened, [])


def test_who_was_told_that_he_may_finish_is_told_when_he_may_not() -> None:
    opened, _ = news(CALM, sick(), [ANNA])
    worse, told = news(opened, wanted(opened, Want.REQUEUE), [ANNA])
    assert [one.happens for one in told] == [Fate.REQUEUE]
    assert news(opened, claimed(worse), [ANNA]).told == []


def test_a_job_that_has_ended_before_anybody_could_tell_is_told_so_and_no_other() -> None:
    gone = structs.replace(ANNA, ended=True)
    opened, told = news(CALM, sick(), [gone])
    assert [one.happens for one in told] == [Fate.HAS_ENDED]
    opened, _ = news(CALM, sick(), [ANNA])
    assert news(opened, claimed(opened), [gone]).told == []


def test_another_incident_is_another_story() -> None:
    opened, _ = news(CALM, sick(), [ANNA])
    assert len(news(opened, sick(incident="abcd"), [ANNA]).told) == 1


@pytest.mark.parametrize(
    ("want", "fate"),
    [
        (Want.DEGRADED, Fate.NOTHING),
        (Want.DRAIN, Fate.MAY_FINISH),
        (Want.DRAIN_NOW, Fate.CHECKPOINT),
        (Want.REQUEUE, Fate.REQUEUE),
    ],
)
def test_what_happens_to_a_job_is_what_the_decision_wants(want: Want, fate: Fate) -> None:
    (one,) = news(CALM, sick(want), [ANNA]).told
    assert (one.happens, one.want, one.next_step) == (fate, want, NEXT_STEPS[fate])


def test_where_jobs_cannot_be_seen_or_nothing_is_wrong_nobody_is_told() -> None:
    assert news(CALM, sick(), None).told == []
    assert news(CALM, CALM, [ANNA]).told == []


# In the daemon


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.executor.shutdown()
    world.store.close()


def jobs(world: World, *readings: dict[str, Any]) -> list[Look]:
    return [Look("jobs", ReadStatus.READ, world.clock(), readings=list(readings))]


ON_GPU = {"job": "1", "scheduler": "slurm", "user": "anna", "gpus": ["0000:3b:00"]}
BESIDE = {"job": "2", "scheduler": "slurm", "gpus": []}
LATER = {"job": "3", "scheduler": "slurm", "gpus": []}


def data_of(world: World, kind: str) -> list[dict[str, Any]]:
    rows = [json.loads(event.payload) for event in world.store.spool.unpublished(100)]
    return [row["data"] for row in rows if row["type"] == f"hpcdoctor.{kind}"]


async def test_the_events_of_a_fault_carry_its_jobs(world: World) -> None:
    await world.start()
    await world.turn([*world.fault(), *jobs(world, ON_GPU, BESIDE)])
    (opened,) = data_of(world, "finding.opened")
    assert [(job["job"], job["on"]) for job in opened["jobs"]] == [("1", "gpu")]
    (incident,) = data_of(world, "incident.opened")
    assert [job["job"] for job in incident["jobs"]] == ["1", "2"]
    told = data_of(world, "job.affected")
    assert [(one["job"], one["on"], one["happens"]) for one in told] == [
        ("1", "gpu", "may-finish"),
        ("2", "node", "may-finish"),
    ]
    assert {one["incident"] for one in told} == {incident["incident"]}


async def test_after_a_restart_nobody_is_told_twice(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.start()
    action = world.store.next_action()
    assert action is not None
    idle = SchedulerView(drained=False)
    await world.turn(Answered(ActionResult(action.id, Operation.READ, Result.DONE, view=idle)))
    await world.turn([*jobs(world, ON_GPU), *world.fault()])
    drain = world.store.next_action()
    assert drain is not None
    world.executor.shutdown()
    world.store.close()
    world = World(tmp_path)
    await world.turn(jobs(world, ON_GPU, LATER))
    ours = SchedulerView(drained=True, reason=drain.reason, reason_by="root", reason_at="then")
    await world.turn(Answered(ActionResult(drain.id, Operation.DRAIN, Result.DONE, view=ours)))
    assert [one["job"] for one in data_of(world, "job.affected")] == ["1", "3"]
    (claim,) = data_of(world, "quarantine.claimed")
    assert [job["job"] for job in claim["jobs"]] == ["1", "3"]
    (open_,) = world.store.load().findings
    assert [job.job for job in open_.jobs or []] == ["1"]
    world.executor.shutdown()
    world.store.close()


async def test_in_shadow_no_job_is_told_of_anything(tmp_path: Path) -> None:
    world = World(tmp_path, Mode.SHADOW)
    await world.start()
    await world.turn([*jobs(world, ON_GPU), *world.fault()])
    assert data_of(world, "finding.opened")[0]["jobs"][0]["job"] == "1"
    assert data_of(world, "job.affected") == []
    world.executor.shutdown()
    world.store.close()
