"""Are real jobs of a real Slurm seen with what they use, also where their file system hangs?"""

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hpcdoctor.model.job import JobHere
from hpcdoctor.probes import jobs
from hpcdoctor.probes.host import Host
from tests.doubles.fuse import FuseMount, needs_fuse
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

pytestmark = pytest.mark.real

CPUSETS = Path("/sys/fs/cgroup/cpuset")
FREEZER = Path("/sys/fs/cgroup/freezer")
NOBODY = 65534
SOON_SECONDS = 20.0

needs_version_one = pytest.mark.skipif(
    not (CPUSETS.is_dir() and os.access(CPUSETS, os.W_OK)),
    reason="the cgroups of this machine are not version 1, or not ours to make",
)


def seen(job: int) -> JobHere | None:
    found = jobs.read(Host.this_machine())
    return next((one for one in found if one.job == str(job)), None)


@needs_version_one
def test_slurms_own_cgroups_tell_user_cpus_and_where_the_job_works() -> None:
    constrain = {"CgroupPlugin": "cgroup/v1", "CgroupAutomount": "yes", "ConstrainCores": "yes"}
    with SlurmCluster(cgroups=constrain) as cluster:
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        argv = [*become, "sbatch", "--parsable", "--chdir=/dev/shm", "-o/dev/null"]
        job = int(cluster.run([*argv, "--wrap=sleep 300"]))
        cluster.wait_for_job(job, "RUNNING")
        wait_for("the job's processes", lambda: (one := seen(job)) is not None and one.mounts)
        found = seen(job)
        cluster.run(["scancel", str(job)])
    assert found is not None
    assert (found.scheduler, found.user_id, found.user) == ("slurm", NOBODY, "nobody")
    assert found.cpus is not None
    assert "/dev/shm" in (found.mounts or [])  # noqa: S108
    wait_for("the job to be over", lambda: seen(job) is None)


@pytest.fixture
def group() -> Iterator[Path]:
    """Give the cgroup of a job, as Slurm makes it, that ends with the test."""
    folder = FREEZER / f"slurm_hd{os.getpid()}" / "uid_0" / f"job_{os.getpid()}"
    folder.mkdir(parents=True)
    yield folder
    for place in (folder, folder.parent, folder.parent.parent):
        place.rmdir()


@needs_fuse
@needs_version_one
def test_a_hung_file_system_holds_nobody_up_and_its_jobs_are_known(
    tmp_path: Path, group: Path
) -> None:
    with FuseMount(tmp_path) as mount, ThreadPoolExecutor(1) as aside:
        there = subprocess.Popen(["sleep", "300"], cwd=mount.mount_point)
        (group / "cgroup.procs").write_text(str(there.pid))
        mount.set("hang")
        stuck = subprocess.Popen(["stat", str(mount.mount_point / "x")])
        (group / "cgroup.procs").write_text(str(stuck.pid))
        time.sleep(0.5)  # until it asks, and sits there
        try:
            found = aside.submit(seen, os.getpid()).result(SOON_SECONDS)
        finally:
            mount.set("ok")
            there.kill()
            there.wait()
            stuck.wait()
    assert found is not None
    assert str(mount.mount_point) in (found.mounts or [])
