"""Are looks, their cost and their ends counted as they were?"""

from hpcdoctor.daemon.ledger import Ledger
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus


def at(seconds: float) -> Instant:
    return Instant("boot", seconds, 1e9 + seconds)


def look(seconds: float, status: ReadStatus = ReadStatus.READ, **more: object) -> Look:
    return Look("edac", status, at(seconds), **more)  # type: ignore[arg-type]  # fields by name


def test_cost_is_that_of_the_last_ten_minutes_and_not_of_the_start() -> None:
    ledger = Ledger()
    ledger.note([look(0, cpu_seconds=100.0)])
    for second in range(60, 1800, 30):
        ledger.note([look(second, cpu_seconds=0.3, took_seconds=1.0)])
    (cost,), seconds = ledger.costs(at(1800))
    assert 600 <= seconds <= 720
    assert 0.009 < cost.cpu_seconds / seconds < 0.011
    assert ledger.cpu_seconds["edac"] > 100, "the counter for Prometheus forgets nothing"


def test_what_was_long_ago_is_no_loop() -> None:
    ledger = Ledger()
    for second in (0, 10, 20):
        ledger.lose(at(second))
    assert ledger.losses_lately(at(30)) == 3
    assert ledger.losses_lately(at(700)) == 0
    assert ledger.losses == 3


def test_a_refusal_is_over_with_the_next_look_that_reads() -> None:
    ledger = Ledger()
    ledger.note([look(0, ReadStatus.UNAVAILABLE, reason="no", denied=True)])
    assert ledger.denied == {"edac": "no"}
    ledger.note([look(5)])
    assert ledger.denied == {}


def test_a_probe_that_has_nothing_to_look_at_was_heard_of_all_the_same() -> None:
    ledger = Ledger()
    ledger.note([look(0, named=[])])
    assert "edac" in ledger.last_look
    assert not ledger.looks
