"""Is the worst verdict the node's, and does every finding have one name?"""

import pytest

from hpcdoctor.model.finding import EXIT_CODE, Verdict, finding_key, worst

OK, WARNING, CRITICAL, UNKNOWN = Verdict.OK, Verdict.WARNING, Verdict.CRITICAL, Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("verdicts", "node"),
    [
        ([OK, WARNING, UNKNOWN, CRITICAL], CRITICAL),
        ([OK, WARNING, UNKNOWN], UNKNOWN),
        ([OK, WARNING], WARNING),
        ([OK, OK], OK),
        ([], UNKNOWN),
    ],
)
def test_critical_else_unknown_else_warning_else_ok(verdicts: list[Verdict], node: Verdict) -> None:
    assert worst(verdicts) is node


def test_the_exit_codes_are_those_of_nagios() -> None:
    assert EXIT_CODE == {OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3}


def test_a_finding_is_named_by_its_check_and_its_subject() -> None:
    assert finding_key("memory-size", {}) == "memory-size"
    assert finding_key("link", {"device": "mlx5_0", "port": "1"}) == "link[device=mlx5_0,port=1]"
