"""What did this node's probes see in the last days? A compact record, for `replay` and evidence.

Files of compressed blocks, the oldest removed when they are too old or too many. A look that saw
just what the one before it saw is written as such. Losing a part of it does no harm: it is written
without fsync, and a block that is cut off ends the file.
"""

import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus, Value

BLOCK_SECONDS = 60.0
FILE_SECONDS = 6 * 3600.0
SUFFIX = ".looks"
HEADER_BYTES = 4
LARGEST_BLOCK = 16 << 20
LEVEL = 6  # of zlib: the looks of a minute are mostly alike


class Entry(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One look; without `readings`, it saw the same as the one before it."""

    probe: str
    subject: str | None
    taken: Instant
    status: ReadStatus = ReadStatus.READ
    readings: list[dict[str, Value]] | None = None
    reason: str = ""
    stuck_since: Instant | None = None


Thing = tuple[str, str | None]


class Recorder:
    """Collects looks and writes them block by block; every file begins with whole looks."""

    def __init__(self, folder: Path, age_seconds: float, size_bytes: int) -> None:
        self._folder = folder
        self._age_seconds = age_seconds
        self._size_bytes = size_bytes
        self._entries: list[Entry] = []
        self._last: dict[Thing, Entry] = {}
        self._file: Path | None = None
        self._began = 0.0
        self._due = 0.0

    @property
    def on(self) -> bool:
        return self._size_bytes > 0 and self._age_seconds > 0

    def take(self, looks: Sequence[Look]) -> None:
        """Note what was seen; nothing is written yet."""
        if not self.on:
            return
        for look in looks:
            if look.named:  # says what there is, and saw nothing of it
                continue
            entry = Entry(
                look.probe,
                look.subject,
                look.taken,
                look.status,
                look.readings,
                look.reason,
                look.stuck_since,
            )
            before = self._last.get((look.probe, look.subject))
            if before is not None and _is_same(before, entry):
                entry = Entry(look.probe, look.subject, look.taken)
            else:
                self._last[look.probe, look.subject] = entry
            self._entries.append(entry)

    def latest(self) -> list[Look]:
        """Return the last look at everything, as far as it is remembered."""
        return [_look_of(entry) for entry in self._last.values()]

    def is_due(self, now: float) -> bool:
        return bool(self._entries) and now >= self._due

    def block(self, now: float) -> bytes:
        """Return what is to be written now, and begin the next block."""
        entries, self._entries = self._entries, []
        self._due = now + BLOCK_SECONDS
        if now - self._began > FILE_SECONDS or self._file is None:
            self._file = self._folder / f"{now:.0f}{SUFFIX}"
            self._began = now
            # A file stands for itself, so that any older one can go.
            entries = [self._whole(entry) for entry in entries]
            self._last = {(entry.probe, entry.subject): entry for entry in entries}
        packed = zlib.compress(msgspec.msgpack.encode(entries), LEVEL)
        return len(packed).to_bytes(HEADER_BYTES, "big") + packed

    def _whole(self, entry: Entry) -> Entry:
        if entry.readings is not None or entry.status is not ReadStatus.READ:
            return entry
        before = self._last[entry.probe, entry.subject]
        return msgspec.structs.replace(before, taken=entry.taken)

    def write(self, block: bytes) -> None:
        """Append the block and remove what is beyond the limits. Raises OSError."""
        if self._file is None:
            return
        self._folder.mkdir(mode=0o750, exist_ok=True)
        with self._file.open("ab") as file:
            file.write(block)
        self._trim()

    def _trim(self) -> None:
        files = files_of(self._folder)
        total = sum(file.stat().st_size for file in files)
        oldest = time.time() - self._age_seconds - FILE_SECONDS
        for file in files[:-1]:
            if total <= self._size_bytes and float(file.stem) > oldest:
                break
            total -= file.stat().st_size
            file.unlink()


def _is_same(one: Entry, other: Entry) -> bool:
    return (
        one.status is other.status is ReadStatus.READ
        and one.readings == other.readings
        and not other.reason
    )


def files_of(folder: Path) -> list[Path]:
    """Return the record's files, the oldest first."""
    named = [file for file in folder.glob(f"*{SUFFIX}") if file.stem.isdigit()]
    return sorted(named, key=lambda file: int(file.stem))


def read(folder: Path, since: float = 0.0) -> Iterator[Look]:
    """Yield every look since that moment (seconds of wall time), in the order of writing."""
    files = files_of(folder)
    needed = [file for file in files if int(file.stem) + FILE_SECONDS + BLOCK_SECONDS >= since]
    for file in needed:
        last: dict[Thing, Entry] = {}
        for entry in _entries_of(file.read_bytes()):
            thing = (entry.probe, entry.subject)
            same = entry.readings is None and entry.status is ReadStatus.READ
            if same and thing not in last:
                continue
            seen = msgspec.structs.replace(last[thing], taken=entry.taken) if same else entry
            last[thing] = seen
            if seen.taken.wall >= since:
                yield _look_of(seen)


def _entries_of(data: bytes) -> Iterator[Entry]:
    """Yield the entries of all whole blocks; one that was cut off or damaged ends the file."""
    position = 0
    while position + HEADER_BYTES <= len(data):
        length = int.from_bytes(data[position : position + HEADER_BYTES], "big")
        packed = data[position + HEADER_BYTES : position + HEADER_BYTES + length]
        position += HEADER_BYTES + length
        if len(packed) < length:
            return
        try:
            unpacked = zlib.decompressobj().decompress(packed, LARGEST_BLOCK)
            yield from msgspec.msgpack.decode(unpacked, type=list[Entry])
        except (zlib.error, msgspec.DecodeError):
            return


def _look_of(entry: Entry) -> Look:
    return Look(
        entry.probe,
        entry.status,
        entry.taken,
        entry.subject,
        entry.readings or [],
        entry.reason,
        entry.stuck_since,
    )
