"""How does the kernel itself stand: is it tainted, and how near are its tables to their end?

Source:  /proc/sys/kernel/tainted, /proc/sys/fs/file-nr, /proc/loadavg, /proc/stat,
         /proc/sys/net/netfilter/nf_conntrack_{count,max}, /proc/sys/kernel/hung_task_detect_count
Units:   shares from 0 to 1; the count of hung tasks since boot
Cost:    six small files (class a)
Absent:  never on Linux
"""

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import list_folders, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

# Bits that say that something went wrong (kernel: admin-guide/tainted-kernels.rst).
TROUBLE = {4: "machine check", 5: "bad page", 7: "oops", 14: "soft lockup"}


class KernelState(Reading, frozen=True):
    """The kernel as a whole."""

    tainted: int | None
    trouble: list[str]  # what the taint says went wrong since boot; a vendor's module is none
    open_files_ratio: float | None  # of what the system allows
    connections_ratio: float | None  # of the table of tracked connections; None: not tracked
    load_per_cpu: float | None  # over a minute; counts those that wait for a disk, too
    hung_tasks_total: int | None  # None before Linux 6.19 or so


def read(host: Host) -> list[KernelState]:
    root = host.root
    if not (root / "proc/sys/kernel").is_dir() and not (root / "proc/loadavg").exists():
        raise Absent("there is nothing of the kernel's state here")
    tainted = read_int_or_none(root / "proc/sys/kernel/tainted")
    files = (read_text_or_none(root / "proc/sys/fs/file-nr") or "").split()
    tracked = root / "proc/sys/net/netfilter"
    cpus = sum(f.name[3:].isdigit() for f in list_folders(root / "sys/devices/system/cpu", "cpu"))
    load = (read_text_or_none(root / "proc/loadavg") or "").split()
    return [
        KernelState(
            tainted=tainted,
            trouble=[word for bit, word in TROUBLE.items() if tainted and tainted >> bit & 1],
            open_files_ratio=_ratio(files[0], files[2]) if len(files) == 3 else None,
            connections_ratio=_ratio(
                read_text_or_none(tracked / "nf_conntrack_count"),
                read_text_or_none(tracked / "nf_conntrack_max"),
            ),
            load_per_cpu=_ratio(load[0], str(cpus)) if load and cpus else None,
            hung_tasks_total=read_int_or_none(root / "proc/sys/kernel/hung_task_detect_count"),
        )
    ]


def _ratio(part: str | None, whole: str | None) -> float | None:
    try:
        return float(part or "") / float(whole or "")
    except (ValueError, ZeroDivisionError):
        return None
