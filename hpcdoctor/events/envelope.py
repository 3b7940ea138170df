"""How does an event look on the wire? CloudEvents 1.0, structured JSON."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from hpcdoctor.model.event import Event

DATA_VERSION = 1
SEQUENCE_DIGITS = 19  # as many as SQLite's largest number has: sorts as text, as the extension asks


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The envelope; `sequence` is the extension of that name, `stream` one of our own."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str = ""
    time: str
    datacontenttype: str
    dataschema: str
    stream: str
    sequence: str
    data: dict[str, Any]


def schema_name(type_name: str) -> str:
    """Return the `dataschema` of a type: a name, since a node cannot rely on an address."""
    return f"urn:hpcdoctor:event:{type_name}:{DATA_VERSION}"


def to_wire(event: Event, stream: str) -> bytes:
    """Return the bytes that are published, the same each time the event is sent."""
    return msgspec.json.encode(
        CloudEvent(
            specversion="1.0",
            id=event.id,
            source=event.source,
            type=event.type,
            subject=event.subject,
            time=event.time,
            datacontenttype="application/json",
            dataschema=schema_name(event.type),
            stream=stream,
            sequence=f"{event.sequence:0{SEQUENCE_DIGITS}d}",
            data=event.data,
        )
    )


def timestamp(wall: float) -> str:
    """Return a moment as RFC 3339 in UTC, with milliseconds."""
    return (
        datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
