"""Does memory tell what the kernel says, and None where it says nothing?"""

import os
from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import memory
from hpcdoctor.probes.host import Host
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


SEGMENTS = """\
       key      shmid perms       size  cpid  lpid nattch   uid   gid  cuid  cgid  rss  swap
         0          1   600       9000   100   100      0  1000  1000  1000  1000 8192     0
         0          2   600       9000   100   100      2  1000  1000  1000  1000 4096     0
         0          3   600       9000   100   100      0  1000  1000  1000  1000 odd      0
"""


def test_segments_that_nobody_has_attached_are_left_over(tmp_path: Path) -> None:
    node = written(copy_of(NODE, tmp_path), {"proc/sysvipc/shm": SEGMENTS})
    (reading,) = memory.read(host_of(node))
    assert reading.left_shared_bytes == 8192
    assert reading.left_shared_ratio == 8192 / reading.total_bytes


def test_files_in_dev_shm_are_left_over_as_well(tmp_path: Path) -> None:
    node = written(copy_of(NODE, tmp_path), {"dev/shm/psm2.1": "x" * 1000})  # noqa: S108
    assert memory.read(host_of(node))[0].left_shared_bytes == 1000


def test_where_nobody_tells_of_shared_memory_there_is_no_number() -> None:
    (reading,) = memory.read(recorded(NODE))
    assert (reading.left_shared_bytes, reading.left_shared_ratio) == (None, None)


@pytest.mark.parametrize(
    ("load", "expected"), [("1.0 2.0 3.0 1/2 3", 0.375), ("", None), ("1 2 x 4", None)]
)
def test_the_load_is_told_for_each_cpu(tmp_path: Path, load: str, expected: float | None) -> None:
    node = written(copy_of(NODE, tmp_path), {"proc/loadavg": load})
    assert memory.read(host_of(node))[0].load_ratio == expected


def test_whether_errors_are_counted_is_told(tmp_path: Path) -> None:
    assert memory.read(recorded(NODE))[0].errors_counted
    bare = written(tmp_path, {"proc/meminfo": "MemTotal: 10 kB"})
    assert not memory.read(host_of(bare))[0].errors_counted


def test_this_machines_shared_memory_is_measured_in_bytes() -> None:
    (reading,) = memory.read(Host.this_machine())
    assert reading.left_shared_bytes is None or reading.left_shared_bytes >= 0


@pytest.mark.real
def test_what_is_put_into_dev_shm_is_measured() -> None:
    if not os.path.ismount("/dev/shm"):  # noqa: PTH114, S108
        pytest.skip("/dev/shm is no file system of its own here")
    (before,) = memory.read(Host.this_machine())
    file = Path(f"/dev/shm/hpcdoctor-test-{os.getpid()}")  # noqa: S108
    try:
        file.write_bytes(b"x" * 64 * 1024**2)
        (after,) = memory.read(Host.this_machine())
    finally:
        file.unlink()
    assert before.left_shared_bytes is not None
    assert after.left_shared_bytes is not None
    assert after.left_shared_bytes - before.left_shared_bytes == pytest.approx(
        64 * 1024**2, rel=0.3
    )
