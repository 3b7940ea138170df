"""Does cpu_binding see who shares a cpu, who moves, who is not bound and who has no job?"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, NeedsSecondReading
from hpcdoctor.probes import cpu_binding
from hpcdoctor.probes.binding import look as looking
from hpcdoctor.probes.binding import tasks
from hpcdoctor.probes.cpu_binding import Process
from hpcdoctor.probes.host import Host
from tests.doubles.machines import copy_of, host_of, written

WINDOW_SECONDS = 10


def second_look(before: Host, after: Host) -> dict[int, Process]:
    """Return what the second look finds, by process."""
    with pytest.raises(NeedsSecondReading, match="first"):
        cpu_binding.read(before)
    after.memory = before.memory
    return {reading.pid: reading for reading in cpu_binding.read(after)}


def stat(
    *,
    name: str = "solve",
    ticks: int = 0,
    started: int = 100,
    cpu: int = 0,
    flags: int = 0,
    threads: int = 1,
    state: str = "S",
) -> str:
    """Return the text of a stat file with these fields."""
    fields = ["0"] * 50
    fields[0], fields[6], fields[11] = state, str(flags), str(ticks)
    fields[17], fields[19], fields[36] = str(threads), str(started), str(cpu)
    return f"1 ({name}) " + " ".join(fields) + "\n"


class Machine:
    """Two looks, ten seconds apart, at processes that a test describes."""

    def __init__(self, folder: Path, cpus: int = 8) -> None:
        self.looks = [folder / "before", folder / "after"]
        self.cpus = cpus
        for number, look in enumerate(self.looks):
            half = cpus // 2
            written(
                look,
                {
                    "proc/uptime": f"{1000 + WINDOW_SECONDS * number}.00 1.00\n",
                    "sys/devices/system/cpu/online": f"0-{cpus - 1}\n",
                    "sys/devices/system/node/node0/cpulist": f"0-{half - 1}\n",
                    "sys/devices/system/node/node8/cpulist": f"{half}-{cpus - 1}\n",
                },
            )

    def process(
        self,
        pid: int,
        *threads: dict[str, int],
        job: str = "",
        rank: int | None = None,
        user: int = 1000,
        cgroup: str = "0::/\n",
        name: str = "solve",
        started: tuple[int, int] = (100, 100),
        flags: int = 0,
        environ: bool = True,
        variables: dict[str, str] | None = None,
    ) -> None:
        """Add a process; a thread is {"mask": bits, "run": percent, "wait": percent, "moves": n}"""
        entries = [f"{key}={value}" for key, value in (variables or {}).items()]
        entries += ([f"SLURM_JOB_ID={job}"] if job else []) + (
            [f"SLURM_PROCID={rank}"] if rank is not None else []
        )
        for number, look in enumerate(self.looks):
            seconds = WINDOW_SECONDS * number
            total = sum(int(thread.get("run", 100) * seconds) for thread in threads)
            files: dict[str, str | bytes] = {
                "stat": stat(
                    name=name,
                    ticks=total,
                    started=started[number],
                    cpu=threads[0].get(("cpu", "then")[number], 0),
                    flags=flags,
                    threads=len(threads),
                ),
                "status": f"Name:\tx\nUid:\t{user}\t{user}\t{user}\t{user}\n",
                "cgroup": cgroup,
            }
            if environ:
                files["environ"] = "\0".join([*entries, "TOKEN=secret"])
            for index, thread in enumerate(threads):
                task = f"task/{pid + index}"
                mask = thread["mask"]
                run = int(thread.get("run", 100) * seconds)
                wait = int(thread.get("wait", 0) * seconds * 1e7)
                cpu = thread.get("cpu", 0) if number == 0 else thread.get("then", 0)
                files[f"{task}/stat"] = stat(ticks=run, started=started[number], cpu=cpu)
                files[f"{task}/schedstat"] = f"{run * 10**7 + 5} {wait + 7} 9\n"
                files[f"{task}/sched"] = (
                    "solve (1, #threads: 1)\n---\nse.exec_start : 1.5\n"
                    f"se.nr_migrations : {thread.get('moves', 0) * number + 3}\n"
                )
                files[f"{task}/status"] = (
                    f"Cpus_allowed:\t{mask:x}\nCpus_allowed_list:\t{thread.get('list', 0)}\n"
                )
            written(look, {f"proc/{pid}/{file}": text for file, text in files.items()})

    def look(self) -> dict[int, Process]:
        return second_look(host_of(self.looks[0]), host_of(self.looks[1]))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def real_pair(tmp_path: Path) -> dict[int, Process]:
    node = copy_of("binding", tmp_path)
    return second_look(host_of(node / "before"), host_of(node / "after"))


# --- what was recorded on a real kernel


def test_two_ranks_on_one_cpu_are_stacked_and_wait(real_pair: dict[int, Process]) -> None:
    first, second = real_pair[32512], real_pair[32513]
    for rank in (first, second):
        assert (rank.job, rank.stacked, rank.unbound, rank.cpus_allowed) == (
            "2001",
            True,
            False,
            "0",
        )
        assert rank.wait_ratio is not None
        assert 0.5 < rank.wait_ratio < 0.8
        assert rank.migrations_per_second == 0.0
    assert (first.rank_hint, second.rank_hint) == ("rank 0", "rank 1")
    assert first.crowd == second.crowd == "2 busy threads on cpu 0"
    assert first.who.startswith("job 2001 rank 0 (pid 32512, ")


def test_two_ranks_that_may_run_anywhere_are_unbound(real_pair: dict[int, Process]) -> None:
    assert real_pair[32514].unbound
    assert real_pair[32515].unbound


def test_a_busy_users_process_without_a_job_is_stray(real_pair: dict[int, Process]) -> None:
    stray = real_pair[32516]
    assert (stray.stray, stray.user_id, stray.job) == (True, 12345, "")


def test_the_machines_own_and_the_idle_are_not_told(real_pair: dict[int, Process]) -> None:
    assert sorted(real_pair) == [32512, 32513, 32514, 32515, 32516]


def test_nothing_of_the_environment_but_job_and_rank_is_told(
    real_pair: dict[int, Process],
) -> None:
    assert "not-for-readings" not in repr(real_pair)


def pair(name: str, folder: Path) -> dict[int, Process]:
    node = copy_of(name, folder)
    return second_look(host_of(node / "before"), host_of(node / "after"))


def test_ranks_that_slurm_has_stacked_are_found_by_their_cgroup(tmp_path: Path) -> None:
    found = pair("slurm-stacked", tmp_path)
    assert {pid: reading.who for pid, reading in found.items()} == {
        12980: "job 1 step 0 rank 0 (pid 12980, spin)",
        12981: "job 1 step 0 rank 1 (pid 12981, spin)",
    }
    for reading in found.values():
        assert (reading.stacked, reading.unbound, reading.stray) == (True, False, False)
        assert reading.wait_ratio == pytest.approx(0.5, abs=0.01)


def test_ranks_that_slurm_has_not_bound_are_unbound_and_not_stacked(tmp_path: Path) -> None:
    found = pair("slurm-unbound", tmp_path)
    assert {reading.rank_hint for reading in found.values()} == {"rank 0", "rank 1"}
    for reading in found.values():
        assert (reading.unbound, reading.stacked, reading.cpus_allowed) == (True, False, "0-1")


# --- sets of cpus


def test_well_bound_ranks_are_neither_stacked_nor_unbound(machine: Machine) -> None:
    for rank in range(4):
        machine.process(100 + 10 * rank, {"mask": 0b11 << 2 * rank}, job="7", rank=rank)
    found = machine.look()
    assert len(found) == 4
    assert {(p.stacked, p.unbound, p.stray, p.cpus) for p in found.values()} == {
        (False, False, False, 2)
    }


def test_more_threads_than_cpus_in_a_set_are_stacked(machine: Machine) -> None:
    machine.process(100, {"mask": 0b11}, {"mask": 0b01}, job="7", rank=0)
    machine.process(200, {"mask": 0b11}, job="8", rank=0)
    machine.process(300, {"mask": 0b100}, job="9", rank=0)
    found = machine.look()
    assert found[100].stacked
    assert found[200].stacked
    assert not found[300].stacked


def test_one_process_that_fills_its_cpus_is_bound_well_enough(machine: Machine) -> None:
    machine.process(100, *({"mask": 0xFF} for _ in range(8)), job="7", rank=0)
    (process,) = machine.look().values()
    assert (process.busy_threads, process.unbound, process.stacked) == (8, False, False)
    assert process.run_ratio == 8.0


def test_one_rank_alone_may_have_the_whole_node(machine: Machine) -> None:
    machine.process(100, {"mask": 0xFF}, job="7", rank=0)
    machine.process(200, {"mask": 0xFF}, job="7", rank=0)  # as `make -j` starts them
    assert not any(process.unbound for process in machine.look().values())


def test_a_rank_is_held_against_its_jobs_cpuset_and_not_the_node(machine: Machine) -> None:
    for look in machine.looks:
        written(look, {"sys/fs/cgroup/cpuset/slurm/uid_1000/job_7/cpuset.cpus": "0-3\n"})
    for rank in range(2):
        machine.process(
            100 + 10 * rank,
            {"mask": 0x0F},
            rank=rank,
            cgroup=f"3:cpuset:/slurm/uid_1000/job_7/step_0/task_{rank}\n",
        )
    found = machine.look()
    assert all(process.unbound for process in found.values())
    assert not any(process.outside_cpuset for process in found.values())


def test_a_mask_outside_the_jobs_cpuset_is_told(machine: Machine) -> None:
    path = "system.slice/slurmstepd.scope/job_7"
    for look in machine.looks:
        written(look, {f"sys/fs/cgroup/{path}/cpuset.cpus.effective": "0-3\n"})
    machine.process(100, {"mask": 0x30}, cgroup=f"0::/{path}/step_0/user/task_0\n")
    process = machine.look()[100]
    assert (process.outside_cpuset, process.rank_hint, process.step) == (True, "task 0", "0")


def test_a_cpu_that_is_offline_is_beyond_nobodys_cpuset(machine: Machine) -> None:
    path = "system.slice/slurmstepd.scope/job_7"
    for each in machine.looks:
        written(each, {f"sys/fs/cgroup/{path}/cpuset.cpus.effective": "0-7\n"})
    machine.process(100, {"mask": 0x1FF}, cgroup=f"0::/{path}/step_0/user/task_0\n")
    assert machine.look()[100].outside_cpuset is False  # cpu 8 is not online


def test_a_job_without_a_cpuset_cannot_be_outside_of_it(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, job="7", rank=0)
    assert machine.look()[100].outside_cpuset is None


# --- threads over the window


def test_a_thread_below_a_tenth_does_not_count(machine: Machine) -> None:
    machine.process(100, {"mask": 1, "run": 9}, {"mask": 1, "run": 11}, job="7", rank=0)
    assert machine.look()[100].busy_threads == 1


def test_a_starved_thread_counts_though_it_hardly_ran(machine: Machine) -> None:
    machine.process(100, {"mask": 1, "run": 5, "wait": 90}, job="7", rank=0)
    process = machine.look()[100]
    assert process.busy_threads == 1
    assert process.wait_ratio == pytest.approx(0.947, abs=0.001)


def test_migrations_are_those_of_the_thread_that_moved_most(machine: Machine) -> None:
    machine.process(100, {"mask": 3, "moves": 20}, {"mask": 3, "moves": 250}, job="7", rank=0)
    assert machine.look()[100].migrations_per_second == pytest.approx(25.0)


def test_a_move_between_numa_nodes_is_counted(machine: Machine) -> None:
    machine.process(
        100, {"mask": 0xFF, "cpu": 1, "then": 6}, {"mask": 0xFF, "cpu": 1, "then": 2}, job="7"
    )
    assert machine.look()[100].node_moves == 1


def test_a_process_number_that_was_given_anew_is_another_process(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, job="7", rank=0, started=(100, 100_500))
    process = machine.look()[100]  # started five seconds before the second look
    assert process.run_ratio == pytest.approx(1.0)  # of the window, from zero


def test_without_schedstats_the_wait_is_not_known(machine: Machine) -> None:
    machine.process(100, {"mask": 3}, job="7", rank=0)
    for look in machine.looks:
        written(look, {"proc/100/task/100/schedstat": "0 0 0\n", "proc/100/task/100/sched": ""})
    process = machine.look()[100]
    assert (process.wait_ratio, process.migrations_per_second) == (None, None)
    assert process.busy_threads == 1


# --- whose it is


def test_kernel_threads_and_services_are_not_told(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, user=0, flags=tasks.KERNEL_THREAD)
    machine.process(200, {"mask": 1}, cgroup="0::/system.slice/backup.service\n")
    machine.process(300, {"mask": 1}, user=999)
    machine.process(400, {"mask": 1}, user=cpu_binding.NOBODY)
    assert machine.look() == {}


def test_an_environment_that_cannot_be_read_leaves_questions_open(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, environ=False)
    assert machine.look()[100].stray is None


def test_a_hostile_name_is_written_out(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, job="7", rank=0, name="a) R 1 (\x1b[2J\n")
    assert machine.look()[100].command == "a) R 1 (\\x1b[2J\\n"


def test_files_that_vanish_while_being_read_cost_nobody_else(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, job="7", rank=0)
    machine.process(200, {"mask": 2}, job="7", rank=1)
    for file in ("cgroup", "status", "environ", "task/200/status"):
        (machine.looks[1] / "proc/200" / file).unlink()
    (machine.looks[1] / "proc/300").mkdir()
    assert list(machine.look()) == [100]


# --- jobs, steps and ranks


def test_a_step_has_ranks_of_its_own_and_the_batch_shell_is_none(machine: Machine) -> None:
    scope = "0::/system.slice/slurmstepd.scope/job_7"
    machine.process(100, {"mask": 0xFF}, rank=0, cgroup=f"{scope}/step_batch/user/task_0\n")
    machine.process(200, {"mask": 0xFF}, rank=0, cgroup=f"{scope}/step_0/user/task_0\n")
    found = machine.look()
    assert (found[100].rank_hint, found[200].rank_hint) == ("", "rank 0")
    assert not found[100].unbound
    assert not found[200].unbound  # the only rank
    machine.process(300, {"mask": 0xFF}, rank=0, cgroup=f"{scope}/step_1/user/task_0\n")
    found = machine.look()
    assert (found[200].unbound, found[300].unbound, found[100].unbound) == (True, True, False)
    assert found[300].who == "job 7 step 1 rank 0 (pid 300, solve)"


def test_ranks_are_held_against_the_steps_cpus_where_these_are_fewer(machine: Machine) -> None:
    scope = "system.slice/slurmstepd.scope/job_7"
    for each in machine.looks:
        written(each, {f"sys/fs/cgroup/{scope}/cpuset.cpus.effective": "0-7\n"})
        written(each, {f"sys/fs/cgroup/{scope}/step_0/cpuset.cpus.effective": "0-3\n"})
    for rank in range(2):
        cgroup = f"0::/{scope}/step_0/user/task_{rank}\n"
        machine.process(100 + rank, {"mask": 0x0F}, rank=rank, cgroup=cgroup)
    assert all(process.unbound for process in machine.look().values())


def test_a_rank_of_several_processes_that_fill_its_cpus_is_bound_well_enough(
    machine: Machine,
) -> None:
    for number in range(8):
        machine.process(100 + number, {"mask": 0xFF}, job="7", rank=0)
    machine.process(200, {"mask": 0x01}, job="7", rank=1)
    assert not any(process.unbound for process in machine.look().values())


def test_threads_bound_one_by_one_make_up_for_a_wide_mask_of_the_process(machine: Machine) -> None:
    for rank in range(2):
        threads = [{"mask": 1 << (4 * rank + number)} for number in range(4)]
        machine.process(100 + 10 * rank, *threads, {"mask": 0xFF, "run": 0}, job="7", rank=rank)
    found = machine.look()
    assert [process.unbound for process in found.values()] == [False, False]
    assert [process.stacked for process in found.values()] == [False, False]


def test_the_waiting_is_that_of_the_threads_that_are_stacked(machine: Machine) -> None:
    free = [{"mask": 1 << number, "run": 100} for number in range(1, 6)]
    crowded = {"mask": 1, "run": 50, "wait": 50}
    machine.process(100, *free, crowded, job="7", rank=0)
    machine.process(200, crowded, job="7", rank=1)
    found = machine.look()
    assert (found[100].stacked, found[100].wait_ratio) == (True, 0.5)
    assert found[100].crowd == "2 busy threads on cpu 0"


def test_threads_of_one_core_are_two_cpus_and_it_says_so(machine: Machine) -> None:
    for each in machine.looks:
        for cpu, siblings in ((0, "0,4"), (4, "0,4"), (1, "1,5")):
            path = f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
            written(each, {path: siblings + "\n"})
    machine.process(100, {"mask": 0b10001}, {"mask": 0b10001}, job="7", rank=0)
    assert not machine.look()[100].stacked
    machine.process(200, {"mask": 0b10001}, job="8", rank=0)
    assert machine.look()[200].crowd == (
        "3 busy threads on cpus 0,4, which are hyperthreads of 1 core"
    )


def test_a_user_whose_job_is_over_is_stray_and_whose_cpus_it_takes_is_told(
    machine: Machine,
) -> None:
    scope = "system.slice/slurmstepd.scope"
    for each in machine.looks:
        written(each, {f"sys/fs/cgroup/{scope}/job_8/cpuset.cpus.effective": "0-3\n"})
    machine.process(100, {"mask": 0x0F}, job="7", rank=0)
    machine.process(200, {"mask": 0x01}, cgroup=f"0::/{scope}/job_8/step_0/user/task_0\n")
    machine.process(300, {"mask": 0x02}, job="8", rank=1)
    found = machine.look()
    assert (found[100].stray, found[100].job) == (True, "")
    assert found[100].belongs_to == "job 7, which is not on this node"
    assert found[100].shares_with == "job 8"
    assert (found[200].stray, found[200].job) == (False, "8")
    assert (found[300].stray, found[300].job) == (False, "8")  # outside its cgroup, and still here


def test_where_no_job_has_a_cgroup_the_environment_is_believed(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, job="7", rank=0)
    assert machine.look()[100].job == "7"


def test_ranks_below_the_service_of_slurmd_belong_to_their_job(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, job="7", rank=0, cgroup="0::/system.slice/slurmd.service\n")
    machine.process(200, {"mask": 1}, cgroup="0::/system.slice/slurmd.service\n")
    assert {pid: process.job for pid, process in machine.look().items()} == {100: "7"}


# --- devices


GPUS = {"0000:3b:00.0": ("GPU-aaaa", 0, "0-3"), "0000:af:00.0": ("GPU-bbbb", 1, "4-7")}


def with_gpus(machine: Machine) -> Machine:
    for each in machine.looks:
        for bdf, (uuid, minor, cpus) in GPUS.items():
            information = f"Model: \t A100\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n"
            written(each, {f"proc/driver/nvidia/gpus/{bdf}/information": information})
            written(each, {f"sys/bus/pci/devices/{bdf}/local_cpulist": cpus + "\n"})
    return machine


@pytest.mark.parametrize(
    ("visible", "given", "mask", "far"),
    [
        ("0", None, 0xF0, True),
        ("0", None, 0x0F, False),
        ("0", None, 0x18, False),  # near with one of its cpus
        ("0,1", None, 0xF0, False),  # near one of the two
        ("GPU-bbbb", None, 0x0F, True),
        ("GPU-b", None, 0xF0, False),
        ("MIG-GPU-bbbb/1/0", None, 0x0F, True),
        ("MIG-5f1c", None, 0x0F, None),
        ("0", "1", 0xF0, None),  # counted anew it is 1, else 0: one of them is near
        ("0", "0", 0xF0, True),
        ("1", "1", 0x0F, True),
        ("7", None, 0x0F, None),
        ("-1", None, 0x0F, None),
        ("", None, 0x0F, None),
        (None, None, 0x0F, None),
    ],
)
def test_a_rank_far_from_its_gpu_is_told(
    machine: Machine, visible: str | None, given: str | None, mask: int, far: bool | None
) -> None:
    variables = {"CUDA_VISIBLE_DEVICES": visible, "SLURM_STEP_GPUS": given}
    present = {name: value for name, value in variables.items() if value is not None}
    with_gpus(machine).process(100, {"mask": mask}, job="7", rank=0, variables=present)
    process = machine.look()[100]
    assert bool(process.far_from_device) == bool(far)
    if far:
        assert process.device.startswith("GPU 0000:")
        assert process.device_cpus in ("0-3", "4-7")


def test_numbers_that_a_container_counts_are_no_answer(machine: Machine) -> None:
    pod = "0::/kubepods/pod0f2e1a34-5b6c-4d7e-8f90-a1b2c3d4e5f6/c\n"
    variables = {"CUDA_VISIBLE_DEVICES": "0"}
    with_gpus(machine).process(100, {"mask": 0xF0}, cgroup=pod, variables=variables)
    assert machine.look()[100].far_from_device is None


@pytest.mark.parametrize(
    ("masks", "nodes", "far"),
    [
        ([0x10, 0x20], "2", [True, True]),  # all are far, and near it were room
        ([0x10, 0x01], "2", [False, False]),  # a rank a socket: one has to be far
        ([0x10, 0x20], "1", [None, None]),  # talks to nobody outside
        ([0x10, 0x20], None, [None, None]),
        ([0x10, 0x20, 0x40, 0x80, 0x30], "2", [False] * 5),  # too many for the near side
    ],
)
def test_a_job_on_the_wrong_side_of_the_only_hca_is_told(
    machine: Machine, masks: list[int], nodes: str | None, far: list[bool | None]
) -> None:
    for each in machine.looks:
        written(each, {"sys/class/infiniband/mlx5_0/device/local_cpulist": "0-3\n"})
    for rank, mask in enumerate(masks):
        variables = {"SLURM_NNODES": nodes} if nodes else {}
        machine.process(100 + rank, {"mask": mask}, job="7", rank=rank, variables=variables)
    found = machine.look()
    assert [process.far_from_device for process in found.values()] == far


def test_another_job_near_the_only_hca_is_a_reason_to_be_far(machine: Machine) -> None:
    for each in machine.looks:
        written(each, {"sys/class/infiniband/mlx5_0/device/local_cpulist": "0-3\n"})
    variables = {"SLURM_NNODES": "2"}
    machine.process(100, {"mask": 0x10}, job="7", rank=0, variables=variables)
    machine.process(200, *({"mask": 1 << n} for n in range(4)), job="8", rank=0)
    assert machine.look()[100].far_from_device is False


# --- looks


def test_a_recording_without_processes_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no process"):
        cpu_binding.read(host_of(tmp_path))


def test_a_reboot_between_two_looks_begins_anew(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, job="7", rank=0)
    first = host_of(machine.looks[0])
    second = host_of(machine.looks[1], Instant("another", 5.0, 5.0))
    with pytest.raises(NeedsSecondReading):
        cpu_binding.read(first)
    second.memory = first.memory
    with pytest.raises(NeedsSecondReading, match="first"):
        cpu_binding.read(second)


def test_two_looks_at_once_are_no_window(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, job="7", rank=0)
    host = host_of(machine.looks[0])
    with pytest.raises(NeedsSecondReading):
        cpu_binding.read(host)
    with pytest.raises(NeedsSecondReading, match="less than half a second"):
        cpu_binding.read(host)


def test_of_too_many_threads_the_same_sample_is_looked_at_each_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "MOST_THREADS", 6)
    machine.process(100, *({"mask": 0xFF} for _ in range(10)), job="7", rank=0)
    machine.process(200, {"mask": 1}, job="8", rank=0)
    machine.process(301, {"mask": 2}, user=1001)
    found = machine.look()
    assert sorted(found) == [100, 200]
    assert found[100].busy_threads == 5  # those with even numbers
    assert {process.threads_not_looked_at for process in found.values()} == {6}


def test_what_uses_most_is_told_where_there_are_too_many(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_binding, "MOST_READINGS", 1)
    machine.process(100, *({"mask": 0xFF} for _ in range(10)), job="7", rank=0)
    machine.process(200, {"mask": 1}, job="8", rank=0)
    found = machine.look()
    assert list(found) == [100]
    assert found[100].processes_not_told == 1


def test_of_ranks_in_the_same_trouble_a_few_are_told_and_the_others_counted(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path, cpus=64)
    for rank in range(32):
        moves = 900 if rank == 20 else 0
        mask = (1 << 64) - 1
        machine.process(100 + rank, {"mask": mask, "moves": moves}, job="7", rank=rank)
    found = machine.look()
    assert sorted(found) == [*range(100, 108), 120]  # the first, and the one that moves most
    assert {process.alike for process in found.values()} == {23}
    assert {process.ranks for process in found.values()} == {32}


# --- what a look may cost


class Clock:
    """A live machine made of files, whose time a test sets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seconds = 1000.0
        self.host = Host(root, live=True, clock=lambda: Instant("boot", self.seconds, 0.0))
        self.read: list[str] = []

    def process(self, pid: int, ticks: int) -> None:
        run = f"{ticks * 10**7 + 5} 7 9\n"
        files = {
            "stat": stat(ticks=ticks),
            "status": "Uid:\t1000\t1000\t1000\t1000\n",
            "cgroup": "0::/\n",
            "environ": "SLURM_JOB_ID=7\0SLURM_PROCID=0",
            f"task/{pid}/schedstat": run,
            f"task/{pid}/stat": stat(ticks=ticks),
            f"task/{pid}/status": "Cpus_allowed:\t1\nCpus_allowed_list:\t0\n",
        }
        written(self.root, {f"proc/{pid}/{name}": text for name, text in files.items()})

    def machine(self, ticks: int) -> None:
        written(self.root, {"proc/stat": f"cpu  {ticks} 0 0 99 0 0 0 0 0 0\ncpu0 1\n"})

    def look(self, seconds: float) -> list[int]:
        """Return which processes' stat files are read in a look so much later."""
        self.seconds += seconds
        self.read.clear()
        with contextlib.suppress(NeedsSecondReading):
            self.told = cpu_binding.read(self.host)
        return sorted({int(path.split("/")[-2]) for path in self.read if "/task/" not in path})


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(tmp_path)
    really = tasks.read_stat

    def noted(path: str) -> tasks.Stat | None:
        clock.read.append(path)
        return really(path)

    monkeypatch.setattr(tasks, "read_stat", noted)
    clock.machine(5000)
    for pid in (100, 200, 300):
        clock.process(pid, 0)
    return clock


