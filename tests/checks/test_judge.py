"""Which findings open, stay and clear, as time goes by?"""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from hpcdoctor.checks.compiled import CompiledCheck, compile_check
from hpcdoctor.checks.judge import NOT_YET, Judge
from hpcdoctor.checks.wording import for_shell
from hpcdoctor.definitions.check import Check
from hpcdoctor.definitions.convert import convert
from hpcdoctor.definitions.loader import Defined
from hpcdoctor.definitions.yamlfile import parse_yaml
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus, Value
from hpcdoctor.probes import registry

START = Instant("boot", 5000.0, 1_800_000_000.0)


def check(probe: str, more: str, name: str = "c") -> CompiledCheck:
    text = f"check: {name}\nsummary: it is {{{_field(probe)}}}\nprobe: {probe}\nevery: 30s\n"
    text += f"{more}\ncause: node\nwhy: it matters\nnext_steps: [look]\n"
    source = parse_yaml(text.encode(), Path(f"{name}.yaml"))
    return compile_check(Defined(convert(source, Check), source), registry.find(probe), {})


def _field(probe: str) -> str:
    return {"edac": "dimm", "kernel_log": "kind", "filesystem_latency": "mount_point"}[probe]


class Ward:
    """A judge with one check, looked at again and again."""

    def __init__(self, probe: str, more: str, **options: Any) -> None:
        self.probe = probe
        self.now = START
        self.judge = Judge({"c": check(probe, more)}, options.pop("profile", {}), **options)

    def look(self, *readings: dict[str, Any], status: str = "read", **more: Any) -> list[str]:
        look = Look(self.probe, ReadStatus(status), self.now, readings=list(readings), **more)
        return [change.kind for change in self.judge.judge(look)]

    def wait(self, seconds: float) -> list[str]:
        self.now = self.now.plus(seconds)
        return [change.kind for change in self.judge.tick(self.now)]

    def verdict(self) -> Verdict | None:
        (outcome,) = self.judge.outcomes()
        return outcome.verdict


ERRORS = """per: dimm
critical:
  when: uncorrected_errors_total > 10
  for: 60s
warning:
  when: uncorrected_errors_total > 0
clear_after: 10m"""


def dimm(errors: int | None, name: str = "mc0/dimm0") -> dict[str, Any]:
    return {"dimm": name, "uncorrected_errors_total": errors}


def test_a_condition_has_to_hold_for_its_time_and_the_milder_one_shows_meanwhile() -> None:
    ward = Ward("edac", ERRORS)
    assert ward.look(dimm(11)) == ["opened"]
    assert ward.verdict() is Verdict.WARNING
    ward.wait(59)
    assert ward.look(dimm(11)) == []
    ward.wait(1)
    assert ward.look(dimm(11)) == ["changed"]
    assert ward.verdict() is Verdict.CRITICAL


def test_a_gap_starts_the_hold_time_anew() -> None:
    ward = Ward("edac", ERRORS)
    ward.look(dimm(11))
    ward.wait(50)
    ward.look(dimm(5))
    ward.wait(20)
    ward.look(dimm(11))
    assert ward.verdict() is Verdict.WARNING


def test_a_finding_clears_only_after_its_time_and_one_that_flaps_stays_one() -> None:
    ward = Ward("edac", ERRORS)
    told = ward.look(dimm(1))
    for _ in range(20):
        ward.wait(300)
        told += ward.look(dimm(0))
        ward.wait(200)
        told += ward.look(dimm(1))
    assert told == ["opened"]
    ward.wait(300)
    assert ward.look(dimm(0)) == []
    ward.wait(599)
    assert ward.look(dimm(0)) == ["closed"]
    assert ward.verdict() is Verdict.OK


def test_a_number_that_is_missing_is_unknown_and_a_finding_only_when_it_lasts() -> None:
    ward = Ward("edac", ERRORS)
    assert ward.look(dimm(None)) == []
    assert ward.verdict() is Verdict.UNKNOWN
    ward.wait(601)
    assert ward.look(dimm(None)) == ["opened"]
    (finding,) = ward.judge.findings.values()
    assert finding.verdict is Verdict.UNKNOWN
    assert "uncorrected_errors_total" in finding.summary
    assert finding.next_steps == []


