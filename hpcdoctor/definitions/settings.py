"""What can a site set? The shape of hpcdoctor.yaml, with the defaults."""

from enum import StrEnum
from pathlib import Path

import msgspec

from hpcdoctor.model.decision import Mode

CONFIGURATION = Path("/etc/hpcdoctor")
CREDENTIAL = "credential:"  # a file that systemd hands over: LoadCredential= of the unit


class Authority(StrEnum):
    NODE = "node"  # this node's helper drains, within the local limit
    FLEET = "fleet"  # the fleet controller drains and grants
    CONSUMER = "consumer"  # somebody else's program reads the quarantine and drains


class SchedulerName(StrEnum):
    NONE = "none"
    SLURM = "slurm"


class TellJobs(StrEnum):
    NO_ONE = "no-one"
    COMMENT = "comment"  # the reason of the drain goes into each job's AdminComment


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One mapping of the file; an unknown key is an error, never ignored."""


class Limit(_Section, frozen=True, kw_only=True):
    """How many nodes of a partition may be out by hpcdoctor: the larger of the two."""

    nodes: int = 1  # so many are always allowed
    share_ratio: float = 0.02  # so large a share of the nodes of the partition


class Slurm(_Section, frozen=True, kw_only=True):
    """How to reach Slurm."""

    # as Slurm names it: "n017"; default: the one whose NodeHostName is ours
    node_name: str | None = None
    conf: str | None = None  # SLURM_CONF, "/etc/slurm/slurm.conf"; default: Slurm's own search
    programs: str | None = None  # folder of scontrol, "/opt/slurm/bin"; default: the system's PATH
    # a JSON web token for Slurm, in a file only root can read: "/etc/hpcdoctor/slurm.token"
    token_file: str | None = None
    grace: str = "5m"  # under `drain-now`: from the signal until the jobs are requeued
    grace_signal: str = "TERM"  # what asks a job to checkpoint: TERM, USR1, USR2, INT, HUP or CONT
    tell_jobs: TellJobs = TellJobs.NO_ONE  # whether jobs on a drained node are told why, and how


class Mqtt(_Section, frozen=True, kw_only=True):
    """The broker; no events leave the node without one."""

    host: str  # its name or address: "broker.example.org"
    port: int = 1883  # of the broker; 8883 is usual with TLS
    ca_file: str | None = None  # TLS is used when this is set: "/etc/hpcdoctor/ca.pem"
    cert_file: str | None = None  # the node's own, if one is asked for: "/etc/hpcdoctor/node.pem"
    # the key of cert_file: "/etc/hpcdoctor/node.key", or `credential:NAME`
    key_file: str | None = None
    username: str | None = None  # where the broker asks for a name: "n017"
    # whose one line it is: "/etc/hpcdoctor/mqtt.password", or as key_file
    password_file: str | None = None
    keepalive_seconds: int = 60  # how soon the broker notices that this node is gone


DEFAULT_PORT = 9735


class Metrics(_Section, frozen=True, kw_only=True):
    """/metrics and /healthz over HTTP, or a textfile; off unless this section exists."""

    address: str = "127.0.0.1"  # of this machine alone; 0.0.0.0: of all its addresses
    port: int | None = None  # default: 9735, and none where there is a textfile
    # ends in .prom, in a folder that the daemon's user may write into: "/var/lib/prom/hpc.prom"
    textfile: str | None = None

    @property
    def http_port(self) -> int | None:
        """Return the port to serve at; None: there is no server."""
        return DEFAULT_PORT if self.port is None and self.textfile is None else self.port


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Maintenance(_Section, frozen=True, kw_only=True):
    """A time in which people work on the node: nothing is drained or repaired meanwhile."""

    why: str  # shown wherever the node's state is: "patches"
    # once: "2026-12-01T08:00", local time
    start: str | None = msgspec.field(name="from", default=None)
    until: str | None = None  # goes with `from`: "2026-12-01T18:00"
    every: str | None = None  # or each week: "sat 02:00", local time
    # goes with `every`: "4h", at most 7d
    lasts: str | None = msgspec.field(name="for", default=None)


class Settings(_Section, frozen=True, kw_only=True):
    """hpcdoctor.yaml; every key may be left out."""

    cluster: str = "cluster"  # its name, as it stands in the topics of the broker
    node: str | None = None  # its name: "n017"; default: the host name up to the first dot
    mode: Mode = Mode.SHADOW  # how far any rule may go on this node
    authority: Authority = Authority.NODE  # who drains: this node, the fleet, somebody else
    scheduler: SchedulerName = SchedulerName.NONE  # what drains and resumes
    slurm: Slurm = Slurm()
    limit: Limit = Limit()
    maintenance: list[Maintenance] = []  # when nothing is drained or repaired
    remediations: list[str] = []  # none runs until it is named here: "gpu-reset"
    act_without_fleet: list[str] = []  # rules that may drain where the fleet does not answer
    fleet_patience: str = "5m"  # how long a request may go unanswered before it counts as away
    mqtt: Mqtt | None = None
    metrics: Metrics | None = None
    profile: str | None = None  # what the node is made of; a file in profiles/: "cpu-only"
    tick: str = "5s"  # between two looks; each check comes in multiples of it
    probation: str = "24h"  # back in service and watched; a repeat goes on where it stopped
    spool_age: str = "7d"  # how long events are kept that nobody has acknowledged
    spool_size: str = "64MiB"  # how many events; beyond it, readings and findings go first
    record_age: str = "14d"  # how long the probes' readings are kept, for `hpcdoctor replay`
    record_size: str = "64MiB"  # how many readings; 0B: none; a store in memory keeps an eighth
    probe_cost_ratio: float = 0.02  # so much of one CPU may all probes use unremarked
    user: str = "hpcdoctor"  # whom the daemon runs as
    run_directory: str = "/run/hpcdoctor"  # folder of the sockets
    state_directory: str = "/var/lib/hpcdoctor"  # folder of the daemon's database
    helper_state_directory: str = "/var/lib/hpcdoctor-helper"  # folder of the helper's journal

    @property
    def control_socket(self) -> Path:
        return Path(self.run_directory) / "control.sock"

    # These two are not inside the daemon's own folder: it must not be able to replace them.
    @property
    def prober_socket(self) -> Path:
        return Path(self.run_directory + "-prober.sock")

    @property
    def helper_socket(self) -> Path:
        return Path(self.run_directory + "-helper.sock")
