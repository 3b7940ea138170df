"""Do the parts of the binding probes read the kernel's files right, whatever stands in them?"""

from pathlib import Path

import pytest

from hpcdoctor.probes.binding import job_cgroups, tasks
from hpcdoctor.probes.binding.cpu_sets import (
    Crowd,
    as_bits,
    as_numbers,
    as_text,
    crowd_of,
    crowds,
)
from hpcdoctor.probes.binding.numa_maps import parse_numa_maps
from tests.doubles.machines import host_of, written

MEBIBYTE = 1 << 20


# --- files of a thread


@pytest.mark.parametrize("text", [b"", b"1 (x) S 1", b"\xff" * 400, b"1 (x) " + b"a " * 60])
def test_a_broken_stat_is_no_process(text: bytes) -> None:
    assert tasks.parse_stat(text) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x (1)\n---\nse.exec_start : 2.0\nse.nr_migrations          :        12\nse.x : 9", 12),
        ("x (1)\n---\nnr_migrations : 12\n", None),
        ("x (1)\n---\nse.nr_migrations_cold : 12\n", None),
        ("se.nr_migrations", None),
        ("\nse.nr_migrations : -1", None),
        ("", None),
        (None, None),
    ],
)
def test_migrations_are_looked_up_by_name(text: str | None, count: int | None) -> None:
    assert tasks.parse_sched(text, "se.nr_migrations") == count


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"2500000000 7500000000 12\n", (2.5, 7.5)),
        (b"0 0 0\n", None),  # a kernel that does not count
        (b"1 2\n", None),
        (b"a b c\n", None),
        (b"", None),
    ],
)
def test_running_and_waiting_are_in_seconds(
    text: bytes, seconds: tuple[float, float] | None
) -> None:
    assert tasks.parse_schedstat(text) == seconds


def test_a_mask_of_many_cpus_comes_in_groups() -> None:
    text = "Name:\tx\nCpus_allowed:\t00000001,80000000,00000003\nCpus_allowed_list:\t0-1,63-64\n"
    assert tasks.parse_mask(text) == ("0-1,63-64", 1 << 64 | 1 << 63 | 3)
    assert tasks.parse_mask("Cpus_allowed:\tzz\n") == (None, None)


def test_what_the_machine_did_leaves_out_idling_waiting_and_interrupts(tmp_path: Path) -> None:
    written(tmp_path, {"stat": "cpu  100 20 3 4000 5000 600 70 8 9 1\ncpu0 1 2\n"})
    assert tasks.machine_ticks(str(tmp_path)) == 123
    written(tmp_path, {"stat": "cpu  x\n"})
    assert tasks.machine_ticks(str(tmp_path)) is None


# --- sets of cpus


@pytest.mark.parametrize("text", ["", "0", "0-3", "0-3,8", "1,3,5-6,127", "63-64"])
def test_a_set_is_written_as_the_kernel_does(text: str) -> None:
    numbers = [
        cpu
        for part in text.split(",")
        if part
        for cpu in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)
    ]
    assert as_text(as_bits(numbers)) == text
    assert as_numbers(as_bits(numbers)) == numbers


def test_nobody_is_crowded_where_each_thread_has_a_cpu() -> None:
    assert crowds([1, 2, 4, 8, 0b1111 << 4, 0b1111 << 4]) == []
    assert crowds([0b11, 0b11]) == []
    assert crowds([]) == []


def test_two_on_one_cpu_are_a_crowd_and_so_are_three_inside_two() -> None:
    assert crowds([1, 1, 2]) == [Crowd(1, 2)]
    assert crowds([1, 0b11, 0b11, 0b100]) == [Crowd(0b11, 3)]
    both = crowds([1, 1, 0b11])
    assert both == [Crowd(1, 2), Crowd(0b11, 3)]
    assert crowd_of(1, both) == Crowd(1, 2)  # the smallest
    assert crowd_of(0b11, both) == Crowd(0b11, 3)
    assert crowd_of(0b111, both) is None
    assert crowd_of(0, both) is None


def test_the_threads_of_every_job_count_in_a_crowd() -> None:
    assert crowds([1, 1, *[0b11] * 6]) == [Crowd(1, 2), Crowd(0b11, 8)]


# --- numa_maps


def test_private_memory_is_counted_by_node_in_bytes() -> None:
    text = (
        "7f00 default heap anon=300 dirty=300 N0=256 N1=512 kernelpagesize_kB=4\n"
        "7f10 default anon=10 dirty=10 N1=256 kernelpagesize_kB=4\n"
    )
    assert parse_numa_maps(text).bytes_by_node == {0: MEBIBYTE, 1: 3 * MEBIBYTE}


