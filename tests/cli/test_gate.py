"""`hpcdoctor gate`: does each line of its answer agree with the others?"""

import socket
import threading
from pathlib import Path

import msgspec
import pytest

from hpcdoctor.cli import gate as command
from hpcdoctor.cli.gate import Standing, open_although
from hpcdoctor.model.gate import Answer, Gate
from hpcdoctor.probes.host import Host

NOW = Host.this_machine().clock()


def answered(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    age: int = 0,
    boot: str = NOW.boot_id,
    reason: str = "",
) -> tuple[int, str]:
    at = int(Host.this_machine().clock().boottime) - age
    path = tmp_path / "gate"
    path.write_text(Gate(Answer.OPEN, boot, at, 30, 4711, "node", reason).line())
    return command.main(["--file", str(path)]), capsys.readouterr().out


def test_a_line_from_the_future_is_not_said_to_be_from_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = answered(tmp_path, capsys, age=-60)
    assert code == 3
    assert "s in the future\n" in text.splitlines(keepends=True)[0]
    assert "s in the future by process 4711" in text
    assert "before" not in text
    assert " ago" not in text


def test_a_line_of_another_boot_has_no_age(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = answered(tmp_path, capsys, boot="another")
    assert code == 3
    assert "written   before this start of the machine by process 4711" in text
    assert " ago" not in text


def test_who_holds_the_node_is_said_with_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = answered(tmp_path, capsys, reason="held by ann: the gate stays open")
    assert code == 0
    assert text.startswith("open: jobs may start here; held by ann: the gate stays open\n")


LIMIT = "1 of 50 nodes of partition main is out, and 1 may be"
WOULD = "rule gpu-lost would drain the node; running jobs finish (GPU3 lost)"


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing("healthy", "ok", "", "nothing", "act"), ""),
        (Standing("waiting", "critical", LIMIT, "", "act"), f"jobs start until it is: {LIMIT}"),
        (Standing("waiting", "critical", "held by ann: x", "", "act", "ann"), "nothing is done"),
        (Standing("drained", "critical", "", "", "act", "ann", "hd:a.1 x"), "as it is: hd:a.1 x"),
        (Standing("degraded", "critical", "", WOULD, "shadow"), f"mode is shadow: {WOULD}"),
        (Standing("degraded", "critical", "", "nothing: no rule", "act"), "no rule drains it"),
        (Standing("degraded", "warning", "", WOULD, "shadow"), ""),
    ],
)
def test_an_open_gate_is_not_a_sound_node(standing: Standing, words: str) -> None:
    said = open_although(standing)
    assert words in said
    assert bool(said) == bool(words)


def test_a_long_reason_is_broken_at_the_width_of_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "hpcdoctor.yaml"
    control = tmp_path / "control.sock"
    settings.write_text(f"run_directory: {tmp_path}\n")
    (tmp_path / "gate").write_text(
        Gate(Answer.OPEN, NOW.boot_id, int(NOW.boottime), 30, 4711, "node").line()
    )
    answer = msgspec.json.encode(Standing("waiting", "critical", "why " * 60, "", "act"))
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(control))
        daemon.listen(1)
        voice = threading.Thread(target=answer_one, args=(daemon, b"0\n" + answer))
        voice.start()
        assert command.main(["--config", str(tmp_path)]) == 0
        voice.join(10)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "open: jobs may start here"
    assert lines[1].startswith("          but the node waits to be drained")
    more = [line for line in lines[1:] if line.startswith("          ")]
    assert lines[len(more) + 1].startswith("file ")
    assert len(more) > 1
    assert all(len(line) <= 80 for line in more)


def answer_one(daemon: socket.socket, answer: bytes) -> None:
    connection, _ = daemon.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(answer)
