"""Are the logical lines those that a shell `read` without -r makes?"""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.nhc.lines import collapse, collapsed_within_quotes, physical_lines, read_lines

# An independent reader: bash's own.
READER = r"""while read line; do printf '%s\0' "$line"; done"""


def cooked(text: str) -> list[str]:
    return [line.text for line in read_lines(text) if line.complete]


def test_a_backslash_joins_lines_also_in_comments_and_is_eaten_everywhere() -> None:
    assert cooked("a || b \\\n  c\n") == ["a || b   c"]
    assert cooked("# x \\\n* || y\n") == ["# x * || y"]
    assert cooked(r"/n\d\\.\$/ || 'a\b'" + "\n") == [r"/nd\.$/ || 'ab'"]


def test_a_line_knows_where_it_stands_and_what_it_lost() -> None:
    lines = read_lines("one\n# two \\\nthree\n\n/\\d\\\\./ || x")
    assert [(line.number, line.last) for line in lines] == [(1, 1), (2, 3), (4, 4), (5, 5)]
    assert lines[1].swallowed == "three"
    assert lines[3].lost == ("d",)
    assert not lines[3].complete


@pytest.mark.parametrize(
    ("text", "physical"), [("", 0), ("a", 1), ("a\n", 1), ("a\\\n", 1), ("\n\n", 2)]
)
def test_physical_lines_count_a_last_one_without_a_newline(text: str, physical: int) -> None:
    assert physical_lines(text) == physical
    read_lines(text)


def test_the_first_bars_part_a_line_and_blanks_collapse_within_quotes() -> None:
    (line,) = read_lines("*||true||false\n")
    assert line.parts == ("*", "true||false")
    assert collapse("a  'b \t c'") == "a 'b c'"
    assert collapsed_within_quotes("a 'b  c'")
    assert not collapsed_within_quotes("a   'b c'   \"d\"")


@pytest.mark.real
@given(st.text(alphabet=" \t\\\n#|a'\"$/\r", max_size=40))
def test_bash_reads_the_same_lines(text: str) -> None:
    ran = subprocess.run(["/bin/bash", "-c", READER], input=text.encode(), capture_output=True)
    # An escaped blank at an end stays for `read`, and goes when NHC trims both parts.
    lines = [line.strip(" \t") for line in ran.stdout.decode().split("\0")[:-1]]
    assert lines == cooked(text)
