"""Which jobs are on this machine, whose are they, and which CPUs, GPUs and mounts do they use?

Source:  the cgroups of jobs below /sys/fs/cgroup, of every scheduler that model/job.py knows;
         of their processes /proc/PID/{status,cwd} and, where there are GPUs, what is open there
Units:   none
Cost:    some hundred listings of folders, at most 256 processes, or 4 of each of very many jobs,
         and 16,384 open files (class a: 0.1 ms without jobs, 2 to 6 ms on a full node);
         touches no hardware and no file system but the kernel's own
Absent:  where the machine has no cgroups
Trust:   only root can make a cgroup of a job. What a job's processes have open and where they work
         is its user's doing: by that a job can put itself on a GPU or a mount, and no other job

No scheduler is asked, and no environment is read: it is the user's word, and the kernel takes the
process's memory lock for it, which a hung file system can hold for ever. To read where a link of
/proc leads is no look at what is there.
"""

from hpcdoctor.model.job import JobHere
from hpcdoctor.model.reading import Absent
from hpcdoctor.model.text import visible
from hpcdoctor.probes.binding import job_cgroups, job_uses
from hpcdoctor.probes.binding.cpu_sets import as_text
from hpcdoctor.probes.host import Host


def read(host: Host) -> list[JobHere]:
    if not (host.root / job_cgroups.BASE).is_dir():
        raise Absent("this machine has no cgroups")
    found = job_cgroups.found(host)
    if not found:
        return []
    cgroups = job_cgroups.JobCgroups(host)
    uses = job_uses.Uses(host, jobs=len(found))
    readings = []
    for each in found:
        seen, cpus = uses.of(each), cgroups.cpus_of(each.job)
        readings.append(
            JobHere(
                job=visible(each.job.id, 100),
                scheduler=each.job.scheduler,
                user_id=seen.user_id,
                user=uses.name_of(seen.user_id),
                cpus=as_text(cpus) if cpus else None,
                packages=uses.packages_of(cpus) if cpus else None,
                numa_nodes=uses.numa_nodes_of(cpus) if cpus else None,
                gpus=seen.gpus,
                mounts=seen.mounts,
            )
        )
    return readings
