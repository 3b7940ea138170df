"""Which job does a process belong to? The answer stands in its cgroup path, or in its environment.

The cgroup is the scheduler's word. The environment is the user's, and is asked second.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from hpcdoctor.model.reading import Reading


class Job(msgspec.Struct, frozen=True):
    """Where a process stands among the node's jobs."""

    scheduler: str = ""  # "slurm", "pbs", "torque", "kubernetes", "lsf"
    id: str = ""  # "" where the process belongs to none
    step: str = ""
    task: str = ""  # the rank within the step, where the scheduler has a cgroup for it
    folder: str = ""  # the job's own cgroup: its cpuset is there
    step_folder: str = ""  # the step's, where the scheduler has one
    controller: str = ""  # of these folders: "cpuset" in cgroup v1, "" in v2
    service: bool = False  # the machine's own: a system service, or the scheduler's own process


NO_JOB = Job()


class JobHere(Reading, frozen=True):
    """A job on this machine, as probes/jobs.py sees it. `None`: it cannot be told."""

    job: str
    scheduler: str
    user_id: int | None = None
    user: str = ""  # by /etc/passwd; a name service is not asked, since it may hang
    cpus: str | None = None  # "0-31", of its cgroup
    packages: list[str] | None = None  # the sockets that these are on: "0", as firmware counts them
    numa_nodes: list[str] | None = None  # "node0"
    gpus: list[str] | None = None  # "0000:3b:00": given by its cgroup, else opened by its processes
    mounts: list[str] | None = None  # mount points below which its processes work


class Place(StrEnum):
    """How near a job is to what a finding is about."""

    JOB = "job"  # the finding is about this job
    GPU = "gpu"  # it has this GPU
    CPUS = "cpus"  # it may run on these CPUs: of this socket, this NUMA node
    MOUNT = "mount"  # its processes work below this mount point
    NODE = "node"  # it runs on this node; nothing nearer is known, or there is nothing nearer


# For sentences, after the job: "job 4711 of anna, on this GPU".
NEARNESS = {
    Place.JOB: "which it is about",
    Place.GPU: "on this GPU",
    Place.CPUS: "on these CPUs",
    Place.MOUNT: "at work below this mount",
    Place.NODE: "on this node",
}


class AffectedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that something wrong may concern, as findings and events carry it."""

    job: str
    scheduler: str
    on: Place = Place.NODE
    user: str = ""  # by this machine's own /etc/passwd; "" where that does not know the number
    user_id: int | None = None
    ended: bool = False  # it was there, and is no more


_END = r"(?=/|$)"
# One pattern a batch system; each also matches below a prefix, as inside a container.
_PATTERNS = [
    (
        "slurm",  # v1: /slurm/uid_0/job_1/step_0/task_0; v2: .../slurmstepd.scope/job_1/step_0/...
        re.compile(
            r".*?/(?:slurm(?:_[^/]+)?/uid_\d+|(?:[^/]+_)?slurmstepd\.scope)"
            r"/job_(?P<id>\d[\w+]*)" + _END
        ),
    ),
    (
        "pbs",  # "jobid" in v1, "jobs" in v2
        re.compile(r".*?/pbs(?:_jobs|pro)[^/]*/(?:jobid|jobs)/(?P<id>\d[^/]*)" + _END),
    ),
    (
        "pbs",  # the folder above is a setting; then the form of the id has to tell
        re.compile(r".*?/[^/]+/(?:jobid|jobs)/(?P<id>\d+(?:\[\d*\])?\.[^/]+)" + _END),
    ),
    ("pbs", re.compile(r".*?/pbspro\.slice/pbspro-(?P<id>\d[^/]*)\.slice" + _END)),
    ("torque", re.compile(r".*?/torque/(?P<id>\d[^/]*)" + _END)),
    (
        "kubernetes",  # every part may carry the kubelet's prefix; "_" stands for "-" in slices
        re.compile(
            r".*?kubepods.*?pod(?P<id>[0-9a-f][0-9a-f_-]{30,34}[0-9a-f])(?:\.slice)?" + _END
        ),
    ),
    ("lsf", re.compile(r".*?/lsf/[^/]+/job\.(?P<id>\d+(?:\[\d+\])?)[^/]*" + _END)),
]
_STEP = re.compile(
    r"(?P<folder>/step_(?P<step>[\w+]+))(?:/(?P<part>user|slurm))?(?:/task_(?P<task>\w+))?(?=/|$)"
)
_SLURM_OWN = re.compile(r".*?/slurmstepd\.scope/system(?=/|$)")
_SERVICES = ("/system.slice/", "/init.scope")

# Which of v1's hierarchies tells best; "" is v2, whose empty path on a hybrid machine loses.
_ORDER = ("cpuset", "memory", "name=systemd", "", "cpu", "freezer", "devices", "pids")


def parse_cgroup(text: str) -> Job:
    """Return the job of a process from the text of /proc/PID/cgroup."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, separator, rest = line.partition(":")
        controllers, second, path = rest.partition(":")
        if separator and second:
            for controller in controllers.split(","):
                paths.setdefault(controller, path)
    for controller in _ORDER:
        job = parse_path(paths.get(controller, ""), controller)
        if job.id:
            return job
    service = any(
        path.startswith(_SERVICES) or _SLURM_OWN.match(path) is not None for path in paths.values()
    )
    return Job(service=True) if service else NO_JOB


