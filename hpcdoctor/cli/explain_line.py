"""What does hpcdoctor make of one line of the kernel log?"""

from pathlib import Path

import msgspec

from hpcdoctor.checks.compiled import CompiledCheck
from hpcdoctor.checks.judge import Judge
from hpcdoctor.checks.surroundings import Surroundings
from hpcdoctor.cli.explain_next import follows
from hpcdoctor.cli.explain_silent import Silent, silent
from hpcdoctor.cli.explain_text import Entry
from hpcdoctor.definitions.loader import Definitions
from hpcdoctor.definitions.rule import Rule
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.knowledge import Knowledge, load
from hpcdoctor.model.finding import Finding
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.kernel_record import Record, UnknownForm, parse_bare, parse_log
from hpcdoctor.model.reading import Look, ReadStatus, Value
from hpcdoctor.model.text import shown
from hpcdoctor.probes.kernel_messages import Message, Reader, catalogue
from hpcdoctor.rules.circumstances import Told, about_finding
from hpcdoctor.rules.match import reaches

NOBODY = Instant("log", 0.0, 0.0)
# What stands in every message, and explains nothing.
WITH_CODES = ("xid", "sxid")
LEFT_OUT = ("text", "facility", "level", "sequence", "boottime_seconds", "in_pci_tree")


def explain_line(
    line: str, configuration: Path, definitions: Definitions, settings: Settings
) -> list[Entry]:
    """Return which messages the line holds, and what checks and rules conclude from each."""
    records = _records(line)
    messages = _messages(records)
    if not messages:
        return [_silent(said) for record in records if (said := silent(record.text)) is not None]
    knowledge = load(configuration)
    checks = {n: c for n, c in knowledge.checks.items() if c.definition.probe == "kernel_log"}
    return [_entry(one, checks, knowledge, definitions, settings) for one in messages]


def _entry(
    message: Message,
    checks: dict[str, CompiledCheck],
    knowledge: Knowledge,
    definitions: Definitions,
    settings: Settings,
) -> Entry:
    values: dict[str, Value] = msgspec.to_builtins(message)
    entry: Entry = {
        "kind": "line",
        "name": message.kind,
        "values": {
            name: shown(value)
            for name, value in values.items()
            if name not in (*LEFT_OUT, "kind") and value not in (None, "")
        },
        "findings": [],
        "notes": [],
    }
    if message.kind in WITH_CODES and message.code is not None:
        entry["more"] = f"hpcdoctor explain {message.kind} {message.code}"
    judge = Judge(checks, knowledge.profile, patient=False)
    judge.judge(Look("kernel_log", ReadStatus.READ, NOBODY, readings=[values]))
    over = [
        name
        for name, check in checks.items()
        if check.recovered is not None
        and check.recovered.evaluate(
            Surroundings(check, values, knowledge.profile, judge.history, NOBODY)
        )
        is True
    ]
    if over:
        entry["notes"].append(f"It ends what {' and '.join(over)} found about the same thing.")
    elif not judge.findings:
        entry["notes"].append("No check concludes anything from one such line.")
    for finding in judge.findings.values():
        rules = [
            {
                **msgspec.to_builtins(rule),
                "reached": reaches(finding.verdict, rule.verdict)
                and _holds(definitions.rules[rule.rule].value, finding),
            }
            for rule in follows(finding.check, definitions, settings)
        ]
        entry["findings"].append(
            {
                "check": finding.check,
                "verdict": finding.verdict.value,
                "summary": finding.summary,
                "why": finding.why,
                "next_steps": finding.next_steps,
                "follows": rules,
            }
        )
    return entry


def _holds(rule: Rule, finding: Finding) -> bool:
    """Whether this one finding is enough, or could be one of those that the rule wants."""
    if rule.when.where is None:
        return True
    return about_finding(rule.when.where).evaluate(Told(finding)) is not False


def _silent(said: Silent) -> Entry:
    values = {name: shown(value) for name, value in said.values.items()}
    return {
        "kind": "line",
        "name": said.name,
        "values": values,
        "findings": [],
        "notes": [said.meaning, "hpcdoctor concludes nothing from this line itself."],
    }


def _records(line: str) -> list[Record]:
    lines = [line.encode(errors="backslashreplace")]
    try:
        return list(parse_log(lines))
    except UnknownForm:
        return list(parse_bare(lines))


def _messages(records: list[Record]) -> list[Message]:
    reader = Reader(catalogue(), None, None)
    return [message for record in records if (message := reader.read(record)) is not None]
