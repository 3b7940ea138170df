import time
from pathlib import Path

import pytest

from hpcdoctor.model.reading import ReadStatus
from hpcdoctor.prober.local import Here, read_here
from hpcdoctor.probes.host import Host
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
    status = {look.subject or look.probe: look.status for look in looks}
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
