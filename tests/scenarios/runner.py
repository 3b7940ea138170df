"""What do the shipped checks and rules make of a story? In virtual time, with the real probes.

`look` reads the machine as the prober would, from the first moment to the last; `judge` turns what
was seen into the lines of the log. They are apart so that many judges can be held against one look.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hpcdoctor.checks.compiled import CompiledCheck
from hpcdoctor.checks.history import History
from hpcdoctor.checks.judge import Change, Judge
from hpcdoctor.definitions.rule import Rule
from hpcdoctor.model.decision import Mode, Want
from hpcdoctor.model.finding import Finding
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.prober import looking
from hpcdoctor.prober.local import read_recorded
from hpcdoctor.probes import registry
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.registry import Shape, Stream
from hpcdoctor.rules.circumstances import Circumstances, Opening, opening
from hpcdoctor.rules.decide import decide
from tests.scenarios.machine import BOOTED_SECONDS, Machine
from tests.scenarios.story import Happening, Story, seconds, shown

KERNEL_LOG = "kernel_log"


class Round(msgspec.Struct, frozen=True):
    """What all probes of the story saw at one moment."""

    moment: float
    now: Instant
    looks: list[Look]


def probes_of(story: Story, checks: Mapping[str, CompiledCheck]) -> list[str]:
    """Return the probes that the story reads: its check's own, and those that it speaks of."""
    happenings = story.timeline.values()
    spoken = {
        probe for each in happenings for probe in (*each.readings, *each.change, *each.status)
    }
    logged = {KERNEL_LOG} if any(happening.log for happening in happenings) else set()
    return sorted({checks[story.check].definition.probe, *spoken, *logged})


def look(story: Story, checks: Mapping[str, CompiledCheck], folder: Path) -> list[Round]:
    """Live through the story and return every look that was taken."""
    machine = Machine(folder, story)
    probes = [registry.find(name) for name in probes_of(story, checks)]
    every = seconds(story.every) if story.every else checks[story.check].every_seconds
    rounds = []
    streams: dict[str, Stream] = {}
    host: Host | None = None
    for moment, happening in _moments(story, every):
        machine.pass_to(moment, happening)
        if machine.host is not host:
            streams, host = {}, machine.host
        seen: list[Look] = []
        for probe in probes:
            if probe.shape is Shape.STREAM:
                seen += _drain(probe, machine, streams)
            else:
                seen += read_recorded(probe.name, machine.host, registry.find)
        sent = [msgspec.json.decode(looking.encode(each), type=Look) for each in seen]
        rounds.append(Round(moment, machine.now, sent))
    return rounds


def _moments(story: Story, every: float) -> Iterator[tuple[float, Happening | None]]:
    end = seconds(story.until)
    happenings = {seconds(time): happening for time, happening in story.timeline.items()}
    late = [time for time in happenings if time > end]
    if late:
        raise ValueError(f"{story.story}: something happens after its end")
    regular = {number * every for number in range(int(end // every) + 1)}
    for moment in sorted({*regular, *happenings, end}):
        yield moment, happenings.get(moment)


def _drain(probe: registry.Probe, machine: Machine, streams: dict[str, Stream]) -> Iterator[Look]:
    """Read on in a stream that stays open from look to look, as the prober's lane does."""
    if probe.name not in streams:
        if not (machine.root / "dev/kmsg").exists():
            (machine.root / "dev").mkdir(exist_ok=True)
            (machine.root / "dev/kmsg").write_text("")
        try:
            streams[probe.name] = probe.open(machine.host, "")
        except Exception as error:  # noqa: BLE001  # as the prober does
            yield looking.explain(error, probe.name, machine.host)
            return
    readings: list[Any] = []
    for chunk in looking.read_until_quiet(streams[probe.name]):
        readings += [msgspec.to_builtins(reading) for reading in chunk.readings]
    yield Look(probe.name, ReadStatus.READ, machine.now, readings=readings)


def judge(
    story: Story,
    rounds: Sequence[Round],
    checks: Mapping[str, CompiledCheck],
    rules: Mapping[str, Rule],
) -> list[str]:
    """Return the log: every change of a finding and of a decision, and how the check stands."""
    lines: list[str] = []
    judging = Judge(checks, story.profile, history=History())
    boot_id = rounds[0].now.boot_id
    decided = ""
    openings: list[Opening] = []
    for each in rounds:
        if each.now.boot_id != boot_id:  # the daemon goes on with what its store holds
            boot_id = each.now.boot_id
            history = History()
            history.load(judging.history.dump(), each.now)
            findings = judging.findings.values()
            judging = Judge(checks, story.profile, history=history, findings=findings)
            lines.append(f"{shown(each.moment)} reboot")
        changes = [change for seen in each.looks for change in judging.judge(seen)]
        changes += judging.tick(each.now)
        changes += judging.explain()
        lines += [_told(each.moment, change) for change in changes if change.kind != "counted"]
        openings += [opening(change.finding) for change in changes if change.kind == "opened"]
        here = Circumstances(now=each.now, openings=openings)
        asked = _decision(rules, list(judging.findings.values()), here)
        if asked != decided:
            lines.append(f"{shown(each.moment)} decided {asked or 'nothing'}")
            decided = asked
    lines.append(f"{shown(rounds[-1].moment)} stands {story.check} {_standing(judging, story)}")
    return lines


def _told(moment: float, change: Change) -> str:
    finding = change.finding
    what = f"{finding.check} {finding.object or '-'} {finding.verdict.value}"
    text = "" if change.kind == "closed" else f": {finding.summary}"
    if finding.caused_by:
        text += f" (caused by {finding.caused_by})"
    return f"{shown(moment)} {change.kind} {what}{text}"


def _decision(rules: Mapping[str, Rule], findings: list[Finding], here: Circumstances) -> str:
    decided = decide(rules, findings, Mode.ACT, here)
    asked = [
        f"{decision.want.value} by {decision.rule} ({mode})"
        for mode, decision in (("act", decided.act), ("shadow", decided.shadow))
        if decision.want is not Want.NONE
    ]
    return ", ".join(asked)


def _standing(judging: Judge, story: Story) -> str:
    outcome = next(each for each in judging.outcomes() if each.check == story.check)
    if outcome.verdict is None:
        return f"skipped: {outcome.reason}"
    return f"{outcome.verdict.value}{': ' if outcome.reason else ''}{outcome.reason}"


assert BOOTED_SECONDS > 3600  # noqa: S101  # later than any `quiet_after_boot`
