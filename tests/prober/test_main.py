import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdoctor.model.reading import ReadStatus
from hpcdoctor.model.request import Follow
from tests.doubles.fuse import FuseMount, needs_fuse
from tests.doubles.waiting import wait_for
from tests.prober.client import Client, Template, state, wait_until_gone

pytestmark = pytest.mark.real

NOBODY = 65534


@pytest.fixture
def template(tmp_path: Path) -> Iterator[Template]:
    with Template(tmp_path) as started:
        yield started


@pytest.fixture
def client(template: Template) -> Iterator[Client]:
    with template.connect() as connected:
        yield connected


def test_plain_probes_share_one_child_and_answer_in_one_line(
    template: Template, client: Client
) -> None:
    client.ask("one", "two", "three")
    (line,) = [client.hear()]
    assert [look.probe for look in line] == ["one", "two", "three"]
    assert {look.status for look in line} == {ReadStatus.READ}
    assert {look.readings[0]["process"] for look in line} == set(template.living())


def test_the_child_is_kept_with_what_a_probe_remembers(client: Client) -> None:
    assert client.read("one")["one"].readings[0]["looks"] == 1
    assert client.read("one")["one"].readings[0]["looks"] == 2


def test_what_a_probe_raises_becomes_its_status(template: Template, client: Client) -> None:
    for probe, word in {"one": "absent", "two": "unavailable", "three": "first"}.items():
        template.control(probe, word)
    looks = client.read("one", "two", "three", "four")
    assert looks["one"].status is ReadStatus.ABSENT
    assert looks["one"].reason == "this machine has none"
    assert looks["two"].status is ReadStatus.UNAVAILABLE
    assert looks["three"].status is ReadStatus.FIRST
    assert looks["four"].status is ReadStatus.READ


def test_a_bug_is_named_with_its_line_and_logged_once(template: Template, client: Client) -> None:
    template.control("one", "broken")
    client.read("one", "two")
    looks = client.read("one", "two")
    assert looks["one"].status is ReadStatus.BROKEN
    assert "ZeroDivisionError at prober/made_probes.py:" in looks["one"].reason
    assert looks["two"].status is ReadStatus.READ
    assert template.stderr.count("ZeroDivisionError") == 1


def test_an_unknown_probe_is_told_and_harms_nobody(client: Client) -> None:
    looks = client.read("nonsense", "one")
    assert looks["nonsense"].status is ReadStatus.BROKEN
    assert looks["one"].status is ReadStatus.READ


def test_a_hanging_plain_probe_is_stuck_and_delays_nobody(
    template: Template, client: Client
) -> None:
    template.control("two", "hang")
    start = time.monotonic()
    client.ask("one", "two", "three", deadline_seconds=2.0)
    looks = client.hear_all("one", "three")
    assert "two" not in looks
    assert time.monotonic() - start < 1.9
    assert looks["one"].status is looks["three"].status is ReadStatus.READ
    stuck = client.hear_all("two")["two"]
    assert stuck.status is ReadStatus.STUCK
    assert stuck.stuck_since is not None
    assert 1.5 < stuck.taken.seconds_since(stuck.stuck_since) < 4

    # Killed, it is gone; the next request finds it hanging since the same moment.
    again = client.read("two", "one", deadline_seconds=0.5)
    assert again["two"].stuck_since == stuck.stuck_since
    assert len(template.living()) <= 2

    template.control("two", "")
    assert client.read("two", deadline_seconds=5)["two"].status is ReadStatus.READ


def test_a_slow_probe_gets_its_own_lane_and_answers(template: Template, client: Client) -> None:
    template.control("one", "sleep:1.5")
    client.ask("one", "two", deadline_seconds=10)
    assert "one" not in client.hear_all("two")
    slow = client.hear_all("one")["one"]
    assert slow.status is ReadStatus.READ
    assert len(template.living()) == 2


def test_a_probe_that_computes_for_ever_is_stuck_not_starved(
    template: Template, client: Client
) -> None:
    template.control("one", "spin:30")
    looks = client.read("one", "two", deadline_seconds=3)
    assert looks["one"].status in (ReadStatus.STUCK, ReadStatus.STARVED)
    assert looks["two"].status is ReadStatus.READ


