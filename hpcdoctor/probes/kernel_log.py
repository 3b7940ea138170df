"""What does the kernel log say that matters, in order, without loss, across restarts?

Source:  /dev/kmsg (Documentation/ABI/testing/dev-kmsg); which lines matter, and their grammar:
         catalogs/kernel-messages.yaml; all others are silent
Units:   boottime_seconds as the kernel's log counts them
Cost:    class a: a few microseconds a line; asks nothing of the hardware
Absent:  where there is no /dev/kmsg, as in a container
Trust:   only records of the kernel itself (facility 0) are believed; what a process writes to
         /dev/kmsg never has that facility
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from hpcdoctor.model.kernel_record import (
    Record,
    UnknownForm,
    parse_bare,
    parse_kmsg,
    parse_log,
)
from hpcdoctor.model.reading import Absent, Chunk, Unavailable
from hpcdoctor.probes.files import read_bytes
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.kernel_messages import Gpus, Message, Reader, catalogue

RECORD_BYTES = 8192  # the longest record there is; a smaller buffer is an error
RECORDS_A_READ = 500
# So old may be what decides at the first start ever. Who looks once, or at a recording, gets all.
LOOK_BACK_SECONDS = 2 * 3600.0
FILE_LIMIT_BYTES = 64 << 20


def parse(data: bytes, root: Path | None = None) -> list[Message]:
    """Return the messages in records of /dev/kmsg, one after the other as `cat` prints them."""
    reader = Reader(catalogue(), root)
    records = (parse_kmsg(line) for line in data.split(b"\n") if line[:1].isdigit())
    found = (reader.read(record) for record in records if record and record.facility == 0)
    return [message for message in found if message]


# The live log, and a recorded one -----------------------------------------------------------------


def open(host: Host, position: str = "") -> "LiveLog | RecordedLog":  # noqa: A001  # registry.py
    """Follow the log from `position`: "" for the first start ever, or as a Chunk gave it."""
    path = host.root / "dev/kmsg"
    if not host.live:
        return RecordedLog(host, path, position)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Absent("this machine has no /dev/kmsg") from None
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be opened ({error.strerror}): that takes root, or CAP_SYSLOG"
        ) from error
    return LiveLog(host, path, descriptor, position)


class LiveLog:
    """/dev/kmsg of this machine."""

    def __init__(self, host: Host, path: Path, descriptor: int, position: str) -> None:
        now = host.clock()
        self._descriptor = descriptor
        self._reader = Reader(catalogue(), host.root)
        self._boot_id = now.boot_id
        self._sequence = resume_after(position, now.boot_id)
        self._not_before = oldest_that_counts(host, position)
        self._overwritten = False
        # What a user wrote is believed at most from now on, or from where we were.
        self._users_after: int | None = None
        if host.accept_user_kernel_log:
            resumed = self._sequence is not None
            self._users_after = self._sequence if resumed else last_sequence(path)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self) -> Chunk[Message]:
        messages: list[Message] = []
        lost = 0
        for _ in range(RECORDS_A_READ):
            try:
                data = os.read(self._descriptor, RECORD_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.EPIPE:  # the ring went round; the next is the oldest left
                    self._overwritten = True
                    continue
                if error.errno == errno.EINVAL:  # longer than any we know; the kernel steps over it
                    continue
                raise Unavailable(f"/dev/kmsg cannot be read: {error.strerror}") from error
            record = parse_kmsg(data)
            if record is None or record.sequence is None:
                continue
            if self._sequence is not None and record.sequence <= self._sequence:
                continue  # read before the restart
            if self._sequence is not None:
                lost += max(record.sequence - self._sequence - 1, int(self._overwritten))
            self._overwritten = False
            self._sequence = record.sequence
            if self._believed(record) and (message := self._reader.read(record)):
                messages.append(message)
        suppressed, self._reader.suppressed = self._reader.suppressed, 0
        position = "" if self._sequence is None else f"{self._boot_id}:{self._sequence}"
        return Chunk(messages, position, lost, suppressed)

    def _believed(self, record: Record) -> bool:
        if (record.boottime_seconds or 0.0) < self._not_before:
            return False
        if record.facility == 0:
            return True
        return self._users_after is not None and (record.sequence or 0) > self._users_after


class RecordedLog:
    """dev/kmsg of a recorded tree: all of it at once, then what is added to it."""

    def __init__(self, host: Host, path: Path, position: str) -> None:
        now = host.clock()
        self._path = path
        self._taken = 0  # bytes
        try:
            read_bytes(path, 1)
        except FileNotFoundError:
            raise Absent("the recording holds no dev/kmsg") from None
        except OSError as error:
            raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
        self._reader = Reader(catalogue(), host.root)
        self._boot_id = now.boot_id
        self._sequence = resume_after(position, now.boot_id)
        self._told = False  # that there is something to read
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        if not self._told and self._path.stat().st_size > self._taken:
            os.eventfd_write(self._descriptor, 1)
            self._told = True
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self) -> Chunk[Message]:
        if self._told:
            os.eventfd_read(self._descriptor)
            self._told = False
        data = read_bytes(self._path, FILE_LIMIT_BYTES)[self._taken :]
        self._taken += len(data)
        messages = []
        for line in data.split(b"\n"):
            record = parse_kmsg(line)
            if record is None or record.sequence is None:
                continue
            if self._sequence is not None and record.sequence <= self._sequence:
                continue
            self._sequence = record.sequence
            if record.facility != 0:
                continue
            if message := self._reader.read(record):
                messages.append(message)
        position = "" if self._sequence is None else f"{self._boot_id}:{self._sequence}"
        return Chunk(messages, position, 0, self._reader.suppressed)


def oldest_that_counts(host: Host, position: str) -> float:
    """Return the boottime in seconds before which no record of this machine is taken."""
    whole = position or host.visiting
    return 0.0 if whole else host.clock().boottime - LOOK_BACK_SECONDS


def newest_boottime(path: Path) -> float:
    """Return the stamp of the last record in a recorded dev/kmsg, 0.0 where there is none."""
    try:
        lines = read_bytes(path, FILE_LIMIT_BYTES).split(b"\n")
    except OSError:
        return 0.0
    records = (parse_kmsg(line) for line in reversed(lines))
    return next((r.boottime_seconds for r in records if r and r.boottime_seconds), 0.0)


def resume_after(position: str, boot_id: str) -> int | None:
    """Return the last sequence that was read in this boot, or None: from the oldest record on."""
    boot, _, sequence = position.rpartition(":")
    return int(sequence) if boot == boot_id and sequence.isdecimal() else None


def last_sequence(path: Path) -> int:
    """Return the sequence of the newest record there is, or -1."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    newest = -1
    try:
        while True:
            try:
                record = parse_kmsg(os.read(descriptor, RECORD_BYTES))
            except BlockingIOError:
                return newest
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EINVAL):
                    raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
                continue
            if record and record.sequence is not None:
                newest = record.sequence
    finally:
        os.close(descriptor)


