"""The envelope that leaves the node: CloudEvents 1.0."""

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One immutable record of something that happened. `data` is plain JSON."""

    sequence: int
    id: str  # "<stream>-<sequence>": unique for ever, the same when sent again
    type: str  # "hpcdoctor.finding.opened"
    source: str  # "/hpcdoctor/<cluster>/<node>"
    time: str  # RFC 3339, UTC
    data: dict[str, Any]
    subject: str = ""
