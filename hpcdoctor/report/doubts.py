"""What is no mistake in a site's files, and yet most likely not meant?

`hpcdoctor lint` warns of it, and `--strict` makes mistakes of it. Each
doubt has a code, by which a site can say that it does mean it: `--allow CODE`.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from hpcdoctor.checks.compiled import CompiledCheck
from hpcdoctor.definitions import profile as profiles
from hpcdoctor.definitions.check import Check
from hpcdoctor.definitions.command import Command
from hpcdoctor.definitions.folder import read_folder
from hpcdoctor.definitions.loader import Defined, Definitions, data_folder
from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.remediation import Proven, Remediation, Trust
from hpcdoctor.definitions.rule import Rule
from hpcdoctor.definitions.settings import Authority, SchedulerName, Settings
from hpcdoctor.definitions.yamlfile import Located, plain
from hpcdoctor.expressions.reach import implies, settled
from hpcdoctor.expressions.types import PROFILE
from hpcdoctor.knowledge import Knowledge
from hpcdoctor.model.decision import Mode
from hpcdoctor.model.finding import Verdict
from hpcdoctor.report.pages.fields import keys

CODES = {
    "same-as-shipped": "a key of an override has the value that is shipped; a better one of a "
    "later version would not reach this site",
    "no-runbook": "a check of the site names no page in `see:` for whoever is called at night",
    "nobody-asks": "a critical check, a remediation or a catalogue of the site's that nothing "
    "refers to",
    "rule-never-matches": "every check that a rule needs is switched off, or never gets so bad",
    "never-holds": "a condition that its own numbers rule out, or one that a worse verdict always "
    "forestalls",
    "always-holds": "a condition that holds whatever is read",
    "window-too-short": "a window shorter than the pause between two looks",
    "repair-not-enabled": "a rule of the site says `act` and names a remediation that the settings "
    "do not",
    "repair-never-runs": "the settings name a remediation that no rule asks for, or that may not "
    "act",
    "nobody-drains": "`mode: act` on a node that has no scheduler to ask",
    "key-without-effect": "a setting that another setting leaves without any effect",
    "profile-key-unused": "a key of the profile that no check reads",
    "deprecated": "a key that a later version will not take any more",
}
FOLDERS = ("checks", "rules", "remediations", "catalogs", "commands")
# Sections whose keys a probe reads by itself: what it finds becomes readings.
READ_BY_PROBES = {
    "mounts": ("mounts", "filesystem_latency"),
    "names": ("user_lookup",),
    "processes": ("processes",),
    "services": ("services",),
    "system": ("configuration",),
}


class Doubt(msgspec.Struct, frozen=True):
    """One thing that looks wrong, where it stands, and what to do."""

    code: str
    message: str
    file: Path
    line: int
    key: str

    def __str__(self) -> str:
        return str(DefinitionError(f"{self.message} [{self.code}]", self.file, self.line))


def doubts(settings: Defined[Settings], definitions: Definitions, known: Knowledge) -> list[Doubt]:
    """Return every doubt about files without a mistake, by place."""
    site = _Site(settings, definitions, known)
    found = [
        *site.overrides(),
        *site.checks(),
        *site.unused(),
        *site.rules(),
        *site.repairs(),
        *site.without_effect(),
        *site.profile(),
        *site.deprecated(),
    ]
    unique = {(doubt.file, doubt.line, doubt.code, doubt.message): doubt for doubt in found}
    return sorted(unique.values(), key=lambda doubt: (str(doubt.file), doubt.line, doubt.message))


def _doubt(code: str, message: str, source: Located, key: str = "") -> Doubt:
    place = source.place(key)
    return Doubt(code, message, place.file, place.line, key)


class _Site:
    """What there is, and which files are the site's own."""

    def __init__(
        self, settings: Defined[Settings], definitions: Definitions, known: Knowledge
    ) -> None:
        self.settings = settings
        self.definitions = definitions
        self.known = known
        self.enabled = {
            name: rule for name, rule in definitions.rules.items() if rule.value.enabled
        }

    def is_own(self, file: Path) -> bool:
        return file.is_relative_to(self.known.configuration)

    def overrides(self) -> Iterator[Doubt]:
        for folder in (*FOLDERS, "profiles"):
            if not (self.known.configuration / folder).is_dir():
                continue
            shipped = read_folder(data_folder(folder), [], check_owner=False)
            own = read_folder(self.known.configuration / folder, [], check_owner=True)
            for name in sorted(set(shipped) & set(own)):
                yield from _same(own[name], shipped[name], top=True)

    def checks(self) -> Iterator[Doubt]:
        for name, check in self.known.checks.items():
            source = self.definitions.checks[name].source
            if self.is_own(source.file) and not check.definition.see:
                message = f"`{name}` has no `see:`; name the page that says what to do about it"
                yield _doubt("no-runbook", message, source, "check")
            yield from _conditions(check, source)

    def unused(self) -> Iterator[Doubt]:
        """Yield what the site has added and nothing refers to."""
        named = {
            check for rule in self.enabled.values() for check in _checks_of(rule.value)
        } | _explaining(self.definitions.checks)
        for name, check in self.known.checks.items():
            source = self.definitions.checks[name].source
            if self.is_own(source.file) and name not in named and check.definition.critical:
                message = f"no rule names `{name}`: where it is critical, nothing follows"
                yield _doubt("nobody-asks", message, source, "check")
        repairs = {name for rule in self.enabled.values() for name in rule.value.decide.remediate}
        for name, remediation in self.definitions.remediations.items():
            if self.is_own(remediation.source.file) and name not in repairs:
                message = f"no rule asks for `{name}`; name it below `remediate:` of one"
                yield _doubt("nobody-asks", message, remediation.source, "remediation")
        tables = {name for check in self.known.checks.values() for name in check.catalogs}
        for name, table in self.definitions.catalogs.items():
            if self.is_own(table.source.file) and name not in tables:
                message = f"no check looks into the catalogue `{name}`"
                yield _doubt("nobody-asks", message, table.source, "catalog")

    def rules(self) -> Iterator[Doubt]:
        for name, rule in self.enabled.items():
            when = rule.value.when
            why_not = {
                check: why
                for check, verdict in {**when.all, **when.any}.items()
                if (why := self._why_never(check, verdict)) is not None
            }
            lost_all = [check for check in when.all if check in why_not]
            lost_any = list(when.any) if when.any and all(c in why_not for c in when.any) else []
            for check in lost_all or lost_any[:1]:
                yield self._lost(name, rule, check, why_not[check])

    def _why_never(self, check: str, verdict: Verdict) -> str | None:
        defined = self.definitions.checks.get(check)
        if defined is None:
            return None  # a mistake, which lint has told
        if not defined.value.enabled:
            return f"check `{check}` is switched off"
        compiled = self.known.checks.get(check)
        if compiled is None or verdict is Verdict.UNKNOWN:
            return None
        wanted = [Verdict.CRITICAL] if verdict is Verdict.CRITICAL else list(Verdict)
        levels = [level for level in compiled.levels if level.verdict in wanted]
        if compiled.definition.expected is None and all(
            settled(level.when.text) is False for level in levels
        ):
            return f"check `{check}` never gets {verdict.value}"
        return None

    def _lost(self, name: str, rule: Defined[Rule], check: str, why: str) -> Doubt:
        """Point at the site's own line, which is the one that can be changed."""
        kind = "all" if check in rule.value.when.all else "any"
        place: Located = rule.source["when"][kind]
        switch = self.definitions.checks[check].source
        message = f"{why}, so rule `{name}` can never match"
        if not self.is_own(place.place(check).file) and "enabled" in switch:
            fix = f"write `enabled: false` in rules/{name}.yaml as well, if you mean it"
            return _doubt("rule-never-matches", f"{message}; {fix}", switch, "enabled")
        fix = "switch the rule off as well, or the check on"
        return _doubt("rule-never-matches", f"{message}; {fix}", place, check)

    def repairs(self) -> Iterator[Doubt]:
        settings, source = self.settings.value, self.settings.source
        for name, rule in self.enabled.items():
            decide: Located = rule.source["decide"]
            own = "remediate" in decide and self.is_own(decide.place("remediate").file)
            for repair in rule.value.decide.remediate if own else ():
                if repair not in settings.remediations and rule.value.mode is Mode.ACT:
                    message = (
                        f"rule `{name}` says `act`, and its `{repair}` does not run before "
                        f"`remediations:` of hpcdoctor.yaml names it"
                    )
                    yield _doubt("repair-not-enabled", message, decide, "remediate")
        asked = {n: r for r in self.enabled.values() for n in r.value.decide.remediate}
        for repair in settings.remediations:
            remediation = self.definitions.remediations.get(repair)
            if remediation is None:
                continue  # a mistake, which lint has told
            if why := _why_no_repair(remediation.value):
                message = f"`{repair}` is named here and never runs: {why}"
                yield _doubt("repair-never-runs", message, source, "remediations")
            elif repair not in asked:
                message = f"`{repair}` is named here and no rule asks for it; only a person can"
                yield _doubt("repair-never-runs", message, source, "remediations")
        alone = settings.authority is Authority.NODE and settings.scheduler is SchedulerName.NONE
        if settings.mode is Mode.ACT and alone:
            message = "`mode: act` drains no node without a scheduler; write `scheduler: slurm`"
            yield _doubt("nobody-drains", message, source, "mode")

    def without_effect(self) -> Iterator[Doubt]:
        """Yield the settings that count only beside another value of another one."""
        settings, source = self.settings.value, self.settings.source
        fleet = settings.authority is Authority.FLEET
        slurm = settings.scheduler is SchedulerName.SLURM
        for key, counts, wanted in (
            ("act_without_fleet", fleet, "`authority: fleet`"),
            ("fleet_patience", fleet, "`authority: fleet`"),
            ("slurm", slurm, "`scheduler: slurm`"),
        ):
            if key in source and not counts:
                message = f"`{key}` has an effect only with {wanted}"
                yield _doubt("key-without-effect", message, source, key)

    def profile(self) -> Iterator[Doubt]:
        source = self.definitions.profile
        if source is None:
            return
        used = {
            name
            for check in self.known.checks.values()
            for expression in (*check.expressions, *filter(None, [check.recovered]))
            for name in expression.dotted
        } | {str(check.definition.expected) for check in self.known.checks.values()}
        for section, value in source.items():
            if section == "profile":
                continue
            probes = READ_BY_PROBES.get(section, ())
            if any(probe in self.known.probes for probe in probes):
                continue
            whole = f"{PROFILE}.{section}"
            if not isinstance(value, Located):
                if whole not in used:
                    yield _doubt("profile-key-unused", _unread(section), source, section)
                continue
            for key in value:
                if f"{whole}.{key}" not in used:
                    yield _doubt("profile-key-unused", _unread(f"{section}.{key}"), value, key)

    def deprecated(self) -> Iterator[Doubt]:
        yield from _deprecated(self.settings.source, Settings)
        for shape, named in (
            (Check, self.definitions.checks),
            (Rule, self.definitions.rules),
            (Remediation, self.definitions.remediations),
            (Command, self.definitions.commands),
        ):
            sources: Iterable[Located] = [one.source for one in named.values()]
            for source in sources:
                yield from _deprecated(source, shape)
        if self.definitions.profile is not None:
            yield from _deprecated(self.definitions.profile, profiles.Profile)


