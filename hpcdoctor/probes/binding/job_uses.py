"""Whose is a job, and which GPUs and mounts do its processes use? Without touching any of these.

What a link of /proc says is the kernel's own text: to read it asks no file server and no GPU.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from hpcdoctor.model.text import visible
from hpcdoctor.probes.binding import devices, tasks
from hpcdoctor.probes.binding.cpu_sets import as_numbers
from hpcdoctor.probes.binding.job_cgroups import BASE, Found
from hpcdoctor.probes.binding.numa_nodes import cpu_nodes
from hpcdoctor.probes.files import (
    check_inside,
    list_names,
    read_link_or_none,
    read_text_or_none,
)
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.mount_table import unescape

MOST_PROCESSES = 256  # of all jobs together, some 20 microseconds each
FEW_PROCESSES = 128  # the same where there are no GPUs that only some of them hold
LEAST_PROCESSES = 4  # of each
MOST_FOLDERS = 256  # of one job's cgroup: steps and tasks
MOST_FOLDERS_IN_ALL = 2048  # in a container, the user may make as many as he likes
MOST_OPEN_FILES = 16384  # of all jobs together
MOST_MOUNTS = 16  # that are told of one job
PACKAGES = "jobs.packages"
GPUS = "jobs.gpus"

_USER = re.compile(r"/uid_(\d{1,10})/")
_GPU_FILE = re.compile(r"/dev/nvidia(\d{1,4})")
# NVIDIA's GPUs in a list of what a cgroup may open; 254 and 255 are the driver itself.
_GPU_RULE = re.compile(r"c 195:(\d{1,3}) ")
_FIRST_THAT_IS_NO_GPU = 254
# What every cgroup holds; the few others are asked whether they are folders.
_FILES: tuple[str, ...] = (
    "cgroup.",
    "cpu.",
    "cpuset.",
    "cpuacct.",
    "memory.",
    "io.",
    "pids.",
    "freezer.",
    "rdma.",
)
_FILES += ("hugetlb.", "misc.", "devices.", "blkio.", "net_cls.", "net_prio.", "perf_event.")
# In a container the numbers are those of the image, and no person's.
_CONTAINERS = ("kubernetes",)


class Used(NamedTuple):
    """What could be told of one job."""

    user_id: int | None
    gpus: list[str] | None
    mounts: list[str] | None


class Uses:
    """What the jobs use at one look; what is the same for all of them is read once."""

    def __init__(self, host: Host, jobs: int) -> None:
        self._host = host
        self._proc = str(host.root / "proc")
        self._open_files_left = MOST_OPEN_FILES
        self._folders_left = MOST_FOLDERS_IN_ALL
        self._gpus = _gpus(host)
        most = MOST_PROCESSES if self._gpus else FEW_PROCESSES
        self._share = max(LEAST_PROCESSES, most // max(1, jobs))
        self._mount_points: frozenset[str] | None = None
        self._names: dict[int, str] | None = None
        self._nodes: dict[int, int] | None = None

    def of(self, found: Found) -> Used:
        pids, all_of_them = self._processes(found)
        owners = {pid: tasks.read_user_id(self._proc, pid) for pid in pids}
        container = found.job.scheduler in _CONTAINERS
        user_id = _user_of(found.folder, list(owners.values()))
        # The scheduler's own processes in the job's cgroup are root's.
        own = [pid for pid, owner in owners.items() if container or owner == user_id]
        return Used(
            user_id=None if container else user_id,
            gpus=self._gpus_of(found, own, all_of_them),
            mounts=self._mounts_of(own),
        )

    def name_of(self, user_id: int | None) -> str:
        if user_id is None:
            return ""
        if self._names is None:
            table = read_text_or_none(self._host.root / "etc/passwd") or ""
            self._names = dict(_users(table))
        return self._names.get(user_id, "")

    def packages_of(self, cpus: int) -> list[str] | None:
        known: dict[int, str] = self._host.memory.setdefault(PACKAGES, {})
        for cpu in as_numbers(cpus):
            if cpu not in known:
                folder = self._host.root / f"sys/devices/system/cpu/cpu{cpu}/topology"
                package = read_text_or_none(folder / "physical_package_id")
                if package is None:
                    return None
                known[cpu] = package
        return sorted({known[cpu] for cpu in as_numbers(cpus)})

    def numa_nodes_of(self, cpus: int) -> list[str] | None:
        if self._nodes is None:
            self._nodes = cpu_nodes(self._host)
        numbers = {self._nodes[cpu] for cpu in as_numbers(cpus) if cpu in self._nodes}
        return [f"node{number}" for number in sorted(numbers)] or None

    def _processes(self, found: Found) -> tuple[list[int], bool]:
        """Return the job's processes, and whether these are all; its own are the steps' tasks."""
        pids: list[int] = []
        folders = [found.folder]
        for place, folder in enumerate(folders):  # grows while it is gone through
            if place >= MOST_FOLDERS or not self._folders_left:
                return pids, False
            self._folders_left -= 1
            if found.job.scheduler == "slurm" and folder.endswith("/slurm"):
                continue  # slurmstepd itself, in version 2
            text = read_text_or_none(f"{folder}/cgroup.procs") or ""
            pids += [int(line) for line in text.split() if line.isdecimal()]
            if len(pids) > self._share:
                return pids[: self._share], False
            folders += [f"{folder}/{name}" for name in self._below(folder)]
        return pids, True

    def _below(self, folder: str) -> list[str]:
        names = [name for name in list_names(folder) if not name.startswith(_FILES)]
        return [name for name in names if os.path.isdir(f"{folder}/{name}")]  # noqa: PTH112

    def _gpus_of(self, found: Found, pids: list[int], all_of_them: bool) -> list[str] | None:
        if not self._gpus:
            return None
        given = self._given(found.job.folder)
        if given is not None:
            return given
        held: set[str] = set()
        for pid in pids:
            names = self._open_files(pid)
            all_of_them = all_of_them and names is not None
            for name in names or ():
                number = _GPU_FILE.fullmatch(name)
                if number is not None and int(number[1]) in self._gpus:
                    held.add(self._gpus[int(number[1])])
        return sorted(held) if held or all_of_them else None

    def _given(self, folder: str) -> list[str] | None:
        """Return what version 1's devices allow; None where it allows all, or says nothing.

        Slurm forbids single GPUs and allows the rest, which the kernel shows as allowing all.
        """
        rules = read_text_or_none(f"{self._host.root / BASE}/devices{folder}/devices.list")
        if not rules or rules.startswith("a ") or "\na " in rules or "c 195:* " in rules:
            return None
        numbers = {int(found[1]) for found in _GPU_RULE.finditer(rules)}
        return sorted(
            self._gpus[number]
            for number in numbers
            if number < _FIRST_THAT_IS_NO_GPU and number in self._gpus
        )

    def _open_files(self, pid: int) -> list[str] | None:
        """Return where a process's open files lead; None where they cannot be seen, all of them."""
        folder = f"{self._proc}/{pid}/fd"
        try:
            check_inside(folder)
            names = os.listdir(folder)  # noqa: PTH208
        except OSError:
            return None
        if len(names) > self._open_files_left:
            return None
        self._open_files_left -= len(names)
        links = [read_link_or_none(f"{folder}/{name}") for name in names]
        return [link for link in links if link is not None]

    def _mounts_of(self, pids: list[int]) -> list[str] | None:
        places = {read_link_or_none(f"{self._proc}/{pid}/cwd") for pid in pids}
        known = {place for place in places if place is not None and place.startswith("/")}
        if not known:
            return None
        if self._mount_points is None:
            self._mount_points = frozenset(_mount_points(self._host))
        found = {self._mount_of(place) for place in known}
        return [visible(mount, 200) for mount in sorted(found - {""})][:MOST_MOUNTS]

    def _mount_of(self, place: str) -> str:
        """Return the mount point that a path lies below; the path itself is never told."""
        points = self._mount_points or frozenset()
        while place not in points:
            if place in ("", "/"):
                return ""
            place = place.rpartition("/")[0] or "/"
        return place


