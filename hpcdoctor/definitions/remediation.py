"""What does a remediation file say? The shape of remediations/<name>.yaml."""

import re
from enum import StrEnum

import msgspec

from hpcdoctor.model.decision import Mode
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.quantity import parse_duration

LIMIT = re.compile(r"([1-9][0-9]{0,3}) per ([1-9][0-9]{0,5}[mhd])")


class Disrupts(StrEnum):
    NOTHING = "nothing"
    GPU = "gpu"  # waits until no process holds this GPU
    NODE = "node"  # waits until the node is drained


class Proven(StrEnum):
    """On what it has been tried; only `real` acts without the site's `trust: unproven`."""

    REAL = "real"
    RECORDING = "recording"
    STAND_IN = "stand-in"


class Trust(StrEnum):
    """What a site may add to a remediation that was tried on stand-ins only."""

    PROVEN = "proven"  # as shipped: it acts only where it was tried on the real thing
    UNPROVEN = "unproven"


class BuiltIn(StrEnum):
    """What a step can `do:`; each is a file in hpcdoctor/actions/steps/."""

    CLEAR_LEFTOVERS = "clear-leftovers"
    GPU_FREE = "gpu-free"
    REBOOT = "reboot"
    SCHEDULER_REBOOT = "scheduler-reboot"
    START_GPU_SERVICES = "start-gpu-services"
    STOP_GPU_SERVICES = "stop-gpu-services"


# What an argument may hold in braces: found on the machine itself before it is used.
PLACES = frozenset({"pci_address", "device", "port", "mount_point", "unit"})


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One step: a built-in by name, or a program with its arguments; never a shell."""

    do: BuiltIn | None = None  # what hpcdoctor can do by itself
    run: list[str] | None = None  # a program with its arguments; {pci_address} is filled in
    timeout: str = "1m"  # then it has failed
    may_fail: bool = False  # the next step is taken all the same


class Verify(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What must hold afterwards, besides the findings that asked for the repair."""

    all: dict[str, Verdict] = {}  # checks that have to find this
    within: str = "5m"  # long enough for every check named to look again


class Remediation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to repair, verify, and when to stop."""

    remediation: str  # its name, which is the file's
    summary: str  # what it does, in one line
    disrupts: Disrupts  # what it has to wait for
    steps: list[Step]  # in this order, each once
    # steps that are taken at the end, also after one that failed
    last: list[Step] = msgspec.field(name="finally", default_factory=list)
    verify: Verify | None = None  # what must hold afterwards
    limit: str  # how often it may run: "1 per 24h"
    enabled: bool = True
    mode: Mode = Mode.ACT  # the site's mode, the rule's and this one: the weakest holds
    proven: Proven = Proven.STAND_IN  # on what it has been tried
    trust: Trust = Trust.PROVEN  # `unproven` lets one act that was tried on stand-ins only
    see: str | list[str] = ""  # pages that say more

    @property
    def limit_of(self) -> tuple[int, float]:
        """Return (2, 604800.0) for `2 per 7d`; knowledge.py has refused every other form."""
        match = LIMIT.fullmatch(self.limit)
        return (int(match[1]), parse_duration(match[2])) if match else (0, 0.0)
