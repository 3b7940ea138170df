"""Who keeps the gate's file? The daemon, at each change and at each heartbeat.

Closed only for a quarantine in force in act mode that nobody holds: a hold leaves the node to a
person, and a gate that turns jobs away would drain it behind their back. The file lies in memory
(/run), so writing it cannot wait for a disk; and it is renewed only while the pipeline makes its
turns: a doctor that is stuck must not go on saying that all is well.
"""

import os
from pathlib import Path

import structlog

from hpcdoctor.definitions.settings import Authority
from hpcdoctor.model.decision import Mode
from hpcdoctor.model.gate import FILE, HEARTBEAT_SECONDS, Answer, Gate, in_grammar
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node

log = structlog.get_logger()


def gate_of(node: Node, mode: Mode, authority: Authority, now: Instant, process: int) -> Gate:
    """Return what the file has to say of this node."""
    quarantine, hold = node.quarantine, node.hold
    closed, reason = False, ""
    if hold is not None:
        reason = in_grammar(f"held by {hold.who}: the gate stays open")
    elif quarantine is not None and mode is Mode.ACT:
        closed, reason = True, quarantine.reason
    return Gate(
        answer=Answer.CLOSED if closed else Answer.OPEN,
        boot_id=now.boot_id,
        at_seconds=int(now.boottime),
        heartbeat_seconds=HEARTBEAT_SECONDS,
        process=process,
        authority=authority.value,
        reason=reason,
    )


class GateKeeper:
    """The file, and what it says now."""

    def __init__(self, run_directory: Path) -> None:
        self.path = run_directory / FILE
        self.trouble = ""
        self._said: Gate | None = None
        self._progress = -1

    def keep(self, gate: Gate, progress: int) -> None:
        """Write it where it says something new, or where its heartbeat is due.

        `progress` counts the pipeline's turns: without a new one the line grows old.
        """
        said = self._said
        if said is not None and _words(said) == _words(gate):
            due = gate.at_seconds - said.at_seconds >= HEARTBEAT_SECONDS
            if not due or progress == self._progress:
                return
        try:
            self._write(gate.line())
        except OSError as error:
            if not self.trouble:
                log.warning("gate.unusable", reason=str(error))
            self.trouble = (
                f"the gate's file {self.path} cannot be written ({error.strerror}): when it is "
                "old, Prologs cannot know how this node is, and jobs start"
            )
            return
        self._said, self._progress, self.trouble = gate, progress, ""

    def _write(self, line: str) -> None:
        """Replace it in one step: a Prolog sees the old line or the new one, never half of one."""
        new = self.path.with_name(f".{FILE}.new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        try:
            os.fchmod(descriptor, 0o644)  # the unit's umask hides it from all but its owner
            os.write(descriptor, line.encode("ascii", errors="replace"))
        finally:
            os.close(descriptor)
        new.replace(self.path)


def _words(gate: Gate) -> tuple[Answer, str, str, int, str]:
    return gate.answer, gate.reason, gate.boot_id, gate.process, gate.authority
