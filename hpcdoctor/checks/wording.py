"""How is a finding worded, from the check's texts and the values that were seen?"""

from collections.abc import Mapping

from hpcdoctor.checks.compiled import CompiledCheck, Level
from hpcdoctor.model.finding import Evidence, Finding, Verdict
from hpcdoctor.model.reading import Value
from hpcdoctor.model.shell_words import contexts, quoted
from hpcdoctor.model.text import fields_of, fill, said_once, shown, visible


def make_finding(
    check: CompiledCheck,
    subject: dict[str, str],
    verdict: Verdict,
    summary: str,
    level: Level | None,
    values: Mapping[str, Value],
    evidence: Evidence,
) -> Finding:
    """Return the finding as it is when it opens; without a level there is nothing to advise."""
    definition = check.definition
    thing = fill(definition.object, values) if definition.object and values else ""
    label = fill(level.label, values) if level and level.label else ""
    return Finding(
        check=check.name,
        subject=subject,
        verdict=verdict,
        cause=definition.cause,
        summary=summary,
        since=evidence.taken,
        object=thing or "/".join(subject.values()),
        label=label or check.name,
        last_seen=evidence.taken,
        evidence=[evidence],
        why=" ".join(definition.why.split()),
        next_steps=_next_steps(definition.next_steps, values) if level else [],
    )


def _next_steps(steps: list[str], values: Mapping[str, Value]) -> list[str]:
    """Fill them in; one that is about nothing but what is not known here is left out."""
    return [
        for_shell(step, values)
        for step in steps
        if (names := fields_of(step)) == []
        or any(values.get(name) not in ("", None) for name in names)
    ]


def for_shell(step: str, values: Mapping[str, Value]) -> str:
    """Fill in the values so that a command with them in it does nothing but what it says.

    Fields with a dot come from our own catalogs, and are sentences.
    """
    step = said_once(step, values)
    where = iter(contexts(step))

    def said(name: str, value: Value) -> str:
        context = next(where)
        text = shown(value)
        foreign = isinstance(value, (str, list)) and "." not in name and text
        return quoted(text, context) if foreign else text

    return fill(step, values, said)


def evidence_text(level: Level | None, values: Mapping[str, Value], summary: str) -> str:
    """Return what was seen, and what it was held against."""
    if level is None or not values:
        return visible(summary)
    names = sorted(level.when.fields | {f for w in level.when.windows for f in w.fields})
    seen = [f"{name} = {shown(values[name])}" for name in names if name in values]
    seen += [f"{name} = {shown(value)}" for name, value in values.items() if "(" in name]
    condition = " ".join(level.when.text.split())
    return visible(f"{', '.join(seen)}; {level.verdict.value} when {condition}")


def record_text(values: Mapping[str, Value]) -> str:
    """Return the line of the log, or whatever else the record says."""
    return visible(str(values.get("text") or ", ".join(f"{k}={v}" for k, v in values.items())))
