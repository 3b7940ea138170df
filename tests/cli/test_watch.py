"""Does `hpcdoctor watch` refresh in place, give the terminal back, and never need one?"""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from hpcdoctor.__main__ import main
from hpcdoctor.cli import screen
from hpcdoctor.cli.watch import moved, page
from tests.doubles.daemon import StandIn
from tests.doubles.site import written

ANSWER = b"2\n" + "".join(f"line {n}\n" for n in range(40)).encode()
PATIENCE_SECONDS = 30.0


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return written(tmp_path / "etc", {"hpcdoctor.yaml": f"run_directory: {tmp_path / 'run'}\n"})


@pytest.fixture
def daemon(site: Path) -> Iterator[StandIn]:
    with StandIn(site.parent / "run/control.sock", ANSWER) as daemon:
        yield daemon


class Terminal:
    """`hpcdoctor watch` on a pseudo terminal of 80 x 24."""

    def __init__(self, site: Path, *arguments: str, term: str = "vt220") -> None:
        self.near, far = pty.openpty()
        self.resize(80, 24)
        self.before = termios.tcgetattr(far)
        self.far = far
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hpcdoctor", "watch", "--config", site, *arguments],
            stdin=far,
            stdout=far,
            stderr=far,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # its signals come to us
            env={**os.environ, "TERM": term, "LANG": "C.UTF-8"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.near)
        os.close(self.far)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.near, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        os.write(self.near, keys)

    def wait_for(self, text: bytes) -> None:
        """Wait until this comes, after all that was waited for before."""
        end = time.monotonic() + PATIENCE_SECONDS
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.near], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.near, 1 << 16)
        self.seen = self.seen.partition(text)[2]

    def end(self) -> int:
        code = self.process.wait(PATIENCE_SECONDS)
        assert termios.tcgetattr(self.far) == self.before, "the terminal is as it was"
        return code


def test_it_shows_a_page_in_place_and_q_gives_the_terminal_back(
    site: Path, daemon: StandIn
) -> None:
    with Terminal(site, "--every", "1s") as terminal:
        terminal.wait_for(screen.ENTER)
        terminal.wait_for(b"line 22")
        terminal.wait_for(b"lines 1-23 of 40; the daemon, every 1 s; q quits")
        terminal.wait_for(b"\x1b[Hline 0")  # again, without clearing in between
        terminal.press(b"q")
        terminal.wait_for(screen.LEAVE)
        assert terminal.end() == 0
    assert len(daemon.questions) >= 2


@pytest.mark.parametrize("key", [b"\x03", b"q", b"\x04"])
def test_each_way_to_say_enough_is_heard_at_once(key: bytes, site: Path, daemon: StandIn) -> None:
    with Terminal(site, "--every", "1h") as terminal:
        terminal.wait_for(b"line 0")
        terminal.press(key)
        terminal.wait_for(screen.LEAVE)
        assert terminal.end() == 0


def test_keys_move_the_page_and_ask_nobody(site: Path, daemon: StandIn) -> None:
    with Terminal(site, "--every", "1h") as terminal:
        terminal.wait_for(b"lines 1-23 of 40")
        terminal.press(b" ")
        terminal.wait_for(b"\x1b[Hline 17")
        terminal.wait_for(b"lines 18-40 of 40")
        terminal.press(b"\x1b[A")
        terminal.wait_for(b"\x1b[Hline 16")
        terminal.press(b"g")
        terminal.wait_for(b"\x1b[Hline 0")
        assert len(daemon.questions) == 1


def test_a_key_that_is_held_counts_as_often_as_it_came(site: Path, daemon: StandIn) -> None:
    with Terminal(site, "--every", "1h") as terminal:
        terminal.wait_for(b"lines 1-23 of 40")
        terminal.press(b"jjj\x1b[B\x1b[1;5Cq")
        terminal.wait_for(b"\x1b[Hline 4")
        terminal.press(b"q")
        assert terminal.end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_daemon_that_does_not_answer_holds_up_no_end(number: signal.Signals, site: Path) -> None:
    with (
        StandIn(site.parent / "run/control.sock", None) as silent,
        Terminal(site, "--every", "1h") as terminal,
    ):
        wait_until(lambda: silent.questions)
        terminal.process.send_signal(number)
        terminal.wait_for(screen.LEAVE)
        assert terminal.end() == (0 if number is signal.SIGINT else -number)