# A log in a file ----------------------------------------------------------------------------------


def read_file(path: Path, host: Host | None = None) -> list[Message]:
    """Return the messages in a log file of any form; raise Unavailable where it is none.

    With a recorded host, GPUs get the names that they have there. A live machine is not asked: the
    log may be of another one.
    """
    gpus = Gpus(host.root) if host is not None and not host.live else None
    reader = Reader(catalogue(), None, gpus)
    try:
        return list(_messages(reader, parse_log(_lines(path))))
    except UnknownForm as unknown:
        if "binary" in str(unknown):
            raise Unavailable(f"{path} is no kernel log: {unknown}") from None
    bare = list(_messages(Reader(catalogue(), None, gpus), parse_bare(_lines(path))))
    if not bare:
        raise Unavailable(
            f"{path} is no kernel log that hpcdoctor can read: no line of it is in a form that "
            "dmesg, journalctl, syslog, pstore or /dev/kmsg write; save one with `dmesg -x`"
        )
    return bare


def _messages(reader: Reader, records: Iterable[Record]) -> Iterator[Message]:
    for record in records:
        if record.facility in (0, None) and (message := reader.read(record)):
            yield message


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a plain file, each bounded; anything that could block is refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise Unavailable(f"{path} is not a plain file; save the log into one first")
    with os.fdopen(descriptor, "rb") as stream:
        if status.st_size > FILE_LIMIT_BYTES:
            raise Unavailable(
                f"{path} is larger than {FILE_LIMIT_BYTES >> 20} MiB; "
                "cut out the part that matters, for instance with tail -c 64M"
            )
        begins = True
        while line := stream.readline(RECORD_BYTES):
            if begins:  # what is beyond the limit of a line is dropped
                yield line
            begins = line.endswith(b"\n")