@pytest.mark.parametrize("status", ["unavailable", "broken", "starved"])
def test_a_source_that_cannot_be_read_is_unknown_and_what_was_wrong_stays(status: str) -> None:
    ward = Ward("edac", ERRORS)
    ward.look(dimm(1))
    ward.wait(30)
    assert ward.look(status=status, reason="no") == []
    assert ward.verdict() is Verdict.WARNING, "an open finding is not forgotten"
    other = Ward("edac", ERRORS)
    other.look(status=status, reason="no")
    assert other.verdict() is Verdict.UNKNOWN


def test_what_was_never_looked_at_is_unknown_and_where_there_is_nothing_is_not() -> None:
    ward = Ward("edac", ERRORS)
    assert ward.verdict() is ward.judge.verdict() is Verdict.UNKNOWN
    ward.look()
    assert ward.verdict() is not Verdict.UNKNOWN


def test_another_configuration_goes_on_where_the_same_check_was() -> None:
    ward = Ward("edac", ERRORS)
    ward.look(dimm(20))  # critical after a minute: half of it has gone by
    ward.wait(30)
    ward.look(dimm(20))
    before = ward.judge
    ward.judge = Judge({"c": check("edac", ERRORS)}, {}, before=before)
    assert ward.verdict() is Verdict.WARNING
    ward.wait(30)
    ward.look(dimm(20))
    assert ward.verdict() is Verdict.CRITICAL
    changed = ERRORS.replace("> 10", "> 9")
    for judge in (
        Judge({"c": check("edac", changed)}, {}, before=before),
        Judge({"c": check("edac", ERRORS)}, {"memory": {"dimms": 8}}, before=before),
    ):
        assert judge.outcomes()[0].reason == NOT_YET


def test_what_is_not_on_this_machine_is_skipped_unless_the_profile_expects_it() -> None:
    ward = Ward("edac", ERRORS)
    ward.look(status="absent", reason="no EDAC driver is loaded")
    (outcome,) = ward.judge.outcomes()
    assert (outcome.verdict, outcome.reason) == (None, "not present: no EDAC driver is loaded")
    expected = ERRORS + "\nexpected: profile.memory"
    strict = Ward("edac", expected, profile={"memory": {"total_bytes": 1}})
    assert strict.look(status="absent", reason="no EDAC driver is loaded") == ["opened"]
    assert strict.verdict() is Verdict.CRITICAL
    assert strict.look(dimm(0)) == ["closed"]


def test_each_thing_has_its_own_finding_and_one_that_vanishes_clears_in_its_time() -> None:
    ward = Ward("edac", ERRORS)
    ward.look(dimm(1), dimm(1, "mc1/dimm0"), dimm(0, "mc1/dimm1"))
    assert len(ward.judge.findings) == 2
    ward.wait(30)
    assert ward.look(dimm(1)) == []
    ward.wait(601)
    assert ward.look(dimm(1)) == ["closed"]
    assert list(ward.judge.findings) == ["c[dimm=mc0/dimm0]"]


def test_a_person_who_knows_a_state_silences_it_until_it_has_cleared() -> None:
    ward = Ward("edac", ERRORS)
    ward.look(dimm(1))
    assert [c.kind for c in ward.judge.acknowledge("bob: known")] == ["changed"]
    ward.wait(30)
    ward.look(dimm(2))
    (finding,) = ward.judge.findings.values()
    assert finding.acknowledged_by == "bob: known"
    ward.wait(601)
    ward.look(dimm(0))
    ward.look(dimm(1))
    (again,) = ward.judge.findings.values()
    assert again.acknowledged_by is None


def test_quiet_after_boot() -> None:
    ward = Ward("edac", ERRORS + "\nquiet_after_boot: 10m")
    ward.now = Instant("boot", 100.0, START.wall)
    assert ward.look(dimm(99)) == []
    assert ward.verdict() is None
    ward.now = Instant("boot", 601.0, START.wall)
    assert ward.look(dimm(99)) == ["opened"]


