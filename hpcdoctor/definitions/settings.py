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

    nodes: int = 1
    share_ratio: float = 0.02


class Slurm(_Section, frozen=True, kw_only=True):
    """How to reach Slurm."""

    node_name: str | None = None  # default: the node whose NodeHostName is this host's name
    conf: str | None = None  # SLURM_CONF; default: Slurm's own search
    programs: str | None = None  # folder of scontrol and sinfo; default: the system's PATH


class Mqtt(_Section, frozen=True, kw_only=True):
    """The broker; no events leave the node without one."""

    host: str
    port: int = 1883
    ca_file: str | None = None  # TLS is used when this is set
    cert_file: str | None = None
    key_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    keepalive_seconds: int = 60


class Metrics(_Section, frozen=True, kw_only=True):
    """/metrics and /healthz over HTTP; off unless this section exists."""

    address: str = "127.0.0.1"
    port: int = 9735


class Settings(_Section, frozen=True, kw_only=True):
    """hpcdoctor.yaml; every key may be left out."""

    cluster: str = "cluster"
    node: str | None = None  # default: the host name up to the first dot
    mode: Mode = Mode.SHADOW
    authority: Authority = Authority.NODE
    scheduler: SchedulerName = SchedulerName.NONE
    slurm: Slurm = Slurm()
    limit: Limit = Limit()
    remediations: list[str] = []  # none runs until it is named here
    mqtt: Mqtt | None = None
    metrics: Metrics | None = None
    profile: str | None = None  # name of a file in profiles/
    tick: str = "5s"
    probation: str = "24h"
    boot_quiet: str = "10m"
    spool_age: str = "7d"
    spool_size: str = "64MiB"
    user: str = "hpcdoctor"  # of the daemon
    run_directory: str = "/run/hpcdoctor"
    state_directory: str = "/var/lib/hpcdoctor"
    helper_state_directory: str = "/var/lib/hpcdoctor-helper"

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
