"""Can text from the machine do harm in a sentence, on a terminal or at a scheduler?"""

from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.model.reading import Value
from hpcdoctor.model.text import fields_of, fill, reason_line, shown, visible

TEXTS = st.text(max_size=400)


@given(TEXTS)
def test_what_is_shown_can_be_printed_and_encoded(text: str) -> None:
    seen = visible(text)
    assert all(char.isprintable() for char in seen)
    seen.encode()


def test_control_characters_bidirectional_marks_and_broken_bytes_are_written_out() -> None:
    assert visible("a\x1b[2J\nb") == "a\\x1b[2J\\nb"
    assert visible("\u202e\u2028\udcff") == "\\u202e\\u2028\\udcff"


def test_what_is_long_is_cut_and_says_so() -> None:
    assert visible("x" * 600) == "x" * 500 + "…"
    assert visible("xy", 1) == "x…"


def test_places_are_filled_and_what_is_not_known_reads_as_a_question() -> None:
    values = {"a": None, "b": True, "c": 0.123456, "d": 400.0, "e": ["x", "y"], "xid.f": 7}
    text = "{a} {b} {c} {d} {e} {xid.f} {gone} {A} {}"
    assert fill(text, values) == "? true 0.1235 400 x, y 7 ? {A} {}"
    assert fields_of(text) == ["a", "b", "c", "d", "e", "xid.f", "gone"]


def test_brackets_around_nothing_go_with_it() -> None:
    values = {"name": "sdc", "model": "", "kind": "timeout"}
    assert fill("Disk {name} ({model}) is off", values) == "Disk sdc is off"
    assert fill("trouble ({kind}, {model})", values) == "trouble (timeout)"
    assert fill("{n} excluded ({list}), all well", {"n": 0, "list": []}) == "0 excluded, all well"
    assert fill("Panic ({kind}: {model})", {"kind": "panic", "model": ""}) == "Panic (panic)"


def test_what_two_places_say_alike_is_said_once() -> None:
    values: dict[str, Value] = {"name": "mc1", "dimm": "mc1", "count": 2, "limit": 2}
    assert fill("{name} at {dimm} ({name}, {dimm})", values) == "mc1 (mc1)"
    assert fill("{count}, {limit}", values) == "2, 2"


def test_a_value_is_filled_in_once_and_never_again() -> None:
    assert fill("{a}", {"a": "{b}", "b": "secret"}) == "{b}"


def test_numbers_are_shown_so_that_they_can_be_read() -> None:
    assert [shown(v) for v in (1e6, 123456.7, 12, float("nan"), False)] == [
        "1000000", "123457", "12", "nan", "false",
    ]  # fmt: skip


@given(TEXTS, TEXTS, st.from_regex(r"[a-z0-9-]{1,60}", fullmatch=True))
def test_a_reason_is_one_line_of_plain_characters_under_200_bytes(
    thing: str, label: str, rule: str
) -> None:
    line = reason_line("hd:k3f9.12", thing, label, rule)
    assert len(line.encode()) < 200
    assert line.isascii()
    assert line.isprintable()
    assert not set(line) & set("\"'\\|")
    assert line.startswith("hd:k3f9.12 ")
    assert line.endswith(f"; rule {rule}")
    assert line.count(";") == 1


def test_a_reason_reads_like_this() -> None:
    line = reason_line("hd:k3f9.2", "GPU3", "Xid79 off bus", "gpu-lost")
    assert line == "hd:k3f9.2 GPU3 Xid79 off bus; rule gpu-lost"
