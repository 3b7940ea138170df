from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import jobs
from tests.doubles.machines import host_of


def test_each_job_is_told_once_whatever_the_hierarchy(tmp_path: Path) -> None:
    base = tmp_path / "sys/fs/cgroup"
    for hierarchy in ("cpuset", "memory"):
        (base / hierarchy / "slurm/uid_1000/job_4711/step_0").mkdir(parents=True)
    (base / "cpuset/slurm/uid_1001/job_4712").mkdir(parents=True)
    (base / "cpuset/system.slice").mkdir()
    found = [(each.scheduler, each.job) for each in jobs.read(host_of(tmp_path))]
    assert sorted(found) == [("slurm", "4711"), ("slurm", "4712")]


def test_a_node_without_jobs_has_none_and_one_without_cgroups_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no cgroups"):
        jobs.read(host_of(tmp_path))
    (tmp_path / "sys/fs/cgroup/system.slice").mkdir(parents=True)
    assert jobs.read(host_of(tmp_path)) == []
