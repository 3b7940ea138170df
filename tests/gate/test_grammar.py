"""The gate's one line: written by us, read by a shell and by Python, and believed by neither."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcdoctor.model import gate
from hpcdoctor.model.gate import Answer, Gate
from hpcdoctor.probes.host import Host

PROGRAM = Path(__file__).parents[2] / "gate" / "hpcdoctor-gate"
CODES = {0: Answer.OPEN, 1: Answer.CLOSED, 3: Answer.UNKNOWN}
REASON = "hd:k3f9.2 GPU3 Xid79 off bus; rule gpu-lost"
NOW = Host.this_machine().clock()


def line(
    answer: Answer = Answer.OPEN,
    *,
    age: int = 0,
    boot: str = NOW.boot_id,
    reason: str = "",
    process: int | None = None,
) -> str:
    at = int(Host.this_machine().clock().boottime) - age
    process = os.getpid() if process is None else process
    return Gate(answer, boot, at, 30, process, "node", reason).line()


def ask(path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PROGRAM, "ask", "--file", path, *arguments],
        capture_output=True,
        text=True,
        env={},
        timeout=30,
        check=False,
    )


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "gate"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("make", "answer", "words"),
    [
        (lambda: line(), Answer.OPEN, "jobs may start"),
        (lambda: line(Answer.CLOSED, reason=REASON), Answer.CLOSED, REASON),
        (lambda: line(age=60), Answer.OPEN, ""),
        (lambda: line(age=95), Answer.UNKNOWN, "has written nothing for 2 min"),
        (lambda: line(Answer.CLOSED, reason=REASON, age=95), Answer.UNKNOWN, "stale"),
        (
            lambda: line(age=95, process=4_194_999),
            Answer.UNKNOWN,
            "dead: the doctor (process 4194999)",
        ),
        (lambda: line(boot="another-boot"), Answer.UNKNOWN, "before the machine was started"),
        (lambda: line(age=-60), Answer.UNKNOWN, "s in the future"),
        (lambda: line().replace(" 30 ", " 300 "), Answer.OPEN, ""),
        (lambda: line().replace(" 30 ", " 301 "), Answer.UNKNOWN, "broken"),
        (lambda: line().replace(" 30 ", " 9999999 "), Answer.UNKNOWN, "broken"),
        (lambda: line().replace(" 30 ", " 0 "), Answer.UNKNOWN, "broken"),
        (lambda: line(reason="held by ann"), Answer.OPEN, "jobs may start; held by ann"),
        (lambda: line().rstrip("\n"), Answer.UNKNOWN, "broken"),
        (lambda: "", Answer.UNKNOWN, "broken"),
        (lambda: line().replace("gate 1", "gate 2"), Answer.UNKNOWN, "broken"),
        (lambda: line(Answer.CLOSED, reason="no mark"), Answer.UNKNOWN, "broken"),
        (lambda: line(Answer.CLOSED, reason=REASON + " 'quoted'"), Answer.UNKNOWN, "broken"),
        (lambda: line(Answer.CLOSED, reason=REASON + " \x1b[2J"), Answer.UNKNOWN, "broken"),
        (lambda: line(Answer.CLOSED, reason=REASON + "x" * 200), Answer.UNKNOWN, "broken"),
        (lambda: line(Answer.CLOSED, reason="hd:k3f9.123 x"), Answer.UNKNOWN, "broken"),
        (lambda: line().replace(" 30 ", " 030 "), Answer.UNKNOWN, "broken"),
        (lambda: line().replace(" 30 ", " $(reboot) "), Answer.UNKNOWN, "broken"),
        (lambda: line().replace(" node ", " nobody "), Answer.UNKNOWN, "broken"),
        (
            lambda: line(Answer.CLOSED, reason=REASON + " $(touch /tmp/x) `id` ${PATH}"),
            Answer.CLOSED,
            "$(",
        ),
    ],
)
def test_what_a_line_is_worth(
    tmp_path: Path, make: Callable[[], str], answer: Answer, words: str
) -> None:
    text = make()  # now: the line has the time in it
    asked = ask(written(tmp_path, text))
    assert CODES[asked.returncode] is answer, asked
    assert words in asked.stdout
    assert asked.stderr == ""
    said = gate.parse(text)
    if said is None:
        assert "broken" in asked.stdout
    else:
        now = Host.this_machine().clock()
        alive = Path(f"/proc/{said.process}").is_dir()
        assert gate.judge(said, now.boot_id, int(now.boottime), alive=alive).answer is answer


def test_how_long_ago_is_said_alike_by_the_shell_and_python() -> None:
    ages = [*range(0, 200, 7), 89, 90, 3569, 3570, 7831, 86400, 172_769, 172_770, 172_800, 999_999]
    function = re.search(r"(?ms)^say_how_long\(\) \{.*?^\}$", PROGRAM.read_text())
    assert function is not None
    script = f"{function[0]}\nfor age; do say_how_long $age; echo $long; done"
    said = subprocess.run(
        ["sh", "-c", script, "sh", *map(str, ages)], capture_output=True, text=True, check=True
    )
    here = [
        gate.judge(gate.Gate(Answer.OPEN, "b", 0, 0, 1, "node"), "b", age, alive=False).why
        for age in ages[1:]
    ]
    assert [one.partition("for about ")[2] for one in here] == said.stdout.splitlines()[1:]


def test_a_missing_file_is_told_from_a_broken_one(tmp_path: Path) -> None:
    assert "missing" in ask(tmp_path / "gate").stdout
    os.mkfifo(tmp_path / "gate")  # which would hang whoever opened it
    assert "missing" in ask(tmp_path / "gate").stdout


PIECES = st.sampled_from(
    ["hpcdoctor-gate", "1", "open", "closed", "node", "fleet", NOW.boot_id, "30", "0", "007"]
    + [REASON, "hd:k3f9.2", " ", "  ", "\t", "\n", "\r", "\0", "é", "'", "$(id)", "-1", "9" * 12]
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    pieces=st.lists(PIECES, max_size=14),
    blanks=st.booleans(),
    real=st.booleans(),
    position=st.integers(0, 8),
)
def test_the_shell_and_python_read_every_line_alike(
    tmp_path: Path, pieces: list[str], blanks: bool, real: bool, position: int
) -> None:
    words = line(Answer.CLOSED, reason=REASON).rstrip("\n").split(" ") if real else []
    words[position:position] = pieces[: 2 if real else 14]
    text = (" " if blanks else "").join(words) if not real else " ".join(words)
    text += "\n"
    asked = ask(written(tmp_path, text))
    said = gate.parse(text)
    if said is None:
        assert CODES[asked.returncode] is Answer.UNKNOWN, (text, asked.stdout)
        return
    now = Host.this_machine().clock()
    alive = Path(f"/proc/{said.process}").is_dir()
    judged = gate.judge(said, now.boot_id, int(now.boottime), alive=alive)
    assert CODES[asked.returncode] is judged.answer, (text, asked.stdout)


def prolog(path: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PROGRAM, "--file", path, *arguments],
        capture_output=True,
        text=True,
        env={"SLURM_SCRIPT_CONTEXT": "prolog_slurmd", "SLURM_JOB_ID": "7", **environment},
        timeout=30,
        check=False,
    )


def test_as_prolog_what_it_cannot_know_starts_the_job_and_says_so(tmp_path: Path) -> None:
    started = prolog(tmp_path / "gate")
    assert started.returncode == 0
    assert "cannot know" in started.stderr
    assert "job 7 starts" in started.stderr
    stopped = prolog(tmp_path / "gate", "--unknown", "stop")
    assert stopped.returncode == 1
    assert "job 7 does not start" in stopped.stderr


def test_as_prolog_an_open_gate_says_nothing_and_starts_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, line())
    strace = ["strace", "-f", "-qq", "-e", "trace=process,network", "-o", str(tmp_path / "trace")]
    done = subprocess.run(
        [*strace, str(PROGRAM), "--file", str(path)],
        capture_output=True,
        text=True,
        env={"SLURM_SCRIPT_CONTEXT": "prolog_slurmd", "PATH": "/usr/bin:/bin"},
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    calls = [each for each in (tmp_path / "trace").read_text().splitlines() if "+++" not in each]
    assert [each.split("(")[0].split()[-1] for each in calls] == ["execve", "exit_group"], calls


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (["--fiel", "/x"], {}, 64),
        (["--file"], {}, 64),
        (["--file", "gate"], {}, 64),
        (["--unknown", "maybe"], {}, 64),
        # A slip in slurm.conf must not drain one node after the other.
        (["--fiel", "/x"], {"SLURM_SCRIPT_CONTEXT": "prolog_slurmd"}, 0),
        ([], {"SLURM_SCRIPT_CONTEXT": "prolog_slurmctld"}, 0),
    ],
)
def test_wrong_usage_is_said_and_never_fails_a_prolog(
    arguments: list[str], environment: dict[str, str], code: int
) -> None:
    done = subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=30,
        check=False,
    )
    assert done.returncode == code
    assert "usage: hpcdoctor-gate" in done.stderr


def test_as_health_check_it_reports_and_never_fails(tmp_path: Path) -> None:
    for text in (line(), line(Answer.CLOSED, reason=REASON), line(age=500), "nonsense"):
        done = subprocess.run(
            [PROGRAM, "--file", written(tmp_path, text)],
            capture_output=True,
            text=True,
            env={"SLURMD_NODENAME": "n1"},
            timeout=30,
            check=False,
        )
        assert done.returncode == 0
        assert done.stdout.startswith(("open", "closed", "cannot know"))


# --- As Prolog behind a closed gate, with a scontrol that notes what it is asked ------------------

SCONTROL = """\
#!/bin/sh
echo "$@" >>{folder}/asked
case $1 in -o) echo "NodeName=n1 Arch=x86_64 State={state} ThreadsPerCore=1";; esac
exit {code}
"""


def closed(
    tmp_path: Path, *, state: str = "IDLE", authority: str = "node", code: int = 0, node: str = "n1"
) -> tuple[int, list[str]]:
    programs = tmp_path / "bin"
    programs.mkdir()
    scontrol = programs / "scontrol"
    scontrol.write_text(SCONTROL.format(folder=tmp_path, state=state, code=code))
    scontrol.chmod(0o755)
    folder = tmp_path / "run"
    folder.mkdir()
    text = line(Answer.CLOSED, reason=REASON).replace(" node ", f" {authority} ")
    done = prolog(written(folder, text), "--programs", str(programs), SLURMD_NODENAME=node)
    asked = tmp_path / "asked"
    return done.returncode, asked.read_text().splitlines() if asked.exists() else []


DRAIN = f"update nodename=n1 state=drain reason={REASON}"


def test_a_closed_gate_drains_a_node_that_nobody_has(tmp_path: Path) -> None:
    assert closed(tmp_path) == (1, ["-o show node n1", DRAIN])


@pytest.mark.parametrize("state", ["IDLE+DRAIN", "MIXED+FAIL", "DOWN*", "ALLOCATED+DRAIN+PLANNED"])
def test_a_closed_gate_leaves_a_node_alone_that_somebody_has(tmp_path: Path, state: str) -> None:
    assert closed(tmp_path, state=state) == (1, ["-o show node n1"])


@pytest.mark.parametrize("authority", ["fleet", "consumer"])
def test_under_another_authority_slurm_is_not_touched(tmp_path: Path, authority: str) -> None:
    assert closed(tmp_path, authority=authority) == (1, [])


def test_whatever_slurm_answers_the_job_does_not_start(tmp_path: Path) -> None:
    assert closed(tmp_path, code=1) == (1, ["-o show node n1"])


@pytest.mark.parametrize("node", ["ALL", "all", "n[1-9]", "n1,n2", "", "-n1"])
def test_no_name_that_means_more_than_one_node_reaches_slurm(tmp_path: Path, node: str) -> None:
    assert closed(tmp_path, node=node) == (1, [])


def test_a_closed_gate_leaves_a_note_that_only_root_can_write(tmp_path: Path) -> None:
    closed(tmp_path)
    note = tmp_path / "run-gate" / "turned-away"
    assert note.read_text().split(" ", 4)[3:] == ["7", REASON + "\n"]
    assert note.stat().st_uid == os.geteuid()
    assert note.parent.stat().st_mode & 0o022 == 0
