"""What does a check file say? The shape of checks/<part>/<name>.yaml."""

from enum import StrEnum

import msgspec

from hpcdoctor.model.finding import Cause

REBOOT = "reboot"
BY_HAND = "by-hand"


class Proven(StrEnum):
    """On what a check was last seen to fire."""

    REAL = "real"  # a real fault, or the kernel's own report of an injected one
    RECORDING = "recording"  # what a real machine with the fault once said
    STAND_IN = "stand-in"  # input that we made after the documentation


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the check reaches one verdict."""

    when: str  # an expression over the reading's fields
    hold: str = msgspec.field(name="for", default="0s")
    label: str = ""  # two or three words for the reason at the scheduler


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a reading is wrong."""

    check: str
    summary: str
    probe: str
    every: str
    enabled: bool = True
    per: str | list[str] = []
    object: str = ""
    where: str | None = None
    expected: str | None = None  # dotted name in the profile; then an absent source is critical
    catalog: dict[str, str] = {}  # catalogue: the field that is its key
    critical: Condition | None = None
    warning: Condition | None = None
    recovered: str | None = None  # of an event: it closes the finding about the same thing
    clear_after: str = "0s"  # a duration, `reboot` or `by-hand`
    quiet_after_boot: str = "0s"
    unknown_after: str = "10m"  # how long it may be unknown before that is a finding itself
    cause: Cause
    # Checks whose findings can be behind this one's: the fields in which they have to agree.
    explained_by: dict[str, str | list[str]] = {}
    why: str
    next_steps: list[str]
    origin: str = ""  # where the thresholds come from
    proven: Proven = Proven.STAND_IN
    see: str | list[str] = ""

    @property
    def subject_fields(self) -> list[str]:
        return [self.per] if isinstance(self.per, str) else self.per
