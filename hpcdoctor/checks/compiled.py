"""What is a check once its names are resolved and its texts are parsed?"""

import contextlib
from collections.abc import Iterable, Iterator
from functools import cache

import msgspec

from hpcdoctor.definitions import profile
from hpcdoctor.definitions.catalog import Catalog
from hpcdoctor.definitions.check import BY_HAND, REBOOT, Check, Condition
from hpcdoctor.definitions.loader import Defined
from hpcdoctor.definitions.mistake import DefinitionError, did_you_mean, raise_all
from hpcdoctor.definitions.yamlfile import Located
from hpcdoctor.expressions.compile import compile_expression
from hpcdoctor.expressions.errors import ExpressionError
from hpcdoctor.expressions.expression import Expression
from hpcdoctor.expressions.fields import maximums_of, types_of
from hpcdoctor.expressions.types import PROFILE, Scope, Type
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.quantity import parse_duration
from hpcdoctor.model.text import fields_of
from hpcdoctor.probes.registry import Probe, Shape

# How long the child that looks has not answered; every probe with a child a subject has it.
STUCK_SECONDS = "stuck_seconds"
STUCK_SINCE = "stuck_since"  # the same as a moment, for the summary
LEAST_SECONDS = 1.0

# Resolving annotations is most of the cost of a check, and many checks share a probe.
_types_of = cache(types_of)
_maximums_of = cache(maximums_of)


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
    recovered: Expression | None
    every_seconds: float
    clear_seconds: float | None  # None: silence does not clear it
    clears_at_reboot: bool
    quiet_seconds: float
    unknown_seconds: float
    catalogs: dict[str, tuple[Catalog, str]]  # name: the table, and the field that is its key
    maximums: dict[str, int]
    fields: frozenset[str]  # of the reading, with the seconds that a child has been stuck

    @property
    def name(self) -> str:
        return self.definition.check

    @property
    def places(self) -> set[str]:
        """Return what a text about a finding of this check may name."""
        tables = {f"{name}.{key}" for name, (t, _) in self.catalogs.items() for key in t.default}
        return {*self.fields, *tables}

    @property
    def expressions(self) -> list[Expression]:
        return [*([self.where] if self.where else []), *(level.when for level in self.levels)]


def compile_check(
    defined: Defined[Check], probe: Probe, catalogs: dict[str, Catalog]
) -> CompiledCheck:
    """Resolve one check against its probe; raise DefinitionError with place and likely fix.

    All that can be told at once is told: the error carries the others.
    """
    check, source = defined.value, defined.source
    fields = dict(_types_of(probe.reading))
    subject_field = None
    if probe.shape is Shape.PER_SUBJECT:
        fields |= {STUCK_SECONDS: Type.NUMBER, STUCK_SINCE: Type.TEXT}
        subject_field = probe.subject_field
    problems = [
        *_problems_of_texts(check, source),
        *_problems_of_names(check, source, fields),
        *_problems_of_shape(check, source, probe.shape),
    ]
    tables = _tables(check, source, catalogs, fields, problems)
    known = {
        f"{name}.{key}": _entry_type(table, key)
        for name, (table, _) in tables.items()
        for key in table.default
    }
    scope = Scope(fields=fields, dotted={**known, **profile.names()})
    levels: list[Level] = []
    for verdict, condition in (
        (Verdict.CRITICAL, check.critical),
        (Verdict.WARNING, check.warning),
    ):
        if condition is not None:
            with _collected(problems):
                levels.append(_level(verdict, condition, source, scope))
    if check.critical is None and check.warning is None:
        problems.append(source.error("a check needs `critical:`, `warning:` or both"))
    where = None
    if check.where is not None:
        with _collected(problems):
            where = _expression(check.where, source, "where", scope)
    recovered = None
    if check.recovered is not None:
        with _collected(problems):
            recovered = _recovery(check.recovered, source, scope)
    if len(tables) == len(check.catalog):  # else its names are not known
        problems += _problems_of_places(check, source, {*fields, *known})
    seconds: dict[str, float] = {}
    for key, text in (
        ("every", check.every),
        ("clear_after", check.clear_after),
        ("quiet_after_boot", check.quiet_after_boot),
        ("unknown_after", check.unknown_after),
    ):
        if key == "clear_after" and text in (REBOOT, BY_HAND):
            continue
        with _collected(problems):
            seconds[key] = duration(text, source, key)
    if seconds.get("every", LEAST_SECONDS) < LEAST_SECONDS:
        problems.append(source.error(f"`every: {check.every}` has to be 1s or more", "every"))
    raise_all(problems)
    return CompiledCheck(
        definition=check,
        shape=probe.shape,
        subject_field=subject_field,
        where=where,
        levels=levels,
        recovered=recovered,
        every_seconds=seconds["every"],
        clear_seconds=seconds.get("clear_after"),
        clears_at_reboot=check.clear_after == REBOOT,
        quiet_seconds=seconds["quiet_after_boot"],
        unknown_seconds=seconds["unknown_after"],
        catalogs=tables,
        maximums=_maximums_of(probe.reading),
        fields=frozenset(fields),
    )