def test_a_restart_goes_on_with_what_is_open() -> None:
    ward = Ward("edac", ERRORS)
    ward.look(dimm(1))
    second = Ward("edac", ERRORS, findings=list(ward.judge.findings.values()))
    second.now = ward.now.plus(30)
    assert second.look(dimm(1)) == []
    second.wait(601)
    assert second.look(dimm(0)) == ["closed"]


STUCK = "per: mount_point\nwarning:\n  when: stuck_seconds > 20"


def test_a_mount_that_hangs_blames_no_other() -> None:
    ward = Ward("filesystem_latency", STUCK)
    ward.look({"mount_point": "/home"}, subject="/home")
    ward.look({"mount_point": "/scratch,a"}, subject="/scratch,a")
    since = ward.now
    ward.wait(30)
    hung = {"subject": "/scratch,a", "stuck_since": since, "reason": "no answer"}
    assert ward.look(status="stuck", **hung) == ["opened"]
    assert [f.subject for f in ward.judge.findings.values()] == [{"mount_point": "/scratch,a"}]
    ward.look({"mount_point": "/home"}, subject="/home")
    assert len(ward.judge.findings) == 1
    assert ward.look({"mount_point": "/scratch,a"}, subject="/scratch,a") == ["closed"]


def test_a_mount_that_is_gone_keeps_no_finding_while_others_are_looked_at() -> None:
    ward = Ward("filesystem_latency", STUCK)
    ward.look({"mount_point": "/home"}, subject="/home")
    hung = {"subject": "/scratch", "stuck_since": ward.now.plus(-40), "reason": "no answer"}
    assert ward.look(status="stuck", **hung) == ["opened"]
    assert ward.look(named=["/home", "/scratch"]) == []
    assert ward.look(named=["/home"]) == ["closed"]
    assert ward.verdict() is Verdict.OK, "what is still there is still judged"
    assert ward.look(named=[]) == []
    assert ward.verdict() is None


GUARDED = """per: mount_point
where: stuck_seconds == 0
warning:
  when: metadata_seconds > 1
"""


def test_what_hangs_is_left_to_the_check_that_asks_for_it() -> None:
    ward = Ward("filesystem_latency", GUARDED)
    hung = {"subject": "/scratch", "stuck_since": ward.now, "reason": "no answer"}
    assert ward.look(status="stuck", **hung) == []
    (outcome,) = ward.judge.outcomes()
    assert outcome.verdict is None
    assert outcome.reason.startswith("hung; see ")
    slow = {"mount_point": "/scratch", "metadata_seconds": 2.0}
    assert ward.look(slow, subject="/scratch") == ["opened"]
    assert ward.look(status="stuck", **hung) == [], "that nothing is measured is no health"
    assert ward.verdict() is Verdict.WARNING
    assert ward.look(slow | {"metadata_seconds": 0.1}, subject="/scratch") == ["closed"]


def test_what_hangs_and_is_unknown_is_named() -> None:
    ward = Ward("filesystem_latency", STUCK)
    hung = {"subject": "/scratch", "stuck_since": ward.now, "reason": "no answer after 5 s"}
    ward.look(status="stuck", **hung)
    (outcome,) = ward.judge.outcomes()
    assert (outcome.verdict, outcome.reason) == (
        Verdict.UNKNOWN,
        "/scratch: no answer after 5 s",
    )


EVENT = (
    'per: device\nwhere: kind == "xid"\ncritical:\n  when: code == 79\nwarning:\n  when: code > 0'
)


def record(code: int, device: str = "gpu3", kind: str = "xid") -> dict[str, Any]:
    return {"kind": kind, "code": code, "device": device, "text": f"Xid {code}"}


def test_a_burst_is_one_finding_that_is_told_each_time_it_doubles() -> None:
    ward = Ward("kernel_log", EVENT + "\nclear_after: 1h")
    told = ward.look(*[record(13) for _ in range(9)])
    assert told == [
        "opened",
        "changed",
        "counted",
        "changed",
        *["counted"] * 3,
        "changed",
        "counted",
    ]
    (finding,) = ward.judge.findings.values()
    assert finding.count == 9
    assert len(finding.evidence) <= 6, "bounded"


