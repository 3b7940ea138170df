"""How long does a file system take to answer, and how much room is left in it?

Source:  a few calls on the mount itself: create, write 4 KiB, fsync, close, read it back past the
         page cache, rename, stat, unlink in our own folder; where we may not write, a listing and
         the first file in it
Units:   seconds of CLOCK_MONOTONIC; percentiles over this child's last 100 looks
Cost:    class h: some ten calls that the server sees; may wait for ever, so each mount has its own
         child. After a hang the first look waits a moment that differs from node to node
Absent:  on a recorded machine, which cannot be timed
Trust:   only mounts that fstab, a mount unit of the host or the profile names are touched, and the
         root. Never a mount that a user made, never an automount; no link is followed. Any user can
         fill a file system or keep it busy
"""

import contextlib
import errno
import mmap
import os
import re
import stat
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.disk_kind import kind_of, name_of
from hpcdoctor.probes.files import read_text_or_none
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.mount_table import (
    PSEUDO_TYPES,
    Entry,
    on_top,
    parse_mountinfo,
    read_wanted,
)

SUBJECT = "mount_point"
SAMPLES = 100
BLOCK = b"hpcdoctor\n" * 410  # 4 KiB and a bit: more than what fits into an inode
LISTED_ENTRIES = 100
METADATA_STEPS = ("open", "create", "rename", "stat", "unlink", "statvfs", "readdir")
DATA_STEPS = ("write", "fsync", "close", "read")
# The answers that mean "not for you", after which only reading is timed.
NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# How a file system says that it does not read past the page cache.
NO_DIRECT_READ = frozenset({errno.EINVAL, errno.EOPNOTSUPP})
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
READ_BYTES = 8192  # two pages, into memory that begins at a page, as reading past the cache needs
# Five thousand nodes that are started together, or let go by a server that is back, come apart.
FIRST_LOOK_SPREAD_SECONDS = 3.0
# A round of ten slow calls is not to be taken for one that hangs: after this, no further call.
ENOUGH_SECONDS = 1.5

T = TypeVar("T")


class FilesystemLatency(Reading, frozen=True):
    mount_point: str
    source: str
    type: str
    network: bool
    medium: str  # of a local one: "nvme", "ssd", "turning"; "" where nothing says so
    error: str | None  # "fsync: EIO (Input/output error)"; None: every step went well
    error_code: str  # "EIO"; "" where every step went well
    wrote: bool  # False: only opening, statvfs, listing and reading were timed
    why_not_written: str  # "" where it was written
    # True where the mount says read-write and the file system refused to be written; None: not
    # tried, or not found out.
    refuses_writes: bool | None
    # What ordinary users may still use, and of how much.
    size_bytes: int | None
    free_bytes: int | None
    files_total: int | None  # None: this file system knows no such limit
    files_free: int | None
    # This look, step by step; None: not done, or not reached.
    open_seconds: float | None
    statvfs_seconds: float | None
    readdir_seconds: float | None
    create_seconds: float | None
    write_seconds: float | None
    fsync_seconds: float | None
    close_seconds: float | None
    read_seconds: float | None
    rename_seconds: float | None
    stat_seconds: float | None
    unlink_seconds: float | None
    metadata_seconds: float | None  # the slowest step of this look: open, create, rename, stat,
    data_seconds: float | None  # unlink, statvfs, readdir; and: write, fsync, close, read
    slowest_step: str  # "fsync"; "" where none was reached
    # The last looks, at most a hundred: one sample a step.
    looks: int
    metadata_p50_seconds: float | None
    metadata_p95_seconds: float | None
    metadata_p99_seconds: float | None
    metadata_max_seconds: float | None
    data_p50_seconds: float | None
    data_p95_seconds: float | None
    data_p99_seconds: float | None
    data_max_seconds: float | None
    percentiles: list[str]  # "fsync 1.2 / 4.0 / 9.1 / 12.0 ms": p50, p95, p99 and the longest


class Enough(Exception):
    """It is so slow that what was measured says it all."""


