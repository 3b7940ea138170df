"""What do a site's own programs mean, whatever they print and however they end?"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.definitions.command import Declared, Format
from hpcdoctor.definitions.loader import load_definitions
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.knowledge import resolve
from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import command
from hpcdoctor.probes.command import Answer
from hpcdoctor.probes.host import Host
from tests.doubles.machines import written
from tests.doubles.waiting import wait_for

LOAD = "LOAD OK - all is well | 'one minute'=0.42;4;8;0 load5=1,5;;;0 rta=12.3ms;100;200 x=U\n"


def whole(answers: list[Answer]) -> tuple[str | None, str]:
    (first,) = [each for each in answers if each.label == ""]
    return first.verdict, first.message


@pytest.mark.parametrize(
    ("status", "verdict"), [(0, "ok"), (1, "warning"), (2, "critical"), (3, None), (127, None)]
)
def test_nagios_speaks_by_its_exit_status(status: int, verdict: str | None) -> None:
    said = whole(command.parse("x", Format.NAGIOS, status, LOAD))
    assert said[0] == verdict
    assert "LOAD OK - all is well" in said[1]


def test_performance_data_become_readings() -> None:
    data = command.parse("x", Format.NAGIOS, 0, LOAD)[1:]
    assert [(each.label, each.value, each.unit) for each in data] == [
        ("one minute", 0.42, ""),
        ("load5", 1.5, ""),
        ("rta", 12.3, "ms"),
        ("x", None, ""),
    ]
    assert (data[0].warning_limit, data[0].critical_limit) == ("4", "8")


def test_data_may_stand_behind_further_lines() -> None:
    text = "DISK OK | /=10MB\nand more\n/home is fine | /home=20MB;15;30\n/var=3MB\n"
    labels = [each.label for each in command.parse("x", Format.NAGIOS, 0, text)]
    assert labels == ["", "/", "/home", "/var"]


@pytest.mark.parametrize(("status", "verdict"), [(0, "ok"), (1, "critical"), (2, None)])
def test_node_problem_detector_has_two_words_and_80_letters(
    status: int, verdict: str | None
) -> None:
    said = whole(command.parse("x", Format.NPD, status, "word " * 50))
    assert said[0] == verdict
    assert len(said[1]) <= 83


def test_lines_of_json_are_one_reading_a_thing() -> None:
    text = """{"subject": "md0", "verdict": "warning", "message": "rebuilds", "values": {"p": 40}}
{"subject": "md1", "verdict": "ok"}
not json
{"verdict": "fine"}
"""
    answers = command.parse("raid", Format.JSON, 0, text)
    seen = [(each.subject, each.label, each.verdict, each.value) for each in answers]
    assert seen == [
        ("md0", "", "warning", None),
        ("md0", "p", None, 40),
        ("md1", "", "ok", None),
        ("line 3", "", None, None),
        ("", "", None, None),
    ]
    assert "is no verdict" in answers[-1].message


def test_nothing_at_all_is_unknown() -> None:
    assert whole(command.parse("x", Format.JSON, 0, ""))[0] is None
    assert whole(command.parse("x", Format.NAGIOS, 3, "")) == (None, "it said nothing")
    assert "ended by SIGSEGV" in whole(command.parse("x", Format.NAGIOS, -11, "OK"))[1]


@given(st.text(max_size=300), st.sampled_from(list(Format)), st.integers(-70, 300))
def test_whatever_it_prints_is_text_and_never_ok_by_chance(
    text: str, form: Format, status: int
) -> None:
    for answer in command.parse("x", form, status, text):
        assert answer.message.isprintable()
        if form is not Format.JSON and answer.verdict == "ok":
            assert status == 0


def declare(host: Host, *run: str, form: Format = Format.NAGIOS, seconds: float = 5.0) -> None:
    host.commands = {"x": Declared(run, form, seconds)}


@pytest.mark.real
def test_a_real_program_is_run_without_our_environment_and_without_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    host = Host.this_machine()
    declare(host, "/bin/sh", "-c", "cat; env; echo; pwd; exit 1")
    (first, *_) = command.read(host, "x")
    assert (first.verdict, first.name) == ("warning", "x")
    assert "hunter2" not in first.message


@pytest.mark.real
def test_one_that_hangs_is_killed_with_its_children_and_is_unknown(tmp_path: Path) -> None:
    host = Host.this_machine()
    mark = tmp_path / "pid"
    declare(host, "/bin/sh", "-c", f"sleep 600 & echo $! > {mark}; wait", seconds=0.5)
    (answer,) = command.read(host, "x")
    assert (answer.verdict, answer.message) == (None, "/bin/sh gave no answer within 0.5 s")
    sleeping = Path(f"/proc/{mark.read_text().strip()}/cwd")
    wait_for("its child to be gone", lambda: not sleeping.exists())


@pytest.mark.real
def test_one_that_never_stops_writing_and_one_that_is_not_there_do_no_harm() -> None:
    host = Host.this_machine()
    declare(host, "/bin/sh", "-c", "yes | head -c 300000; exit 2")
    assert command.read(host, "x")[0].verdict == "critical"
    declare(host, "/nowhere/at/all")
    assert "cannot be started" in command.read(host, "x")[0].message


def test_without_a_declaration_there_is_nothing_to_run() -> None:
    with pytest.raises(Absent, match="no command is declared"):
        command.subjects(Host.this_machine())


GOOD = "command: raid\nrun: [/usr/bin/true]\n"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (GOOD, None),
        ("command: raid\nrun: []\n", "raid.yaml:2: `run` is empty"),
        ("command: raid\nrun: [check_raid]\n", "write the whole path of `check_raid`"),
        ("command: raid\nrun: [/nowhere/x]\n", "`run` is not used: /nowhere cannot be looked at"),
        ("command: raid\nrun: /usr/bin/true\n", "`run`: a list is due here"),
        (GOOD + "timeout: 1m\n", "raid.yaml:3: `timeout: 1m` has to be at most 8s"),
        (GOOD + "timeout: soon\n", "`soon` is not a duration"),
        (GOOD + "format: xml\n", "there is no `xml`"),
        ("command: other\nrun: [/usr/bin/true]\n", "is not the file's name"),
    ],
)
def test_a_mistake_in_a_declaration_is_answered_with_its_line(
    tmp_path: Path, text: str, mistake: str | None
) -> None:
    written(tmp_path, {"commands/raid.yaml": text})
    known, problems = resolve(Settings(), tmp_path, load_definitions(tmp_path))
    assert [str(problem) for problem in problems if mistake is None] == []
    if mistake is None:
        assert list(known.commands) == ["raid"]
    else:
        assert any(mistake in str(problem) for problem in problems), problems