def test_an_event_that_is_worse_makes_it_worse_and_a_milder_one_does_not_heal_it() -> None:
    ward = Ward("kernel_log", EVENT + "\nclear_after: 1h")
    ward.look(record(13), record(79), record(13))
    assert ward.verdict() is Verdict.CRITICAL


def test_events_clear_by_silence_by_a_reboot_or_not_at_all() -> None:
    silent = Ward("kernel_log", EVENT + "\nclear_after: 1h")
    silent.look(record(79))
    assert silent.wait(3599) == []
    assert silent.wait(1) == ["closed"]
    reboot = Ward("kernel_log", EVENT + "\nclear_after: reboot")
    reboot.look(record(79))
    assert reboot.wait(1e6) == []
    reboot.now = Instant("next boot", 20.0, reboot.now.wall + 100)
    assert reboot.wait(0) == ["closed"]
    never = Ward("kernel_log", EVENT + "\nclear_after: by-hand")
    never.look(record(79))
    never.now = Instant("next boot", 20.0, never.now.wall + 100)
    assert never.wait(1e6) == []


def test_a_person_who_knows_an_event_closes_it_and_the_next_one_opens_it_anew() -> None:
    ward = Ward("kernel_log", EVENT + "\nclear_after: reboot")
    ward.look(record(79))
    assert [c.kind for c in ward.judge.acknowledge("bob")] == ["closed"]
    assert ward.judge.findings == {}
    assert ward.look(record(79)) == ["opened"]


def test_other_records_are_none_of_its_business() -> None:
    ward = Ward("kernel_log", EVENT + "\nclear_after: 1h")
    assert ward.look(record(79, kind="sxid"), record(0)) == []
    assert ward.verdict() is Verdict.OK


def test_text_from_the_machine_cannot_move_a_cursor() -> None:
    ward = Ward("edac", ERRORS)
    ward.look(dimm(1, "a\x1b[2J\nCRITICAL"))
    (finding,) = ward.judge.findings.values()
    for text in (finding.summary, finding.object, finding.key, finding.evidence[0].text):
        assert text.isprintable()


HOSTILE = "/a b;echo no >&2;$(echo no >&2)`echo no >&2`'*?\"\\(#!&"


@pytest.mark.parametrize(
    "step",
    [
        "See it: printf %s {thing}",
        "Isn't it there? `printf %s {thing}`",
        "It is the vendor's: printf %s '{thing}'",
        "`printf %s '{thing}'`, or ask its owner",
        'See it: printf %s "{thing}"',
        "Isn't it there? printf %s '{thing}'",
    ],
)
def test_a_value_in_a_command_to_copy_is_one_word_and_runs_nothing(step: str) -> None:
    text = for_shell(step.replace("printf", "ls"), {"thing": HOSTILE})
    command = text[text.index("ls ") :].replace("ls", "printf", 1)
    command = command.removesuffix(", or ask its owner").removesuffix("`")
    for shell in ("sh", "bash"):
        ran = subprocess.run([shell, "-c", command], capture_output=True, text=True, check=False)
        assert (ran.stdout, ran.stderr) == (HOSTILE, "")


def test_a_value_in_words_is_quoted_only_where_it_could_do_harm() -> None:
    step = "Replace {label}, as {xid.action} says"
    ours: dict[str, Value] = {"label": "CPU0 DIMM_B2", "xid.action": "reset; then restart"}
    assert for_shell(step, ours) == "Replace CPU0 DIMM_B2, as reset; then restart says"
    assert for_shell(step, {**ours, "label": "$(id)"}).startswith("Replace '$(id)', ")


def test_a_plain_value_stays_as_it_is_and_no_control_character_goes_through() -> None:
    assert for_shell("Mount it: `mount {thing}`", {"thing": "/home/x_1"}) == (
        "Mount it: `mount /home/x_1`"
    )
    assert for_shell("Mount it: mount {thing}", {"thing": "/a\x1b[2J\n"}) == (
        "Mount it: mount '/a\\x1b[2J\\n'"
    )