class Round:
    """One look at one mount: the steps done, how long each took, and the first error."""

    def __init__(self, *, first: bool, visiting: bool = False) -> None:
        self.first = first  # of this child: others may have been killed before
        self.visiting = visiting  # our folder does not stay
        self.seconds: dict[str, float] = {}
        self.why_not_written = ""
        self.refuses_writes: bool | None = None
        self.error: str | None = None
        self.error_code = ""
        self.space: os.statvfs_result | None = None
        self._started = time.monotonic()

    def timed(self, step: str, call: Callable[[], T]) -> T:
        """Do one step; an error of the file system carries the step's name on."""
        self.go_on()
        start = time.monotonic()
        try:
            return call()
        except OSError as error:
            self.failed(step, error)
            raise
        finally:
            self.seconds[step] = time.monotonic() - start

    def go_on(self) -> None:
        """Raise Enough where this round has taken so long that no further call is to be made."""
        if time.monotonic() - self._started > ENOUGH_SECONDS:
            self.why_not_written = self.why_not_written or "it was too slow to go on"
            raise Enough

    def failed(self, step: str, error: OSError) -> None:
        self.error_code = errno.errorcode.get(error.errno or 0, "EIO")
        self.error = f"{step}: {self.error_code} ({error.strerror})"

    def not_written(self, why: str, error: OSError | None = None) -> None:
        """Note that it is not for us to write here, which is no error."""
        self.why_not_written = why
        self.error, self.error_code = None, ""
        if error is not None and error.errno == errno.EROFS:
            self.refuses_writes = True


def subjects(host: Host) -> list[str]:
    return sorted(read_targets(host))


def read_targets(host: Host) -> dict[str, Entry]:
    """Return the mounts to be touched, by mount point; touches none of them."""
    if not host.live:
        raise Absent("a recorded machine has no file system that could be timed")
    # Our own table, not init's: it is our own calls that are timed.
    table = read_text_or_none(host.root / "proc/self/mountinfo") or ""
    wanted = read_wanted(host)
    return {
        mount_point: entry
        for mount_point, entry in on_top(parse_mountinfo(table)).items()
        if (mount_point in wanted or mount_point == "/")
        and entry.type not in PSEUDO_TYPES
        and not entry.a_users_own
    }


def read(host: Host, subject: str) -> list[FilesystemLatency]:
    entry = read_targets(host).get(subject)
    if entry is None:
        raise Absent(f"{subject} is not mounted any more")
    history = host.memory.setdefault(f"filesystem_latency {subject}", deque(maxlen=SAMPLES))
    done = Round(first=not history, visiting=host.visiting)
    if done.first and entry.network and not host.visiting:
        time.sleep(spread_of(os.uname().nodename) * FIRST_LOOK_SPREAD_SECONDS)
    with contextlib.suppress(OSError, Enough):  # an error is noted in done.error, by its step
        look(host, entry, done)
    history.append(done.seconds)
    medium = kind_of(host.root, name_of(host.root, entry.device))
    return [describe(entry, medium, done, list(history))]


def spread_of(node: str) -> float:
    """Return a number from 0 to 1 that is another one for each node."""
    return zlib.crc32(node.encode(errors="backslashreplace")) / 2**32


def look(host: Host, entry: Entry, done: Round) -> None:
    path = str(host.root / entry.mount_point.lstrip("/"))
    root = done.timed("open", lambda: os.open(path, FOLDER_FLAGS))
    try:
        if read_mount_id(root) not in (entry.mount_id, None):
            raise Absent(f"{entry.mount_point} is not mounted any more")
        done.space = done.timed("statvfs", lambda: os.statvfs(root))
        entries = done.timed("readdir", lambda: list_some(root))
        if entry.read_only:
            done.why_not_written = "it is mounted read-only"
        else:
            with own_folder(root, done) as folder:
                if folder is not None:
                    write_round(folder, done)
        if done.why_not_written:
            read_some(root, entries, done)
    finally:
        os.close(root)


