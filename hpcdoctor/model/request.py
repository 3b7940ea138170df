"""What the daemon asks of the prober: one JSON object a line, answered by lists of Looks.

The helper is asked with an `Action` a line (model/action.py) and answers with an `ActionResult`.
"""

import msgspec


class Read(msgspec.Struct, frozen=True, tag="read"):
    """Look once with each of these probes; every probe answers with at least one Look."""

    probes: list[str]
    deadline_seconds: float = 10.0


class Follow(msgspec.Struct, frozen=True, tag="follow"):
    """Follow a stream from `position` ("" for a first start) and tell what it says, unasked."""

    probe: str
    position: str = ""


Request = Read | Follow
