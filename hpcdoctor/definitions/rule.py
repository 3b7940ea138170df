"""What does a rule file say? The shape of rules/<name>.yaml."""

from enum import StrEnum

import msgspec

from hpcdoctor.model.decision import Mode, Want
from hpcdoctor.model.finding import Verdict


class Resume(StrEnum):
    BY_HAND = "by-hand"
    WHEN_CLEAR = "when-clear"


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which findings must stand together. A verdict means this or worse."""

    all: dict[str, Verdict] = {}  # checks that all have to find this, or worse
    any: dict[str, Verdict] = {}  # checks of which one has to find this, or worse
    same: str | list[str] = []  # fields in which the findings of `all` must agree
    within: str | None = None  # how near in time the findings of `all` began, or `times` counts
    hold: str = msgspec.field(name="for", default="0s")  # how long the findings have stood
    # How often such a finding has opened: on the same thing with `same`, on so many different
    # things, or in so many different jobs, with `different`.
    times: int = 1
    different: str | None = None  # a field of the subject, or `job`
    condition: str | None = msgspec.field(name="if", default=None)  # rules/circumstances.py
    where: str | None = None  # what the finding's last reading has to say

    @property
    def same_fields(self) -> list[str]:
        return [self.same] if isinstance(self.same, str) else self.same


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked for."""

    node: Want  # what should happen to the node
    remediate: list[str] = []  # what is tried, in this order
    hand_over: str = ""  # to whom, when none of it helped
    resume: Resume = Resume.BY_HAND  # how a quarantine ends whose findings clear by themselves


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What findings together mean for the node."""

    rule: str  # its name, which is the file's
    summary: str  # what it means, in one line; {field} is filled in
    when: Match  # which findings must stand together
    decide: Decide  # what is asked for
    enabled: bool = True
    mode: Mode = Mode.SHADOW  # the site's mode and this one: the weaker holds
    # A site's own word that one node's view is enough for `cause: shared` findings.
    node_decides_shared: bool = False
    why: str = ""  # why that is asked for
    see: str | list[str] = ""  # pages that say more
    runbook: str = ""  # what a person does about it: docs/runbooks/..., or a page of the site
