"""What does hpcdoctor know? Everything loaded and resolved: probes, checks, rules, remediations.

The only place that sees them all at once, and so the place where their names are held against
each other.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hpcdoctor.checks.causes import ANYWHERE, Link
from hpcdoctor.checks.compiled import CompiledCheck, compile_check, duration
from hpcdoctor.definitions.catalog import Catalog
from hpcdoctor.definitions.check import Check
from hpcdoctor.definitions.command import Command, problems_of
from hpcdoctor.definitions.loader import (
    SETTINGS_FILE,
    Defined,
    Definitions,
    load_definitions,
    load_settings,
    load_settings_source,
)
from hpcdoctor.definitions.remediation import LIMIT, PLACES, Remediation
from hpcdoctor.definitions.rule import Rule
from hpcdoctor.definitions.settings import CONFIGURATION, Settings
from hpcdoctor.definitions.yamlfile import DefinitionError, Located, Place, did_you_mean, plain
from hpcdoctor.expressions.errors import ExpressionError
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.text import fields_of
from hpcdoctor.probes import registry
from hpcdoctor.probes.registry import Probe
from hpcdoctor.rules.circumstances import about_finding, condition
from hpcdoctor.rules.match import JOB


class Knowledge(msgspec.Struct, frozen=True):
    """The whole configuration of one node, without a mistake in it."""

    settings: Settings
    configuration: Path
    checks: dict[str, CompiledCheck]
    rules: dict[str, Rule]
    remediations: dict[str, Remediation]
    commands: dict[str, Command]
    profile: dict[str, Any]
    probes: dict[str, Probe]


class WrongConfiguration(Exception):
    """The configuration has mistakes; all of them, one a line."""

    def __init__(self, problems: list[DefinitionError]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def load(configuration: Path = CONFIGURATION, only: Iterable[str] | None = None) -> Knowledge:
    """Return what is known; raise WrongConfiguration with every mistake found.

    `only` names the checks to resolve, where the others are not asked for.
    """
    try:
        settings = load_settings(configuration)
    except DefinitionError as error:
        raise WrongConfiguration(error.every) from None
    wanted = None if only is None else frozenset(only)
    definitions = load_definitions(configuration, settings.profile, wanted)
    knowledge, problems = resolve(settings, configuration, definitions, wanted)
    if problems:
        raise WrongConfiguration(problems)
    return knowledge


def resolve(
    settings: Settings,
    configuration: Path,
    definitions: Definitions,
    only: Iterable[str] | None = None,
) -> tuple[Knowledge, list[DefinitionError]]:
    """Resolve every name; return what could be resolved, and the mistakes."""
    problems = list(definitions.problems)
    catalogs: dict[str, Catalog] = {}
    for name, table in definitions.catalogs.items():
        catalogs[name] = table.value
        problems += _catalog_problems(table)
    wanted = set(definitions.checks) if only is None else set(only)
    checks: dict[str, CompiledCheck] = {}
    probes: dict[str, Probe] = {}
    for name, defined in definitions.checks.items():
        if name not in wanted or not defined.value.enabled:
            continue
        try:
            probe = _probe(defined)
            checks[name] = compile_check(defined, probe, catalogs)
            probes[probe.name] = probe
        except DefinitionError as error:
            problems += error.every
    if only is None:
        for check in checks.values():
            problems += _explanation_problems(definitions, check, checks)
    for command in definitions.commands.values():
        problems += problems_of(command.value, command.source)
    for rule in definitions.rules.values():
        problems += _rule_problems(rule, definitions, checks)
    for remediation in definitions.remediations.values():
        problems += _remediation_problems(remediation, definitions)
    if only is None:
        problems += _settings_problems(settings, configuration, definitions)
    knowledge = Knowledge(
        settings=settings,
        configuration=configuration,
        checks=checks,
        rules={name: d.value for name, d in definitions.rules.items() if d.value.enabled},
        remediations={name: d.value for name, d in definitions.remediations.items()},
        commands={n: d.value for n, d in definitions.commands.items() if d.value.enabled},
        profile=plain(definitions.profile) if definitions.profile else {},
        probes=probes,
    )
    return knowledge, problems


def _settings_problems(
    settings: Settings, configuration: Path, definitions: Definitions
) -> Iterable[DefinitionError]:
    """Hold the names in hpcdoctor.yaml against what there is."""
    named: tuple[tuple[str, str, list[str], Iterable[str]], ...] = (
        ("remediations", "remediation", settings.remediations, definitions.remediations),
        ("act_without_fleet", "rule", settings.act_without_fleet, definitions.rules),
    )
    for key, kind, names, known in named:
        for name in names:
            if name not in known and name not in definitions.broken:
                hint = did_you_mean(name, known)
                message = f"`{key}`: no {kind} is named `{name}`{hint}"
                place = _place_in_settings(configuration, key)
                yield DefinitionError(message, place.file, place.line, key)


def _place_in_settings(configuration: Path, key: str) -> Place:
    """Return the line of the file, which is read once more: whoever asks has made a mistake."""
    try:
        source = load_settings_source(configuration).source
    except DefinitionError:
        source = Located(configuration / SETTINGS_FILE, 0)
    return source.place(key) if key in source else Place(configuration / SETTINGS_FILE, 0)


def _probe(defined: Defined[Check]) -> Probe:
    name = defined.value.probe
    try:
        return registry.find(name)
    except KeyError:
        hint = did_you_mean(name, registry.names())
        raise defined.source.error(f"no probe is named `{name}`{hint}", "probe") from None


def _explanation_problems(
    definitions: Definitions, check: CompiledCheck, checks: Mapping[str, CompiledCheck]
) -> Iterable[DefinitionError]:
    """Hold `explained_by:` against the checks and the fields that there are."""
    defined = definitions.checks[check.name]
    where = defined.source.get("explained_by", defined.source)
    for name, text in defined.value.explained_by.items():
        if name not in definitions.checks and name not in definitions.broken:
            hint = did_you_mean(name, definitions.checks)
            yield where.error(f"no check is named `{name}`{hint}", name)
        crossed = any(mine != theirs for mine, theirs in Link.parse(name, text).agree)
        if name == check.name and not crossed:
            message = f"a finding of `{name}` explains another only where fields differ"
            yield where.error(f"{message}; write it as in `parent=pci_address`", name)
        other = checks.get(name)
        if other is None:  # disabled: it explains nothing here, and that is no mistake
            continue
        for mine, theirs in Link.parse(name, text).agree:
            for field, fields, whose in (
                (mine, check.fields, check),
                (theirs, other.fields, other),
            ):
                if field not in fields:
                    hint = did_you_mean(field, fields)
                    probe = whose.definition.probe
                    message = f"probe `{probe}` of `{whose.name}` gives no field `{field}`{hint}"
                    yield where.error(f"{message}; write `{ANYWHERE}` for any", name)


def _catalog_problems(table: Defined[Catalog]) -> Iterable[DefinitionError]:
    """Every entry says of its code what the default says of all others, in the same types."""
    default, source = table.value.default, table.source
    for code, entry in table.value.entries.items():
        where = source["entries"][code]
        if code.isdecimal() and code != str(int(code)):
            yield source["entries"].error(f"write the code as {int(code)}", code)
        for key, value in entry.items():
            if key not in default:
                hint = did_you_mean(key, default) or f"; there are {', '.join(default)}"
                yield where.error(f"the `default:` has no `{key}`{hint}", key)
            elif None not in (value, default[key]) and type(value) is not type(default[key]):
                yield where.error(f"`{key}: {value}` is of another type than the default's", key)


def _rule_problems(
    rule: Defined[Rule], definitions: Definitions, checks: Mapping[str, CompiledCheck]
) -> Iterable[DefinitionError]:
    when, source = rule.value.when, rule.source
    if not when.all and not when.any:
        yield source.error("`when` names no check; write `any:` or `all:` below it", "when")
    for kind, named in (("all", when.all), ("any", when.any)):
        inner = source["when"].get(kind)
        for check, verdict in named.items():
            if check in definitions.checks:
                yield from _verdict_problems(check, verdict, definitions, inner)
                yield from _same_problems(rule, check, definitions)
            elif check not in definitions.broken:
                hint = did_you_mean(check, definitions.checks)
                yield inner.error(f"no check is named `{check}`{hint}", check)
    known = [checks[name].places for name in (*when.all, *when.any) if name in checks]
    for place in fields_of(rule.value.summary):
        if known and not all(place in places for places in known):
            near = did_you_mean(place, set.intersection(*known))
            message = f"`summary`: not every check of `when` gives `{{{place}}}`{near}"
            yield source.error(message, "summary")
    if not rule.value.summary.strip():
        yield source.error("`summary` is empty", "summary")
    for name in rule.value.decide.remediate:
        if name not in definitions.remediations and name not in definitions.broken:
            hint = did_you_mean(name, definitions.remediations)
            yield source["decide"].error(f"no remediation is named `{name}`{hint}", "remediate")
    yield from _repeat_problems(rule, definitions)
    yield from _where_problems(rule, checks)
    if when.within is not None:
        yield from _duration_problems(source["when"], "within")


def _repeat_problems(rule: Defined[Rule], definitions: Definitions) -> Iterable[DefinitionError]:
    """Hold `times`, `same`, `different`, `for` and `if` against each other and what there is."""
    when, where = rule.value.when, rule.source["when"]
    if when.times < 1:
        yield where.error(f"`times: {when.times}` has to be 1 or more", "times")
    if when.same and when.times == 1 and len(when.all) + bool(when.any) < 2:
        message = "`same` has no meaning where only one finding is asked for; write `all:`"
        yield where.error(f"{message}, or `times:` for one that comes again", "same")
    if when.different is not None and when.times == 1:
        message = "`different` counts things; say how many with `times: 2` or more"
        yield where.error(message, "different")
    if when.different not in (None, JOB):
        for check in (*when.all, *when.any):
            subject = (
                definitions.checks[check].value.subject_fields
                if (check in definitions.checks)
                else [when.different]
            )
            if when.different not in subject:
                hint = did_you_mean(str(when.different), [*subject, JOB])
                message = f"check `{check}` has no `{when.different}` in its `per:`{hint}"
                yield where.error(message, "different")
    if "for" in where:
        yield from _duration_problems(where, "for")
    if when.condition is not None:
        try:
            condition(when.condition)
        except ExpressionError as error:
            yield where.error(f"`if`, column {error.column}: {error.message}", "if")


def _where_problems(
    rule: Defined[Rule], checks: Mapping[str, CompiledCheck]
) -> Iterable[DefinitionError]:
    """Hold the fields of a rule's `where:` against each check that it names."""
    when, source = rule.value.when, rule.source["when"]
    if when.where is None:
        return
    try:
        wanted = about_finding(when.where).fields
    except ExpressionError as error:
        yield source.error(f"`where`, column {error.column}: {error.message}", "where")
        return
    for name in (*when.all, *when.any):
        fields = checks[name].fields if name in checks else wanted
        for field in sorted(wanted - set(fields)):
            hint = did_you_mean(field, fields)
            message = f"`where`: check `{name}` gives no `{field}`{hint}"
            yield source.error(message, "where")