def test_a_killed_child_is_made_again(template: Template, client: Client) -> None:
    first = client.read("one")["one"].readings[0]["process"]
    assert isinstance(first, int)
    os.kill(first, signal.SIGKILL)
    wait_until_gone(first)
    after = client.read("one")["one"]
    assert after.status is ReadStatus.READ
    assert after.readings[0]["process"] != first


def test_a_child_that_ends_in_the_middle_is_told_and_the_others_go_on(
    template: Template, client: Client
) -> None:
    template.control("two", "exit")
    looks = client.read("one", "two", "three")
    assert looks["two"].status is ReadStatus.BROKEN
    assert "exit status 3" in looks["two"].reason
    assert looks["three"].status is ReadStatus.READ


def test_a_stopped_child_is_stuck_and_not_starved(template: Template, client: Client) -> None:
    process = client.read("one")["one"].readings[0]["process"]
    assert isinstance(process, int)
    os.kill(process, signal.SIGSTOP)
    looks = client.read("one", deadline_seconds=1)
    assert looks["one"].status is ReadStatus.STUCK
    assert client.read("one")["one"].status is ReadStatus.READ


def test_each_subject_has_its_own_child(template: Template, client: Client) -> None:
    template.control("many", "red green blue")
    template.control("green", "hang")
    client.ask("many", "one", deadline_seconds=1.5)
    quick = client.hear_all("red", "blue", "one")
    assert "green" not in quick
    assert quick["red"].readings[0]["process"] != quick["blue"].readings[0]["process"]
    assert client.hear_all("green")["green"].status is ReadStatus.STUCK
    assert len(template.living()) <= 4


def test_a_busy_lane_gets_no_second_child(template: Template, client: Client) -> None:
    template.control("many", "red")
    template.control("red", "hang")
    for _ in range(5):
        client.ask("many", deadline_seconds=2)
    wait_for("the lane to start", lambda: len(template.living()) == 2)
    client.hear_all("red")
    assert len(template.living()) <= 2


def test_a_subject_that_is_gone_takes_its_child_along(template: Template, client: Client) -> None:
    template.control("many", "red blue")
    client.ask("many")
    client.hear_all("red", "blue")
    template.control("many", "red")
    client.ask("many")
    client.hear_all("red")
    wait_for("one child less", lambda: len(template.living()) == 2)


def test_no_subjects_is_an_answer_too(client: Client) -> None:
    look = client.read("many")["many"]
    assert (look.status, look.readings, look.subject) == (ReadStatus.READ, [], None)


def test_a_stream_is_followed_from_its_position(template: Template, client: Client) -> None:
    os.mkfifo(template.path.parent / "fifo")
    client.send(Follow("ticker", "40"))
    begun = client.hear()[0]
    assert (begun.status, begun.readings, begun.position) == (ReadStatus.READ, [], "40")
    descriptor = os.open(template.path.parent / "fifo", os.O_WRONLY)
    try:
        start = time.monotonic()
        os.write(descriptor, b"..")
        said = client.hear()[0]
    finally:
        os.close(descriptor)
    assert [reading["looks"] for reading in said.readings] == [41, 42]
    assert said.position == "42"
    assert time.monotonic() - start < 1


def test_a_flood_is_bounded_and_counted(template: Template, client: Client) -> None:
    os.mkfifo(template.path.parent / "fifo")
    client.send(Follow("ticker"))
    client.hear()
    descriptor = os.open(template.path.parent / "fifo", os.O_WRONLY)
    try:
        os.write(descriptor, b"." * 8000)
    finally:
        os.close(descriptor)
    passed = suppressed = 0
    position = ""
    while passed + suppressed < 8000:
        (look,) = client.hear()
        passed += len(look.readings)
        suppressed += look.suppressed
        position = look.position
    assert 1000 <= passed < 4000
    assert position == "8000"


def test_a_second_connection_takes_the_place_of_the_first(template: Template) -> None:
    with template.connect() as first:
        first.read("one")
        with template.connect() as second:
            assert second.read("one")["one"].status is ReadStatus.READ
            assert first.socket.recv(1) == b""


