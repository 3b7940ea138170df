"""Does `hpcdoctor check` ask the daemon cheaply, look by itself otherwise, and never stumble?"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcdoctor.__main__ import main
from hpcdoctor.cli import ask
from hpcdoctor.cli.check import question
from hpcdoctor.report.pages.check_json import json_schema
from tests.conftest import NODES
from tests.doubles.daemon import StandIn
from tests.doubles.site import written

# `python -c` with another default socket: what is imported before its answer is printed?
STARTUP = """
import sys
import hpcdoctor.cli.ask as ask
ask.DEFAULT_SOCKET = sys.argv[1]
from hpcdoctor.__main__ import main
code = main(["check", *sys.argv[2:]])
print(code, *sorted(sys.modules), file=sys.stderr)
"""
HEAVY = {
    "argparse", "asyncio", "dataclasses", "enum", "functools", "importlib.metadata", "inspect",
    "json", "logging", "msgspec", "pathlib", "re", "socket", "subprocess", "typing", "yaml",
}  # fmt: skip
# What `python -m` and the environment's own start-up bring along is not ours to judge.
XID = "[   12.500000] NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.\n"


def run(*arguments: str | Path, **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "hpcdoctor", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=more.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        **more,
    )


def as_json(capsys: pytest.CaptureFixture[str]) -> Any:
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json_schema())
    return document


# --- the daemon answers


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--brief"], ["--verbose"]])
def test_asking_the_daemon_imports_next_to_nothing(tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / "control.sock"
    with StandIn(path, b"2\nCRITICAL gpu-lost\n") as daemon:
        done = subprocess.run(
            [sys.executable, "-S", "-c", STARTUP, str(path), *arguments],
            env={"PYTHONPATH": str(Path(ask.__file__).parents[2]), "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert done.stdout == "CRITICAL gpu-lost\n"
    code, *modules = done.stderr.split()
    assert code == "2"
    assert set(modules) & HEAVY == set()
    assert {name for name in modules if name.startswith("hpcdoctor")} == {
        "hpcdoctor",
        "hpcdoctor.__main__",
        "hpcdoctor.cli",
        "hpcdoctor.cli.ask",
        "hpcdoctor.cli.check",
    }
    question = json.loads(daemon.questions[0])
    assert question["type"] == "check"
    assert {name for name, value in question.items() if value is True} == {
        name.removeprefix("--") for name in arguments
    }


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a configuration whose socket is in a folder of its own."""
    (tmp_path / "run").mkdir()
    text = f"run_directory: {tmp_path}/run\nnode: n7\n"
    return written(tmp_path / "etc", {"hpcdoctor.yaml": text})


def socket_of(site: Path) -> Path:
    return site.parent / "run" / "control.sock"


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_the_daemons_verdict_is_the_exit_code(
    site: Path, capfd: pytest.CaptureFixture[str], code: int
) -> None:
    with StandIn(socket_of(site), f"{code}\nits words\n".encode()) as daemon:
        assert main(["check", "--config", str(site), "gpu-lost"]) == code
    assert capfd.readouterr().out == "its words\n"
    assert json.loads(daemon.questions[0])["names"] == ["gpu-lost"]


def test_what_the_daemon_refuses_goes_to_where_mistakes_are_told(
    site: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with StandIn(socket_of(site), b"64\nhpcdoctor: no check is named x\n"):
        assert main(["check", "--config", str(site), "x"]) == 64
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "hpcdoctor: no check is named x\n")


@pytest.mark.parametrize("answer", [None, b"", b"nonsense", b"\xff\n", b"9999\n"])
def test_a_daemon_that_does_not_answer_is_told_of_and_done_without(
    site: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | None,
) -> None:
    monkeypatch.setattr(ask, "PATIENCE_SECONDS", 0.2)
    with StandIn(socket_of(site), answer):
        assert main(["check", "--config", str(site), "clock-source"]) in (0, 1, 2, 3)
    said = capsys.readouterr()
    assert "OK        n7: " in said.out
    assert said.err.count("\n") == 1
    assert said.err.endswith("looking without it\n")


