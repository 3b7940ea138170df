"""Which checks is a pasted line about that hpcdoctor, or a program of a user, has printed?"""

import re
from collections.abc import Iterable, Mapping

from hpcdoctor.model.shell_words import PLACE

# "n017: CRITICAL: gpu-lost GPU3 (Xid79 off bus); node draining", or a row of a page with its label.
OF_A_REPORT = re.compile(
    r"(?:[\w.-]+: ?)?(?:(?:CRITICAL|WARNING|UNKNOWN|OK)\b"
    r"|(?:critical|warning|unknown|explains|skipped|not here)\b)",
)
IN_BRACKETS = re.compile(r"\[([a-z0-9][a-z0-9-]*)\]")
NAMED = re.compile(r"(?<![\w/.-])[a-z][a-z0-9]*(?:-[a-z0-9]+)*(?![\w/.-])")
LEAST_OWN = 15  # characters of a summary that are not values
AROUND = "[](){}<>`'\",;:."
# The label and the clock that a page puts before a line of the kernel log.
BEFORE_EVIDENCE = re.compile(r"(?:evidence\s+)?(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\s+")
# What users report: no line of the kernel log, but a check sees the same.
SENTENCES = (
    ("driver/library version mismatch", "driver-drift"),
    ("couldn't communicate with the nvidia driver", "gpu-without-driver"),
    ("gpu is lost", "gpu-lost"),
    ("unable to determine the device handle for gpu", "gpu-unreachable"),
)


def names_in(line: str, known: Iterable[str]) -> list[str]:
    """Return the names in brackets, or those in a line that begins as our reports do."""
    every = set(known)
    found = [name for name in IN_BRACKETS.findall(line) if name in every]
    if not found and OF_A_REPORT.match(line):
        found = [name for name in NAMED.findall(line) if name in every]
    return list(dict.fromkeys(found))


def told_by(line: str, summaries: Mapping[str, str]) -> list[str]:
    """Return the checks whose summary the line is, as a mail or a message has it without a name."""
    said = OF_A_REPORT.sub("", line, count=1).lstrip(" :")
    return [name for name, summary in summaries.items() if _form(summary).fullmatch(said)]


def _form(summary: str) -> re.Pattern[str]:
    """A summary that is nearly all values has too little of its own to be known by.

    Each value ends where the next piece first stands, and nothing is tried again: the line may be
    made to keep us busy.
    """
    pieces = PLACE.split(" ".join(summary.split()))[::2]
    if sum(map(len, pieces)) < LEAST_OWN:
        return re.compile("(?!)")
    first, *others = map(re.escape, pieces)
    middle = "".join(f"(?>.{{1,200}}?{piece})" for piece in others[:-1])
    return re.compile(first + middle + "".join(f".{{1,200}}?{piece}" for piece in others[-1:]))


def bare(word: str) -> str:
    """Return the word without what stood around it: `[gpu-lost]`, `gpu-lost,`."""
    return word.strip(AROUND + " ")


def evidence_in(line: str) -> str:
    """Return the line of the log that a page shows as evidence; "" where this is none."""
    found = BEFORE_EVIDENCE.match(line)
    return line[found.end() :] if found else ""


def sentence_in(line: str) -> tuple[str, str] | None:
    """Return the known sentence of a user's program, and the check that sees the same."""
    folded = line.lower()
    return next((one for one in SENTENCES if one[0] in folded), None)
