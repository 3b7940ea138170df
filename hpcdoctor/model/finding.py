"""What a check concludes: a verdict on one thing, with its evidence."""

from enum import StrEnum

import msgspec

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.job import AffectedJob
from hpcdoctor.model.reading import Value


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


# The order in which the worst verdict of several is found.
RANK = {Verdict.OK: 0, Verdict.WARNING: 1, Verdict.UNKNOWN: 2, Verdict.CRITICAL: 3}
EXIT_CODE = {Verdict.OK: 0, Verdict.WARNING: 1, Verdict.CRITICAL: 2, Verdict.UNKNOWN: 3}


class Cause(StrEnum):
    NODE = "node"
    SHARED = "shared"  # mount, fabric, time, license, scheduler, names: many nodes see the same
    JOB = "job"


class Evidence(msgspec.Struct, frozen=True):
    """One fact behind a finding: the reading, or the line of the kernel log."""

    taken: Instant
    text: str
    values: dict[str, Value] = {}


class Finding(msgspec.Struct, frozen=True):
    """One check's verdict on one thing, open until it clears."""

    check: str
    subject: dict[str, str]  # the fields named by `per:`, as text; empty for the whole node
    verdict: Verdict
    cause: Cause
    summary: str
    since: Instant
    object: str = ""  # the thing, short, as a technician finds it: "GPU3", "CPU0_DIMM_A1"
    label: str = ""  # what is wrong with it in two words, for the reason at the scheduler
    count: int = 1  # of records in the kernel log that made it
    last_seen: Instant | None = None
    evidence: list[Evidence] = []
    why: str = ""
    next_steps: list[str] = []
    caused_by: str | None = None  # key of the finding that explains this one
    acknowledged_by: str | None = None  # a person's release; drives no decision any more
    # Those that were there when it opened, or came since; None: jobs cannot be seen here.
    jobs: list[AffectedJob] | None = None

    @property
    def key(self) -> str:
        """Name this finding: the check, and the subject where there is one."""
        return finding_key(self.check, self.subject)


def finding_key(check: str, subject: dict[str, str]) -> str:
    if not subject:
        return check
    return check + "[" + ",".join(f"{name}={value}" for name, value in subject.items()) + "]"


class Outcome(msgspec.Struct, frozen=True):
    """How one check ended this time: a verdict, or skipped with the reason."""

    check: str
    verdict: Verdict | None  # None: skipped
    reason: str = ""  # why skipped or unknown; empty for ok
    subjects: int = 0  # how many things were looked at


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the node's verdict: critical, else unknown, else warning, else ok.

    Where nothing could be judged, nothing is known.
    """
    return max(verdicts, key=RANK.__getitem__, default=Verdict.UNKNOWN)
