"""How long does a file system take to answer, and how much room is left in it?

Source:  a few calls on the mount itself: create, write 4 KiB, fsync, rename, stat, unlink in our
         own folder, or statvfs and a directory listing where we may not write
Units:   seconds of CLOCK_MONOTONIC; percentiles over this child's last 100 looks
Cost:    eight calls that the server sees; may wait for ever, so each mount has its own child
Absent:  on a recorded machine, which cannot be timed
Only mounts that fstab, a mount unit or the profile names are touched, and the root. Never a mount
that a user made, never an automount.
"""

import contextlib
import errno
import os
import re
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

from hpcdoctor.model.reading import Absent, Reading
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
DATA_STEPS = ("write", "fsync")
# The answers that mean "not for you", after which only reading is timed.
NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

T = TypeVar("T")


class FilesystemLatency(Reading, frozen=True):
    mount_point: str
    source: str
    type: str
    network: bool
    error: str | None  # "fsync: EIO (Input/output error)"; None: every step went well
    wrote: bool  # False: only statvfs and readdir were timed
    why_not_written: str  # "" where it was written
    # What ordinary users may still use, and of how much.
    size_bytes: int | None
    free_bytes: int | None
    files_total: int | None  # None: this file system knows no such limit
    files_free: int | None
    # This look, step by step; None: not done, or not reached.
    create_seconds: float | None
    write_seconds: float | None
    fsync_seconds: float | None
    rename_seconds: float | None
    stat_seconds: float | None
    unlink_seconds: float | None
    statvfs_seconds: float | None
    readdir_seconds: float | None
    metadata_seconds: float | None  # the slowest step of this look among open ... readdir
    data_seconds: float | None  # the slower of write and fsync
    # The last looks, at most a hundred: one sample a step.
    looks: int
    metadata_p50_seconds: float | None  # open, create, rename, stat, unlink, statvfs, readdir
    metadata_p95_seconds: float | None
    metadata_max_seconds: float | None
    data_p50_seconds: float | None  # write, fsync
    data_p95_seconds: float | None
    data_max_seconds: float | None


class Round:
    """One look at one mount: the steps done, how long each took, and the first error."""

    def __init__(self, *, first: bool, visiting: bool = False) -> None:
        self.first = first  # of this child: others may have been killed before
        self.visiting = visiting  # our folder does not stay
        self.seconds: dict[str, float] = {}
        self.why_not_written = ""
        self.error: str | None = None
        self.space: os.statvfs_result | None = None

    def timed(self, step: str, call: Callable[[], T]) -> T:
        """Do one step; an error of the file system carries the step's name on."""
        start = time.monotonic()
        try:
            return call()
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "error")
            self.error = f"{step}: {name} ({error.strerror})"
            raise
        finally:
            self.seconds[step] = time.monotonic() - start


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
    with contextlib.suppress(OSError):  # noted in done.error, by its step
        look(host, entry, done)
    history.append(done.seconds)
    return [describe(entry, done, list(history))]


def look(host: Host, entry: Entry, done: Round) -> None:
    path = str(host.root / entry.mount_point.lstrip("/"))
    root = done.timed("open", lambda: os.open(path, FOLDER_FLAGS))
    try:
        if read_mount_id(root) not in (entry.mount_id, None):
            raise Absent(f"{entry.mount_point} is not mounted any more")
        done.space = done.timed("statvfs", lambda: os.statvfs(root))
        done.timed("readdir", lambda: list_some(root))
        if entry.read_only:
            done.why_not_written = "it is mounted read-only"
            return
        with own_folder(root, done) as folder:
            if folder is not None:
                write_round(folder, done)
    finally:
        os.close(root)


