"""Is everything but a read, a drain in the one form and a resume turned away?"""

import msgspec
import pytest

from hpcdoctor.helper.requests import BadRequest, parse, refusal, why_not_asked_so
from hpcdoctor.model.action import Action, Operation, Result

GOOD = Action("k3f9.1.1", Operation.DRAIN, "hd:k3f9.1 GPU3 lost; rule r", "hd:k3f9.1")


def test_what_the_daemon_sends_is_understood() -> None:
    assert parse(msgspec.json.encode(GOOD)) == GOOD
    assert why_not_asked_so(GOOD) is None
    assert why_not_asked_so(Action("look.0.1", Operation.READ)) is None
    assert why_not_asked_so(Action("k3f9.1.2", Operation.RESUME, mark="hd:k3f9.1")) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"drain n1",
        b"[]",
        b"{}",
        b'{"id": "k3f9.1.1"}',
        b'{"id": "k3f9.1.1", "operation": "reboot"}',
        b'{"id": "k3f9.1.1", "operation": "READ"}',
        b'{"id": "k3f9.1.1", "operation": "read", "node": "n2"}',
        b'{"id": "k3f9.1.1", "operation": "drain", "command": ["reboot"]}',
        b'{"id": 7, "operation": "read"}',
        b'{"id": "k3f9.1.1", "operation": "read"} {}',
        b"\xff\xfe",
        b"[" * 4000,
    ],
)
def test_what_is_no_action_is_turned_away(line: bytes) -> None:
    with pytest.raises(BadRequest, match="reads, drains, resumes and carries out"):
        parse(line)


@pytest.mark.parametrize(
    "action",
    [
        Action("", Operation.READ),
        Action("a" * 65, Operation.READ),
        Action("a b", Operation.READ),
        Action("look", Operation.READ, mark="ALL"),
        Action("k3f9.1.1", Operation.DRAIN),
        Action("k3f9.1.1", Operation.DRAIN, "hd:k3f9.1 x\ny", "hd:k3f9.1"),
        Action("k3f9.1.1", Operation.DRAIN, "hd:k3f9.1 x", "hd:aaaa.1"),
        Action("k3f9.1.1", Operation.RESUME),
        Action("k3f9.1.1", Operation.RESUME, mark="disk swap"),
    ],
)
def test_words_out_of_form_are_turned_away(action: Action) -> None:
    assert why_not_asked_so(action) is not None


def test_a_refusal_carries_the_id_where_there_is_one() -> None:
    answer = refusal(b'{"id": "k3f9.1.1", "operation": "reboot"}', "no")
    assert (answer.id, answer.result, answer.message) == ("k3f9.1.1", Result.REFUSED, "no")
    assert refusal(b"nonsense", "no").id == ""
