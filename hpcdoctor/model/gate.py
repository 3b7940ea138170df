"""What does the one line say by which a Prolog knows whether a job may start? Written and read.

    hpcdoctor-gate 1 closed 4b3c…-… 81234 30 4711 node hd:k3f9.2 GPU3 Xid79 off bus; rule gpu-lost

Magic, version, open or closed, the boot, when it was written (whole seconds since boot), how often
it is written, the daemon's process, the authority, and the reason. `gate/hpcdoctor-gate` reads the
same line without Python; a test holds the two against each other.
"""

import re
from enum import StrEnum

import msgspec

from hpcdoctor.model.quantity import format_duration

FILE = "gate"
HEARTBEAT_SECONDS = 30
MISSED_BEATS = 3  # after so many the line is no answer any more
LONGEST_HEARTBEAT_SECONDS = 300  # a line that promises less often is nobody's of ours
LONGEST_REASON = 199

NUMBER = r"(?:0|[1-9][0-9]{0,9})"
LINE = re.compile(
    r" *hpcdoctor-gate +1 +(?P<said>open|closed) +(?P<boot>\S+) +"
    rf"(?P<at>{NUMBER}) +(?P<beat>{NUMBER}) +(?P<pid>{NUMBER}) +"
    r"(?P<authority>node|fleet|consumer)(?: +(?P<reason>[ !#-&(-~]*))?\n",
)
NOT_IN_REASON = re.compile(r"[^ !#-&(-~]")
CLOSED_REASON = re.compile(r"hd:[a-z0-9]{4}\.[0-9]{1,2} +[^ ].*")


class Answer(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class Gate(msgspec.Struct, frozen=True):
    """What the line says."""

    answer: Answer  # open or closed
    boot_id: str
    at_seconds: int  # since boot
    heartbeat_seconds: int
    process: int
    authority: str
    # Closed: the line at the scheduler, mark first. Open: who holds the node, or "".
    reason: str = ""

    def line(self) -> str:
        return (
            f"hpcdoctor-gate 1 {self.answer.value} {self.boot_id} {self.at_seconds} "
            f"{self.heartbeat_seconds} {self.process} {self.authority} {self.reason}\n"
        )


class Reading(msgspec.Struct, frozen=True):
    """The answer, and the sentence that goes with it."""

    answer: Answer
    why: str
    gate: Gate | None = None


def in_grammar(words: str) -> str:
    """Return the words as a reason may have them: printable ASCII without quotes, and short."""
    return NOT_IN_REASON.sub("?", words)[:LONGEST_REASON]


def parse(text: str) -> Gate | None:
    """Return what the first line says, or None where it is not in the grammar.

    Runs of blanks and zero bytes are read as a shell's `read` does: the two must not differ.
    """
    line, newline, _ = text.replace("\0", "").partition("\n")
    found = LINE.fullmatch(line + newline)
    if found is None:
        return None
    answer, reason = Answer(found["said"]), (found["reason"] or "").strip(" ")
    if len(reason) > LONGEST_REASON:
        return None
    if answer is Answer.CLOSED and CLOSED_REASON.fullmatch(reason) is None:
        return None
    if not 1 <= int(found["beat"]) <= LONGEST_HEARTBEAT_SECONDS:
        return None
    return Gate(
        answer=answer,
        boot_id=found["boot"],
        at_seconds=int(found["at"]),
        heartbeat_seconds=int(found["beat"]),
        process=int(found["pid"]),
        authority=found["authority"],
        reason=reason,
    )


def judge(gate: Gate, boot_id: str, now_seconds: int, *, alive: bool) -> Reading:
    """Return what the line is worth now; `alive`: the daemon that wrote it is still there."""
    age = now_seconds - gate.at_seconds
    if gate.boot_id != boot_id:
        return Reading(Answer.UNKNOWN, "stale: it is from before the machine was started", gate)
    if age < -1:
        return Reading(Answer.UNKNOWN, f"broken: it is dated {-age} s in the future", gate)
    if age <= MISSED_BEATS * gate.heartbeat_seconds:
        return Reading(gate.answer, gate.reason, gate)
    how_long = format_duration(age + 0.4)  # half a minute counts as one, as in the shell's sum
    if alive:
        why = f"stale: the doctor (process {gate.process}) has written nothing for {how_long}"
    else:
        why = f"dead: the doctor (process {gate.process}) has been gone for about {how_long}"
    return Reading(Answer.UNKNOWN, why, gate)
