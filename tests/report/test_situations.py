"""How does each of a dozen nights on call read? Golden files, to be read as a tired engineer."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcdoctor.report.brief import brief
from hpcdoctor.report.text import render
from hpcdoctor.report.width import columns
from tests.report.situations import situations

FOLDER = Path(__file__).parent / "situations"
NAMES = sorted(situations())


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_like_this(name: str, expect: Callable[[Path, str], None]) -> None:
    report = situations()[name]
    page = f"$ hpcdoctor check --brief\n{brief(report)}\n$ hpcdoctor check\n{render(report)}"
    expect(FOLDER / f"{name}.txt", page)


@pytest.mark.parametrize("width", [40, 60, 80, 132])
@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_it_stays_within_its_columns_and_moves_no_cursor(
    name: str, width: int, verbose: bool
) -> None:
    page = render(situations()[name], width=width, verbose=verbose)
    assert all(char.isprintable() for char in page.replace("\n", ""))
    assert max(columns(line) for line in page.splitlines()) <= width
    plain = render(situations()[name], width=width, verbose=verbose, ascii_only=True)
    assert plain.isascii()
    assert max(len(line) for line in plain.splitlines()) <= width


@pytest.mark.parametrize("name", NAMES)
def test_the_verdict_stands_in_the_first_line_and_colour_adds_nothing_else(name: str) -> None:
    report = situations()[name]
    page = render(report)
    assert page.startswith(report.verdict.value.upper())
    assert "n017: " in page.splitlines()[0]
    assert re.sub(r"\x1b\[[0-9;]*m", "", render(report, colour=True)) == page


@pytest.mark.parametrize("name", NAMES)
def test_the_brief_line_folds_over_many_nodes(name: str) -> None:
    line = brief(situations()[name])
    assert line.isascii() and line.isprintable()
    assert "n017" not in line
    assert re.search(r"[0-9]{2}:[0-9]{2}:[0-9]{2}|2027|k3f9|4711", line) is None


def test_the_brief_line_is_the_same_in_whatever_order_things_came() -> None:
    report = situations()["draining-with-symptoms"]
    turned = type(report)(
        **{f: getattr(report, f) for f in report.__struct_fields__ if f != "findings"},
        findings=report.findings[::-1],
    )
    assert brief(turned) == brief(report)


def test_those_that_the_margin_names_are_never_faked_by_foreign_text() -> None:
    lines = render(situations()["hostile"]).splitlines()
    assert not any(line.startswith("OK") for line in lines)
    assert len([line for line in lines if line.startswith("node ")]) == 1
