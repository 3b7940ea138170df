"""What the rules ask for now."""

from enum import StrEnum

import msgspec


class Want(StrEnum):
    """What should happen to the node, weakest first."""

    NONE = "none"
    NOTE = "note"
    DEGRADED = "degraded"
    REQUEUE = "requeue"
    DRAIN = "drain"
    DRAIN_NOW = "drain-now"


STRENGTH = {want: strength for strength, want in enumerate(Want)}
QUARANTINES = frozenset({Want.DRAIN, Want.DRAIN_NOW, Want.REQUEUE})


class Mode(StrEnum):
    """How far a definition may go, weakest first."""

    DISABLED = "disabled"
    SHADOW = "shadow"
    ACT = "act"


def weakest(*modes: Mode) -> Mode:
    order = list(Mode)
    return min(modes, key=order.index)


class Decision(msgspec.Struct, frozen=True):
    """The strongest thing that a rule asks for, with the reason and what stands behind it."""

    want: Want
    mode: Mode  # the weakest of site and rule; shadow records, act acts
    rule: str = ""
    summary: str = ""
    object: str = ""  # "GPU3"
    label: str = ""  # "Xid79 off bus"
    subject: dict[str, str] = {}  # of the root finding: pci_address: 0000:3b:00
    findings: list[str] = []  # keys of the findings that satisfied the rule, root first
    remediate: list[str] = []
    hand_over: str = ""
    resume: str = "by-hand"  # or "when-clear"
    also: list[str] = []  # names of weaker rules that matched too
    explains: list[str] = []  # keys of the findings that these ones are behind, oldest first
    runbook: str = ""  # what a person does about it


NOTHING = Decision(want=Want.NONE, mode=Mode.ACT)


class Decided(msgspec.Struct, frozen=True):
    """What the rules ask for now: what may be acted upon, and what only shadow rules ask for."""

    act: Decision = NOTHING
    shadow: Decision = NOTHING
