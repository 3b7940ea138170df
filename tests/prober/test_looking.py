from pathlib import Path

import msgspec
import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Chunk, Look, Reading, ReadStatus
from hpcdoctor.prober import looking
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.registry import Probe, Shape
from tests.prober import made_probes

NOW = Instant("boot", 5.0, 1000.0)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("MADE_PROBES", str(tmp_path))
    return Host(tmp_path, live=True, clock=lambda: NOW)


def test_a_bug_becomes_a_look_that_names_its_line(host: Host) -> None:
    (host.root / "one").write_text("broken")
    look = looking.look(made_probes.plain("one"), host)
    assert look.status is ReadStatus.BROKEN
    assert look.reason.startswith("ZeroDivisionError at prober/made_probes.py:")
    assert look.taken == NOW


class Named(Reading, frozen=True):
    name: str


def test_a_name_that_is_no_text_is_broken_and_not_fatal(host: Host) -> None:
    probe = made_probes.make("odd", Shape.PLAIN, read=lambda _host: [Named("\udcff")])
    look = msgspec.json.decode(looking.encode(looking.look(probe, host)), type=Look)
    assert look.status is ReadStatus.BROKEN
    assert "cannot be written as JSON" in look.reason


def test_a_reason_is_never_endless() -> None:
    assert len(looking.clean("\udcff" * 5000)) == looking.REASON_LIMIT


class FileStream:
    """A recorded log: a plain file, which always polls readable."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.closed = False

    def fileno(self) -> int:
        return self.file.fileno()

    def read(self) -> Chunk[Reading]:
        lines = self.file.readlines(20)
        readings = [Named(line.decode().strip()) for line in lines]
        return Chunk(readings, str(self.file.tell()), lost=1 if readings else 0)

    def close(self) -> None:
        self.file.close()
        self.closed = True


def test_a_stream_is_drained_to_its_end_and_closed(host: Host) -> None:
    (host.root / "log").write_text("".join(f"line {number}\n" for number in range(50)))
    streams: list[FileStream] = []

    def open_stream(host: Host, _position: str) -> FileStream:
        streams.append(FileStream(host.root / "log"))
        return streams[0]

    probe = Probe(
        "log", Shape.STREAM, Named, made_probes.make("log", Shape.STREAM, open=open_stream).module
    )
    look = looking.drain(probe, host)
    assert [reading["name"] for reading in look.readings] == [f"line {n}" for n in range(50)]
    assert look.lost > 1
    assert look.position == "390"
    assert streams[0].closed
