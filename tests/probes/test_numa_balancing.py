"""Is it seen whether the kernel moves memory about, and is that no question on one node?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import numa_balancing
from tests.doubles.machines import host_of, written

VMSTAT = (
    "nr_free_pages 1\npgmigrate_success 9\npgmigrate_fail 3\nnuma_hit 5\nnuma_pte_updates 100\n"
    "numa_huge_pte_updates 2\nnuma_hint_faults 80\nnuma_hint_faults_local 60\n"
    "numa_pages_migrated 40\n"
)


def machine(folder: Path, mode: str = "1", second: str = "4-7") -> Path:
    return written(
        folder,
        {
            "proc/sys/kernel/numa_balancing": mode + "\n",
            "proc/vmstat": VMSTAT,
            "sys/devices/system/node/node0/cpulist": "0-3\n",
            "sys/devices/system/node/node1/cpulist": second + "\n",
            "sys/fs/cgroup/system.slice/slurmstepd.scope/job_4/cgroup.procs": "",
        },
    )


@pytest.mark.parametrize("mode", ["1", "2", "3"])
def test_counters_are_looked_up_by_name(tmp_path: Path, mode: str) -> None:
    (reading,) = numa_balancing.read(host_of(machine(tmp_path, mode)))
    assert (reading.enabled, reading.jobs, reading.pte_updates_total) == (True, 1, 100)
    assert (reading.hint_faults_total, reading.hint_faults_local_total) == (80, 60)
    assert (reading.pages_migrated_total, reading.migrations_failed_total) == (40, 3)


def test_where_it_is_off_only_that_is_told(tmp_path: Path) -> None:
    (reading,) = numa_balancing.read(host_of(machine(tmp_path, "0")))
    assert (reading.enabled, reading.jobs, reading.pages_migrated_total) == (False, None, None)


def test_one_node_with_all_cpus_has_nothing_to_balance(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="one NUMA node"):
        numa_balancing.read(host_of(machine(tmp_path, second="")))


def test_a_kernel_that_cannot_balance_is_absent(tmp_path: Path) -> None:
    (machine(tmp_path) / "proc/sys/kernel/numa_balancing").unlink()
    with pytest.raises(Absent, match="no automatic"):
        numa_balancing.read(host_of(tmp_path))
