"""Do the first lines of `hpcdoctor status` agree with each other?"""

import pytest

from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.node import NOTHING_KNOWN
from hpcdoctor.report.document import NodeLine
from hpcdoctor.report.text import status

NOW = "2026-11-21T15:00:00Z"


def page(findings: list[Verdict], because: str = NOTHING_KNOWN) -> str:
    line = NodeLine(
        state="healthy", since=NOW, because=because, mode="act", authority="node", next=""
    )
    verdict = max(findings, key=lambda one: one is Verdict.CRITICAL, default=Verdict.OK)
    return status("n1", line, verdict, findings, NOW, {}, 80)


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        ([Verdict.WARNING], "1 warning; `hpcdoctor check` shows what"),
        ([Verdict.WARNING] * 3, "3 warnings; `hpcdoctor check` shows what"),
        (
            [Verdict.WARNING, Verdict.CRITICAL],
            "1 critical finding, 1 warning; `hpcdoctor check` shows what",
        ),
    ],
)
def test_what_is_found_is_counted_and_nothing_is_not_said_to_be_known(
    findings: list[Verdict], words: str
) -> None:
    text = page(findings)
    assert words in text
    assert NOTHING_KNOWN not in text
    assert "no rule asks for anything" in text


def test_a_reason_of_its_own_stays() -> None:
    assert "GPU3 is lost" in page([Verdict.WARNING], because="GPU3 is lost")


def test_a_node_of_which_nothing_is_known_says_so() -> None:
    text = page([])
    assert NOTHING_KNOWN in text
    assert "hpcdoctor check" not in text
