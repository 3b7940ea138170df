"""Is a rank's memory on other nodes seen, and is the dear part of looking rationed?"""

import shutil
from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import memory_placement
from hpcdoctor.probes.binding.numa_maps import parse_numa_maps
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.memory_placement import Placement
from tests.doubles.machines import host_of, written

PAGES_A_GIBIBYTE = 1 << 18


class Machine:
    """Two nodes with cpus, and the memory of a GPU."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seconds = 1000.0
        nodes = {"node0": "0-3", "node8": "4-7", "node250": ""}
        for node, cpus in nodes.items():
            written(root, {f"sys/devices/system/node/{node}/cpulist": cpus + "\n"})
        (root / "proc").mkdir()
        self.host = Host(
            host_of(root).root, live=False, clock=lambda: Instant("b", self.seconds, 0)
        )

    def process(
        self,
        pid: int,
        gibibytes: float,
        maps: str = "",
        job: str = "7",
        masks: tuple[int, ...] = (0x0F,),
    ) -> None:
        fields = ["0"] * 50
        fields[0], fields[17], fields[19] = "S", str(len(masks)), "100"
        fields[21] = str(int(gibibytes * PAGES_A_GIBIBYTE))
        files: dict[str, str | bytes] = {
            "stat": f"{pid} (solve) " + " ".join(fields),
            "cgroup": f"0::/system.slice/slurmstepd.scope/job_{job}/step_0/user/task_0\n",
            "environ": "SLURM_PROCID=3\0",
            "numa_maps": maps,
        }
        for number, mask in enumerate(masks):
            files[f"task/{pid + number}/status"] = f"Cpus_allowed:\t{mask:x}\n"
        written(self.root, {f"proc/{pid}/{name}": text for name, text in files.items()})

    def look(self, job: str = "7") -> list[Placement]:
        return memory_placement.read(self.host, job)


def maps(**nodes: float) -> str:
    pages = " ".join(f"{n}={int(size * PAGES_A_GIBIBYTE)}" for n, size in nodes.items())
    return f"7f00 default anon=1 dirty=1 {pages} kernelpagesize_kB=4\n"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_memory_on_the_other_side_is_told(machine: Machine) -> None:
    machine.process(100, 8, maps(N0=6, N8=2, N250=8))
    (found,) = machine.look()
    assert (found.node, found.remote_ratio, found.remote_nodes) == ("node0", 0.25, "node8 2.0 GiB")
    assert found.other_bytes == 8 << 30  # of the GPU: neither near nor far
    assert found.who == "job 7 step 0 rank 3 (pid 100, solve)"


def test_a_rank_that_may_run_on_both_nodes_has_no_far_memory(machine: Machine) -> None:
    machine.process(100, 8, maps(N0=6, N8=2), masks=(0xFF,))
    machine.process(200, 8, maps(N0=6, N8=2), masks=(0x01, 0x80))  # its threads may, together
    assert machine.look() == []


def test_of_each_job_the_largest_bound_process_is_read(machine: Machine) -> None:
    machine.process(100, 9, maps(N8=9), masks=(0xFF,))
    machine.process(200, 8, maps(N0=8))
    machine.process(300, 7, maps(N8=7))
    machine.process(400, 20, maps(N8=7), job="8")
    assert memory_placement.subjects(machine.host) == ["8", "7"]
    (found,) = machine.look()
    assert (found.pid, found.remote_ratio) == (200, 0.0)


def test_what_is_too_large_is_left_and_counted(machine: Machine) -> None:
    machine.process(100, 65, maps(N8=65))
    machine.process(200, 63, maps(N0=63))
    (found,) = machine.look()
    assert (found.pid, found.processes_too_large) == (200, 1)


def test_a_visitor_is_content_with_smaller_ones(machine: Machine) -> None:
    machine.process(100, 5, maps(N0=5))
    machine.host.visiting = True
    assert machine.look() == []
    machine.process(200, 3, maps(N0=3))
    assert [found.pid for found in machine.look()] == [200]


def test_a_process_is_read_once_in_five_minutes(machine: Machine) -> None:
    machine.process(100, 8, maps(N0=8))
    assert [found.remote_ratio for found in machine.look()] == [0.0]
    machine.process(100, 8, maps(N8=8))
    machine.seconds += 200
    assert [(f.remote_ratio, f.age_seconds) for f in machine.look()] == [(0.0, 200.0)]
    machine.seconds += 100
    assert [(f.remote_ratio, f.age_seconds) for f in machine.look()] == [(1.0, 0.0)]


def test_four_jobs_are_looked_at_and_small_processes_never(machine: Machine) -> None:
    for job in range(6):
        machine.process(100 + job, 1 + job, job=str(job))
    machine.process(200, 0.05, job="99")
    assert memory_placement.subjects(machine.host) == ["5", "4", "3", "2"]
    assert machine.look("99") == []


def test_a_job_stays_until_it_ends_and_is_then_looked_at_once_more(machine: Machine) -> None:
    for job in range(4):
        machine.process(100 + job, 1 + job, job=str(job))
    assert memory_placement.subjects(machine.host) == ["3", "2", "1", "0"]
    machine.process(200, 20, job="77")  # larger than all, and there are four already
    assert memory_placement.subjects(machine.host) == ["3", "2", "1", "0"]
    shutil.rmtree(machine.root / "proc/102")
    assert memory_placement.subjects(machine.host) == ["3", "1", "0", "77", "2"]
    assert machine.look("2") == []
    assert memory_placement.subjects(machine.host) == ["3", "1", "0", "77"]


def test_without_private_memory_there_is_no_share(machine: Machine) -> None:
    machine.process(100, 8, "7f00 interleave:0,8 anon=9 N0=4 N8=5 kernelpagesize_kB=4\n")
    (found,) = machine.look()
    assert (found.remote_ratio, found.interleaved_bytes) == (None, 9 * 4096)


def test_of_maps_beyond_the_limit_the_cut_line_is_left(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "7f00 default anon=1 N0=1 kernelpagesize_kB=4\n"
    machine.process(100, 8, line * 300)
    monkeypatch.setattr(memory_placement, "MAPS_LIMIT_BYTES", 200 * len(line) + 26)
    (found,) = machine.look()
    assert found.local_bytes == 200 * 4096


def test_maps_that_cannot_be_read_are_not_healthy(machine: Machine) -> None:
    machine.process(100, 8)
    (machine.root / "proc/100/numa_maps").unlink()
    assert machine.look() == []  # as with a process that has ended
    (machine.root / "proc/100/numa_maps").mkdir()
    with pytest.raises(Unavailable, match="numa_maps of process 100"):
        machine.look()


def test_one_node_with_all_cpus_has_no_answer_and_says_so(machine: Machine) -> None:
    written(machine.root, {"sys/devices/system/node/node8/cpulist": "\n"})
    with pytest.raises(Absent, match="no memory is remote"):
        memory_placement.subjects(machine.host)


def test_on_an_idle_machine_nothing_is_looked_for(machine: Machine) -> None:
    machine.process(100, 8, maps(N0=8))
    live = Host(machine.root, live=True, clock=machine.host.clock)
    written(machine.root, {"proc/loadavg": "0.10 0.20 9.00 1/900 77\n"})
    assert memory_placement.subjects(live) == []
    written(machine.root, {"proc/loadavg": "0.40 0.20 0.00 1/900 77\n"})
    assert memory_placement.subjects(live) == ["7"]


@pytest.mark.real
def test_what_a_real_kernel_says_adds_up_to_the_private_memory() -> None:
    block = bytearray(64 << 20)  # zeroed, and so touched
    for place in range(0, len(block), 4096):
        block[place] = 1
    try:
        text = Path("/proc/self/numa_maps").read_text()
    except FileNotFoundError:
        pytest.skip("a kernel without NUMA")
    status = Path("/proc/self/status").read_text()
    anonymous = int(status.partition("RssAnon:")[2].split()[0]) * 1024
    placed = parse_numa_maps(text)
    assert sum(placed.bytes_by_node.values()) == pytest.approx(anonymous, rel=0.05)
