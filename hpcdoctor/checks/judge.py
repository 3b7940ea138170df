"""Which findings follow from what the probes saw?

`Judge` guards what has to be remembered from look to look: since when a condition holds, which
findings are open, how each check ended last. It has no clock and does no I/O: the moment comes in
with each look.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from hpcdoctor.checks import causes
from hpcdoctor.checks.affected import affected, refreshed
from hpcdoctor.checks.causes import Link
from hpcdoctor.checks.compiled import STUCK_SECONDS, STUCK_SINCE, CompiledCheck, Level
from hpcdoctor.checks.history import History
from hpcdoctor.checks.surroundings import Surroundings, profile_value
from hpcdoctor.checks.track import Track, concerns, has_cleared, moment_of, subject_of
from hpcdoctor.checks.wording import evidence_text, make_finding, record_text
from hpcdoctor.expressions.types import Unknown
from hpcdoctor.model.finding import (
    RANK,
    Evidence,
    Finding,
    Outcome,
    Verdict,
    finding_key,
    worst,
)
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.job import JobHere
from hpcdoctor.model.quantity import format_duration
from hpcdoctor.model.reading import Look, ReadStatus, Value
from hpcdoctor.model.text import fill, moment, visible
from hpcdoctor.probes.registry import Shape

EVIDENCE_KEPT = 5  # the first, and the last few


NOT_YET = "not looked at yet"


class Change(msgspec.Struct, frozen=True):
    """What became of a finding: opened, changed or closed."""

    kind: str
    finding: Finding


class Judge:
    """All checks of one node over time."""

    def __init__(
        self,
        checks: Mapping[str, CompiledCheck],
        profile: Mapping[str, Any],
        *,
        history: History | None = None,
        findings: Iterable[Finding] = (),
        patient: bool = True,
        before: "Judge | None" = None,
    ) -> None:
        """`patient` waits for `for:`; a single look by a person shows at once what it sees.

        `before` judged until now, by another configuration: a check that is the same in both goes
        on where it was.
        """
        self.checks = checks
        self.profile = profile
        self.history = History() if history is None else history
        self.patient = patient
        self.findings: dict[str, Finding] = {finding.key: finding for finding in findings}
        self._by_probe: dict[str, list[CompiledCheck]] = {}
        for check in checks.values():
            self._by_probe.setdefault(check.definition.probe, []).append(check)
        self._links = {
            name: [Link.parse(*row) for row in check.definition.explained_by.items()]
            for name, check in checks.items()
        }
        self._tracks: dict[str, dict[str, Track]] = {name: {} for name in checks}
        self._skipped: dict[str, str] = {}
        self.jobs: list[JobHere] | None = None  # on this machine; None: they cannot be seen
        self.looked: dict[str, Instant] = {}  # when each check last saw its source
        for finding in self.findings.values():
            if finding.check in self._tracks:
                self._restore(finding)
        if before is not None and before.profile == profile:
            self._go_on_from(before)

    def _go_on_from(self, before: "Judge") -> None:
        for name, check in self.checks.items():
            then = before.checks.get(name)
            if then is None or then.definition != check.definition:
                continue
            self._tracks[name] = before._tracks[name]
            if name in before._skipped:
                self._skipped[name] = before._skipped[name]
            if name in before.looked:
                self.looked[name] = before.looked[name]

    def _restore(self, finding: Finding) -> None:
        """Go on with a finding that was open before a restart."""
        seen = finding.last_seen or finding.since
        level = finding.verdict.value
        self._tracks[finding.check][finding.key] = Track(
            subject=finding.subject,
            verdict=finding.verdict,
            true_since={level: finding.since},
            true_last={level: seen},
        )

    def judge(self, look: Look) -> list[Change]:
        """Take in one look, and return what changed by it."""
        changes: list[Change] = []
        for check in self._by_probe.get(look.probe, ()):
            if look.named:
                changes += self._only(check, look.named, look.taken)
                continue
            if look.status is ReadStatus.READ:
                self.looked[check.name] = look.taken
            if check.shape is Shape.STREAM:
                changes += self._judge_stream(check, look)
            else:
                changes += self._judge_look(check, look)
        return changes

    def know_jobs(self, jobs: list[JobHere] | None) -> None:
        """Remember which jobs are here; open findings take note of it without being told anew."""
        if jobs == self.jobs:
            return  # what has opened meanwhile has them already
        self.jobs = jobs
        for key, finding in self.findings.items():
            self.findings[key] = refreshed(finding, jobs)

    def tick(self, now: Instant) -> list[Change]:
        """Close what has been quiet for long enough, and what a reboot ends."""
        changes: list[Change] = []
        for finding in list(self.findings.values()):
            check = self.checks.get(finding.check)
            if check is None:
                changes += self._close(finding)
            elif check.shape is Shape.STREAM:
                seen = finding.last_seen or finding.since
                rebooted = check.clears_at_reboot and seen.boot_id != now.boot_id
                quiet = check.clear_seconds
                if rebooted or (quiet is not None and now.seconds_since(seen) >= quiet):
                    changes += self._close(finding)
        return changes

    def acknowledge(self, who: str) -> list[Change]:
        """A person knows what is open now: it decides nothing until it comes again.

        A finding made of events is closed, so that the next event opens it anew; one made of a
        state stays open, marked, until the state has cleared.
        """
        changes: list[Change] = []
        for key, finding in list(self.findings.items()):
            if finding.acknowledged_by is not None:
                continue
            known = structs.replace(finding, acknowledged_by=visible(who, 200))
            check = self.checks.get(finding.check)
            if check is not None and check.shape is Shape.STREAM:
                changes += self._close(known)
            else:
                self.findings[key] = known
                changes.append(Change("changed", known))
        return changes

    def explain(self) -> list[Change]:
        """Find out which findings are behind others; return those of which that has changed."""
        changes: list[Change] = []
        for key, root in causes.roots(self.findings, self._links).items():
            finding = self.findings[key]
            if finding.caused_by != root:
                self.findings[key] = structs.replace(finding, caused_by=root)
                changes.append(Change("changed", self.findings[key]))
        return changes

    def outcomes(self) -> list[Outcome]:
        """Return how every check stands, in order of name."""
        return [self._outcome(name) for name in sorted(self.checks)]

    def verdict(self) -> Verdict:
        """Return the node's verdict over everything that was not skipped."""
        return worst([o.verdict for o in self.outcomes() if o.verdict is not None])

    def _outcome(self, name: str) -> Outcome:
        if name in self._skipped:
            return Outcome(check=name, verdict=None, reason=self._skipped[name])
        tracks = self._tracks[name]
        if not tracks:
            return Outcome(check=name, verdict=Verdict.UNKNOWN, reason=NOT_YET)
        judged = [track for track in tracks.values() if not track.skipped]
        if not judged:
            reason = next(iter(tracks.values())).skipped
            return Outcome(check=name, verdict=None, reason=reason, subjects=len(tracks))
        decisive = max(judged, key=lambda track: RANK[track.verdict])
        return Outcome(
            check=name,
            verdict=decisive.verdict,
            reason=decisive.reason if decisive.verdict is Verdict.UNKNOWN else "",
            subjects=len(judged),
        )

    # --- one look at a source

    def _judge_look(self, check: CompiledCheck, look: Look) -> list[Change]:
        now = look.taken
        if self.patient and check.quiet_seconds > now.boottime:
            self._skipped[check.name] = (
                f"booted {format_duration(now.boottime)} ago; "
                f"quiet for the first {format_duration(check.quiet_seconds)}"
            )
            return []
        self._skipped.pop(check.name, None)
        match look.status:
            case ReadStatus.ABSENT:
                return self._absent(check, look)
            case ReadStatus.FIRST:
                self._skipped[check.name] = "needs a second reading"
                return []
            case ReadStatus.READ:
                return self._judge_readings(check, look)
            case ReadStatus.STUCK if check.subject_field and look.subject:
                # Never zero, which says that it answers: a moment after, it hangs as well.
                stuck = max(now.seconds_since(look.stuck_since or now), 0.001)
                reading: dict[str, Value] = {
                    check.subject_field: look.subject,
                    STUCK_SECONDS: stuck,
                    STUCK_SINCE: moment(look.stuck_since or now),
                }
                if check.where is not None and STUCK_SECONDS in check.where.fields:
                    return self._leave_to_others(check, reading, look)
                return self._judge_reading(check, reading, look)
            case _:
                return self._unknown(check, look)

    def _absent(self, check: CompiledCheck, look: Look) -> list[Change]:
        expected = check.definition.expected
        track = self._tracks[check.name].setdefault(check.name, Track({}))
        if expected is None or not profile_value(self.profile, expected):
            if track.verdict is Verdict.OK:
                self._skipped[check.name] = f"not present: {look.reason}"
                return []
            track.verdict = Verdict.OK
            return self._settle(check, {}, {}, None, Verdict.OK, look.taken)
        track.verdict, track.skipped = Verdict.CRITICAL, ""
        level = Level(Verdict.CRITICAL, check.levels[0].when, 0.0, "missing")
        values: dict[str, Value] = {"reason": look.reason}
        summary = f"The profile expects {expected.removeprefix('profile.')}, and {look.reason}"
        return self._settle(check, {}, values, level, Verdict.CRITICAL, look.taken, summary)

    def _unknown(self, check: CompiledCheck, look: Look) -> list[Change]:
        """The source is there and could not be read: for everything known of it, or for itself."""
        reason = look.reason or f"probe {look.probe}: {look.status.value}"
        tracks = self._tracks[check.name]
        changes: list[Change] = []
        concerned = [track for track in tracks.values() if concerns(track, check, look)]
        if not concerned:
            subject = subject_of(check, look)
            concerned = [tracks.setdefault(finding_key(check.name, subject), Track(subject))]
        for track in concerned:
            changes += self._not_known(check, track, track.subject, reason, look.taken)
        return changes

    def _leave_to_others(
        self, check: CompiledCheck, reading: Mapping[str, Value], look: Look
    ) -> list[Change]:
        """What hangs is told by the check that asks for that; this one, by its `where`, does not.

        A finding from before stays as it is: that nothing can be measured is no health.
        """
        here = self._surroundings(check, reading, look.taken)
        if check.where is None or check.where.evaluate(here) is True:
            return self._judge_reading(check, reading, look)
        track = self._tracks[check.name].setdefault(here.key, Track(here.subject))
        track.true_since.clear()
        if here.key not in self.findings:
            tellers = [
                each.name
                for each in self._by_probe[look.probe]
                if any(STUCK_SECONDS in level.when.fields for level in each.levels)
            ]
            track.verdict, track.unknown_since = Verdict.OK, None
            track.skipped = f"hung; see {', '.join(tellers) or look.reason}"
        return []

    def _judge_readings(self, check: CompiledCheck, look: Look) -> list[Change]:
        changes: list[Change] = []
        seen: set[str] = set()
        for reading in look.readings:
            if check.subject_field:
                reading = {**reading, STUCK_SECONDS: 0.0}
            surroundings = self._surroundings(check, reading, look.taken)
            if check.where is not None and check.where.evaluate(surroundings) is not True:
                continue
            seen.add(surroundings.key)
            changes += self._judge_reading(check, reading, look)
        tracks = self._tracks[check.name]
        gone = [k for k, t in tracks.items() if k not in seen and concerns(t, check, look)]
        for key in gone:
            changes += self._gone(check, key, look.taken)
        if not tracks and not seen:
            self._skipped[check.name] = "not present: nothing here that it looks at"
        return changes

    def _gone(self, check: CompiledCheck, key: str, now: Instant) -> list[Change]:
        """What was judged is no longer there: no reading is no proof of health, but it clears."""
        track = self._tracks[check.name][key]
        finding = self.findings.get(key)
        if finding is None:
            del self._tracks[check.name][key]
            return []
        changes = self._conclude(check, track, finding.subject, {}, None, now)
        if key not in self.findings:
            del self._tracks[check.name][key]
        return changes

    def _only(self, check: CompiledCheck, named: list[str], now: Instant) -> list[Change]:
        """Let go of everything but what there is to look at: a mount, a GPU that is gone."""
        field = check.subject_field
        gone = [
            key
            for key, track in self._tracks[check.name].items()
            if field is not None and field in track.subject and track.subject[field] not in named
        ]
        return [change for key in gone for change in self._gone(check, key, now)]

    def _surroundings(
        self, check: CompiledCheck, reading: Mapping[str, Value], now: Instant
    ) -> Surroundings:
        return Surroundings(check, reading, self.profile, self.history, now)

    def _judge_reading(
        self, check: CompiledCheck, reading: Mapping[str, Value], look: Look
    ) -> list[Change]:
        here = self._surroundings(check, reading, look.taken)
        here.observe()
        track = self._tracks[check.name].setdefault(here.key, Track(here.subject))
        unknowns: list[Unknown] = []
        reached: Level | None = None
        for level in check.levels:
            answer = level.when.evaluate(here)
            if answer is True:
                track.true_since.setdefault(level.verdict.value, look.taken)
                reached = reached or level
            elif isinstance(answer, Unknown):
                unknowns.append(answer)
        real = [unknown for unknown in unknowns if not unknown.first]
        if reached is None and look.status is ReadStatus.STUCK:
            real = [Unknown(f"{look.subject}: {look.reason}")]  # what hangs is named
        if reached is None and real:
            return self._not_known(check, track, here.subject, real[0].reason, look.taken)
        track.unknown_since, track.reason = None, ""
        if reached is None and unknowns and len(unknowns) == len(check.levels):
            track.skipped = unknowns[0].reason
            return []
        track.skipped = ""
        return self._conclude(check, track, here.subject, here.values, reached, look.taken)

    def _conclude(
        self,
        check: CompiledCheck,
        track: Track,
        subject: dict[str, str],
        values: Mapping[str, Value],
        reached: Level | None,
        now: Instant,
    ) -> list[Change]:
        """Apply hold and clear times to what was just seen."""
        rank = RANK[reached.verdict] if reached else 0
        decided: Level | None = None
        for level in check.levels:
            name = level.verdict.value
            # The worse condition holds the milder one up as well.
            if reached is not None and RANK[level.verdict] <= rank:
                since = track.true_since.setdefault(name, now)
                held = not self.patient or now.seconds_since(since) >= level.hold_seconds
                if held:
                    track.true_last[name] = now
                    decided = decided or level
            else:
                track.true_since.pop(name, None)
                last = track.true_last.get(name)
                if last is not None and has_cleared(check, last, now):
                    track.true_last.pop(name)
                elif last is not None:
                    decided = decided or level
        verdict = decided.verdict if decided else Verdict.OK
        track.verdict = verdict
        return self._settle(check, subject, values, decided, verdict, now)

    def _not_known(
        self,
        check: CompiledCheck,
        track: Track,
        subject: dict[str, str],
        reason: str,
        now: Instant,
    ) -> list[Change]:
        """Cannot measure is `unknown`; what was wrong before stays open, and stays what it was."""
        track.unknown_since = track.unknown_since or now
        track.reason, track.skipped = reason, ""
        key = finding_key(check.name, subject)
        standing = self.findings.get(key)
        if standing is not None and standing.verdict is not Verdict.UNKNOWN:
            return []
        track.verdict = Verdict.UNKNOWN
        # A person who looks once is told by the outcome; only what stays unknown is a finding.
        lasting = now.seconds_since(track.unknown_since) >= check.unknown_seconds
        if not self.patient or not lasting:
            return []
        return self._settle(check, subject, {}, None, Verdict.UNKNOWN, now, reason)

    def _settle(
        self,
        check: CompiledCheck,
        subject: dict[str, str],
        values: Mapping[str, Value],
        level: Level | None,
        verdict: Verdict,
        now: Instant,
        summary: str = "",
    ) -> list[Change]:
        """Bring the open finding into line with the verdict."""
        key = finding_key(check.name, subject)
        standing = self.findings.get(key)
        if verdict is Verdict.OK:
            return self._close(standing) if standing else []
        if standing is not None and not values and verdict is standing.verdict:
            return []
        text = summary or fill(check.definition.summary, values)
        if verdict is Verdict.UNKNOWN:
            text = f"{check.name} cannot be measured: {summary}"
        evidence = Evidence(taken=now, text=evidence_text(level, values, text), values=dict(values))
        fresh = make_finding(check, subject, verdict, text, level, values, evidence)
        if standing is None:
            return self._open(fresh)
        kept = [*standing.evidence[:1], *standing.evidence[1:][-EVIDENCE_KEPT:]]
        if standing.verdict is not verdict:
            kept = [*kept, evidence]
        elif len(kept) > 1 and kept[-1].values.keys() == evidence.values.keys():
            kept = [*kept[:-1], evidence]  # the latest look at the same state
        else:
            kept = [*kept, evidence]
        updated = structs.replace(
            fresh,
            since=standing.since,
            count=standing.count,
            evidence=kept,
            acknowledged_by=standing.acknowledged_by,
            caused_by=standing.caused_by,
            jobs=standing.jobs,
        )
        self.findings[key] = updated
        return [Change("changed", updated)] if standing.verdict is not verdict else []

    def _open(self, fresh: Finding) -> list[Change]:
        finding = structs.replace(fresh, jobs=affected(fresh, self.jobs))
        self.findings[finding.key] = finding
        return [Change("opened", finding)]

    def _close(self, finding: Finding) -> list[Change]:
        self.findings.pop(finding.key, None)
        tracks = self._tracks.get(finding.check, {})
        check = self.checks.get(finding.check)
        if check is not None and check.shape is Shape.STREAM:
            tracks.pop(finding.key, None)
        return [Change("closed", finding)]

    # --- records of a stream

    def _judge_stream(self, check: CompiledCheck, look: Look) -> list[Change]:
        if look.status is ReadStatus.ABSENT:
            self._skipped[check.name] = f"not present: {look.reason}"
            return []
        self._skipped.pop(check.name, None)
        listening = self._tracks[check.name].setdefault("", Track({}))
        if look.status is not ReadStatus.READ:
            return self._not_known(check, listening, {}, look.reason, look.taken)
        listening.verdict, listening.reason, listening.unknown_since = Verdict.OK, "", None
        changes: list[Change] = []
        silent = self.findings.get(check.name)
        if silent is not None and silent.verdict is Verdict.UNKNOWN:
            changes += self._close(silent)
        for reading in look.readings:
            changes += self._judge_record(check, reading, look.taken)
        return changes

    def _judge_record(
        self, check: CompiledCheck, reading: Mapping[str, Value], now: Instant
    ) -> list[Change]:
        here = self._surroundings(check, reading, now)
        if check.recovered is not None and check.recovered.evaluate(here) is True:
            return self._recover(check, here, now)
        if check.where is not None and check.where.evaluate(here) is not True:
            return []
        here.observe()
        for level in check.levels:
            if level.when.evaluate(here) is True:
                return self._record(check, here, level, now)
        return []

    def _recover(self, check: CompiledCheck, here: Surroundings, now: Instant) -> list[Change]:
        """The source says that it is over: close what is open about the same thing, if anything.

        A field that the record leaves open agrees with all: a GPU that is well again is so
        whatever the code of its fault was.
        """
        said = {
            name: text
            for name, text in here.subject.items()
            if here.reading.get(name) not in (None, "")
        }
        over = [
            finding
            for finding in self.findings.values()
            if finding.check == check.name
            and all(finding.subject.get(name) == text for name, text in said.items())
        ]
        if not over:
            return []
        taken = moment_of(here.values, now)
        evidence = Evidence(taken=taken, text=record_text(here.values), values=here.values)
        changes: list[Change] = []
        for finding in over:
            kept = [*finding.evidence[:EVIDENCE_KEPT], evidence]
            changes += self._close(structs.replace(finding, evidence=kept))
        return changes

    def _record(
        self, check: CompiledCheck, here: Surroundings, level: Level, now: Instant
    ) -> list[Change]:
        taken = moment_of(here.values, now)
        evidence = Evidence(taken=taken, text=record_text(here.values), values=here.values)
        summary = fill(check.definition.summary, here.values)
        fresh = make_finding(
            check, here.subject, level.verdict, summary, level, here.values, evidence
        )
        track = self._tracks[check.name].setdefault(here.key, Track(here.subject))
        standing = self.findings.get(here.key)
        if standing is None:
            track.verdict = level.verdict
            return self._open(fresh)
        count = standing.count + 1
        verdict = max(standing.verdict, level.verdict, key=RANK.__getitem__)
        track.verdict = verdict
        kept = [standing.evidence[0], *standing.evidence[1:][-(EVIDENCE_KEPT - 1) :], evidence]
        # What is milder than what stands takes nothing of its words.
        words = fresh if level.verdict is verdict else standing
        updated = structs.replace(
            words,
            verdict=verdict,
            since=standing.since,
            last_seen=taken,
            count=count,
            evidence=kept,
            caused_by=standing.caused_by,
            jobs=standing.jobs,
        )
        self.findings[here.key] = updated
        # A burst is one finding: it is told again when it gets worse, and each time it doubles.
        told = verdict is not standing.verdict or count & (count - 1) == 0
        return [Change("changed", updated)] if told else [Change("counted", updated)]
