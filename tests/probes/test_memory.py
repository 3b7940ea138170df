"""Does memory tell what the kernel says, and None where it says nothing?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import memory
from tests.conftest import recorded
from tests.doubles.machines import copy_of, host_of, written

NODE = "two-socket-infiniband"


def test_sizes_are_bytes_and_counts_are_counts() -> None:
    (reading,) = memory.read(recorded(NODE))
    assert reading.total_bytes == 131072000 * 1024
    assert reading.available_ratio == 0.5
    assert reading.corrupted_bytes == 16 * 1024
    assert (reading.huge_pages_total, reading.huge_pages_free) == (64, 60)
    assert reading.swap_total_bytes == 0
    assert reading.out_of_memory_kills_total == 3


def test_numa_nodes_without_memory_are_not_counted() -> None:
    (reading,) = memory.read(recorded(NODE))
    assert (reading.numa_nodes, reading.numa_total_bytes) == (2, reading.total_bytes)


def test_what_an_old_kernel_does_not_say_is_none(tmp_path: Path) -> None:
    written(tmp_path, {"proc/meminfo": "MemTotal: 1000 kB\nMemFree: nonsense kB\n"})
    (reading,) = memory.read(host_of(tmp_path))
    assert reading.total_bytes == 1_024_000
    assert reading.available_bytes is None
    assert reading.available_ratio is None
    assert reading.corrupted_bytes is None
    assert reading.out_of_memory_kills_total is None
    assert reading.numa_total_bytes is None


def test_a_numa_node_that_cannot_be_read_leaves_no_sum(tmp_path: Path) -> None:
    node = copy_of(NODE, tmp_path)
    (node / "sys/devices/system/node/node8/meminfo").unlink()
    (reading,) = memory.read(host_of(node))
    assert reading.numa_total_bytes is None


def test_a_recording_without_it_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="recording"):
        memory.read(host_of(tmp_path))


@pytest.mark.parametrize("text", ["", "MemTotal: 0 kB\n", "\x00\xff:::\n"])
def test_a_file_without_the_total_is_unavailable(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unavailable, match="how much memory"):
        memory.read(host_of(written(tmp_path, {"proc/meminfo": text})))
