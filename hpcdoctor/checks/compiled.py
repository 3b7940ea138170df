"""What is a check once its names are resolved and its texts are parsed?"""

from collections.abc import Iterable

import msgspec

from hpcdoctor.definitions.catalog import Catalog
from hpcdoctor.definitions.check import BY_HAND, REBOOT, Check, Condition
from hpcdoctor.definitions.loader import Defined
from hpcdoctor.definitions.yamlfile import DefinitionError, Located, did_you_mean
from hpcdoctor.expressions.compile import compile_expression
from hpcdoctor.expressions.errors import ExpressionError
from hpcdoctor.expressions.expression import Expression
from hpcdoctor.expressions.fields import maximums_of, types_of
from hpcdoctor.expressions.types import Scope, Type
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.quantity import parse_duration
from hpcdoctor.model.text import fields_of
from hpcdoctor.probes.registry import Probe, Shape

# How long the child that looks has not answered; every probe with a child a subject has it.
STUCK_SECONDS = "stuck_seconds"
STUCK_SINCE = "stuck_since"  # the same as a moment, for the summary


class Level(msgspec.Struct, frozen=True):
    """When one verdict is reached."""

    verdict: Verdict
    when: Expression
    hold_seconds: float
    label: str


class CompiledCheck(msgspec.Struct, frozen=True):
    """A check, ready to judge."""

    definition: Check
    shape: Shape
    subject_field: str | None  # of a probe with a child a subject: the field that names it
    where: Expression | None
    levels: list[Level]  # the worst first
    every_seconds: float
    clear_seconds: float | None  # None: silence does not clear it
    clears_at_reboot: bool
    quiet_seconds: float
    unknown_seconds: float
    catalogs: dict[str, tuple[Catalog, str]]  # name: the table, and the field that is its key
    maximums: dict[str, int]

    @property
    def name(self) -> str:
        return self.definition.check

    @property
    def expressions(self) -> list[Expression]:
        return [*([self.where] if self.where else []), *(level.when for level in self.levels)]


def compile_check(
    defined: Defined[Check], probe: Probe, catalogs: dict[str, Catalog]
) -> CompiledCheck:
    """Resolve one check against its probe; raise DefinitionError with place and likely fix."""
    check, source = defined.value, defined.source
    fields = types_of(probe.reading)
    subject_field = None
    if probe.shape is Shape.PER_SUBJECT:
        fields |= {STUCK_SECONDS: Type.NUMBER, STUCK_SINCE: Type.TEXT}
        subject_field = probe.subject_field
    _check_names(check, source, fields)
    tables = _tables(check, source, catalogs, fields)
    dotted = {
        f"{name}.{key}": _entry_type(table, key)
        for name, (table, _) in tables.items()
        for key in table.default
    }
    scope = Scope(fields=fields, dotted=dotted)
    levels = [
        _level(verdict, condition, source, scope)
        for verdict, condition in (
            (Verdict.CRITICAL, check.critical),
            (Verdict.WARNING, check.warning),
        )
        if condition is not None
    ]
    if not levels and check.expected is None:
        raise source.error("a check needs `critical:`, `warning:` or `expected:`")
    where = _expression(check.where, source, "where", scope) if check.where else None
    _check_places(check, source, {*fields, *dotted})
    clear = check.clear_after
    return CompiledCheck(
        definition=check,
        shape=probe.shape,
        subject_field=subject_field,
        where=where,
        levels=levels,
        every_seconds=duration(check.every, source, "every"),
        clear_seconds=None
        if clear in (REBOOT, BY_HAND)
        else duration(clear, source, "clear_after"),
        clears_at_reboot=clear == REBOOT,
        quiet_seconds=duration(check.quiet_after_boot, source, "quiet_after_boot"),
        unknown_seconds=duration(check.unknown_after, source, "unknown_after"),
        catalogs=tables,
        maximums=maximums_of(probe.reading),
    )


def duration(text: str, source: Located, key: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise source.error(f"`{key}`: {error}", key) from None


def _check_names(check: Check, source: Located, fields: Iterable[str]) -> None:
    for name in check.subject_fields:
        if name not in fields:
            hint = did_you_mean(name, fields)
            raise source.error(f"probe `{check.probe}` gives no field `{name}`{hint}", "per")


def _tables(
    check: Check, source: Located, catalogs: dict[str, Catalog], fields: Iterable[str]
) -> dict[str, tuple[Catalog, str]]:
    tables = {}
    for name, field in check.catalog.items():
        if name not in catalogs:
            hint = did_you_mean(name, catalogs)
            raise source.error(f"no catalogue is named `{name}`{hint}", "catalog")
        if field not in fields:
            hint = did_you_mean(field, fields)
            raise source.error(f"probe `{check.probe}` gives no field `{field}`{hint}", "catalog")
        tables[name] = (catalogs[name], field)
    return tables


def _entry_type(table: Catalog, key: str) -> Type:
    value = table.default[key]
    if isinstance(value, bool):
        return Type.BOOL
    if isinstance(value, int):
        return Type.NUMBER
    return Type.TEXT if isinstance(value, str) else Type.ANY


def _level(verdict: Verdict, condition: Condition, source: Located, scope: Scope) -> Level:
    inner = source[verdict.value]
    return Level(
        verdict=verdict,
        when=_expression(condition.when, inner, "when", scope),
        hold_seconds=duration(condition.hold, inner, "for"),
        label=condition.label,
    )


def _expression(text: str, source: Located, key: str, scope: Scope) -> Expression:
    try:
        return compile_expression(text, scope)
    except ExpressionError as error:
        place = source.place(key)
        message = f"`{key}`, column {error.column}: {error.message}"
        raise DefinitionError(message, place.file, place.line, key) from None


def _check_places(check: Check, source: Located, known: set[str]) -> None:
    """Every {place} of a text that people read must be something the reading gives."""
    texts = [("summary", check.summary), ("object", check.object)]
    texts += [("next_steps", step) for step in check.next_steps]
    for level in (check.critical, check.warning):
        texts += (
            [("critical" if level is check.critical else "warning", level.label)] if level else []
        )
    for key, text in texts:
        for name in fields_of(text):
            if name not in known:
                hint = did_you_mean(name, known)
                raise source.error(f"`{key}`: there is no `{{{name}}}`{hint}", key)