def test_processes_that_sleep_are_read_once(clock: Clock) -> None:
    assert clock.look(0) == [100, 200, 300]
    clock.machine(5300)  # three seconds in sixty: less than one thread that counts
    assert clock.look(60) == []


def test_work_that_nobody_known_has_done_is_looked_for(clock: Clock) -> None:
    clock.look(0)
    clock.machine(5000 + 4000)
    clock.process(200, 4000)
    assert clock.look(60) == [100, 200, 300]
    assert clock.told == []  # its counters are known from now on
    clock.machine(9000 + 6000)
    clock.process(200, 4000 + 6000)
    assert clock.look(60) == [200]
    assert [(process.pid, process.run_ratio) for process in clock.told] == [(200, 1.0)]
    assert clock.look(60) == [200]
    assert clock.look(60) == []


def test_what_the_small_ones_always_use_together_is_not_looked_for_again(clock: Clock) -> None:
    clock.look(0)
    clock.machine(5000 + 1200)  # a fifth of a cpu, and none of the three has used it
    assert clock.look(60) == [100, 200, 300]
    clock.machine(6200 + 1200)
    assert clock.look(60) == []
    clock.machine(7400 + 1200 + 700)
    assert clock.look(60) == [100, 200, 300]


def test_after_ten_minutes_all_are_read_again(clock: Clock) -> None:
    clock.look(0)
    assert clock.look(590) == []
    assert clock.look(20) == [100, 200, 300]