def _gpus(host: Host) -> dict[int, str]:
    """Return the address of each GPU by the driver's number; asked once: both stay."""
    names = list_names(host.root / "proc/driver/nvidia/gpus")
    if not names:
        return {}
    known: tuple[list[str], dict[int, str]] | None = host.memory.get(GPUS)
    if known is None or known[0] != names:
        found = {
            gpu.minor: gpu.name.removeprefix("GPU ").rpartition(".")[0]
            for gpu in devices.read_gpus(host)
            if gpu.minor is not None
        }
        known = host.memory[GPUS] = (names, found)
    return known[1]


def _user_of(folder: str, owners: list[int | None]) -> int | None:
    """Return whose job it is: by the name of its cgroup, else by its processes, root's last."""
    named = _USER.search(folder)
    if named is not None:
        return int(named[1])
    counted = Counter(owner for owner in owners if owner is not None)
    persons = [owner for owner, _ in counted.most_common() if owner != 0]
    return persons[0] if persons else next(iter(counted), None)


def _users(table: str) -> Iterator[tuple[int, str]]:
    for line in table.splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdecimal():
            yield int(fields[2]), visible(fields[0], 64)


def _mount_points(host: Host) -> Iterator[str]:
    proc = host.root / "proc"
    table = read_text_or_none(proc / "1/mountinfo") or read_text_or_none(proc / "self/mountinfo")
    for line in (table or "").splitlines():
        fields = line.split(" ", 5)
        if len(fields) > 5:
            yield unescape(fields[4])
