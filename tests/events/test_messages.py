"""What of all that can arrive does a node accept?"""

import pytest

from hpcdoctor.events.messages import (
    LONGEST_MESSAGE_BYTES,
    Receipt,
    Resend,
    Unfit,
    parse_receipt,
    parse_resend,
)

STREAM = "0123456789abcdef"


def test_a_receipt_and_a_request_are_read() -> None:
    receipt = parse_receipt(b'{"stream":"0123456789abcdef","through_sequence":7}')
    assert receipt == Receipt(stream=STREAM, through_sequence=7)
    resend = parse_resend(b'{"stream":"0123456789abcdef","first":3,"last":3}')
    assert resend == Resend(stream=STREAM, first=3, last=3)


HOSTILE = {
    "empty": b"",
    "not JSON": b"\xff\xfe\x00",
    "broken text": b'{"stream":"\xff","first":1,"last":2}',
    "a list": b"[]",
    "deep": b"[" * 4000,
    "huge": b'{"stream":"' + b"a" * LONGEST_MESSAGE_BYTES + b'"}',
    "negative": b'{"stream":"0123456789abcdef","first":-1,"last":2}',
    "zero": b'{"stream":"0123456789abcdef","first":0,"last":2}',
    "backwards": b'{"stream":"0123456789abcdef","first":3,"last":2}',
    "a fraction": b'{"stream":"0123456789abcdef","first":1.5,"last":2}',
    "text": b'{"stream":"0123456789abcdef","first":"1","last":2}',
    "true": b'{"stream":"0123456789abcdef","first":true,"last":2}',
    "enormous": b'{"stream":"0123456789abcdef","first":1,"last":' + b"9" * 400 + b"}",
    "an odd stream": b'{"stream":"../../etc/passwd","first":1,"last":2}',
    "a newline in the stream": b'{"stream":"0123456789abcdef\\n","first":1,"last":2}',
    "one field more": b'{"stream":"0123456789abcdef","first":1,"last":2,"command":"reboot"}',
    "one field less": b'{"stream":"0123456789abcdef","first":1}',
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(Unfit):
        parse_resend(payload)
    with pytest.raises(Unfit):
        parse_receipt(payload.replace(b'"first":1,', b"").replace(b"last", b"through_sequence, "))
