"""What may the controller say to a node, and how is it read without trusting it?"""

from typing import Annotated

import msgspec

from hpcdoctor.model.grant import Grant
from hpcdoctor.model.text import visible

LONGEST_MESSAGE_BYTES = 4096
LARGEST_NUMBER = 2**53  # numbers beyond are not exact everywhere that JSON is read

# The length too, since `$` lets a newline pass.
StreamId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$", max_length=16)]
Number = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_NUMBER)]


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On .../receipt: the controller has every event of this stream through this number."""

    stream: StreamId
    through_sequence: Number


class Resend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On .../resend: send these again, first and last included."""

    stream: StreamId
    first: Number
    last: Number


class GrantMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On .../grant: what the fleet says to a request that this node has made.

    It may permit and never start anything; it ends by the node's own clock.
    """

    request: Annotated[
        str, msgspec.Meta(pattern="^[a-z0-9]{4}\\.[0-9]{1,3}\\.[a-z]+$", max_length=24)
    ]
    granted: bool
    valid_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 600.0
    because: Annotated[str, msgspec.Meta(max_length=300)] = ""  # why not, or not yet
    term: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_NUMBER)] = 0  # of the controller


class Unfit(Exception):
    """The message is not one that a node accepts."""


_receipt = msgspec.json.Decoder(Receipt)
_grant = msgspec.json.Decoder(GrantMessage)
_resend = msgspec.json.Decoder(Resend)


def parse_receipt(payload: bytes) -> Receipt:
    _refuse_long(payload)
    try:
        return _receipt.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unfit(f"not a receipt: {error}") from None


def parse_resend(payload: bytes) -> Resend:
    _refuse_long(payload)
    try:
        asked = _resend.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unfit(f"not a request to send again: {error}") from None
    if asked.last < asked.first:
        raise Unfit("the range ends before it begins")
    return asked


def parse_grant(payload: bytes) -> Grant:
    _refuse_long(payload)
    try:
        said = _grant.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unfit(f"not a grant: {error}") from None
    return Grant(
        request=said.request,
        granted=said.granted,
        valid_seconds=said.valid_seconds,
        because=visible(said.because, 300),
        term=said.term,
    )


def _refuse_long(payload: bytes) -> None:
    if len(payload) > LONGEST_MESSAGE_BYTES:
        raise Unfit(f"longer than {LONGEST_MESSAGE_BYTES} bytes")