@contextlib.contextmanager
def _collected(problems: list[DefinitionError]) -> Iterator[None]:
    """Note a mistake and go on, so that one run tells them all."""
    try:
        yield
    except DefinitionError as error:
        problems += error.every


def duration(text: str, source: Located, key: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        words = f", or {REBOOT} or {BY_HAND}" * (key == "clear_after")
        hint = did_you_mean(text, (REBOOT, BY_HAND)) if words else ""
        raise source.error(f"`{key}`: {error}{words}{hint}", key) from None


def _problems_of_texts(check: Check, source: Located) -> Iterator[DefinitionError]:
    for key in ("summary", "why"):
        if not getattr(check, key).strip():
            yield source.error(f"`{key}` is empty", key)
    if not any(step.strip() for step in check.next_steps):
        yield source.error("`next_steps` is empty; say what to do first", "next_steps")


def _problems_of_names(
    check: Check, source: Located, fields: Iterable[str]
) -> Iterator[DefinitionError]:
    for name in check.subject_fields:
        if name not in fields:
            hint = did_you_mean(name, fields) or f"; it gives {', '.join(sorted(fields))}"
            yield source.error(f"probe `{check.probe}` gives no field `{name}`{hint}", "per")
    if len(set(check.subject_fields)) < len(check.subject_fields):
        yield source.error("`per` names a field twice", "per")
    if check.expected is not None and not profile.is_name(check.expected):
        hint = did_you_mean(check.expected, profile.names())
        yield source.error(f"no profile has `{check.expected}`{hint}", "expected")


def _problems_of_shape(check: Check, source: Located, shape: Shape) -> Iterator[DefinitionError]:
    """What is written and would do nothing is a mistake too."""
    if shape is not Shape.STREAM:
        if check.recovered is not None:
            yield source.error(
                f"`recovered` has no meaning for probe `{check.probe}`, whose readings are states: "
                "a finding closes when its condition no longer holds; leave it out",
                "recovered",
            )
        return
    for key in ("quiet_after_boot", "expected"):
        if key in source:
            yield source.error(
                f"`{key}` has no meaning for probe `{check.probe}`, whose readings are events; "
                "leave it out",
                key,
            )
    for verdict in (Verdict.CRITICAL, Verdict.WARNING):
        inner = source.get(verdict.value)
        if isinstance(inner, Located) and "for" in inner:
            yield inner.error(
                f"`for` has no meaning for probe `{check.probe}`: an event lasts no time; count "
                "events instead",
                "for",
            )


def _tables(
    check: Check,
    source: Located,
    catalogs: dict[str, Catalog],
    fields: Iterable[str],
    problems: list[DefinitionError],
) -> dict[str, tuple[Catalog, str]]:
    where = source.get("catalog", source)
    tables = {}
    for name, field in check.catalog.items():
        if name not in catalogs:
            hint = did_you_mean(name, catalogs)
            problems.append(where.error(f"no catalogue is named `{name}`{hint}", name))
        elif field not in fields:
            hint = did_you_mean(field, fields)
            message = f"probe `{check.probe}` gives no field `{field}`{hint}"
            problems.append(where.error(message, name))
        else:
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


def _recovery(text: str, source: Located, scope: Scope) -> Expression:
    expression = _expression(text, source, "recovered", scope)
    if expression.windows:
        window = expression.windows[0].text
        raise source.error(
            f"`recovered` is about one event, and `{window}` looks back", "recovered"
        )
    return expression


def _expression(text: str, source: Located, key: str, scope: Scope) -> Expression:
    place = source.place(key)
    try:
        expression = compile_expression(text, scope)
    except ExpressionError as error:
        message = f"`{key}`, column {error.column}: {error.message}"
        raise DefinitionError(message, place.file, place.line, key) from None
    for name in sorted(expression.dotted):
        # The expressions take any name that begins so; which ones there are is the profile's shape.
        if name.startswith(PROFILE + ".") and not profile.is_name(name):
            hint = did_you_mean(name, profile.names())
            message = f"`{key}`, column {text.find(name) + 1}: no profile has `{name}`{hint}"
            raise DefinitionError(message, place.file, place.line, key)
    return expression


def _problems_of_places(
    check: Check, source: Located, known: set[str]
) -> Iterator[DefinitionError]:
    """Every {place} of a text that people read must be something the reading gives."""
    texts = [(source, "summary", check.summary), (source, "object", check.object)]
    texts += [(source, "next_steps", step) for step in check.next_steps]
    for verdict, level in ((Verdict.CRITICAL, check.critical), (Verdict.WARNING, check.warning)):
        if level is not None:
            texts.append((source[verdict.value], "label", level.label))
    for where, key, text in texts:
        for name in fields_of(text):
            if name not in known:
                hint = did_you_mean(name, known)
                yield where.error(f"`{key}`: there is no `{{{name}}}`{hint}", key)
