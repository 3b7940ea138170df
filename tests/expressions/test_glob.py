"""Globs match from end to end, and no pattern makes them slow."""

import fnmatch
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdoctor.expressions.glob import matches


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("nfs4", "nfs*", True),
        ("nfs", "nfs*", True),
        ("xnfs4", "nfs*", False),
        ("nfs4", "nfs", False),
        ("mlx5_0", "mlx?_?", True),
        ("mlx5_10", "mlx?_?", False),
        ("", "", True),
        ("", "*", True),
        ("", "?", False),
        ("abcbc", "a*bc", True),
        ("a[b]", "a[b]", True),
        ("ab", "a[b]", False),
        ("a\nb", "a*b", True),
    ],
)
def test_a_glob_is_anchored_at_both_ends(text: str, pattern: str, expected: bool) -> None:
    assert matches(text, pattern) is expected


@given(st.text("ab*", max_size=12), st.text("ab*?", max_size=8))
@settings(max_examples=300, deadline=None)
def test_it_agrees_with_the_standard_library(text: str, pattern: str) -> None:
    expected = re.match(fnmatch.translate(pattern), text) is not None
    assert matches(text, pattern) is expected


class Counted(str):
    """A text that counts how often a character is looked at."""

    looks = 0

    def __getitem__(self, index: object) -> str:
        type(self).looks += 1
        return super().__getitem__(index)  # type: ignore[index]  # only ever an int here


def looks_at(length: int, stars: int) -> int:
    Counted.looks = 0
    assert not matches(Counted("a" * length), "*a" * stars + "b")
    return Counted.looks


def test_the_work_grows_with_the_text_and_not_with_the_ways_to_match() -> None:
    assert looks_at(2000, 8) <= 2.1 * looks_at(1000, 8)
    # A matcher that tries every star again would need about 1000^8 of them.
    assert looks_at(1000, 8) <= 1000 * len("*a" * 8 + "b")
