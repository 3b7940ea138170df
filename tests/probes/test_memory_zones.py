"""Does memory_zones tell where memory lies, and whether a huge page would fit?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import memory_zones
from tests.conftest import recorded
from tests.doubles.machines import host_of, written

NODE = "sys/devices/system/node"


def nodes_of(folder: Path, files: dict[str, str | bytes]) -> list[memory_zones.Node]:
    return memory_zones.read(host_of(written(folder, files)))


def test_a_machine_without_numa_nodes_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="NUMA"):
        memory_zones.read(host_of(tmp_path))


def test_an_old_kernel_names_its_nodes_by_folders() -> None:
    readings = memory_zones.read(recorded("two-socket-infiniband"))
    assert [reading.node for reading in readings] == ["node0", "node8", "node252"]
    assert all(reading.online for reading in readings)


def test_a_node_with_memory_that_is_not_online_is_told(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"{NODE}/has_memory": "0,8", f"{NODE}/online": "0"}
    assert [reading.online for reading in nodes_of(tmp_path, files)] == [True, False]


def test_sizes_are_bytes(tmp_path: Path) -> None:
    text = "Node 0 MemTotal:    1000 kB\nNode 0 MemFree:      250 kB\n"
    (node,) = nodes_of(tmp_path, {f"{NODE}/has_memory": "0", f"{NODE}/node0/meminfo": text})
    assert (node.total_bytes, node.free_bytes, node.free_ratio) == (1_024_000, 256_000, 0.25)
    assert node.large_blocks is None


def test_huge_pages_of_all_sizes_are_counted(tmp_path: Path) -> None:
    base = f"{NODE}/node0/hugepages/hugepages-"
    files: dict[str, str | bytes] = {
        f"{NODE}/has_memory": "0",
        f"{base}2048kB/nr_hugepages": "10",
        f"{base}2048kB/free_hugepages": "4",
        f"{base}1048576kB/nr_hugepages": "1",
        f"{base}1048576kB/free_hugepages": "1",
    }
    (node,) = nodes_of(tmp_path, files)
    assert (node.huge_pages_total, node.huge_pages_free) == (11, 5)
    assert node.huge_bytes == 10 * 2 * 1024**2 + 1024**3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Node 0, zone   Normal  9 9 9 9 9 9 9 9 9 2 3", {0: 5}),
        ("Node 0, zone Normal 9 9 9 9 9 9 9 9 9 0 1\nNode 0, zone Movable 0 0 0 4", {0: 5}),
        ("Node 8, zone   Normal  9 9 9 9 9 9 9 9 7", {8: 7}),  # pages of 64 KiB: 16 MiB is the last
        ("Node 0, zone    DMA32  9 9 9 9 9 9 9 9 9 9 9", {}),
        ("Node x, zone   Normal  9 9 9\nNode 0, zone Normal a b\n\nNode", {}),
    ],
)  # fmt: skip
def test_only_pieces_for_a_huge_page_count(text: str, expected: dict[int, int]) -> None:
    assert memory_zones.parse_buddyinfo(text) == expected