def test_another_size_is_asked_for_and_drawn_at_once(site: Path, daemon: StandIn) -> None:
    with Terminal(site, "--every", "1h") as terminal:
        terminal.wait_for(b"lines 1-23 of 40")
        terminal.resize(132, 50)
        terminal.wait_for(b"line 39")
        assert b'"width":132' in daemon.questions[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_as_a_signal_does_and_the_terminal_is_given_back(
    number: signal.Signals, site: Path, daemon: StandIn
) -> None:
    with Terminal(site, "--every", "1h") as terminal:
        terminal.wait_for(b"line 0")
        terminal.process.send_signal(number)
        terminal.wait_for(screen.LEAVE)
        assert terminal.end() == -number


def test_stopped_it_leaves_the_terminal_and_takes_it_again(site: Path, daemon: StandIn) -> None:
    with Terminal(site, "--every", "1h") as terminal:
        terminal.wait_for(b"line 0")
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.wait_for(screen.LEAVE)
        stat = Path(f"/proc/{terminal.process.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_for(screen.ENTER)
        terminal.press(b"q")
        assert terminal.end() == 0


def test_a_dumb_terminal_gets_lines_and_no_escape(site: Path, daemon: StandIn) -> None:
    with Terminal(site, "--every", "1s", term="dumb") as terminal:
        terminal.wait_for(b"Z line 0 line 1")
        terminal.process.terminate()
        assert terminal.process.wait(PATIENCE_SECONDS) == -signal.SIGTERM
        assert b"\x1b" not in terminal.seen


def test_into_a_pipe_it_writes_a_line_when_something_changes(site: Path) -> None:
    with StandIn(site.parent / "run/control.sock", b"0\nOK: nothing wrong\n") as daemon:
        process = start(site)
        assert process.stdout is not None
        first = process.stdout.readline()
        wait_until(lambda: len(daemon.questions) >= 3)
        process.terminate()
        rest = process.stdout.read()
        process.wait(PATIENCE_SECONDS)
        process.stdout.close()
    assert first.endswith("Z OK: nothing wrong\n")
    assert rest == "", "nothing has changed"
    assert all(b'"brief":true' in question for question in daemon.questions)


def start(site: Path, **more: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "hpcdoctor", "watch", "--config", site, "--every", "1s"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        **more,
    )


def wait_until(reached: Any) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_without_a_daemon_it_says_so_and_looks_itself(site: Path) -> None:
    with Terminal(site, "--every", "1s") as terminal:
        terminal.wait_for(b"no daemon;")
        terminal.wait_for(b"no daemon runs here, every 1 s; q quits")
        terminal.press(b"q")
        assert terminal.end() == 0


@pytest.mark.parametrize(("text", "said"), [("5", "not a duration"), ("1ms", "between 1s and 1h")])
def test_a_wrong_duration_is_wrong_usage(
    text: str, said: str, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="64"):
        main(["watch", "--config", str(site), "--every", text])
    assert said in capsys.readouterr().err


def test_no_key_moves_past_either_end() -> None:
    assert moved(0, "up", 40, 23) == 0
    assert moved(17, "page down", 40, 23) == 17
    assert moved(0, "end", 40, 23) == 17
    assert moved(9, "down", 5, 23) == 0, "the page became shorter"
    assert len(page(["x"], 0, 24, 80, "somebody")) == 24


@pytest.mark.parametrize("columns", [12, 20, 40, 60, 80, 200])
def test_the_last_line_is_whole_and_says_how_to_leave(columns: int) -> None:
    last = page(["x"] * 400, 100, 24, columns, "no daemon runs here, every 5 s")[-1]
    assert len(last) <= columns
    assert "q quits" in last
    assert columns < 40 or "lines 101-123 of 400" in last