def read_mount_id(descriptor: int) -> int | None:
    """Return which mount we have really opened: the one beneath, where ours has just gone."""
    text = read_text_or_none(f"/proc/self/fdinfo/{descriptor}") or ""
    match = re.search(r"^mnt_id:\s*(\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else None


def list_some(folder: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for _, entry in zip(range(LISTED_ENTRIES), entries, strict=False)]


def read_some(root: int, entries: list[os.DirEntry[str]], done: Round) -> None:
    """Read the beginning of the first file that is there to be read, and forget it."""
    for entry in entries:
        done.go_on()  # what an entry is may be one more call to the server
        try:
            found = entry.stat(follow_symlinks=False)
            # One that an archive holds would be fetched from tape: it has no blocks here.
            if stat.S_ISREG(found.st_mode) and 0 < found.st_size <= found.st_blocks * 512:
                done.timed("read", lambda name=entry.name: read_uncached(root, name))  # type: ignore[misc]
                return
        except OSError as error:
            if error.errno not in (*NOT_ALLOWED, errno.ENOENT, errno.ELOOP):
                done.failed("read", error)
                return
            done.error, done.error_code = None, ""
            done.seconds.pop("read", None)


def read_uncached(folder: int, name: str) -> bytes:
    """Return the first bytes of a file from its disk or server, not from our own memory."""
    try:
        return read_with(folder, name, os.O_DIRECT)
    except OSError as error:
        if error.errno not in NO_DIRECT_READ:
            raise
    return read_with(folder, name, 0)


def read_with(folder: int, name: str, flags: int) -> bytes:
    file = os.open(name, READ_FLAGS | flags, dir_fd=folder)
    try:
        if not flags:
            os.posix_fadvise(file, 0, READ_BYTES, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(-1, READ_BYTES) as memory:
            size = os.preadv(file, [memory], 0)
            return memory[:size]
    finally:
        os.close(file)


@contextlib.contextmanager
def own_folder(root: int, done: Round) -> Iterator[int | None]:
    """Open our folder at the root of the mount; None where there can be none that is ours alone."""
    done.go_on()
    name = ".hpcdoctor-" + re.sub(r"[^A-Za-z0-9_-]", "_", os.uname().nodename.partition(".")[0])
    try:
        folder, made = open_folder(root, name)
    except OSError as error:
        if error.errno in NOT_ALLOWED or error.errno in (errno.ELOOP, errno.ENOTDIR):
            done.not_written(f"{name} cannot be used: {error.strerror}", error)
        else:
            done.failed("mkdir", error)
        yield None
        return
    try:
        if is_ours(os.fstat(folder), os.fstat(root)):
            if done.first:
                done.go_on()
                sweep(folder)
            yield folder
        else:
            # A server that maps root to nobody, or a folder that a user made before us.
            done.not_written(f"{name} is not a folder of ours alone")
            if made:
                with contextlib.suppress(OSError):
                    os.rmdir(name, dir_fd=root)
            yield None
    finally:
        os.close(folder)
        if made and done.visiting:
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=root)


def open_folder(root: int, name: str) -> tuple[int, bool]:
    """Return our folder, opened, and whether it had to be made."""
    try:
        return os.open(name, FOLDER_FLAGS, dir_fd=root), False
    except FileNotFoundError:
        os.mkdir(name, 0o700, dir_fd=root)
    return os.open(name, FOLDER_FLAGS, dir_fd=root), True


def is_ours(folder: os.stat_result, root: os.stat_result) -> bool:
    """Tell whether nobody else can put anything into this folder, and that it is on this mount."""
    return (
        stat.S_ISDIR(folder.st_mode)
        and folder.st_uid == os.geteuid()
        and not folder.st_mode & 0o077
        and folder.st_dev == root.st_dev
    )


def sweep(folder: int) -> None:
    """Remove what children left behind that were killed in the middle of a round."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            process = name.rpartition("-")[2]
            if process.isdigit() and not os.path.exists(f"/proc/{process}"):  # noqa: PTH110
                os.unlink(name, dir_fd=folder)


def write_round(folder: int, done: Round) -> None:
    mark = f"{time.monotonic_ns()}-{os.getpid()}"
    first, second = f"round-{mark}", f"renamed-{mark}"
    left = ""
    try:
        file = done.timed("create", lambda: os.open(first, FILE_FLAGS, 0o600, dir_fd=folder))
        left = first
        try:
            done.timed("write", lambda: os.write(file, BLOCK))
            done.timed("fsync", lambda: os.fsync(file))
        except (OSError, Enough):
            os.close(file)
            raise
        done.timed("close", lambda: os.close(file))
        done.timed("read", lambda: read_back(folder, first))
        done.timed("rename", lambda: os.rename(first, second, src_dir_fd=folder, dst_dir_fd=folder))
        left = second
        done.timed("stat", lambda: os.stat(second, dir_fd=folder, follow_symlinks=False))
        done.timed("unlink", lambda: os.unlink(second, dir_fd=folder))
        left = ""
        done.refuses_writes = False
    except OSError as error:
        if error.errno not in NOT_ALLOWED:
            raise
        done.not_written(done.error or "", error)
    finally:
        if left:
            with contextlib.suppress(OSError):
                os.unlink(left, dir_fd=folder)


def read_back(folder: int, name: str) -> None:
    if read_uncached(folder, name) != BLOCK:
        raise OSError(errno.EIO, "it gave back other data than had been written")


def percentile(samples: list[float], ratio: float) -> float | None:
    """Return the smallest sample that this share of all does not exceed."""
    if not samples:
        return None
    ordered = sorted(samples)
    return ordered[max(0, -int(-len(ordered) * ratio // 1) - 1)]


def pick(seconds: dict[str, float], steps: tuple[str, ...]) -> list[float]:
    return [seconds[step] for step in steps if step in seconds]


def describe(
    entry: Entry, medium: str, done: Round, history: list[dict[str, float]]
) -> FilesystemLatency:
    space = done.space
    metadata = [seconds for look in history for seconds in pick(look, METADATA_STEPS)]
    data = [seconds for look in history for seconds in pick(look, DATA_STEPS)]
    return FilesystemLatency(
        mount_point=entry.mount_point,
        source=entry.source,
        type=entry.type,
        network=entry.network,
        medium=medium,
        error=done.error,
        error_code=done.error_code,
        wrote="unlink" in done.seconds and done.error is None,
        why_not_written=done.why_not_written,
        refuses_writes=done.refuses_writes,
        size_bytes=space.f_blocks * space.f_frsize if space else None,
        free_bytes=space.f_bavail * space.f_frsize if space else None,
        files_total=(space.f_files or None) if space else None,
        files_free=space.f_favail if space and space.f_files else None,
        open_seconds=done.seconds.get("open"),
        statvfs_seconds=done.seconds.get("statvfs"),
        readdir_seconds=done.seconds.get("readdir"),
        create_seconds=done.seconds.get("create"),
        write_seconds=done.seconds.get("write"),
        fsync_seconds=done.seconds.get("fsync"),
        close_seconds=done.seconds.get("close"),
        read_seconds=done.seconds.get("read"),
        rename_seconds=done.seconds.get("rename"),
        stat_seconds=done.seconds.get("stat"),
        unlink_seconds=done.seconds.get("unlink"),
        metadata_seconds=max(pick(done.seconds, METADATA_STEPS), default=None),
        data_seconds=max(pick(done.seconds, DATA_STEPS), default=None),
        slowest_step=max(done.seconds, key=lambda step: done.seconds[step], default=""),
        looks=len(history),
        metadata_p50_seconds=percentile(metadata, 0.5),
        metadata_p95_seconds=percentile(metadata, 0.95),
        metadata_p99_seconds=percentile(metadata, 0.99),
        metadata_max_seconds=max(metadata, default=None),
        data_p50_seconds=percentile(data, 0.5),
        data_p95_seconds=percentile(data, 0.95),
        data_p99_seconds=percentile(data, 0.99),
        data_max_seconds=max(data, default=None),
        percentiles=list(percentile_texts(history)),
    )


def percentile_texts(history: list[dict[str, float]]) -> Iterator[str]:
    for step in (*METADATA_STEPS, *DATA_STEPS):
        samples = [seconds[step] for seconds in history if step in seconds]
        if samples:
            found = [percentile(samples, ratio) or 0.0 for ratio in (0.5, 0.95, 0.99, 1.0)]
            yield f"{step} {' / '.join(f'{1000 * each:.1f}' for each in found)} ms"
