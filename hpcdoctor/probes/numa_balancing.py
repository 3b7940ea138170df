"""Does the kernel move memory about after the threads that use it? One reading of the machine.

Source:  /proc/sys/kernel/numa_balancing, /proc/vmstat, the names of the jobs' cgroups
Units:   pages and faults since boot
Cost:    (a) one small file; where balancing is on, /proc/vmstat and some listings of folders
Absent:  where one NUMA node has all cpus, or the kernel cannot balance

A hint fault samples an access: the kernel takes pages away for a moment, to see who comes for them.
"""

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.binding.job_cgroups import jobs
from hpcdoctor.probes.binding.numa_nodes import balances, why_one_place
from hpcdoctor.probes.files import read_text_or_none
from hpcdoctor.probes.host import Host


class Balancing(Reading, frozen=True):
    enabled: bool
    jobs: int | None  # that have a cgroup here; None: not counted, since it is off
    pte_updates_total: int | None  # these are None where it is off
    hint_faults_total: int | None
    hint_faults_local_total: int | None
    pages_migrated_total: int | None
    migrations_failed_total: int | None  # of pages, for whatever reason


def read(host: Host) -> list[Balancing]:
    why_not = why_one_place(host)
    if why_not is not None:
        raise Absent(f"{why_not}, so there is nothing to balance")
    enabled = balances(host)
    if enabled is None:
        raise Absent("this kernel has no automatic NUMA balancing")
    text = (read_text_or_none(host.root / "proc/vmstat") or "") if enabled else ""
    return [
        Balancing(
            enabled=enabled,
            jobs=len(jobs(host)) if enabled else None,
            pte_updates_total=counter(text, "numa_pte_updates"),
            hint_faults_total=counter(text, "numa_hint_faults"),
            hint_faults_local_total=counter(text, "numa_hint_faults_local"),
            pages_migrated_total=counter(text, "numa_pages_migrated"),
            migrations_failed_total=counter(text, "pgmigrate_fail"),
        )
    ]


def counter(text: str, name: str) -> int | None:
    """Return one number of /proc/vmstat, looked up by its name."""
    place = text.find(f"\n{name} ")
    number = text[place + len(name) + 2 :].partition("\n")[0] if place >= 0 else ""
    return int(number) if number.isdecimal() else None
