"""Is what will be gone later captured, once for a burst, and bounded?"""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from hpcdoctor.__main__ import main
from hpcdoctor.checks.judge import Change
from hpcdoctor.daemon.evidence import KEPT, Evidence
from hpcdoctor.daemon.record import Recorder
from hpcdoctor.daemon.store import Store
from hpcdoctor.daemon.story import Told
from hpcdoctor.events.vocabulary import Fate, IncidentData, JobAffected
from hpcdoctor.model.decision import NOTHING, Want
from hpcdoctor.model.finding import Cause, Finding, Verdict
from hpcdoctor.model.finding import Evidence as Seen
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.job import Place
from hpcdoctor.model.node import Incident, Node, State
from hpcdoctor.model.reading import Look, ReadStatus

START = Instant("boot", 1000.0, 1_800_000_000.0)
NODE = Node("n1", State.WAITING, START, incident=Incident("k3f9", 1, START, NOTHING))
LOST = Finding(
    "gpu-lost",
    {"gpu": "3"},
    Verdict.CRITICAL,
    Cause.NODE,
    "GPU3 is lost",
    START,
    evidence=[Seen(START, "NVRM: Xid 79")],
)
SCENE = Look("scene", ReadStatus.READ, START, readings=[{"load": "1 2 3"}])


def opened(**changes: Any) -> list[Change]:
    return [Change("opened", structs.replace(LOST, **changes))]


class Scenes:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        recorder = Recorder(folder / "record", 1e9, 1 << 20)
        recorder.take([Look("memory", ReadStatus.READ, START, readings=[{"total_bytes": 5}])])
        self.evidence = Evidence(folder, recorder)

    def turn(self, changes: list[Change], seconds: float = 0.0, *looks: Look) -> bool:
        files = self.evidence.scene(looks)
        began = self.evidence.begins(NODE, changes, START.plus(seconds))
        if began:
            files |= self.evidence.files(NODE, [LOST])
        self.evidence.write(files)
        return began

    def names(self) -> list[str]:
        return sorted(
            f"{path.parent.name}/{path.name}" for path in self.folder.glob("evidence/*/*")
        )


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    return Scenes(tmp_path)


def test_a_critical_finding_is_captured_with_the_scene_then_and_a_minute_later(
    scenes: Scenes,
) -> None:
    assert scenes.turn(opened())
    assert scenes.evidence.wants_scene(START.plus(1))
    scenes.turn([], 2, SCENE)
    assert not scenes.evidence.wants_scene(START.plus(30))
    assert scenes.evidence.wants_scene(START.plus(61))
    scenes.turn([], 62, SCENE)
    assert not scenes.evidence.wants_scene(START.plus(70))
    assert scenes.names() == [
        f"1800000000-k3f9/{name}"
        for name in ("findings.json", "looks.json", "node.json", "scene-later.json", "scene.json")
    ]
    (looks,) = scenes.folder.glob("evidence/*/looks.json")
    assert json.loads(looks.read_text())[0]["readings"] == [{"total_bytes": 5}]


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": Verdict.WARNING},
        {"cause": Cause.JOB},
        {"caused_by": "something-else"},
    ],
)
def test_what_is_no_fault_of_the_node_or_only_a_symptom_is_not(
    scenes: Scenes, changes: dict[str, Any]
) -> None:
    assert not scenes.turn(opened(**changes))
    assert not scenes.evidence.wants_scene(START)


def test_a_burst_is_one_scene_and_the_oldest_go(scenes: Scenes) -> None:
    assert [scenes.turn(opened(), 10.0 * n) for n in range(7)] == [True, *[False] * 5, True]
    for number in range(KEPT + 5):
        scenes.turn(opened(), 1000 + 100.0 * number)
    assert len(list((scenes.folder / "evidence").iterdir())) == KEPT


def test_a_scene_that_does_not_come_is_not_asked_for_for_ever(scenes: Scenes) -> None:
    scenes.turn(opened())
    assert scenes.evidence.wants_scene(START.plus(100))
    assert not scenes.evidence.wants_scene(START.plus(200))


def test_a_disk_that_is_full_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("a file where the folder ought to be")
    scenes = Scenes(tmp_path)
    assert scenes.turn(opened())


def test_a_bundle_has_a_summary_that_comes_first(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes.turn(opened())
    folder = scenes.folder
    store = Store(folder, "/hpcdoctor/lab/n1", age_seconds=3600, size_bytes=1 << 20)
    data = IncidentData(
        incident="k3f9", epoch=1, opened="then", rule="gpu-lost", summary="GPU3 is lost"
    )
    job = JobAffected(
        incident="k3f9",
        epoch=1,
        job="4711",
        scheduler="slurm",
        user="anna",
        on=Place.GPU,
        about="GPU3 is lost",
        rule="gpu-lost",
        want=Want.DRAIN,
        happens=Fate.MAY_FINISH,
        next_step="The job may finish",
    )
    told = [
        Told("hpcdoctor.incident.opened", data, "k3f9"),
        Told("hpcdoctor.job.affected", job, "4711"),
    ]
    store.save(NODE, [], {}, told, [], [], START)
    store.close()
    (folder / "hpcdoctor.yaml").write_text(f"state_directory: {folder}\n")
    monkeypatch.chdir(folder)
    assert main(["bundle", "--config", str(folder)]) == 0
    assert "1 captures, 2 events" in capsys.readouterr().out
    with tarfile.open(folder / "hpcdoctor-k3f9.tar.gz") as archive:
        names = archive.getnames()
        summary = archive.extractfile(names[0])
        assert summary is not None
        text = summary.read().decode()
    assert names[:2] == ["hpcdoctor-k3f9/SUMMARY.txt", "hpcdoctor-k3f9/events.json"]
    assert "CRITICAL  gpu-lost: GPU3 is lost" in text
    assert "incident.opened" in text
    assert "slurm job 4711 of user anna, on this GPU: may-finish" in text
    assert main(["bundle", "--config", str(folder)]) == 74, "it is there already"
    assert main(["bundle", "zzzz", "--config", str(folder)]) == 66