def test_where_the_machine_says_nothing_all_are_read_each_time(clock: Clock) -> None:
    (clock.root / "proc/stat").unlink()
    clock.look(0)
    assert clock.look(60) == [100, 200, 300]


def test_a_visitors_first_look_reads_no_process(clock: Clock) -> None:
    clock.host.visiting = True
    assert clock.look(0) == []
    assert clock.look(10) == []  # nothing has run
    assert clock.told == []


def test_a_visitors_second_look_has_an_answer_of_its_own(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pass_by(seconds: float) -> None:
        clock.seconds += seconds
        clock.machine(10_070)
        clock.process(100, 10_070)

    monkeypatch.setattr(time, "sleep", pass_by)
    clock.host.visiting = True
    clock.look(0)
    clock.machine(10_000)
    clock.process(100, 10_000)
    clock.look(10)
    assert [(p.pid, p.run_ratio, p.window_seconds) for p in clock.told] == [(100, 1.0, 0.7)]


def test_moves_between_nodes_are_remembered_for_five_looks(machine: Machine) -> None:
    host = host_of(machine.looks[0])
    found = []
    for number in range(9):
        cpu = 6 if number in (1, 2) else 0
        files: dict[str, str | bytes] = {"proc/uptime": f"{1000 + 10 * number}.0 1.0\n"}
        machine.process(100, {"mask": 0xFF, "cpu": cpu, "run": 0}, job="7", rank=0)
        files["proc/100/task/100/schedstat"] = f"{number * 10**10 + 5} 7 9\n"
        files["proc/100/task/100/stat"] = stat(cpu=cpu)
        files["proc/100/stat"] = stat(cpu=cpu, ticks=1000 * number)
        written(machine.looks[0], files)
        with contextlib.suppress(NeedsSecondReading):
            found += [process.node_moves for process in cpu_binding.read(host)]
    assert found == [1, 1, 2, 2, 2, 1, 1, 0]


# --- on this machine, with real processes in cgroups that are named as a batch system would

CGROUPS = Path("/sys/fs/cgroup")
SPIN = "while True: pass"
# Moves itself from one cpu to the other a hundred times a second.
HOP = """
import os, time
while True:
    for cpu in (0, 1):
        os.sched_setaffinity(0, {cpu})
        os.sched_setaffinity(0, {0, 1})
        end = time.monotonic() + 0.01
        while time.monotonic() < end: pass
"""


class Jobs:
    """Busy processes of made-up jobs, in real cgroups of version 1, with the lowest priority."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.folders: list[Path] = []

    def cgroup(self, hierarchy: str, job: str, cpus: str = "") -> Path:
        place = CGROUPS / hierarchy
        for part in ("slurm", "uid_0", f"job_{job}", "step_0"):
            place = place / part
            if not place.exists():
                place.mkdir()
                self.folders.append(place)
            if hierarchy == "cpuset":
                narrow = cpus if part not in ("slurm", "uid_0") else ""
                (place / "cpuset.cpus").write_text(narrow or "0-1")
                (place / "cpuset.mems").write_text("0")
        return place

    def start(
        self,
        program: str,
        job: str,
        rank: int,
        *places: Path,
        cpus: set[int] | None = None,
        user: int = 0,
    ) -> int:
        environment = {"SLURM_JOB_ID": job, "SLURM_PROCID": str(rank)} if job else {}
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", program], env=environment, user=user
        )
        self.processes.append(process)
        os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        for place in places:
            (place / "cgroup.procs").write_text(str(process.pid))
        if cpus:
            os.sched_setaffinity(process.pid, cpus)
        return process.pid

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for folder in reversed(self.folders):
            folder.rmdir()


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    if os.geteuid() != 0 or not (CGROUPS / "cpuset/cpuset.cpus").exists():
        pytest.skip("needs root and cpusets of version 1")
    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two cpus")
    jobs = Jobs()
    yield jobs
    jobs.end()


@pytest.mark.real
@pytest.mark.soak  # wants a machine that is otherwise quiet
def test_real_processes_in_the_cgroups_of_jobs_are_judged_right(jobs: Jobs) -> None:
    memory = {job: jobs.cgroup("memory", job) for job in ("990001", "990002", "990003")}
    cpuset = {job: jobs.cgroup("cpuset", job) for job in ("990001", "990002")}
    jobs.cgroup("cpuset", "990003", cpus="0")
    stacked = [
        jobs.start(SPIN, "990001", rank, memory["990001"], cpuset["990001"], cpus={0})
        for rank in range(2)
    ]
    unbound = [
        jobs.start(program, "990002", rank, memory["990002"], cpuset["990002"])
        for rank, program in enumerate((SPIN, HOP))
    ]
    # As where nothing puts the processes of a job into its cpuset.
    outside = jobs.start(SPIN, "990003", 0, memory["990003"])
    stray = jobs.start(SPIN, "", 0, user=12345)
    left = jobs.start(SPIN, "980000", 0, user=12345)
    host = Host.this_machine()
    time.sleep(0.7)
    with pytest.raises(NeedsSecondReading):
        cpu_binding.read(host)
    time.sleep(2)
    found = {reading.pid: reading for reading in cpu_binding.read(host)}
    for rank, pid in enumerate(stacked):
        assert (found[pid].job, found[pid].stacked, found[pid].cpus) == ("990001", True, 1)
        assert found[pid].rank_hint == f"rank {rank}"
        assert (found[pid].wait_ratio or 0) > 0.4
        assert not found[pid].unbound
    for pid in unbound:
        assert (found[pid].job, found[pid].unbound, found[pid].step) == ("990002", True, "0")
        assert found[pid].outside_cpuset is False
    assert (found[unbound[1]].migrations_per_second or 0) > 10
    assert (found[outside].outside_cpuset, found[outside].job_cpuset) == (True, "0")
    assert (found[stray].stray, found[stray].belongs_to) == (True, "no job")
    assert found[left].belongs_to == "job 980000, which is not on this node"
    assert "job 990001" in found[left].shares_with


@pytest.fixture
def busy_process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", "while True: pass"],
        env={"SLURM_JOB_ID": "77", "SLURM_PROCID": "0"},
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.real
def test_a_busy_process_of_this_machine_is_seen(busy_process: subprocess.Popen[bytes]) -> None:
    host = Host.this_machine()
    time.sleep(0.5)
    with pytest.raises(NeedsSecondReading):
        cpu_binding.read(host)
    time.sleep(1.5)
    found = {reading.pid: reading for reading in cpu_binding.read(host)}
    assert found[busy_process.pid].job == "77"
    assert found[busy_process.pid].busy_threads == 1
