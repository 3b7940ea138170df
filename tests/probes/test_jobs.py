"""Does the probe tell whose a job is and what it uses, in every scheduler's form?"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from hpcdoctor.model.job import JobHere
from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import jobs
from tests.doubles.machines import host_of, written

GPUS = "proc/driver/nvidia/gpus"
CPUS = "sys/devices/system/cpu"
SLURM_1 = "sys/fs/cgroup/cpuset/slurm/uid_1000/job_4711"
SLURM_2 = "sys/fs/cgroup/system.slice/slurmstepd.scope/job_4711"
MOUNTS = """\
21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:40 / /scratch rw - nfs4 filer:/scratch rw
23 22 0:41 / /scratch/fast\\040lane rw - nfs4 filer:/fast rw
"""
TWO_GPUS = {
    f"{GPUS}/0000:3b:00.0/information": "Device Minor:\t 0\n",
    f"{GPUS}/0000:86:00.0/information": "Device Minor:\t 1\n",
}
TWO_SOCKETS = {
    **{f"{CPUS}/cpu{n}/topology/physical_package_id": f"{n // 2}\n" for n in range(4)},
    "sys/devices/system/node/node0/cpulist": "0-1\n",
    "sys/devices/system/node/node1/cpulist": "2-3\n",
}
USERS = "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\n"


def process(
    root: Path, pid: int, user: int = 1000, cwd: str = "/", open_files: tuple[str, ...] = ()
) -> None:
    folder = root / f"proc/{pid}"
    (folder / "fd").mkdir(parents=True)
    (folder / "status").write_text(f"Name:\tsolve\nUid:\t{user}\t{user}\t{user}\t{user}\n")
    (folder / "cwd").symlink_to(cwd)
    for number, file in enumerate(open_files):
        (folder / f"fd/{number}").symlink_to(file)


def only(root: Path) -> JobHere:
    (one,) = jobs.read(host_of(root))
    return one


def node(tmp_path: Path, files: Mapping[str, str]) -> Path:
    written(tmp_path, {"proc/1/mountinfo": MOUNTS, "etc/passwd": USERS, **TWO_SOCKETS, **files})
    return tmp_path


def test_each_job_is_told_once_whatever_the_hierarchy(tmp_path: Path) -> None:
    base = tmp_path / "sys/fs/cgroup"
    for hierarchy in ("cpuset", "memory"):
        (base / hierarchy / "slurm/uid_1000/job_4711/step_0").mkdir(parents=True)
    (base / "cpuset/slurm/uid_1001/job_4712").mkdir(parents=True)
    (base / "cpuset/system.slice").mkdir()
    found = [(each.scheduler, each.job, each.user_id) for each in jobs.read(host_of(tmp_path))]
    assert sorted(found) == [("slurm", "4711", 1000), ("slurm", "4712", 1001)]


def test_a_node_without_jobs_has_none_and_one_without_cgroups_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no cgroups"):
        jobs.read(host_of(tmp_path))
    (tmp_path / "sys/fs/cgroup/system.slice").mkdir(parents=True)
    assert jobs.read(host_of(tmp_path)) == []


def test_slurm_in_version_one_tells_user_cpus_gpus_and_mounts(tmp_path: Path) -> None:
    root = node(
        tmp_path,
        {
            f"{SLURM_1}/cpuset.effective_cpus": "2-3\n",
            f"{SLURM_1}/step_0/cgroup.procs": "100\n",
            f"{SLURM_1}/step_0/task_0/cgroup.procs": "101\n",
            **TWO_GPUS,
        },
    )
    process(root, 100, user=0, cwd="/var/spool/slurmd")  # slurmstepd
    process(root, 101, cwd="/scratch/anna/run1", open_files=("/dev/nvidiactl", "/dev/nvidia1"))
    assert only(root) == JobHere(
        job="4711",
        scheduler="slurm",
        user_id=1000,
        user="anna",
        cpus="2-3",
        packages=["1"],
        numa_nodes=["node1"],
        gpus=["0000:86:00"],
        mounts=["/scratch"],
    )


def test_in_version_two_the_user_is_that_of_the_processes_and_slurms_own_do_not_count(
    tmp_path: Path,
) -> None:
    root = node(
        tmp_path,
        {
            f"{SLURM_2}/cpuset.cpus.effective": "0-3\n",
            f"{SLURM_2}/step_batch/slurm/cgroup.procs": "100\n",
            f"{SLURM_2}/step_batch/user/task_0/cgroup.procs": "101\n102\n",
        },
    )
    process(root, 100, user=0, cwd="/var/spool/slurmd")
    process(root, 101, cwd="/scratch/fast lane/x")
    process(root, 102, cwd="/scratch")
    one = only(root)
    assert (one.user, one.packages, one.numa_nodes) == ("anna", ["0", "1"], ["node0", "node1"])
    assert one.mounts == ["/scratch", "/scratch/fast lane"]
    assert one.gpus is None  # without the driver nobody can say


def test_pbs_says_by_its_cgroup_which_gpus_it_gave(tmp_path: Path) -> None:
    job = "pbs_jobs.service/jobid/17.head"
    root = node(
        tmp_path,
        {
            f"sys/fs/cgroup/cpuset/{job}/cgroup.procs": "101\n",
            f"sys/fs/cgroup/devices/{job}/devices.list": "c 1:3 rwm\nc 195:255 rw\nc 195:0 rw\n",
            **TWO_GPUS,
        },
    )
    process(root, 101, open_files=("/dev/nvidia0", "/dev/nvidia1"))
    one = only(root)
    assert (one.scheduler, one.job, one.user, one.gpus) == (
        "pbs",
        "17.head",
        "anna",
        ["0000:3b:00"],
    )


def test_a_pods_user_is_no_person_and_its_containers_processes_count(tmp_path: Path) -> None:
    uid = "0f2e1a34_5b6c_4d7e_8f90_a1b2c3d4e5f6"
    pod = (
        f"sys/fs/cgroup/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid}.slice"
    )
    root = node(tmp_path, {f"{pod}/cri-containerd-1.scope/cgroup.procs": "101\n", **TWO_GPUS})
    process(root, 101, user=0, cwd="/scratch/models", open_files=("/dev/nvidia0",))
    one = only(root)
    assert (one.scheduler, one.job) == ("kubernetes", uid.replace("_", "-"))
    assert (one.user_id, one.user, one.gpus) == (None, "", ["0000:3b:00"])
    assert one.mounts == ["/scratch"]


def test_a_job_that_has_opened_no_gpu_has_none_and_one_that_cannot_be_seen_is_not_known(
    tmp_path: Path,
) -> None:
    root = node(tmp_path, {f"{SLURM_1}/cgroup.procs": "101\n", **TWO_GPUS})
    process(root, 101, open_files=("/tmp/dev/nvidia0", "/dev/nvidia7", "pipe:[1]"))
    assert only(root).gpus == []
    for link in (root / "proc/101/fd").iterdir():
        link.unlink()
    (root / "proc/101/fd").rmdir()
    assert only(root).gpus is None


def test_a_working_directory_is_told_by_its_mount_alone(tmp_path: Path) -> None:
    root = node(tmp_path, {f"{SLURM_1}/cgroup.procs": "101\n102\n103\n"})
    process(root, 101, cwd="/scratch/\x1b[2Jsecret project")
    process(root, 102, cwd="/scratchy")
    process(root, 103, cwd="(unreachable)/x")
    assert only(root).mounts == ["/", "/scratch"]


def test_of_very_many_processes_some_are_asked_and_what_was_not_seen_is_not_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpcdoctor.probes.binding.job_uses.MOST_PROCESSES", 3)
    monkeypatch.setattr("hpcdoctor.probes.binding.job_uses.LEAST_PROCESSES", 1)
    pids = "".join(f"{pid}\n" for pid in range(101, 106))
    root = node(tmp_path, {f"{SLURM_1}/cgroup.procs": pids, **TWO_GPUS})
    for pid in range(101, 106):
        process(root, pid)
    assert only(root).gpus is None
