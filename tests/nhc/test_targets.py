"""Does a match string select what NHC selects?"""

import pytest

from hpcdoctor.nhc.targets import (
    malformed_groups,
    matches,
    parse,
    uneven_ranges,
    why_not_tried,
)

CASES = [
    ("*", "n08", True),
    ("n?", "n08", False),
    ("+(n|m)[0-9]*", "n08", True),
    ("!(n08)", "n08", True),  # one ! is taken off first: `(n08)` is no host
    ("@(n08|login1)", "login1", True),
    ("N08", "n08", False),
    ("!n*", "n08", False),
    ("! n*", "n08", True),
    ("!!n08", "n08", True),
    ("//", "anything", True),
    ("/", "n08", False),
    ("!/", "n08", False),
    ("/^n[[:digit:]]+$/", "n08", True),
    ("/0/", "n08", True),
    ("/\\bn08\\b/", "n08", True),
    ("/a{2}/", "baab", True),
    ("/(/", "n08", False),
    ("!/(/", "n08", True),
    ("{n[8-12]}", "n8", False),
    ("{n[8-12]}", "n08", True),
    ("{n[12-08]}", "n10", True),
    ("{n[0008-12]}", "n08", False),
    ("{n[1-4].hpc}", "n3.hpc", True),
    ("{n[1-4]}", "nx", False),
    ("{n01,n[02,04]}", "n01", True),
    ("{n[02,04],n01}", "n01", False),
    ("{login}", "login", False),
    ("!{login}", "login", True),
    ("{}", "n1", False),
    ("!{}", "n1", True),
    ("{rack[1-2]-n[1-4]}", "rack1-n1", False),
]


@pytest.mark.parametrize(("text", "host", "selected"), CASES)
def test_a_host_is_selected_as_nhc_selects_it(text: str, host: str, selected: bool) -> None:
    assert matches(parse(text), host) is selected


def test_a_malformed_group_is_named_with_all_that_is_lost() -> None:
    assert malformed_groups(parse("{n01,n[02,04],n08}")) == ("n[02", ["n[02", "04]", "n08"])
    assert malformed_groups(parse("{n01,n[02-04]}")) is None


def test_a_range_of_uneven_width_says_who_is_left_out() -> None:
    (said,) = uneven_ranges(parse("{n[8-12]}"))
    assert "leaves out n8" in said
    assert uneven_ranges(parse("{n[08-12]}")) == []


@pytest.mark.parametrize(
    "text", ["/" + "(" * 9000 + "/", "/((a{255}){255}){255}/", "*(" * 200, "a" * 5000]
)
def test_what_could_hurt_the_library_is_not_handed_to_it(text: str) -> None:
    assert why_not_tried(parse(text)) is not None
    assert not matches(parse(text), "aaaaaaaaaaaaaaaaaaaaaaaa")