def parse_path(path: str, controller: str = "") -> Job:
    """Return the job of one cgroup path; below user.slice, users make the names themselves."""
    if path.startswith("/user.slice/"):
        return NO_JOB
    for scheduler, pattern in _PATTERNS:
        found = pattern.match(path)
        if found is None:
            continue
        rest = path[found.end() :]
        step = _STEP.match(rest) if scheduler == "slurm" else None
        return Job(
            scheduler=scheduler,
            id=clean_id(scheduler, found["id"]),
            step=(step["step"] or "") if step else "",
            task=(step["task"] or "") if step else "",
            folder=found[0],
            step_folder=found[0] + step["folder"] if step else "",
            controller=controller,
            service=step is not None and step["part"] == "slurm",
        )
    return NO_JOB


def clean_id(scheduler: str, text: str) -> str:
    """Return the id as the scheduler's own commands print it."""
    if scheduler == "kubernetes":
        return text.replace("_", "-")
    return re.sub(r"\\x([0-9a-f]{2})", lambda byte: chr(int(byte[1], 16)), text)


JOB_VARIABLES = {"SLURM_JOB_ID": "slurm", "PBS_JOBID": "pbs", "LSB_JOBID": "lsf"}
STEP_VARIABLE = "SLURM_STEP_ID"
# The launcher that started the rank itself comes first: inside `srun mpirun` both are set.
LAUNCHER_VARIABLES = {
    "OMPI_COMM_WORLD_LOCAL_RANK": "local rank",
    "MPI_LOCALRANKID": "local rank",
    "LOCAL_RANK": "local rank",
    "PMI_RANK": "rank",
}
SLURM_RANK_VARIABLES = {"SLURM_PROCID": "rank", "SLURM_LOCALID": "local rank"}
# In these steps every process inherits the numbers of the one shell that the scheduler started.
STEPS_WITHOUT_RANKS = ("batch", "extern", "interactive")
# All ranks of the program, and those on this node.
SIZE_VARIABLES = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_SIZE", "MPI_LOCALNRANKS"),
)
NODES_VARIABLE = "SLURM_NNODES"
GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"
# The GPUs that were given, by the scheduler's numbers: inside the job they may be counted anew.
GPU_VARIABLES = (GPU_VARIABLE, "SLURM_STEP_GPUS", "SLURM_JOB_GPUS")

_NUMBERS = (
    *JOB_VARIABLES,
    STEP_VARIABLE,
    *LAUNCHER_VARIABLES,
    *SLURM_RANK_VARIABLES,
    *(name for names in SIZE_VARIABLES for name in names),
    NODES_VARIABLE,
)
_NAMED = re.compile(
    rb"(?:^|\0)(" + "|".join((*_NUMBERS, *GPU_VARIABLES)).encode() + rb")=([^\0]{0,1024})(?=\0|$)"
)
_NUMBER = re.compile(rb"[\w.\[\]-]{1,64}")
_DEVICES = re.compile(rb"[\w.,:/-]{0,1024}")


def parse_environment(environment: bytes) -> dict[str, str]:
    """Return the variables that tell of job, rank and GPUs, and no other: they hold secrets."""
    found: dict[str, str] = {}
    for entry in _NAMED.finditer(environment):
        name, value = entry[1].decode(), entry[2]
        form = _DEVICES if name in GPU_VARIABLES else _NUMBER
        if form.fullmatch(value):
            found.setdefault(name, value.decode("ascii"))
    return found


def job_of_environment(variables: Mapping[str, str]) -> Job:
    for name, scheduler in JOB_VARIABLES.items():
        if name in variables:
            step = variables.get(STEP_VARIABLE, "") if scheduler == "slurm" else ""
            return Job(scheduler=scheduler, id=variables[name], step=step)
    return NO_JOB


def rank_of_environment(variables: Mapping[str, str], step: str = "") -> str:
    """Return "rank 3", or "" where no launcher has numbered the process."""
    known = dict(LAUNCHER_VARIABLES)
    if step not in STEPS_WITHOUT_RANKS:
        known |= SLURM_RANK_VARIABLES
    for name, word in known.items():
        if name in variables:
            return f"{word} {variables[name]}"
    return ""


def spans_nodes(variables: Mapping[str, str]) -> bool | None:
    """Tell whether the program runs on other nodes too; None: nothing says so."""
    for every, here in SIZE_VARIABLES:
        if every in variables and here in variables:
            return variables[every] != variables[here]
    nodes = variables.get(NODES_VARIABLE)
    return None if nodes is None else nodes != "1"