def _same(own: Located, shipped: Located, *, top: bool = False) -> Iterator[Doubt]:
    for number, (key, value) in enumerate(own.items()):
        if key not in shipped or (top and number == 0 and value == own.file.stem):
            continue  # its name, which may stand there for whoever reads it
        if isinstance(value, Located) and isinstance(shipped[key], Located):
            yield from _same(value, shipped[key])
        elif plain(value) == plain(shipped[key]):
            message = f"`{key}` has the shipped value; leave it out, so that a better one arrives"
            yield _doubt("same-as-shipped", message, own, key)


def _conditions(check: CompiledCheck, source: Located) -> Iterator[Doubt]:
    for level in check.levels:
        where: Located = source[level.verdict.value]
        always = settled(level.when.text)
        if always is False:
            message = f"`when` of `{check.name}` can never hold; look at its numbers"
            yield _doubt("never-holds", message, where, "when")
        elif always is True:
            message = f"`when` of `{check.name}` always holds; look at its numbers"
            yield _doubt("always-holds", message, where, "when")
        for window in level.when.windows:
            if 0 < window.seconds < check.every_seconds:
                message = (
                    f"`{window.text}` looks back less far than the check pauses "
                    f"(`every: {check.definition.every}`): at most one look lies in it"
                )
                yield _doubt("window-too-short", message, where, "when")
    if len(check.levels) == 2:
        worse, other = check.levels
        forestalled = worse.hold_seconds <= other.hold_seconds
        if forestalled and implies(other.when.text, worse.when.text):
            message = (
                f"`{check.name}` is critical wherever this holds, so it is never a warning; "
                "are the two numbers the wrong way round?"
            )
            yield _doubt("never-holds", message, source["warning"], "when")


