"""Does every illness of our own have its notice, and no look-alike one?"""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.report.illness import BY_CODE, CODES, ILLNESSES, Facts, Notice, ProbeCost, diagnose
from tests.conftest import CHECKOUT

NOW = Instant("boot", 10_000.0, 1_800_000_000.0)
WELL = Facts(now=NOW, broker_configured=True, spool_limit_bytes=64 << 20, spool_age_seconds=604800)
COSTLY = [ProbeCost("edac", 1.0), ProbeCost("nvidia_gpu", 29.0)]

# code: the facts of which it is told, those of which it is not, and what the reader is told
STORIES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "unsafe-kernel-log": ({"unsafe": True}, {}, "lines that any user can write"),
    "prober-away": ({"prober_connected": False}, {}, "nothing new is measured"),
    "prober-silent": (
        {"prober_silent_seconds": 61},
        {"prober_silent_seconds": 59},
        "answered for 1 min",
    ),
    "prober-restarts": ({"prober_losses": 3}, {"prober_losses": 2}, "broke 3 times in 10 min"),
    "probe-denied": (
        {"denied": {"edac": "mc0/ce_count: Permission denied"}},
        {},
        "edac read: mc0/ce_count: Permission denied",
    ),
    "probe-broken": ({"broken": {"nfs": "KeyError at probes/nfs.py:7: 'x'"}}, {}, "nfs failed"),
    "probe-cost": (
        {"probe_costs": COSTLY, "cost_seconds": 600.0},
        {"probe_costs": COSTLY, "cost_seconds": 599.0},  # just started: that is dearer
        "5.0% of a CPU, more than the 2.0% allowed; most of it nvidia_gpu, 4.8%",
    ),
    "starved": ({"starved_looks": 3}, {"starved_looks": 2}, "3 looks came too late"),
    "store-damaged": ({"rebuilt": "the database was damaged"}, {}, "was damaged"),
    "store-of-another": ({"of_another": "it belonged to node n2"}, {}, "node n2"),
    "store-unwritable": (
        {"store_trouble": "attempt to write a readonly database"},
        {"store_trouble": "database or disk is full"},
        "readonly",
    ),
    "disk-full": ({"free_bytes": 31 << 20}, {"free_bytes": 33 << 20}, "only 31 MiB are left"),
    "spool-growing": (
        {"spool_pending": 9, "spool_oldest_seconds": 3601},
        {"spool_pending": 9, "spool_oldest_seconds": 3599},
        "9 events wait, the oldest for",
    ),
    "spool-lost": ({"spool_lost_recently": 7}, {}, "7 events were dropped"),
    "broker-away": ({"broker_trouble": "refused"}, {}, "refused"),
    "clock-stepped": ({"clock_step_seconds": -90.0}, {}, "jumped 2 min backwards"),
    "helper-away": ({"helper_trouble": "no socket"}, {}, "no socket"),
    "scheduler-away": (
        {"scheduler_trouble": "no scontrol"},
        {"scheduler_trouble": "no socket", "helper_trouble": "no socket"},  # told as that one
        "no scontrol",
    ),
    "restart-needed": ({"need_restart": ["mqtt.port", "node"]}, {}, "mqtt.port, node"),
    "configuration-newer": (
        {"changed_files": ["rules/a.yaml"]},
        {"changed_files": ["rules/a.yaml"], "reload_trouble": "wrong"},  # told as that one
        "rules/a.yaml",
    ),
    "configuration-wrong": ({"reload_trouble": "a.yaml:3: no"}, {}, "a.yaml:3: no"),
    "rule-cannot-match": ({"blind_rules": {"r": "c"}}, {}, "r (needs c)"),
    "check-never-ran": ({"never_ran": ["a", "b", "c", "d", "e"]}, {}, "a, b, c, d and 1 more"),
    "gate-unwritable": ({"gate_trouble": "cannot be written"}, {}, "cannot be written"),
    "metrics-off": ({"web_trouble": "in use"}, {}, "in use"),
    "textfile-unwritable": ({"textfile_trouble": "cannot be written"}, {}, "cannot be written"),
}


def codes_of(**facts: Any) -> list[str]:
    return [notice.code for notice in diagnose(msgspec.structs.replace(WELL, **facts))]


def test_a_doctor_that_is_well_says_nothing() -> None:
    assert diagnose(WELL) == []


@pytest.mark.parametrize("code", CODES)
def test_each_illness_is_told_with_what_to_do_and_its_look_alike_is_not(code: str) -> None:
    ill, look_alike, words = STORIES[code]
    (notice,) = diagnose(msgspec.structs.replace(WELL, **ill))
    assert notice.code == code
    assert words in notice.what
    assert notice.do == BY_CODE[code].do
    assert str(notice) == f"{code}: {notice.what}. {notice.do}"
    assert code not in codes_of(**look_alike)


def test_a_sentence_that_ends_by_itself_gets_no_second_stop() -> None:
    said = [str(Notice("broker-away", what, "Look")) for what in ("refused", "is it running?")]
    assert said == ["broker-away: refused. Look", "broker-away: is it running? Look"]


def test_a_full_disk_is_named_before_it_is_called_unwritable() -> None:
    assert codes_of(store_trouble="database or disk is full", free_bytes=0) == ["disk-full"]


def test_without_a_broker_events_that_wait_are_no_illness() -> None:
    old: dict[str, Any] = {"spool_oldest_seconds": 1e6, "spool_lost_recently": 5}
    assert codes_of(broker_configured=False, **old) == []
    assert codes_of(spool_bytes=40 << 20, spool_pending=9) == ["spool-growing"]


def test_a_code_can_stand_in_a_metric_and_its_sentence_has_no_full_stop() -> None:
    for one in ILLNESSES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.code)
        assert not one.do.endswith(".")
        assert one.meaning.endswith(".")


def test_a_code_that_is_gone_from_the_page_is_missed_by_somebody() -> None:
    """Codes stand in alert rules of sites: this list only grows."""
    page = Path(CHECKOUT / "docs/troubleshooting.md").read_text()
    assert set(STORIES) == set(CODES)
    assert set(re.findall(r"^### `([a-z-]+)`$", page, re.MULTILINE)) == set(CODES)
