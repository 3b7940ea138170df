"""Does a record that says it is over close its finding, and no other?"""

from pathlib import Path
from typing import Any

import pytest

from hpcdoctor.checks.compiled import compile_check
from hpcdoctor.checks.judge import Judge
from hpcdoctor.definitions.check import Check
from hpcdoctor.definitions.convert import convert
from hpcdoctor.definitions.loader import Defined
from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.yamlfile import parse_yaml
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.probes import registry

NOW = Instant("boot", 5000.0, 1_800_000_000.0)
LOST = """per: device
where: kind == "nfs_not_responding"
warning:
  when: kind == "nfs_not_responding"
recovered: kind == "nfs_ok"
clear_after: 1h"""


def judge(
    more: str = LOST, probe: str = "kernel_log", words: str = "it hangs", **options: Any
) -> Judge:
    text = f"check: lost\nsummary: {words}\nprobe: {probe}\nevery: 30s\n{more}\n"
    text += "cause: shared\nwhy: it matters\nnext_steps: [look]\n"
    source = parse_yaml(text.encode(), Path("lost.yaml"))
    defined = Defined(convert(source, Check), source)
    return Judge({"lost": compile_check(defined, registry.find(probe), {})}, {}, **options)


def told(doctor: Judge, *records: tuple[str, str]) -> list[str]:
    readings: list[Any] = [
        {"kind": kind, "device": device, "text": f"{kind} {device}"} for kind, device in records
    ]
    look = Look("kernel_log", ReadStatus.READ, NOW, readings=readings)
    return [f"{c.kind} {c.finding.subject['device']}" for c in doctor.judge(look)]


def test_a_record_that_where_does_not_admit_closes_the_finding_of_the_same_thing() -> None:
    doctor = judge()
    assert told(doctor, ("nfs_not_responding", "home"), ("nfs_not_responding", "data")) == [
        "opened home",
        "opened data",
    ]
    assert told(doctor, ("nfs_ok", "home")) == ["closed home"]
    assert [finding.subject["device"] for finding in doctor.findings.values()] == ["data"]


def test_a_field_that_the_record_leaves_open_agrees_with_every_finding() -> None:
    more = 'per: [device, code]\nwarning:\n  when: kind == "xid"\nrecovered: kind == "well"'
    doctor = judge(more + "\nclear_after: reboot")
    readings: list[Any] = [
        {"kind": "xid", "device": "gpu3", "code": 48},
        {"kind": "xid", "device": "gpu3", "code": 95},
        {"kind": "xid", "device": "gpu4", "code": 48},
        {"kind": "well", "device": "gpu3", "code": None},
    ]
    doctor.judge(Look("kernel_log", ReadStatus.READ, NOW, readings=readings))
    assert [f.subject for f in doctor.findings.values()] == [{"device": "gpu4", "code": "48"}]


def test_a_recovery_without_a_finding_is_nothing_and_opens_nothing() -> None:
    doctor = judge()
    assert told(doctor, ("nfs_ok", "home"), ("nfs_ok", "home")) == []
    assert doctor.findings == {}


def test_it_opens_anew_with_its_own_count() -> None:
    doctor = judge()
    lost, well = ("nfs_not_responding", "home"), ("nfs_ok", "home")
    assert told(doctor, lost, lost, well, lost) == [
        "opened home",
        "changed home",
        "closed home",
        "opened home",
    ]
    (finding,) = doctor.findings.values()
    assert finding.count == 1


def test_the_closing_record_is_evidence() -> None:
    doctor = judge()
    told(doctor, *[("nfs_not_responding", "home")] * 9)
    records: list[Any] = [{"kind": "nfs_ok", "device": "home", "text": "server home OK"}]
    [change] = doctor.judge(Look("kernel_log", ReadStatus.READ, NOW, readings=records))
    texts = [evidence.text for evidence in change.finding.evidence]
    assert texts[-1] == "server home OK"
    assert len(texts) <= 6, "bounded"


def test_a_finding_from_before_a_restart_of_the_doctor_is_closed_too() -> None:
    before = judge()
    told(before, ("nfs_not_responding", "home"))
    after = judge(findings=list(before.findings.values()))
    assert told(after, ("nfs_ok", "home")) == ["closed home"]


def test_a_record_that_is_both_fault_and_recovery_is_a_recovery() -> None:
    doctor = judge('per: device\nwarning:\n  when: device == "home"\nrecovered: kind == "nfs_ok"')
    assert told(doctor, ("nfs_ok", "home")) == []


@pytest.mark.parametrize(
    ("old", "new", "message", "line"),
    [
        ('kind == "nfs_ok"', "knd == 3", "`recovered`, column 1", 9),
        ('kind == "nfs_ok"', "device", "`recovered`", 9),
        ('kind == "nfs_ok"', "increase(count, 1h) > 3", "looks back", 9),
    ],
)
def test_a_mistake_names_its_line_and_key(old: str, new: str, message: str, line: int) -> None:
    with pytest.raises(DefinitionError) as raised:
        judge(LOST.replace(old, new))
    assert message in str(raised.value)
    assert f"lost.yaml:{line}:" in str(raised.value)


def test_a_state_needs_no_recovery_and_says_so() -> None:
    with pytest.raises(DefinitionError, match="`recovered` has no meaning for probe `edac`"):
        judge("warning:\n  when: uncorrected_errors_total > 0\nrecovered: dimm == 'x'", "edac")


def test_a_milder_record_changes_no_word_of_what_stands() -> None:
    more = 'critical:\n  when: kind == "oops"\nwarning:\n  when: kind == "warn"\nclear_after: 1h'
    doctor = judge("per: device\n" + more, words="'{kind}'")
    told(doctor, ("oops", "cpu"), ("warn", "cpu"))
    (finding,) = doctor.findings.values()
    assert (finding.verdict.value, finding.count, finding.summary) == ("critical", 2, "oops")