def test_a_daemon_that_drips_is_not_waited_for_for_ever(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "PATIENCE_SECONDS", 0.0)
    with StandIn(socket_of(site), b"0\n" + b"x" * 500_000), pytest.raises(ask.SilentDaemon):
        ask.ask(str(socket_of(site)), b"{}")


def test_a_socket_that_nobody_listens_at_is_no_daemon(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(socket_of(site)))
    assert main(["check", "--config", str(site), "clock-source", "--json"]) in (0, 1, 2, 3)
    assert as_json(capsys)["source"] == "probes"


@pytest.mark.parametrize("command", [["status"], ["hold", "--why", "x"], ["release", "--why", "x"]])
def test_what_needs_a_daemon_says_how_to_start_one(
    site: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([*command, "--config", str(site)]) == 69
    said = capsys.readouterr().err
    assert "no daemon runs here" in said
    assert "hpcdoctor run" in said
    assert said.count("\n") == 1


def test_a_reason_that_is_no_text_is_told_all_the_same(site: Path) -> None:
    with StandIn(socket_of(site), b"0\nheld\n") as daemon:
        why = os.fsdecode(b"caf\xe9")
        assert main(["hold", "--config", str(site), "--why", why, "--until", "3d"]) == 0
    question = json.loads(daemon.questions[0])
    assert question["why"] == "caf\\udce9"
    assert question["until_seconds"] == 3 * 86400


@pytest.mark.parametrize(
    "until",
    [
        "",
        "0s",
        "soon",
        "2020-01-01",
        "0001-01-01",
        "9999-12-31",
        "9" * 400 + "d",
        "3650000d",
        "-1d",
    ],
)
def test_a_hold_never_becomes_endless_by_a_slip(
    site: Path, capsys: pytest.CaptureFixture[str], until: str
) -> None:
    with StandIn(socket_of(site), b"0\n") as daemon, pytest.raises(SystemExit) as ended:
        main(["hold", "--config", str(site), "--why", "x", f"--until={until}"])
    assert ended.value.code == 64
    assert daemon.questions == []
    assert capsys.readouterr().err.count("\n") == 1


# --- usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chek"], "there is no command 'chek'; did you mean `check`?"),
        (["\x1b[2J\n"], "there is no command"),
        (["check", "--no-such"], "unrecognized arguments: --no-such"),
        (["check", "gpu-losd", "--here"], "no check is named 'gpu-losd'; did you mean `gpu-lost`?"),
        (["check", "a\nb"], "cannot be the name of a check"),
        (["check", "--root", "/nonexistent"], "--root /nonexistent: there is no such folder"),
        (["check", "--kernel-log", "/nonexistent"], "cannot be read: No such file"),
        (["check", "--kernel-log", "/dev/zero"], "is not a plain file"),
        (["check", "--root", "/", "--here"], "--here is this machine"),
        (["check", "--root", "/", "--apart", "5s"], "--apart needs two snapshots"),
        (["check", "--apart", "soon"], "`soon` is not a duration"),
        (["check", "--apart", "0s"], "between 1ms and 1h"),
        (["check", "--apart", "9" * 15 + "d"], "between 1ms and 1h"),
        (["check", "--json=1"], "ignored explicit argument"),
        (["explain"], "the following arguments are required: name"),
        (["hold"], "the following arguments are required: --why"),
        (["lint", "--config"], "expected one argument"),
    ],
)
def test_wrong_usage_is_one_line_and_64(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    if arguments[0] in ("check",):
        arguments = [*arguments, "--config", str(tmp_path)]
    try:
        code: object = main(arguments)
    except SystemExit as ended:
        code = ended.code
    told = capsys.readouterr()
    assert code == 64
    assert said in told.err
    assert told.err.count("\n") == 1
    assert "\x1b" not in told.err
    assert told.out == ""


def test_a_check_that_the_site_switched_off_is_told_from_one_that_never_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"checks/hung-task.yaml": "enabled: false\n"})
    with pytest.raises(SystemExit):
        main(["check", "--here", "--config", str(site), "hung-task"])
    assert f"is switched off in {site}/checks/hung-task.yaml:1" in capsys.readouterr().err


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["--json", "--config", "--root", "--apart", "10s", "--kernel-log", "-h"]
            ),
            st.text(max_size=12).filter(lambda text: "\0" not in text),
        ),
        max_size=5,
    ),
    st.sampled_from(["check", "explain", "lint", "hold", "release", "status", "", "--"]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_arguments_end_in_a_traceback_or_a_bug(
    capsys: pytest.CaptureFixture[str], arguments: list[str], command: str
) -> None:
    # A folder without anything in it keeps each example from looking at this whole machine.
    where = ["--root", str(NODES)] if command == "check" else []
    try:
        code: object = main([command, *where, *arguments])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    assert code in (0, 1, 2, 3, 64, 69, 78), (code, said)
    assert "Traceback" not in said


def test_help_and_version_are_no_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == main(["help"]) == main(["-V"]) == 0
    assert "hpcdoctor 0." in capsys.readouterr().out


def test_whoever_reads_may_stop_reading() -> None:
    for arguments in (["check", "--root", NODES, "--json"], ["--help"], ["check", "--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as closed:
            done = run(*arguments, stdout=closed)
        assert (done.returncode, done.stderr) == (141, ""), arguments


def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = run("check", "--root", NODES, stdout=full)
    assert done.returncode == 74
    assert done.stderr == "hpcdoctor: [Errno 28] No space left on device\n"


def test_a_closed_output_leaves_the_exit_code() -> None:
    command = f"{sys.executable} -m hpcdoctor check --root {NODES}/gpu-node"
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {command} >&-"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "")


def test_what_the_log_of_a_recording_told_hours_ago_is_the_root_of_what_stands() -> None:
    done = run("check", "--json", "--root", NODES / "gpu-node")
    findings = {f["check"]: f for f in json.loads(done.stdout)["findings"]}
    assert done.returncode == 2
    assert "gpu-lost" in findings
    assert findings["pci-device-gone"]["caused_by"].startswith("gpu-lost")


# --- a recorded machine is hostile, and nothing else is read

AUDITED = """
import os, sys
root = sys.argv[-1]
seen = []
def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes)):
        seen.append(os.fsdecode(arguments[0]))
    elif event.startswith(("subprocess.", "socket.connect", "os.exec", "os.fork", "os.posix")):
        seen.append("!" + event)
from hpcdoctor.__main__ import main
from hpcdoctor.cli import check_here
from hpcdoctor.probes import registry
for name in registry.names():
    registry.find(name)
inner = check_here.read_here
first = [True]
def audited(*arguments, **more):
    if first:
        first.clear()
        sys.addaudithook(hook)
    return inner(*arguments, **more)
check_here.read_here = audited
code = main(sys.argv[1:])
outside = {path for path in seen if not path.startswith(root)}
print(code, *sorted(outside), sep="\\n", file=sys.stderr)
"""


def audited(root: Path) -> tuple[int, set[str], Any]:
    """Judge a recorded machine; return the code, all that was touched outside, and the report."""
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, "check", "--json", "--root", str(root)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    code, *outside = done.stderr.splitlines()
    document = json.loads(done.stdout)
    jsonschema.validate(document, json_schema())
    # Modules that are imported late, and the shipped catalogue of kernel messages, are ours.
    ours = (str(Path(ask.__file__).parents[2]), sys.prefix, sys.base_prefix + "/lib/python")
    return int(code), {path for path in outside if not path.startswith(ours)}, document


def test_of_an_empty_machine_everything_is_skipped_and_this_one_is_not_read(
    tmp_path: Path,
) -> None:
    code, outside, document = audited(tmp_path)
    assert outside == set()
    assert code == 3
    assert [line for line in document["checks"] if "skipped" not in line] == []
    assert document["findings"] == []


def test_links_that_lead_out_pipes_and_endless_files_give_no_value_and_hold_nobody_up(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("Xid secret\n")
    root = tmp_path / "root"
    shutil.copytree(NODES / "two-socket-infiniband", root, symlinks=True)
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name != "README":
            path.unlink()
            kind = len(str(path)) % 3
            if kind == 0:
                path.symlink_to(secret)
            elif kind == 1:
                os.mkfifo(path)
            else:
                path.symlink_to("/dev/zero")
    for name in ("proc", "dev", "etc"):
        if not (root / name).exists():
            (root / name).symlink_to(f"/{name}")
    begun = time.monotonic()
    code, outside, document = audited(root)
    assert time.monotonic() - begun < 30
    assert outside == set()
    assert code in (0, 1, 2, 3)
    assert "secret" not in json.dumps(document)


def test_names_that_are_no_text_do_not_end_in_a_bug(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / os.fsdecode(b"n\xff\x1b[2J")
    folder = root / "sys/class/net" / os.fsdecode(b"e\xff\x1b")
    folder.mkdir(parents=True)
    for name, value in {"type": "1", "operstate": "up", "carrier": "1", "speed": "1"}.items():
        (folder / name).write_text(value)
    assert main(["check", "--json", "--root", str(root)]) in (0, 1, 2, 3)
    document = as_json(capsys)
    assert document["node"] == "n\\udcff\\x1b[2J"
    assert main(["check", "--root", str(root)]) in (0, 1, 2, 3)
    assert "\x1b" not in capsys.readouterr().out


def test_two_snapshots_of_one_machine_answer_what_one_cannot(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, after = NODES / "binding/before", NODES / "binding/after"

    def skipped() -> set[str]:
        lines = as_json(capsys)["checks"]
        return {c["check"] for c in lines if c.get("skipped") == "needs a second reading"}

    main(["check", "--json", "--root", str(before)])
    assert "cpu-binding-stray" in skipped()
    main(["check", "--json", "--root", str(before), "--root", str(after), "--apart", "10s"])
    assert "cpu-binding-stray" not in skipped()


# --- logs


def test_a_log_is_judged_by_the_checks_on_logs_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "dmesg.txt"
    log.write_text(XID)
    assert main(["check", "--json", "--kernel-log", str(log)]) == 2
    document = as_json(capsys)
    assert (document["source"], document["node"]) == ("log", "dmesg.txt")
    assert [finding["check"] for finding in document["findings"]] == ["gpu-lost"]
    assert not any("clock" in line["check"] for line in document["checks"])


def test_what_is_no_log_is_wrong_usage_and_not_healthy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in {"binary": b"\0\1\2", "words": b"dear diary\n", "empty": b""}.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SystemExit) as ended:
            main(["check", "--kernel-log", str(path)])
        assert ended.value.code == 64
        assert "no kernel log" in capsys.readouterr().err


# --- this machine


def test_of_this_machine_every_check_ends_in_a_verdict_or_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["check", "--here", "--json", "--config", str(tmp_path)])
    document = as_json(capsys)
    assert code == {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}[document["verdict"]]
    assert len(document["checks"]) > 60
    for line in document["checks"]:
        assert ("verdict" in line) != ("skipped" in line)
        assert line["reason"] or line["verdict"] == "ok"


def test_one_line_for_many_nodes_has_neither_name_nor_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "n017.log"
    log.write_text(XID)
    assert main(["check", "--brief", "--kernel-log", str(log)]) == 2
    assert capsys.readouterr().out == "CRITICAL: gpu-lost GPU 3b:00 (Xid79 off bus)\n"


def test_a_terminal_that_shows_only_ascii_gets_only_ascii(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert ask.ascii_only()
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert not ask.ascii_only()
    monkeypatch.setenv("TERM", "vt220")
    assert ask.ascii_only(), "a serial line, whatever the locale says"
    assert b'"ascii":true' in question([], width=80)


def test_letters_that_standard_output_does_not_have_are_written_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("[   13.500000] INFO: task 保:20744 blocked for more than 120 seconds.\n")
    for more in ({"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}):
        environment = {**os.environ, "LC_ALL": "C.UTF-8", **more}
        done = run("check", "--kernel-log", log, env=environment)
        assert "task \\u4fdd:20744 blocked" in done.stdout, done.stderr
