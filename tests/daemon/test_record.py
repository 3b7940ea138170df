"""Does the record give back what was seen, in little room, and nothing that is too old?"""

import random
from pathlib import Path
from typing import Any

import pytest

from hpcdoctor.daemon.record import FILE_SECONDS, Recorder, files_of, read
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus

START = 1_800_000_000.0


def at(seconds: float) -> Instant:
    return Instant("boot", 1000 + seconds, START + seconds)


def look(seconds: float, value: Any, probe: str = "memory", subject: str | None = None) -> Look:
    return Look(probe, ReadStatus.READ, at(seconds), subject, [{"value": value, "name": "x"}])


class Written:
    """A recorder and the clock that it is told."""

    def __init__(self, folder: Path, size_bytes: int = 1 << 26) -> None:
        self.folder = folder
        self.recorder = Recorder(folder, 1e9, size_bytes)

    def take(self, *looks: Look) -> None:
        self.recorder.take(looks)
        now = looks[-1].taken.wall
        if self.recorder.is_due(now):
            self.recorder.write(self.recorder.block(now))


def test_what_was_seen_comes_back_in_order_changed_or_not(tmp_path: Path) -> None:
    written = Written(tmp_path)
    looks = [look(60.0 * n, value) for n, value in enumerate([1, 1, 2, 2, 2, 1])]
    stuck = Look("nfs", ReadStatus.STUCK, at(360), "/x", reason="waits", stuck_since=at(300))
    looks += [stuck, look(420, 1), look(480, 1, "nfs", "/x")]
    for each in looks:
        written.take(each)
    assert list(read(tmp_path)) == looks


def test_a_record_that_begins_later_is_read_from_there(tmp_path: Path) -> None:
    written = Written(tmp_path)
    for number in range(10):
        written.take(look(60.0 * number, 7))
    assert [each.taken.wall - START for each in read(tmp_path, START + 500)] == [540.0]


def test_each_file_stands_for_itself_so_that_the_oldest_can_go(tmp_path: Path) -> None:
    written = Written(tmp_path)
    for hour in range(20):
        written.take(look(3600.0 * hour, 7))
    first, *others = files_of(tmp_path)
    assert len(others) >= 2
    first.unlink()
    seen = list(read(tmp_path))
    assert seen[0].taken.wall >= START + FILE_SECONDS
    assert {each.readings[0]["value"] for each in seen} == {7}


def test_a_thing_that_a_new_file_has_not_seen_yet_is_written_whole(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.take(look(0, 1), look(0, 9, "rare"))
    written.take(look(FILE_SECONDS + 100, 1))
    written.take(look(FILE_SECONDS + 200, 9, "rare"))
    first, second = files_of(tmp_path)
    first.unlink()
    assert [each.readings[0]["value"] for each in read(tmp_path)] == [1, 9]
    assert second.exists()


def test_beyond_its_size_the_oldest_files_go(tmp_path: Path) -> None:
    written = Written(tmp_path, size_bytes=20_000)
    noise = random.Random(1)  # noqa: S311
    for hour in range(100):
        text = "".join(chr(noise.randrange(32, 127)) for _ in range(1000))
        written.take(look(3600.0 * hour, text))
    sizes = [file.stat().st_size for file in files_of(tmp_path)]
    assert sum(sizes) <= 20_000 + max(sizes)
    assert list(read(tmp_path))[-1].taken == at(3600.0 * 99)


@pytest.mark.parametrize("damage", [b"\xff\xff", b"\x00\x00\x00\x02xx", b""])
def test_a_file_that_was_cut_off_or_damaged_ends_there(tmp_path: Path, damage: bytes) -> None:
    written = Written(tmp_path)
    looks = [look(60.0 * number, number) for number in range(3)]
    for each in looks:
        written.take(each)
    (file,) = files_of(tmp_path)
    file.write_bytes(file.read_bytes() + damage)
    assert list(read(tmp_path)) == looks


def test_switched_off_it_writes_nothing(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "record", 1e9, 0)
    recorder.take([look(0, 1)])
    assert not recorder.is_due(START + 1e6)


def test_a_day_of_quiet_looks_takes_little_room(tmp_path: Path) -> None:
    written = Written(tmp_path)
    for minute in range(24 * 60):
        looks = [look(60.0 * minute, f"value {n}", subject=str(n)) for n in range(50)]
        looks.append(look(60.0 * minute, minute, "counter"))
        written.take(*looks)
    total = sum(file.stat().st_size for file in files_of(tmp_path))
    assert total < 64 * (1 << 20) / 14, "fourteen days have to fit into 64 MiB"
