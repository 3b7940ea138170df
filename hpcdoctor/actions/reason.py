"""Is this a drain reason in the one form, and whose mark does a reason carry?

    hd:k3f9.2 GPU3 Xid79 off bus; rule gpu-lost

First the mark, incident and epoch, then what is broken: printable ASCII on one line, under 200
bytes. Schedulers cut, quote and append; what has this form comes back whole from all of them.
"""

import re
from collections.abc import Collection

from hpcdoctor.model.text import is_one_of, is_reason_line

MARK_MAXIMUM = 10  # half of what `sinfo -R` shows, so that the object is seen too
REASON_LIMIT = 200  # Slurm's accounting keeps 255 bytes
MARK = re.compile(r"hd:[a-z0-9]{4}\.[0-9]{1,3}")
ANY_MARK = re.compile(r"(hd:[a-z0-9]{4}\.[0-9]+) ")
PRINTABLE = re.compile(r"[ -~]*")
QUOTES = frozenset("\"'")


def why_not_mark(mark: str) -> str | None:
    """Return why this is no mark of ours, or None."""
    if not MARK.fullmatch(mark) or len(mark) > MARK_MAXIMUM:
        return f"{mark!r} is no mark: hd:, four of a-z0-9, a dot and the epoch, like hd:k3f9.2"
    return None


def why_not_reason(reason: str, mark: str) -> str | None:
    """Return why a scheduler must not be given this reason, or None."""
    why = why_not_mark(mark)
    if why is not None:
        return why
    if not PRINTABLE.fullmatch(reason) or QUOTES & set(reason):
        return "the reason must be printable ASCII on one line, without quotes"
    if len(reason) >= REASON_LIMIT:
        return f"the reason has {len(reason)} bytes and must stay below {REASON_LIMIT}"
    if not reason.startswith(f"{mark} ") or not reason[len(mark) :].strip():
        return f"the reason must begin with its mark, {mark}, a blank, and say what is broken"
    return None


def is_ours(reason: str, mark: str, written: Collection[str] = ()) -> bool:
    """Tell whether a drain with this reason is ours: it is, whole, what we wrote under this mark.

    A person takes a drain over by changing its reason, and may leave the mark in it. Where nobody
    remembers what we wrote, it has to have the one form.
    """
    if not mark or not reason.startswith(f"{mark} "):
        return False
    return is_one_of(reason, written) if written else is_reason_line(reason)


def mark_of(reason: str) -> str:
    """Return the mark of ours with which this reason begins, or ""."""
    found = ANY_MARK.match(f"{reason} ")
    return found[1] if found else ""
