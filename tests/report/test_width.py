"""Does foreign text stay where it is put on a terminal, however wide or hostile it is?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.report.width import columns, fitted, harmless, wrapped

E_ACUTE = "e\u0301"


@pytest.mark.parametrize(
    ("text", "width"),
    [("node", 4), ("保守作業", 8), (E_ACUTE, 1), ("ｎ", 2), ("€µ", 2), ("🔥", 2)],
)
def test_wide_characters_take_two_columns_and_marks_none(text: str, width: int) -> None:
    assert columns(text) == width
    assert harmless(text) == text


@pytest.mark.parametrize(
    "hostile",
    ["\x1b[2J", "\x9b2J", "\r", "\n", "\t", "\b", "\0", "\u202e", "\u2066", "\u200b", "\u2028"]
    + ["\ufeff", "\udc80", "\U000e0041", "\ufe0f", "\x7f", "\x85", "\u00ad"],
)
def test_what_moves_the_cursor_or_turns_the_line_round_is_written_out(hostile: str) -> None:
    shown = harmless(f"a{hostile}b")
    assert shown.isascii() and shown.isprintable()
    assert shown.startswith("a\\" if hostile[0] not in "a" else "a")


def test_marks_that_pile_up_are_written_out_and_none_stands_on_the_label() -> None:
    heap = "x" + "\u0301" * 50
    assert harmless(heap).count("\u0301") == 2
    assert harmless("\u0301x") == "\\u0301x"


def test_a_terminal_that_shows_ascii_gets_nothing_else() -> None:
    assert harmless("保 µs", ascii_only=True) == "\\u4fdd \\xb5s"


@given(st.text(max_size=200), st.integers(20, 80), st.integers(0, 4))
def test_wrapping_loses_nothing_and_stays_in_its_columns(text: str, room: int, hang: int) -> None:
    safe = harmless(text)
    lines = wrapped(safe, room, hang=hang)
    assert "".join("".join(lines).split()) == "".join(safe.split())
    assert all(columns(line) <= room for line in lines)
    assert columns(fitted(safe, room)) <= room


def test_a_command_in_backticks_stays_in_one_piece_where_a_line_has_room_for_it() -> None:
    text = "Look at the drive with care: `smartctl -a DEVICE` or `nvme smart-log DEVICE`"
    assert "`smartctl -a DEVICE`" in wrapped(text, 40)[1]


def test_a_word_that_no_line_holds_is_broken_at_a_slash_or_comma() -> None:
    lines = wrapped("see oom_memcg=/slurm/uid_0/job_25278,task=python,pid=12364,uid=0", 40)
    assert lines == ["see oom_memcg=/slurm/uid_0/job_25278,", "task=python,pid=12364,uid=0"]
