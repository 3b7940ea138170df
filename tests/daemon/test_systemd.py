"""Does systemd hear from the daemon what it has to, and is silence harmless?"""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdoctor.daemon import systemd


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        yield channel


@pytest.fixture
def heard(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> socket.socket:
    listener.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return listener


def test_ready_and_the_status_line_come_in_one_message(heard: socket.socket) -> None:
    systemd.ready("watching 12 checks")
    assert heard.recv(1000) == b"READY=1\nSTATUS=watching 12 checks"


def test_each_message_is_what_systemd_expects(heard: socket.socket) -> None:
    systemd.ready()
    systemd.alive()
    systemd.stopping()
    systemd.status("two\nlines")
    assert [heard.recv(1000) for _ in range(4)] == [
        b"READY=1",
        b"WATCHDOG=1",
        b"STOPPING=1",
        b"STATUS=two lines",  # a line break would begin another assignment
    ]


def test_a_reload_carries_the_moment_of_systemds_own_clock(heard: socket.socket) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    systemd.reloading()
    first, second = heard.recv(1000).decode().splitlines()
    assert first == "RELOADING=1"
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= after


def test_a_name_in_the_abstract_namespace_is_reached(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"hpcdoctor-test-{os.getpid()}"
    listener.bind("\0" + name)
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
    assert systemd.notify("READY=1")
    assert listener.recv(1000) == b"READY=1"


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "/nowhere/at/all"])
def test_nobody_listening_is_no_error(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert systemd.notify("READY=1") is False


def test_a_listener_that_does_not_read_blocks_nobody(heard: socket.socket) -> None:
    answers = [systemd.notify("WATCHDOG=1") for _ in range(10_000)]
    assert answers[0] is True
    assert answers[-1] is False


def test_the_watchdogs_patience_is_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert systemd.watchdog_seconds() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert systemd.watchdog_seconds() == 30.0


@pytest.mark.parametrize(
    ("microseconds", "watched"), [(None, None), ("0", None), ("soon", None), ("30000000", "1")]
)
def test_there_is_no_watchdog_unless_it_watches_this_process(
    monkeypatch: pytest.MonkeyPatch, microseconds: str | None, watched: str | None
) -> None:
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", watched)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_seconds() is None