def read_mount_id(descriptor: int) -> int | None:
    """Return which mount we have really opened: the one beneath, where ours has just gone."""
    text = read_text_or_none(f"/proc/self/fdinfo/{descriptor}") or ""
    match = re.search(r"^mnt_id:\s*(\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else None


def list_some(folder: int) -> None:
    with os.scandir(folder) as entries:
        for _, _entry in zip(range(LISTED_ENTRIES), entries, strict=False):
            pass


@contextlib.contextmanager
def own_folder(root: int, done: Round) -> Iterator[int | None]:
    """Open our folder at the root of the mount; None where there can be none that is ours alone."""
    name = ".hpcdoctor-" + re.sub(r"[^A-Za-z0-9_-]", "_", os.uname().nodename.partition(".")[0])
    try:
        made = make_folder(root, name)
        folder = os.open(name, FOLDER_FLAGS, dir_fd=root)
    except OSError as error:
        if error.errno in NOT_ALLOWED or error.errno in (errno.ELOOP, errno.ENOTDIR):
            done.why_not_written = f"{name} cannot be used: {error.strerror}"
        else:
            code = errno.errorcode.get(error.errno or 0, "error")
            done.error = f"mkdir: {code} ({error.strerror})"
        yield None
        return
    try:
        if is_ours(os.fstat(folder), os.fstat(root)):
            if done.first:
                sweep(folder)
            yield folder
        else:
            # A server that maps root to nobody, or a folder that a user made before us.
            done.why_not_written = f"{name} is not a folder of ours alone"
            if made:
                with contextlib.suppress(OSError):
                    os.rmdir(name, dir_fd=root)
            yield None
    finally:
        os.close(folder)
        if made and done.visiting:
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=root)


def make_folder(root: int, name: str) -> bool:
    try:
        os.mkdir(name, 0o700, dir_fd=root)
    except FileExistsError:
        return False
    return True


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
    first, second = f"round-{os.getpid()}", f"renamed-{os.getpid()}"
    for name in (first, second):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
    try:
        file = done.timed("create", lambda: os.open(first, FILE_FLAGS, 0o600, dir_fd=folder))
        try:
            done.timed("write", lambda: os.write(file, BLOCK))
            done.timed("fsync", lambda: os.fsync(file))
        finally:
            os.close(file)
        done.timed("rename", lambda: os.rename(first, second, src_dir_fd=folder, dst_dir_fd=folder))
        done.timed("stat", lambda: os.stat(second, dir_fd=folder, follow_symlinks=False))
        done.timed("unlink", lambda: os.unlink(second, dir_fd=folder))
    except OSError as error:
        if error.errno in NOT_ALLOWED:
            done.why_not_written, done.error = done.error or "", None
        for name in (first, second):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
        raise


def percentile(samples: list[float], ratio: float) -> float | None:
    """Return the smallest sample that this share of all does not exceed."""
    if not samples:
        return None
    ordered = sorted(samples)
    return ordered[max(0, -int(-len(ordered) * ratio // 1) - 1)]


def pick(seconds: dict[str, float], steps: tuple[str, ...]) -> list[float]:
    return [seconds[step] for step in steps if step in seconds]


def describe(entry: Entry, done: Round, history: list[dict[str, float]]) -> FilesystemLatency:
    space = done.space
    metadata = [seconds for look in history for seconds in pick(look, METADATA_STEPS)]
    data = [seconds for look in history for seconds in pick(look, DATA_STEPS)]
    return FilesystemLatency(
        mount_point=entry.mount_point,
        source=entry.source,
        type=entry.type,
        network=entry.network,
        error=done.error,
        wrote="unlink" in done.seconds and done.error is None,
        why_not_written=done.why_not_written,
        size_bytes=space.f_blocks * space.f_frsize if space else None,
        free_bytes=space.f_bavail * space.f_frsize if space else None,
        files_total=(space.f_files or None) if space else None,
        files_free=space.f_favail if space and space.f_files else None,
        create_seconds=done.seconds.get("create"),
        write_seconds=done.seconds.get("write"),
        fsync_seconds=done.seconds.get("fsync"),
        rename_seconds=done.seconds.get("rename"),
        stat_seconds=done.seconds.get("stat"),
        unlink_seconds=done.seconds.get("unlink"),
        statvfs_seconds=done.seconds.get("statvfs"),
        readdir_seconds=done.seconds.get("readdir"),
        metadata_seconds=max(pick(done.seconds, METADATA_STEPS), default=None),
        data_seconds=max(pick(done.seconds, DATA_STEPS), default=None),
        looks=len(history),
        metadata_p50_seconds=percentile(metadata, 0.5),
        metadata_p95_seconds=percentile(metadata, 0.95),
        metadata_max_seconds=max(metadata, default=None),
        data_p50_seconds=percentile(data, 0.5),
        data_p95_seconds=percentile(data, 0.95),
        data_max_seconds=max(data, default=None),
    )