def test_a_line_without_end_closes_the_connection(template: Template) -> None:
    with template.connect() as client:
        client.socket.sendall(b"x" * 70_000)
        assert client.socket.recv(1) == b""
    with template.connect() as client:
        assert client.read("one")["one"].status is ReadStatus.READ
    assert "longer than 64 KiB" in template.stderr


def test_nonsense_closes_the_connection(template: Template) -> None:
    with template.connect() as client:
        client.socket.sendall(b'{"type": "shell"}\n')
        assert client.socket.recv(1) == b""
    wait_for("the reason", lambda: "no request" in template.stderr)


@pytest.mark.usefixtures("as_root")
def test_a_foreign_user_is_refused(template: Template) -> None:
    for folder in (template.path.parent, *template.path.parents[1:4]):
        folder.chmod(folder.stat().st_mode | 0o011)
    pid = os.fork()
    if pid == 0:
        answer = b"?"
        try:
            os.setuid(NOBODY)
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(str(template.path))
                stranger.settimeout(5)
                answer = stranger.recv(1)
        finally:
            os._exit(0 if answer == b"" else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert f"user {NOBODY}" in template.stderr


def test_it_ends_at_once_while_children_hang(template: Template, client: Client) -> None:
    template.control("many", "red blue")
    template.control("red", "hang")
    client.ask("many", "one", deadline_seconds=60)
    client.hear_all("blue", "one")
    children = template.children()
    assert len(children) == 3
    assert template.terminate(within_seconds=5) < 1
    assert template.process.returncode == 0
    wait_until_gone(*children)


def test_a_killed_template_takes_its_children_along(template: Template, client: Client) -> None:
    template.control("many", "red")
    template.control("red", "hang")
    client.ask("many", "one", deadline_seconds=60)
    client.hear_all("one")
    children = wait_for(
        "both children", lambda: template.children() if len(template.children()) == 2 else None
    )
    template.process.kill()
    template.process.wait(5)
    wait_until_gone(*children)


@needs_fuse
def test_a_hung_mount_is_named_and_nobody_else_is_blamed(tmp_path: Path) -> None:
    with FuseMount(tmp_path) as mount:
        hung = str(mount.mount_point)
        with Template(tmp_path, mounts=[hung]) as template, template.connect() as client:
            client.ask("filesystem_latency", "one", deadline_seconds=5)
            healthy = client.hear_all(hung, "/", "one")
            assert healthy[hung].status is ReadStatus.READ
            assert healthy[hung].readings[0]["wrote"] is True

            mount.set("hang")
            start = time.monotonic()
            client.ask("filesystem_latency", "one", "mounts", deadline_seconds=2)
            others = client.hear_all("/", "one", "mounts")
            assert time.monotonic() - start < 1.9
            assert {look.status for look in others.values()} == {ReadStatus.READ}
            stuck = client.hear_all(hung)[hung]
            assert stuck.status is ReadStatus.STUCK
            assert stuck.stuck_since is not None
            assert time.monotonic() - start < 4

            # The child is killed after the answer; the kernel lets it wait on, out of reach.
            waiting = wait_for(
                "a child in state D",
                lambda: [pid for pid in template.living() if state(pid) == "D"],
            )
            assert len(waiting) == 1
            for _ in range(3):
                start = time.monotonic()
                client.ask("filesystem_latency", deadline_seconds=2)
                again = client.hear_all(hung, "/")
                assert again[hung].stuck_since == stuck.stuck_since
                assert again["/"].status is ReadStatus.READ
                assert time.monotonic() - start < 1.5
            assert [pid for pid in template.living() if state(pid) == "D"] == waiting

            mount.set("ok")
            wait_until_gone(*waiting)
            client.ask("filesystem_latency", deadline_seconds=5)
            assert client.hear_all(hung)[hung].status is ReadStatus.READ


@needs_fuse
def test_it_ends_at_once_while_a_mount_hangs(tmp_path: Path) -> None:
    with FuseMount(tmp_path) as mount:
        hung = str(mount.mount_point)
        with Template(tmp_path, mounts=[hung]) as template, template.connect() as client:
            mount.set("hang")
            client.ask("filesystem_latency", deadline_seconds=0.5)
            assert client.hear_all(hung)[hung].status is ReadStatus.STUCK
            assert template.terminate(within_seconds=5) < 1
            assert template.process.returncode == 0
