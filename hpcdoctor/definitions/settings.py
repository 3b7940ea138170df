"""What can a site set? The shape of hpcdoctor.yaml, with the defaults."""

from enum import StrEnum
from pathlib import Path

import msgspec

from hpcdoctor.model.decision import Mode

CONFIGURATION = Path("/etc/hpcdoctor")


class Authority(StrEnum):
    NODE = "node"  # this node's helper drains, within the local limit
    FLEET = "fleet"  # the fleet controller drains and grants
    CONSUMER = "consumer"  # somebody else's program reads the quarantine and drains


class SchedulerName(StrEnum):
    NONE = "none"
    SLURM = "slurm"


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One mapping of the file; an unknown key is an error, never ignored."""


class Limit(_Section, frozen=True, kw_only=True):
    """How many nodes of a partition may be out by hpcdoctor: the larger of the two."""

    nodes: int = 1  # always allowed
    share_ratio: float = 0.02  # of the nodes of the partition


class Slurm(_Section, frozen=True, kw_only=True):
    """How to reach Slurm."""

    node_name: str | None = None  # default: the node whose NodeHostName is this host's name
    conf: str | None = None  # SLURM_CONF; default: Slurm's own search
    programs: str | None = None  # folder of scontrol and sinfo; default: the system's PATH
    token_file: str | None = None  # a JSON web token for Slurm, in a file only root can read
    grace: str = "5m"  # under `drain-now`: from the signal until the jobs are requeued
    grace_signal: str = "TERM"  # what asks a job to checkpoint: TERM, USR1, USR2, INT, HUP or CONT


class Mqtt(_Section, frozen=True, kw_only=True):
    """The broker; no events leave the node without one."""

    host: str
    port: int = 1883
    ca_file: str | None = None  # TLS is used when this is set
    cert_file: str | None = None  # the node's own, where the broker asks for one
    key_file: str | None = None  # goes with cert_file
    username: str | None = None
    password_file: str | None = None
    keepalive_seconds: int = 60  # how soon the broker notices that this node is gone


class Metrics(_Section, frozen=True, kw_only=True):
    """/metrics and /healthz over HTTP; off unless this section exists."""

    address: str = "127.0.0.1"
    port: int = 9735


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Maintenance(_Section, frozen=True, kw_only=True):
    """A time in which people work on the node: nothing is drained or repaired meanwhile."""

    why: str  # shown wherever the node's state is
    start: str | None = msgspec.field(name="from", default=None)  # 2026-12-01T08:00, local time
    until: str | None = None  # as `from`
    every: str | None = None  # or each week: "sat 02:00", with `for`
    lasts: str | None = msgspec.field(name="for", default=None)  # 4h, at most 7d


class Settings(_Section, frozen=True, kw_only=True):
    """hpcdoctor.yaml; every key may be left out."""

    cluster: str = "cluster"  # as it stands in the topics of the broker
    node: str | None = None  # default: the host name up to the first dot
    mode: Mode = Mode.SHADOW  # how far any rule may go on this node
    authority: Authority = Authority.NODE  # who drains: this node, the fleet, somebody else
    scheduler: SchedulerName = SchedulerName.NONE  # what drains and resumes
    slurm: Slurm = Slurm()
    limit: Limit = Limit()
    maintenance: list[Maintenance] = []  # when nothing is drained or repaired
    remediations: list[str] = []  # none runs until it is named here
    act_without_fleet: list[str] = []  # rules that may drain where the fleet does not answer
    fleet_patience: str = "5m"  # how long a request may go unanswered before it counts as away
    mqtt: Mqtt | None = None
    metrics: Metrics | None = None
    profile: str | None = None  # name of a file in profiles/
    tick: str = "5s"  # between two looks; each check comes in multiples of it
    probation: str = "24h"  # back in service and watched; a repeat goes on where it stopped
    spool_age: str = "7d"  # how long events are kept that nobody has acknowledged
    spool_size: str = "64MiB"  # how much of them; beyond it, readings and findings go first
    record_age: str = "14d"  # how long the probes' readings are kept, for `hpcdoctor replay`
    record_size: str = "64MiB"  # how much of them; 0B: none; a store in memory keeps an eighth
    user: str = "hpcdoctor"  # of the daemon
    run_directory: str = "/run/hpcdoctor"  # of the sockets
    state_directory: str = "/var/lib/hpcdoctor"  # of the daemon's database
    helper_state_directory: str = "/var/lib/hpcdoctor-helper"  # of the helper's journal

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
