"""Which jobs are on this machine, as their cgroups tell? No question to any scheduler.

Source:  the folders of jobs below /sys/fs/cgroup, of every scheduler that model/job.py knows
Units:   none
Cost:    some hundred listings of folders at most (class a); touches no hardware
Absent:  where the machine has no cgroups
Trust:   only root can make a cgroup of a job
"""

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.binding import job_cgroups
from hpcdoctor.probes.host import Host


class JobHere(Reading, frozen=True):
    """One job."""

    job: str
    scheduler: str


def read(host: Host) -> list[JobHere]:
    if not (host.root / job_cgroups.BASE).is_dir():
        raise Absent("this machine has no cgroups")
    return [JobHere(job.id, job.scheduler) for job in job_cgroups.jobs(host)]
