"""Are durations and sizes read as they are written, and said so that they can be read?"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.model.quantity import format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("24h", 86400), ("7d", 604800), ("1.5h", 5400)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "5", "5 s", "s", "-5s", "+5s", "5S", "5min", "1h30m", " 5s", "5s\n", ".5s", "5.s", "1e3s",
     "nans", "infs", "٣s", "9" * 400 + "s"],
)  # fmt: skip
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(
        ValueError, match="is not a duration; (write a number and a unit|did you mean `5[sm]`)"
    ):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MiB", 64 << 20), ("4 KiB", 4096), ("2GB", 2 * 10**9), ("0.5kB", 500), ("7B", 7)],
)
def test_a_size_is_a_number_and_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "64", "64M", "64mib", "-1B", "1  B", "9" * 400 + "TB"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; write a number and a unit"):
        parse_size(text)


@given(st.text("0123456789.smhdkKMGTiB ", max_size=30))
def test_no_text_gives_a_number_that_is_none(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            assert math.isfinite(parse(text))
        except ValueError as error:
            said = str(error)
            assert "write a number and a unit" in said or "did you mean" in said  # noqa: PT017  # either is right


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (0.9999, "1 s"),
        (1, "1 s"),
        (59.4, "59 s"),
        (59.9, "1 min"),
        (61, "1 min"),
        (2820, "47 min"),
        (3599, "1 h"),
        (7500, "2 h 5 min"),
        (86400, "24 h"),
        (172800, "2 d"),
        (183600, "2 d 3 h"),
    ],
)
def test_a_duration_is_said_in_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(0, 1e9))
def test_no_unit_is_said_to_be_full(seconds: float) -> None:
    said = format_duration(seconds)
    assert not said.startswith(("1000 ms", "60 s", "60 min"))
    assert "60 min" not in said
