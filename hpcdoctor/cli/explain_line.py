"""What does hpcdoctor make of one line of the kernel log?"""

import textwrap
from pathlib import Path

import msgspec

from hpcdoctor.checks.judge import Judge
from hpcdoctor.checks.surroundings import Surroundings
from hpcdoctor.knowledge import load
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.kernel_record import UnknownForm, parse_bare, parse_log
from hpcdoctor.model.reading import Look, ReadStatus, Value
from hpcdoctor.model.text import shown
from hpcdoctor.probes.kernel_messages import Message, Reader, catalogue

WIDTH = 80
NOBODY = Instant("log", 0.0, 0.0)
# What stands in every message, and explains nothing.
WITH_CODES = ("xid", "sxid")
LEFT_OUT = ("text", "facility", "level", "sequence", "boottime_seconds", "in_pci_tree")


def explain_line(line: str, configuration: Path) -> int:
    """Say which message it is, and what the checks conclude from it."""
    messages = _messages(line)
    if not messages:
        print("No message that hpcdoctor knows: it makes nothing of this line.")
        return 0
    knowledge = load(configuration)
    checks = {n: c for n, c in knowledge.checks.items() if c.definition.probe == "kernel_log"}
    for message in messages:
        print(f"kernel message {message.kind}")
        values: dict[str, Value] = msgspec.to_builtins(message)
        for name, value in values.items():
            if name not in (*LEFT_OUT, "kind") and value not in (None, ""):
                print(f"  {name:<14}{shown(value)}")
        if message.kind in WITH_CODES and message.code is not None:
            print(f"  more: hpcdoctor explain {message.kind} {message.code}")
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
            print(f"\n  It ends what {' and '.join(over)} found about the same thing.")
        elif not judge.findings:
            print("\n  No check concludes anything from one such line.")
        for finding in judge.findings.values():
            print(f"\n  {finding.verdict.value} by check {finding.check}")
            print(_paragraph(finding.summary))
            print(_paragraph(finding.why))
            print(f"    more: hpcdoctor explain {finding.check}")
    return 0


def _messages(line: str) -> list[Message]:
    lines = [line.encode(errors="backslashreplace")]
    try:
        records = list(parse_log(lines))
    except UnknownForm:
        records = list(parse_bare(lines))
    reader = Reader(catalogue(), None, None)
    return [message for record in records if (message := reader.read(record)) is not None]


def _paragraph(text: str) -> str:
    margin = "    "
    return textwrap.fill(text, WIDTH, initial_indent=margin, subsequent_indent=margin)