def test_transparent_huge_pages_count_in_small_ones_and_others_in_huge_ones() -> None:
    text = (
        "7f00 default anon=512 dirty=512 N0=512 kernelpagesize_kB=4\n"
        "7f10 default file=/anon_hugepage\\040(deleted) huge anon=3 dirty=3 N1=3 "
        "kernelpagesize_kB=2048\n"
    )
    assert parse_numa_maps(text).bytes_by_node == {0: 2 * MEBIBYTE, 1: 6 * MEBIBYTE}


def test_libraries_and_files_are_not_the_ranks_own() -> None:
    text = (
        "7f00 default file=/lib/libc.so mapped=300 mapmax=12 N0=300 kernelpagesize_kB=4\n"
        "7f10 default file=/lib/libc.so anon=2 dirty=2 mapped=30 mapmax=3 N1=30 "
        "kernelpagesize_kB=4\n"
        "7f20 default file=/data/input mapped=900 N1=900 kernelpagesize_kB=4\n"
        "7f30 default file=/bin/solve anon=256 dirty=256 N1=256 kernelpagesize_kB=4\n"
        "7f40 default stack\n"
    )
    assert parse_numa_maps(text).bytes_by_node == {1: MEBIBYTE}


@pytest.mark.parametrize(
    "policy", ["interleave:0-1", "interleave=static:0-1", "weighted interleave:0-1"]
)
def test_what_is_spread_on_purpose_is_told_apart(policy: str) -> None:
    text = f"7f00 {policy} anon=512 dirty=512 N0=256 N1=256 kernelpagesize_kB=4\n"
    placed = parse_numa_maps(text)
    assert (placed.bytes_by_node, placed.interleaved_bytes) == ({}, 2 * MEBIBYTE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "7f00",
        "7f00 default N0=12",
        "7f00 default anon=1 N0=x kernelpagesize_kB=4",
        "7f00 default anon=1 N99999=3 kernelpagesize_kB=4",
        "7f00 default anon=1 N0=3 kernelpagesize_kB=-4",
        "\\xff\\xfe N0=3",
    ],
)
def test_a_line_that_makes_no_sense_counts_nothing(text: str) -> None:
    assert parse_numa_maps(text).bytes_by_node == {}


# --- the jobs' cgroups


POD = "0f2e1a34-5b6c-4d7e-8f90-a1b2c3d4e5f6"


@pytest.mark.parametrize(
    ("folder", "job"),
    [
        ("system.slice/slurmstepd.scope/job_4/step_0", "4"),
        ("system.slice/n1_slurmstepd.scope/job_4", "4"),
        ("memory/slurm/uid_1000/job_4", "4"),
        ("cpuset/slurm_n1/uid_1000/job_4", "4"),
        ("cpuset/torque/12.head", "12.head"),
        ("cpuset/pbs_jobs.service/jobid/12.head", "12.head"),
        ("pbs_jobs.service/jobs/12.head", "12.head"),
        ("memory/lsf/main/job.77.1.2", "77"),
        (f"memory/kubepods/burstable/pod{POD}/c", POD),
        (
            "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
            f"kubelet-kubepods-burstable-pod{POD.replace('-', '_')}.slice",
            POD,
        ),
    ],
)
def test_the_jobs_of_every_batch_system_are_found(tmp_path: Path, folder: str, job: str) -> None:
    written(tmp_path, {f"sys/fs/cgroup/{folder}/tasks": ""})
    assert [each.id for each in job_cgroups.jobs(host_of(tmp_path))] == [job]


def test_what_is_no_job_is_none(tmp_path: Path) -> None:
    for folder in ("user.slice/slurm/uid_1/job_1", "memory/slurm/uid_0", "system.slice/a.service"):
        written(tmp_path, {f"sys/fs/cgroup/{folder}/tasks": ""})
    assert job_cgroups.jobs(host_of(tmp_path)) == []


def test_a_job_in_several_hierarchies_is_one(tmp_path: Path) -> None:
    for hierarchy in ("cpuset", "memory", "freezer"):
        written(tmp_path, {f"sys/fs/cgroup/{hierarchy}/slurm/uid_0/job_4/tasks": ""})
    assert len(job_cgroups.jobs(host_of(tmp_path))) == 1


def test_there_is_an_end_to_how_many_jobs_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_cgroups, "MOST_JOBS", 3)
    for number in range(9):
        written(tmp_path, {f"sys/fs/cgroup/torque/{number}.head/tasks": ""})
    assert len(job_cgroups.jobs(host_of(tmp_path))) == 3
