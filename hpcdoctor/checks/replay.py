"""What would these checks and rules have made of what the probes saw? Pure, in the looks' own time.

An episode is a finding, or a decision of the rules, from when it began until it ended.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from hpcdoctor.checks.compiled import CompiledCheck
from hpcdoctor.checks.history import History
from hpcdoctor.checks.judge import Judge
from hpcdoctor.model.finding import Finding
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look

# What the rules ask for, given what stands: ("drain by gpu-lost", its summary), or None.
Deciding = Callable[[Sequence[Finding], Instant], tuple[str, str] | None]


class Episode(msgspec.Struct, frozen=True):
    """Something that was so, from one moment to another."""

    kind: str  # finding or decision
    name: str  # the finding's key, or what was decided by which rule
    verdict: str  # the worst that it came to; "" for a decision
    begin: float  # seconds of wall time
    end: float | None  # None: it still stood at the end
    text: str

    @property
    def identity(self) -> tuple[str, str]:
        return self.kind, self.name


class _Open:
    """The episodes that have begun and not ended."""

    def __init__(self) -> None:
        self.episodes: dict[tuple[str, str], Episode] = {}
        self.over: list[Episode] = []

    def stands(self, kind: str, name: str, verdict: str, begin: float, text: str) -> None:
        before = self.episodes.get((kind, name))
        if before is None:
            self.episodes[kind, name] = Episode(kind, name, verdict, begin, None, text)
        elif verdict == "critical" and before.verdict != verdict:
            self.episodes[kind, name] = msgspec.structs.replace(before, verdict=verdict, text=text)

    def only(self, kind: str, names: set[str], now: float) -> None:
        """End every episode of this kind that is not among these."""
        for key in [key for key in self.episodes if key[0] == kind and key[1] not in names]:
            self.over.append(msgspec.structs.replace(self.episodes.pop(key), end=now))


def replay(
    looks: Iterable[Look],
    checks: Mapping[str, CompiledCheck],
    profile: Mapping[str, Any],
    decide: Deciding,
) -> list[Episode]:
    """Return every episode, in order of their beginnings."""
    judge = Judge(checks, profile, history=History())
    standing = _Open()
    boot_id = ""
    for look in looks:
        if boot_id not in ("", look.taken.boot_id):
            history = History()
            history.load(judge.history.dump(), look.taken)
            judge = Judge(checks, profile, history=history, findings=judge.findings.values())
        boot_id = look.taken.boot_id
        changes = judge.judge(look) + judge.tick(look.taken) + judge.explain()
        if not changes:
            continue
        now = look.taken.wall
        for finding in judge.findings.values():
            standing.stands("finding", finding.key, finding.verdict.value, now, finding.summary)
        standing.only("finding", set(judge.findings), now)
        asked = decide(list(judge.findings.values()), look.taken)
        standing.only("decision", {asked[0]} if asked else set(), now)
        if asked:
            standing.stands("decision", asked[0], "", now, asked[1])
    return sorted([*standing.over, *standing.episodes.values()], key=lambda e: (e.begin, e.name))


class Difference(msgspec.Struct, frozen=True):
    """One episode that only one of two configurations has, or that both have otherwise."""

    how: str  # new, gone or changed
    episode: Episode  # as the new configuration has it; for `gone`, the old one
    before: Episode | None = None


def differences(old: Sequence[Episode], new: Sequence[Episode]) -> list[Difference]:
    """Return what the new configuration makes of the same past otherwise, in order of time."""
    found = []
    before: dict[tuple[str, str], list[Episode]] = {}
    for episode in old:
        before.setdefault(episode.identity, []).append(episode)
    for episode in new:
        alike = before.get(episode.identity, [])
        match = next((each for each in alike if _overlap(each, episode)), None)
        if match is None:
            found.append(Difference("new", episode))
            continue
        alike.remove(match)
        if (match.verdict, match.begin, match.end) != (episode.verdict, episode.begin, episode.end):
            found.append(Difference("changed", episode, match))
    found += [Difference("gone", each) for rest in before.values() for each in rest]
    return sorted(found, key=lambda each: (each.episode.begin, each.episode.name))


def _overlap(one: Episode, other: Episode) -> bool:
    return (one.end is None or other.begin <= one.end) and (
        other.end is None or one.begin <= other.end
    )