def _checks_of(rule: Rule) -> set[str]:
    return {*rule.when.all, *rule.when.any}


def _explaining(checks: Mapping[str, Defined[Check]]) -> set[str]:
    return {name for check in checks.values() for name in check.value.explained_by}


def _why_no_repair(remediation: Remediation) -> str:
    if not remediation.enabled:
        return "its file says `enabled: false`"
    if remediation.mode is not Mode.ACT:
        return f"its file says `mode: {remediation.mode.value}`"
    if remediation.proven is Proven.STAND_IN and remediation.trust is not Trust.UNPROVEN:
        file = f"remediations/{remediation.remediation}.yaml"
        return f"it was tried on stand-ins only; write `trust: unproven` in {file} to let it"
    return ""


def _unread(key: str) -> str:
    return f"no check that is switched on reads `{key}` of the profile"


def _deprecated(source: Located, shape: type[msgspec.Struct]) -> Iterator[Doubt]:
    for key in keys(shape):
        if key.name not in source:
            continue
        if key.deprecated:
            message = f"`{key.name}` is {key.note}"
            yield _doubt("deprecated", message, source, key.name)
        inner = source[key.name]
        for item in inner if isinstance(inner, list) else [inner]:
            if key.shape is not None and isinstance(item, Located):
                yield from _deprecated(item, key.shape)
