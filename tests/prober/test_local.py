import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.prober.local import Here, read_here
from hpcdoctor.probes.host import Host
from tests.doubles.fuse import FuseMount, needs_fuse
from tests.prober import made_probes
from tests.prober.client import wait_until_gone


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MADE_PROBES", str(tmp_path))
    return tmp_path


def test_a_recorded_machine_is_read_in_this_process(orders: Path) -> None:
    (orders / "many").write_text("red blue")
    (orders / "two").write_text("absent")
    looks = read_here(
        ["one", "two", "many", "nonsense"], Host.recorded(orders), 1.0, find=made_probes.find
    )
    assert [(look.probe, look.subject, look.status) for look in looks] == [
        ("one", None, ReadStatus.READ),
        ("two", None, ReadStatus.ABSENT),
        ("many", "red", ReadStatus.READ),
        ("many", "blue", ReadStatus.READ),
        ("nonsense", None, ReadStatus.BROKEN),
    ]


def test_no_recorded_file_system_is_timed(orders: Path) -> None:
    (look,) = read_here(["filesystem_latency"], Host.recorded(orders), 1.0)
    assert look.status is ReadStatus.ABSENT


@pytest.mark.real
def test_this_machine_is_read_in_children_that_are_gone_afterwards(orders: Path) -> None:
    (orders / "many").write_text("red blue")
    (orders / "red").write_text("hang")
    start = time.monotonic()
    looks = read_here(["one", "many"], Host.this_machine(), 1.0, find=made_probes.find)
    assert time.monotonic() - start < 3
    status = {look.subject or look.probe: look.status for look in looks if look.named is None}
    assert status == {
        "one": ReadStatus.READ,
        "blue": ReadStatus.READ,
        "red": ReadStatus.STUCK,
    }
    blue = next(look for look in looks if look.subject == "blue").readings[0]["process"]
    assert isinstance(blue, int)
    wait_until_gone(blue)


@pytest.mark.real
def test_the_shipped_mounts_are_read_on_this_very_machine() -> None:
    looks = read_here(["mounts", "filesystem_latency"], Host.this_machine(), 10.0)
    assert {look.status for look in looks} == {ReadStatus.READ}
    mounts = next(look for look in looks if look.probe == "mounts")
    assert "/" in [reading["mount_point"] for reading in mounts.readings]


@pytest.mark.real
@pytest.mark.usefixtures("orders")
def test_what_a_probe_remembers_is_there_at_the_next_look() -> None:
    with Here(Host.this_machine(), made_probes.find) as here:
        counts = [here.read(["one"], 5.0)[0].readings[0]["looks"] for _ in range(2)]
    assert counts == [1, 2]


@pytest.mark.real
def test_a_subject_that_hung_is_left_alone_for_a_while_and_stays_stuck_since_then(
    orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpcdoctor.prober.lanes.REST_SECONDS", 1.0)
    (orders / "many").write_text("red")
    (orders / "red").write_text("hang")
    with Here(Host.this_machine(), made_probes.find) as here:

        def look(deadline_seconds: float) -> Look:
            looks = here.read(["many"], deadline_seconds)
            return next(each for each in looks if each.subject == "red")

        first = look(0.3)
        (orders / "red").write_text("")
        second = look(0.3)
        assert (first.status, second.status) == (ReadStatus.STUCK, ReadStatus.STUCK)
        assert second.stuck_since == first.stuck_since
        assert "it is asked again in" in second.reason
        time.sleep(1.1)
        assert look(5.0).status is ReadStatus.READ


LOOK_ONCE = """
import sys
from hpcdoctor.prober.local import read_here
from hpcdoctor.probes.host import Host
looks = read_here(["filesystem_latency"], Host.this_machine(), 1.0, mounts=sys.argv[1:])
print(*sorted(look.status for look in looks if look.subject in sys.argv[1:]))
"""


@pytest.mark.real
@needs_fuse
def test_who_reads_our_output_to_its_end_does_not_wait_for_a_child_that_hangs(
    tmp_path: Path,
) -> None:
    with FuseMount(tmp_path) as mount:
        mount.set("hang")
        ran = subprocess.run(
            [sys.executable, "-c", LOOK_ONCE, mount.mount_point],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    assert ran.stdout.split() == ["stuck"]
