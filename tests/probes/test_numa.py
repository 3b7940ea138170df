"""Are the counters of each NUMA node read, whatever its number and whatever it is made of?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import numa
from tests.doubles.machines import host_of, written

BASE = "sys/devices/system/node"
STAT = (
    "numa_hit 4871513\nnuma_miss 12\nnuma_foreign 7\ninterleave_hit 3482\n"
    "local_node 4842032\nother_node 29481\n"
)


def machine(folder: Path) -> Path:
    """Return a machine with cpus on nodes 0 and 8, and the memory of a GPU as node 250."""
    files: dict[str, str | bytes] = {
        f"{BASE}/has_memory": "0,8,250\n",
        f"{BASE}/online": "0,8,250\n",
    }
    for number, cpus in ((0, "0-3"), (8, "4-7"), (250, "")):
        files[f"{BASE}/node{number}/cpulist"] = cpus + "\n"
        files[f"{BASE}/node{number}/numastat"] = STAT
    return written(folder, files)


def test_sparse_nodes_and_those_without_cpus_are_read(tmp_path: Path) -> None:
    found = numa.read(host_of(machine(tmp_path)))
    assert [(node.node, node.cpus, node.nodes) for node in found] == [
        ("node0", "0-3", 3),
        ("node8", "4-7", 3),
        ("node250", "", 3),
    ]
    assert {(node.numa_hit_total, node.numa_miss_total) for node in found} == {(4871513, 12)}
    assert {(node.has_memory, node.online) for node in found} == {(True, True)}


def test_where_the_kernel_does_not_count_zero_is_no_answer(tmp_path: Path) -> None:
    written(machine(tmp_path), {"proc/sys/vm/numa_stat": "0\n"})
    assert {node.numa_miss_total for node in numa.read(host_of(tmp_path))} == {None}
    written(tmp_path, {"proc/sys/vm/numa_stat": "1\n"})
    assert {node.numa_miss_total for node in numa.read(host_of(tmp_path))} == {12}


def test_a_broken_file_costs_its_own_numbers(tmp_path: Path) -> None:
    written(machine(tmp_path), {f"{BASE}/node8/numastat": "numa_hit x\nnuma_miss\n\xff"})
    found = {node.node: node.numa_hit_total for node in numa.read(host_of(tmp_path))}
    assert found == {"node0": 4871513, "node8": None, "node250": 4871513}


def test_a_kernel_without_numa_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no NUMA nodes"):
        numa.read(host_of(tmp_path))


def test_a_busy_machine_of_four_nodes(shared_node: Path) -> None:
    found = numa.read(host_of(shared_node))
    assert [node.numa_miss_total for node in found] == [
        1324627545,
        77713893,
        28389061,
        3449526378,
    ]
    assert {node.nodes for node in found} == {4}


@pytest.fixture
def shared_node(shared: Path, tmp_path: Path) -> Path:
    import subprocess  # noqa: PLC0415

    archive = shared / "nodes/xeon40-qib.tar.gz"
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    return tmp_path / "xeon40-qib"
