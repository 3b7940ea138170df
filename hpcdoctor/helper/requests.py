"""Is this line a request that the helper may carry out? The daemon is not trusted with the form."""

import re

import msgspec

from hpcdoctor.actions.reason import why_not_mark, why_not_reason
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from hpcdoctor.model.text import visible

LINE_MAXIMUM = 20_480  # an action has some 600 bytes; one that names a thousand jobs, 15 000
SUBJECT_MAXIMUM = 8
REASONS_MAXIMUM = 16
TEXT_MAXIMUM = 300
FIELD = re.compile(r"[a-z][a-z0-9_]{0,63}")
JOBS_MAXIMUM = 1024
JOB = re.compile(r"[0-9]{1,10}")
IDENTITY = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _Strict(Action, frozen=True, forbid_unknown_fields=True):
    """An action, and not one key more."""


class _Named(msgspec.Struct, frozen=True):
    id: str = ""


class BadRequest(Exception):
    """This is no request; the message says why."""


def parse(line: bytes) -> Action:
    """Return the action that this line is; `why_not_asked_so` then looks at its words."""
    try:
        return Action(*msgspec.structs.astuple(msgspec.json.decode(line, type=_Strict)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(
            f"not an action: {visible(str(error), 200)}; the helper reads, drains, resumes and "
            "carries out named remediations, and nothing else"
        ) from error


def why_not_asked_so(action: Action) -> str | None:
    """Return what is wrong with the words of this action, or None."""
    if not IDENTITY.fullmatch(action.id):
        return "the action's id must have 1 to 64 letters, digits, dots and dashes"
    if len(action.reasons) > REASONS_MAXIMUM:
        return f"at most {REASONS_MAXIMUM} reasons can have been written under one mark"
    match action.operation:
        case Operation.DRAIN:
            return why_not_reason(action.reason, action.mark)
        case Operation.RESUME | Operation.SIGNAL:
            return why_not_mark(action.mark)
        case Operation.REQUEUE:
            return why_not_jobs(action)
        case Operation.REMEDIATE:
            return why_not_remediation(action)
        case Operation.READ:
            return why_not_mark(action.mark) if action.mark else None


def why_not_jobs(action: Action) -> str | None:
    """Return what is wrong with the words of this requeue, or None."""
    if len(action.jobs) > JOBS_MAXIMUM or not all(JOB.fullmatch(job) for job in action.jobs):
        return f"jobs are at most {JOBS_MAXIMUM} numbers"
    return why_not_mark(action.mark)


def why_not_remediation(action: Action) -> str | None:
    """Return what is wrong with the words of this remediation, or None."""
    if not IDENTITY.fullmatch(action.remediation):
        return "a remediation is named with letters, digits, dots and dashes"
    if len(action.subject) > SUBJECT_MAXIMUM:
        return f"a subject has at most {SUBJECT_MAXIMUM} parts"
    for name, text in action.subject.items():
        if not FIELD.fullmatch(name) or len(text) > TEXT_MAXIMUM or not text.isprintable():
            return "a subject has names of fields, and short printable texts"
    return why_not_mark(action.mark)


def refusal(line: bytes, reason: str) -> ActionResult:
    """Answer a line that is no action, under its id where it has one; nothing was done."""
    try:
        identity = visible(msgspec.json.decode(line, type=_Named).id, 64)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        identity = ""
    return ActionResult(identity, Operation.READ, Result.REFUSED, reason)
