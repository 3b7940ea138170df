"""What does hpcdoctor know? Everything loaded and resolved: probes, checks, rules, remediations.

The only place that sees them all at once, and so the place where their names are held against
each other.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from hpcdoctor.checks.compiled import CompiledCheck, compile_check, duration
from hpcdoctor.definitions.check import Check
from hpcdoctor.definitions.loader import (
    SETTINGS_FILE,
    Defined,
    Definitions,
    load_definitions,
    load_settings,
)
from hpcdoctor.definitions.remediation import Remediation
from hpcdoctor.definitions.rule import Rule
from hpcdoctor.definitions.settings import CONFIGURATION, Settings
from hpcdoctor.definitions.yamlfile import DefinitionError, did_you_mean, plain
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.quantity import parse_duration
from hpcdoctor.probes import registry
from hpcdoctor.probes.registry import Probe


class Knowledge(msgspec.Struct, frozen=True):
    """The whole configuration of one node, without a mistake in it."""

    settings: Settings
    configuration: Path
    checks: dict[str, CompiledCheck]
    rules: dict[str, Rule]
    remediations: dict[str, Remediation]
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
        check_settings(settings, configuration)
    except DefinitionError as error:
        raise WrongConfiguration([error]) from None
    definitions = load_definitions(configuration, settings.profile)
    knowledge, problems = resolve(settings, configuration, definitions, only)
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
    catalogs = {name: defined.value for name, defined in definitions.catalogs.items()}
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
            problems.append(error)
    for rule in definitions.rules.values():
        problems += _rule_problems(rule, definitions)
    for remediation in definitions.remediations.values():
        problems += _remediation_problems(remediation, definitions)
    if settings.remediations:
        message = (
            "`remediations`: this version describes remediations and carries out none; leave the "
            "list empty"
        )
        problems.append(DefinitionError(message, configuration / SETTINGS_FILE))
    knowledge = Knowledge(
        settings=settings,
        configuration=configuration,
        checks=checks,
        rules={name: d.value for name, d in definitions.rules.items() if d.value.enabled},
        remediations={name: d.value for name, d in definitions.remediations.items()},
        profile=plain(definitions.profile) if definitions.profile else {},
        probes=probes,
    )
    return knowledge, problems


def check_settings(settings: Settings, configuration: Path) -> None:
    """Hold the settings against what types cannot say; raise DefinitionError."""
    file = configuration / SETTINGS_FILE
    for key in ("tick", "probation", "boot_quiet", "spool_age"):
        try:
            parse_duration(getattr(settings, key))
        except ValueError as error:
            raise DefinitionError(f"`{key}`: {error}", file) from None
    if settings.limit.nodes < 0 or not 0 <= settings.limit.share_ratio <= 1:
        raise DefinitionError("`limit`: nodes is 0 or more, share_ratio between 0 and 1", file)


def _probe(defined: Defined[Check]) -> Probe:
    name = defined.value.probe
    try:
        return registry.find(name)
    except KeyError:
        hint = did_you_mean(name, registry.names())
        raise defined.source.error(f"no probe is named `{name}`{hint}", "probe") from None


def _rule_problems(rule: Defined[Rule], definitions: Definitions) -> Iterable[DefinitionError]:
    when, source = rule.value.when, rule.source
    if not when.all and not when.any:
        yield source.error("`when` names no check; write `any:` or `all:` below it", "when")
    for kind, named in (("all", when.all), ("any", when.any)):
        inner = source["when"].get(kind)
        for check, verdict in named.items():
            if check not in definitions.checks:
                hint = did_you_mean(check, definitions.checks)
                yield inner.error(f"no check is named `{check}`{hint}", check)
            elif verdict is Verdict.OK:
                yield inner.error("a rule asks for warning, critical or unknown, not for ok", check)
            else:
                yield from _same_problems(rule, check, definitions)
    for name in rule.value.decide.remediate:
        if name not in definitions.remediations:
            hint = did_you_mean(name, definitions.remediations)
            yield source["decide"].error(f"no remediation is named `{name}`{hint}", "remediate")
    if when.within is not None:
        try:
            duration(when.within, source["when"], "within")
        except DefinitionError as error:
            yield error


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
    for step in [*value.steps, *value.last]:
        if (step.do is None) == (step.run is None):
            yield source.error("each step has either `do:` or `run:`", "steps")
    for check in value.verify.all if value.verify else {}:
        if check not in definitions.checks:
            hint = did_you_mean(check, definitions.checks)
            yield source["verify"].error(f"no check is named `{check}`{hint}", "all")
