"""What may the controller say to a node, and how is it read without trusting it?"""

from typing import Annotated

import msgspec

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


class Unfit(Exception):
    """The message is not one that a node accepts."""


_receipt = msgspec.json.Decoder(Receipt)
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


def _refuse_long(payload: bytes) -> None:
    if len(payload) > LONGEST_MESSAGE_BYTES:
        raise Unfit(f"longer than {LONGEST_MESSAGE_BYTES} bytes")
