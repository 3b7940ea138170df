"""Is a reason held against the one form?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.actions.reason import is_ours, mark_of, why_not_mark, why_not_reason
from hpcdoctor.model.text import is_reason_line, reason_line

GOOD = "hd:k3f9.2 GPU3 Xid79 off bus; rule gpu-lost"


def test_the_form_of_the_lifecycle_is_accepted() -> None:
    assert why_not_reason(GOOD, "hd:k3f9.2") is None
    assert why_not_reason(reason_line("hd:k3f9.2", "GPU3", "Xid79", "r"), "hd:k3f9.2") is None


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "hd:k3f9.2",
        "hd:k3f9.2 ",
        "hd:k3f9.2x GPU3",
        "hd:k3f9.1 GPU3",
        " hd:k3f9.2 GPU3",
        "disk swap, ask Ann",
        "hd:k3f9.2 GPU3\nNodeName=n2",
        "hd:k3f9.2 GPU3\x1b[2J",
        "hd:k3f9.2 GPU3 \x7f",
        "hd:k3f9.2 GPU\N{SUPERSCRIPT TWO}",
        'hd:k3f9.2 GPU3 "lost"',
        "hd:k3f9.2 GPU3's gone",
        "hd:k3f9.2 " + "x" * 190,
    ],
)
def test_everything_else_is_refused(reason: str) -> None:
    assert why_not_reason(reason, "hd:k3f9.2") is not None


def test_199_bytes_are_the_most() -> None:
    assert why_not_reason("hd:k3f9.2 " + "x" * 189, "hd:k3f9.2") is None


@pytest.mark.parametrize(
    "mark", ["", "hd:k3f9", "hd:K3F9.1", "hd:k3f9.100", "xx:k3f9.1", "hd:k3f9.1 "]
)
def test_what_is_no_mark_is_refused(mark: str) -> None:
    assert why_not_mark(mark) is not None


def test_a_mark_is_found_only_at_the_start_and_whole() -> None:
    assert mark_of(GOOD) == "hd:k3f9.2"
    assert mark_of("hd:k3f9.2") == "hd:k3f9.2"
    assert mark_of("hd:k3f9.2 GPU3 : reboot issued") == "hd:k3f9.2"
    assert mark_of("see hd:k3f9.2 GPU3") == ""
    assert mark_of("hd:k3f9.2b GPU3") == ""


REBOOTED = f"{GOOD} : reboot issued : reboot complete"


@given(st.text(), st.text())
def test_whatever_is_broken_the_line_is_known_as_one_and_with_a_word_more_it_is_not(
    thing: str, label: str
) -> None:
    line = reason_line("hd:k3f9.2", thing, label, "gpu-lost")
    assert is_reason_line(line)
    assert is_ours(line, "hd:k3f9.2")
    assert not is_reason_line(f"{line}; alice: do not resume")
    assert not is_reason_line(f"{line} (alice)")


@pytest.mark.parametrize(
    ("reason", "written", "ours"),
    [
        (GOOD, [GOOD], True),
        (GOOD, ["hd:k3f9.2 GPU3 row remap; rule gpu-remap", GOOD], True),
        (REBOOTED, [GOOD], True),
        (REBOOTED, [], True),
        (f"{GOOD} : reboot it not, alice", [GOOD], False),
        (f"{GOOD}; alice: memtest", [GOOD], False),
        (f"{GOOD}; alice: memtest", [], False),
        (f"{GOOD} ", [GOOD], False),
        (GOOD, ["hd:k3f9.2 GPU3 row remap; rule gpu-remap"], False),
        ("hd:k3f9.1 GPU3 Xid79 off bus; rule gpu-lost", [], False),
        ("hd:k3f9.2", [], False),
        ("", [], False),
    ],
)
def test_a_drain_is_ours_by_its_whole_reason(reason: str, written: list[str], ours: bool) -> None:
    assert is_ours(reason, "hd:k3f9.2", written) is ours
    assert not is_ours(reason, "", written)
