"""Does printed JSON stay as it is put, and say the same to who parses it?"""

import json

import pytest

from hpcdoctor.model.json_text import json_text


@pytest.mark.parametrize("text", ["\u202eknil\u202c", "\x9b2J", "\x7f", "\U0001f525 ñ", "\x1b[2J"])
def test_nothing_in_it_turns_writing_around_or_moves_a_cursor(text: str) -> None:
    printed = json_text({"summary": text})
    assert printed.isascii()
    assert all(char.isprintable() or char == "\n" for char in printed)
    assert json.loads(printed) == {"summary": text}
