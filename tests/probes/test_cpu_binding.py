"""Does cpu_binding see who shares a cpu, who moves, who is not bound and who has no job?"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, NeedsSecondReading
from hpcdoctor.probes import cpu_binding
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
    *, name: str = "solve", ticks: int = 0, started: int = 100, cpu: int = 0, flags: int = 0
) -> str:
    """Return the text of a stat file with these fields."""
    fields = ["0"] * 50
    fields[0], fields[6], fields[11] = "S", str(flags), str(ticks)
    fields[19], fields[36] = str(started), str(cpu)
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
    ) -> None:
        """Add a process; a thread is {"mask": bits, "run": percent, "wait": percent, "moves": n}"""
        variables = ([f"SLURM_JOB_ID={job}"] if job else []) + (
            [f"SLURM_PROCID={rank}"] if rank is not None else []
        )
        for number, look in enumerate(self.looks):
            seconds = WINDOW_SECONDS * number
            total = sum(int(thread.get("run", 100) * seconds) for thread in threads)
            files: dict[str, str | bytes] = {
                "stat": stat(name=name, ticks=total, started=started[number], flags=flags),
                "status": f"Name:\tx\nUid:\t{user}\t{user}\t{user}\t{user}\n",
                "cgroup": cgroup,
            }
            if environ:
                files["environ"] = "\0".join([*variables, "TOKEN=secret"])
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
    assert (first.rank_hint, second.rank_hint) == ("SLURM_PROCID=0", "SLURM_PROCID=1")


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
    machine.process(100, {"mask": 1}, job="7", rank=0)
    for look in machine.looks:
        written(look, {"proc/100/task/100/schedstat": "0 0 0\n", "proc/100/task/100/sched": ""})
    process = machine.look()[100]
    assert (process.wait_ratio, process.migrations_per_second) == (None, None)
    assert process.busy_threads == 1


# --- whose it is


def test_kernel_threads_and_services_are_not_told(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, user=0, flags=cpu_binding.KERNEL_THREAD)
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


@pytest.mark.parametrize("text", [b"", b"1 (x) S 1", b"\xff" * 400, b"1 (x) " + b"a " * 60])
def test_a_broken_stat_is_no_process(text: bytes) -> None:
    assert cpu_binding.parse_stat(text) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x (1)\n---\nse.exec_start : 2.0\nse.nr_migrations          :        12\nse.x : 9", 12),
        ("x (1)\n---\nnr_migrations : 12\n", None),
        ("se.nr_migrations", None),
        ("\nse.nr_migrations : -1", None),
        ("", None),
        (None, None),
    ],
)
def test_migrations_are_looked_up_by_name(text: str | None, count: int | None) -> None:
    assert cpu_binding.parse_migrations(text) == count


def test_files_that_vanish_while_being_read_cost_nobody_else(machine: Machine) -> None:
    machine.process(100, {"mask": 1}, job="7", rank=0)
    machine.process(200, {"mask": 2}, job="7", rank=1)
    for file in ("cgroup", "status", "environ", "task/200/status"):
        (machine.looks[1] / "proc/200" / file).unlink()
    (machine.looks[1] / "proc/300").mkdir()
    assert list(machine.look()) == [100]


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
    with pytest.raises(NeedsSecondReading, match="less than a second"):
        cpu_binding.read(host)


def test_beyond_the_limits_a_sample_is_looked_at_and_it_says_so(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_binding, "MOST_THREADS", 6)
    monkeypatch.setattr(cpu_binding, "MOST_READINGS", 2)
    machine.process(100, *({"mask": 0xFF} for _ in range(10)), job="7", rank=0)
    machine.process(200, {"mask": 1}, job="8", rank=0)
    machine.process(300, {"mask": 2}, user=1001)
    found = machine.look()
    assert len(found) == 2
    assert {process.threads_not_looked_at for process in found.values()} == {6}
    assert {process.processes_not_told for process in found.values()} == {0}
    monkeypatch.setattr(cpu_binding, "MOST_THREADS", 100)
    monkeypatch.setattr(cpu_binding, "MOST_READINGS", 1)
    found = machine.look()
    assert list(found) == [100]  # what uses most comes first
    assert {process.processes_not_told for process in found.values()} == {2}


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
