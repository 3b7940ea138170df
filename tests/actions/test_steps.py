"""Do the built-in steps do what their first lines say, and nothing beside it?"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hpcdoctor.actions import steps
from hpcdoctor.actions.programs import Finished, Programs
from hpcdoctor.actions.steps import StepFailed, World, clear_leftovers, gpu_free
from hpcdoctor.definitions.remediation import BuiltIn
from hpcdoctor.probes.host import Host
from tests.doubles.machines import written

USER = 12345


class Scripted(Programs):
    """Notes what is run, and answers as told."""

    def __init__(self, **answers: str) -> None:
        super().__init__()
        self.ran: list[str] = []
        self.answers = answers

    def run(
        self, argv: Sequence[str], *, deadline_seconds: float, environment: Mapping[str, str]
    ) -> Finished:
        text = " ".join(argv)
        self.ran.append(text)
        for word, out in self.answers.items():
            if word in text:
                return Finished(0, out, "") if out != "fails" else Finished(5, "", "no such unit")
        return Finished(0, "", "")


def world(root: Path, programs: Programs | None = None, **subject: str) -> World:
    return World(Host.recorded(root), programs or Programs(), subject, timeout_seconds=0.2)


def holder(root: Path, pid: int, name: str, device: str) -> None:
    fd = root / f"proc/{pid}/fd"
    fd.mkdir(parents=True)
    (root / f"proc/{pid}/comm").write_text(f"{name}\n")
    (fd / "3").symlink_to(device)


def test_every_built_in_that_yaml_may_name_is_there() -> None:
    assert steps.names() == sorted(each.value for each in BuiltIn)
    for name in steps.names():
        assert callable(steps.find(name))


def test_a_gpu_is_free_when_nobody_has_its_device_open(tmp_path: Path) -> None:
    information = "proc/driver/nvidia/gpus/0000:3b:00.0/information"
    root = written(tmp_path, {information: "Model: X\nDevice Minor: \t 3\n"})
    holder(root, 77, "python", "/dev/nvidia4")
    gpu_free.run(world(root, pci_address="0000:3b:00"))
    holder(root, 78, "python", "/dev/nvidia3")
    with pytest.raises(StepFailed, match=r"still held by python \(pid 78\)"):
        gpu_free.run(world(root, pci_address="0000:3b:00"))


def test_where_none_is_named_every_gpu_has_to_be_free(tmp_path: Path) -> None:
    root = written(tmp_path, {"dev/nvidia0": "", "dev/nvidia1": "", "dev/nvidiactl": ""})
    holder(root, 77, "dcgm", "/dev/nvidiactl")
    gpu_free.run(world(root))
    holder(root, 78, "python", "/dev/nvidia1")
    with pytest.raises(StepFailed, match="pid 78"):
        gpu_free.run(world(root))


def test_only_services_that_ran_are_stopped_and_only_those_started_again(tmp_path: Path) -> None:
    programs = Scripted(**{"nvidia-persistenced.service": "active\n", "show": "inactive\n"})
    here = world(tmp_path, programs)
    steps.find("stop-gpu-services")(here)
    assert [line for line in programs.ran if " stop " in line] == [
        "systemctl stop nvidia-persistenced.service"
    ]
    steps.find("start-gpu-services")(here)
    assert programs.ran[-1] == "systemctl start nvidia-persistenced.service"
    assert here.stopped == []


def test_a_service_that_does_not_start_again_does_not_keep_the_others_down(
    tmp_path: Path,
) -> None:
    programs = Scripted(**{"start one": "fails"})
    here = world(tmp_path, programs)
    here.stopped += ["two.service", "one.service"]
    with pytest.raises(StepFailed, match="one.service: systemctl ended with 5: no such unit"):
        steps.find("start-gpu-services")(here)
    assert programs.ran == ["systemctl start one.service", "systemctl start two.service"]


def test_with_systemd_a_program_runs_outside_of_the_helpers_walls(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    programs = Scripted()
    world(tmp_path, programs).run("modprobe", "nvidia")
    (line,) = programs.ran
    assert line.startswith(
        "systemd-run --quiet --wait --pipe --collect --property=RuntimeMaxSec=5.2"
    )
    assert line.endswith(" -- modprobe nvidia")


@pytest.mark.usefixtures("as_root")
def test_only_what_users_without_a_process_have_left_is_removed(tmp_path: Path) -> None:
    shm = tmp_path / "dev/shm"
    (shm / "folder").mkdir(parents=True)
    for name, user in {"left": USER, "living": USER + 1, "system": 0, "nobody": 65534}.items():
        (shm / name).write_text("x")
        os.chown(shm / name, user, user)
    outside = tmp_path / "outside"
    outside.write_text("keep")
    (shm / "link").symlink_to(outside)
    os.chown(shm / "link", USER, USER, follow_symlinks=False)
    (tmp_path / "proc/50").mkdir(parents=True)
    os.chown(tmp_path / "proc/50", USER + 1, USER + 1)
    written(tmp_path, {"proc/sysvipc/shm": SEGMENTS})
    programs = Scripted()
    clear_leftovers.run(world(tmp_path, programs))
    assert sorted(each.name for each in shm.iterdir()) == [
        "folder", "link", "living", "nobody", "system"
    ]  # fmt: skip
    assert outside.read_text() == "keep"
    assert programs.ran == ["ipcrm --shmem-id 7"]


SEGMENTS = f"""\
 key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap
 0 7 1600 4096 11 12 0 {USER} {USER} {USER} {USER} 0 0 0 0 0
 0 8 1600 4096 11 12 1 {USER} {USER} {USER} {USER} 0 0 0 0 0
 0 9 1600 4096 11 12 0 {USER + 1} 1 1 1 0 0 0 0 0
 0 10 1600 4096 11 12 0 0 0 0 0 0 0 0 0 0
"""