def _verdict_problems(
    name: str, verdict: Verdict, definitions: Definitions, where: Located
) -> Iterable[DefinitionError]:
    """A rule that can never match is a mistake, not a quiet rule."""
    check = definitions.checks[name].value
    if verdict is Verdict.OK:
        yield where.error("a rule asks for warning, critical or unknown, not for ok", name)
    elif verdict is Verdict.CRITICAL and check.critical is None and check.expected is None:
        message = f"check `{name}` is never critical; it has only `warning:`"
        yield where.error(message, name)


def _same_problems(
    rule: Defined[Rule], check: str, definitions: Definitions
) -> Iterable[DefinitionError]:
    for field in rule.value.when.same_fields:
        subject = definitions.checks[check].value.subject_fields
        if field not in subject:
            hint = did_you_mean(field, subject)
            message = f"check `{check}` has no `{field}` in its `per:`{hint}"
            yield rule.source["when"].error(message, "same")


def _remediation_problems(
    remediation: Defined[Remediation], definitions: Definitions
) -> Iterable[DefinitionError]:
    value, source = remediation.value, remediation.source
    for key, steps in (("steps", value.steps), ("finally", value.last)):
        for number, step in enumerate(steps):
            where = source[key][number]
            if (step.do is None) == (step.run is None):
                yield where.error("each step has either `do:` or `run:`", "do")
            if step.run is not None and not step.run:
                yield where.error("`run` is empty; write the program and its arguments", "run")
            for place in fields_of(" ".join(step.run or [])):
                if place not in PLACES:
                    hint = did_you_mean(place, PLACES) or f"; there are {', '.join(sorted(PLACES))}"
                    yield where.error(f"`run`: there is no `{{{place}}}`{hint}", "run")
            if "timeout" in where:
                yield from _duration_problems(where, "timeout")
    if not value.steps:
        yield source.error("`steps` is empty", "steps")
    if LIMIT.fullmatch(value.limit) is None:
        yield source.error(f"`limit: {value.limit}`: write it as in `1 per 24h`", "limit")
    if value.verify is None:
        return
    if "within" in source["verify"]:
        yield from _duration_problems(source["verify"], "within")
    for check in value.verify.all:
        if check not in definitions.checks and check not in definitions.broken:
            hint = did_you_mean(check, definitions.checks)
            yield source["verify"]["all"].error(f"no check is named `{check}`{hint}", check)


def _duration_problems(source: Located, key: str) -> Iterable[DefinitionError]:
    try:
        duration(source[key], source, key)
    except DefinitionError as error:
        yield error
