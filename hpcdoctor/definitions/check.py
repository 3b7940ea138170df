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
    # how long it has to hold before the finding opens
    hold: str = msgspec.field(name="for", default="0s")
    label: str = ""  # two or three words for the reason at the scheduler


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a reading is wrong."""

    check: str  # its name, which is the file's
    summary: str  # what is wrong, in one line; {field} is filled in
    probe: str  # whose readings it judges
    every: str  # how often it looks
    enabled: bool = True
    per: str | list[str] = []  # the field, or fields, that name a thing: one finding for each
    object: str = ""  # the thing as people call it; {field} is filled in
    where: str | None = None  # which readings are judged at all: an expression
    expected: str | None = None  # dotted name in the profile; then an absent source is critical
    catalog: dict[str, str] = {}  # a catalogue: the field that is its key
    critical: Condition | None = None  # when it is critical; either this or `warning` is there
    warning: Condition | None = None  # when it is a warning
    recovered: str | None = None  # of an event: it closes the finding about the same thing
    clear_after: str = "0s"  # how long it has to be well again: a duration, `reboot` or `by-hand`
    quiet_after_boot: str = "0s"  # so long after a boot nothing is told
    unknown_after: str = "10m"  # how long it may be unknown before that is a finding itself
    cause: Cause  # whose doing it is; only what is the node's own can drain it
    # Checks whose findings can be behind this one's: the fields in which they have to agree.
    explained_by: dict[str, str | list[str]] = {}
    why: str  # why it matters, for whoever is called
    next_steps: list[str]  # what to do, in this order; {field} is filled in
    origin: str = ""  # where the thresholds come from
    proven: Proven = Proven.STAND_IN  # on what it was seen to fire
    see: str | list[str] = ""  # pages that say more

    @property
    def subject_fields(self) -> list[str]:
        return [self.per] if isinstance(self.per, str) else self.per
