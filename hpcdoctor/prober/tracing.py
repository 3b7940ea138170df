"""What did a probe ask the machine, and what was the answer? For recordings only.

While a trace is active, the calls by which Python reaches files (`os.open`, `os.stat`, ...) note
what lies below the machine's root: content as the probe read it, names in folders, targets of
links, and what a tool printed. A new probe is recorded without knowing of it. What is reached past
Python (NVML, an ioctl, a database) leaves no trace.
"""
# ruff: noqa: ANN401 - the calls of `os` take and give whatever Python's own do

import builtins
import contextlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from hpcdoctor.model.reading import Reading
from hpcdoctor.probes.host import Host, Ran, recorded_name
from hpcdoctor.probes.registry import Probe, Shape, Stream

LARGEST_FILE = 1 << 20
LARGEST_LOG = 8 << 20  # /dev/kmsg: a whole ring
MOST_NAMES = 4096  # of one folder
LARGEST_TRACE = 16 << 20  # of one call of a probe
LARGEST_TRACES = 128 << 20
# Who works where: never in a recording. And a file that a job has open may hang who looks at it.
PRIVATE = re.compile(r"/proc/\d+/(?:cwd|fd(?:/.*)?)|/etc/passwd")


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer. `path` is below the root, without a slash before it."""

    kind: str  # "file", "folder", "link", "there", "ran"
    path: str
    data: bytes = b""  # of a file: what was read of it
    names: list[str] = []  # of a folder
    target: str = ""  # of a link: what it leads to, below the root
    folder: bool = False  # what is there is a folder
    empty: bool = False  # what is there is a file without content
    status: int = 0  # of a tool


class _Opened:
    """A file that is being read; what lies between the pieces that were read is zeros."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.data = bytearray()
        self.position = 0

    def take(self, data: bytes, offset: int) -> None:
        end = offset + len(data)
        if end > (LARGEST_LOG if self.path == "dev/kmsg" else LARGEST_FILE):
            return
        self.data.extend(bytes(max(0, end - len(self.data))))
        self.data[offset:end] = data


class Trace:
    """What one call of a probe has asked for; written down at once, since the child may be killed.

    `root` has no slash at its end; the empty text is the machine itself.
    """

    def __init__(self, root: Path, out: Callable[[bytes], None]) -> None:
        self._root = str(root).rstrip("/")
        self._real_root = os.path.realpath(root).rstrip("/")
        self._out = out
        self._written = 0
        self._open: dict[int, _Opened] = {}
        self._told: set[tuple[str, str]] = set()
        self._busy = False

    @contextlib.contextmanager
    def active(self, *, last: bool = True) -> Iterator[None]:
        """Note what is asked for from now until the end of the block, which may be the last."""
        patches: list[tuple[Any, str, object]] = [
            (os, "open", self._traced_open),
            (os, "read", self._traced_read),
            (os, "pread", self._traced_pread),
            (os, "close", self._traced_close),
            (os, "listdir", self._traced_listdir),
            (os, "scandir", self._traced_scandir),
            (os, "stat", self._traced_stat),
            (os, "lstat", self._traced_lstat),
            (os, "readlink", self._traced_readlink),
            (os, "access", self._traced_access),
            (io, "open", self._traced_builtin_open),
            (builtins, "open", self._traced_builtin_open),
            (Host, "run", self._run()),
        ]
        before = [(holder, name, getattr(holder, name)) for holder, name, _ in patches]
        for holder, name, function in patches:
            setattr(holder, name, function)
        try:
            yield
        finally:
            for holder, name, function in before:
                setattr(holder, name, function)
            for descriptor in list(self._open) if last else ():
                self._tell_file(descriptor)

    # What is noted

    def _tell(self, seen: Seen) -> None:
        key = (seen.kind, seen.path)
        if key in self._told and seen.kind != "file":
            return
        line = msgspec.json.encode(seen) + b"\n"
        if self._written + len(line) > LARGEST_TRACE:
            return
        self._told.add(key)
        self._written += len(line)
        self._out(line)

    def _tell_file(self, descriptor: int) -> None:
        opened = self._open.pop(descriptor)
        self._tell(Seen("file", opened.path, bytes(opened.data)))

    def _below(self, path: object, *, follow: bool) -> str | None:
        """Return the path below the root; None where it is elsewhere, or a link leads out."""
        if isinstance(path, bytes | int) or path is None:
            return None
        text = os.fspath(path)  # type: ignore[call-overload]  # a path or a text, as above
        if not text.startswith(self._root + "/") or PRIVATE.fullmatch(text[len(self._root) :]):
            return None
        if self._root:
            whole = os.path.realpath(text if follow else os.path.dirname(text))  # noqa: PTH120
            if whole != self._real_root and not whole.startswith(self._real_root + "/"):
                return None
        below: str = text[len(self._root) :].strip("/")
        try:
            below.encode()
        except UnicodeEncodeError:  # a name that is no text has no place in a recording
            return None
        return below

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Yield whether to note: our own questions are nobody's."""
        if self._busy:
            yield False
            return
        self._busy = True
        try:
            yield True
        finally:
            self._busy = False

    # The calls, each as it was

    def _traced_open(self, path: Any, flags: int, *rest: Any, **more: Any) -> int:
        descriptor = REAL_OPEN(path, flags, *rest, **more)
        with self._alone() as note:
            if note and not more and flags & os.O_ACCMODE == os.O_RDONLY:
                below = self._below(path, follow=True)
                mode = os.fstat(descriptor).st_mode
                if below is not None and (stat.S_ISREG(mode) or below == "dev/kmsg"):
                    self._open[descriptor] = _Opened(below)
        return descriptor

    def _traced_read(self, descriptor: int, size: int) -> bytes:
        data = REAL_READ(descriptor, size)
        opened = self._open.get(descriptor)
        if opened is not None:
            opened.take(data, opened.position)
            opened.position += len(data)
        return data

    def _traced_pread(self, descriptor: int, size: int, offset: int) -> bytes:
        data = REAL_PREAD(descriptor, size, offset)
        opened = self._open.get(descriptor)
        if opened is not None:
            opened.take(data, offset)
        return data

    def _traced_close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._tell_file(descriptor)
        REAL_CLOSE(descriptor)

    def _traced_builtin_open(self, file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        with self._alone() as note:
            below = self._below(file, follow=True) if note and set(mode) <= set("rbt") else None
            if below is not None:
                self._copy(str(file), below)
        return REAL_BUILTIN_OPEN(file, mode, *rest, **more)

    def _copy(self, path: str, below: str) -> None:
        """Note the whole of a plain file that is read past `os.read`."""
        try:
            descriptor = REAL_OPEN(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                parts = []
                left = LARGEST_FILE
                while left > 0 and (data := REAL_READ(descriptor, min(left, 1 << 16))):
                    parts.append(data)
                    left -= len(data)
                self._tell(Seen("file", below, b"".join(parts)))
        except OSError:
            return
        finally:
            REAL_CLOSE(descriptor)

    def _traced_listdir(self, path: Any = ".") -> Any:
        names = REAL_LISTDIR(path)
        self._tell_names(path, names)
        return names

    def _traced_scandir(self, path: Any = ".") -> Any:
        with contextlib.suppress(OSError):
            self._tell_names(path, REAL_LISTDIR(path))
        return REAL_SCANDIR(path)

    def _tell_names(self, path: Any, names: Any) -> None:
        with self._alone() as note:
            below = self._below(path, follow=True) if note else None
            if below is None or not all(isinstance(name, str) for name in names):
                return
            self._tell(Seen("folder", below, names=sorted(filter(_is_text, names))[:MOST_NAMES]))
            if below != "proc":
                for name in sorted(filter(_is_text, names))[:MOST_NAMES]:
                    self._tell_there(f"{below}/{name}".lstrip("/"), f"{os.fspath(path)}/{name}")

    def _tell_there(self, below: str, path: str) -> None:
        try:
            found = REAL_STAT(path)
        except OSError:
            return
        folder = stat.S_ISDIR(found.st_mode)
        if folder or stat.S_ISREG(found.st_mode) or stat.S_ISCHR(found.st_mode):
            self._tell(Seen("there", below, folder=folder, empty=found.st_size == 0))

    def _traced_stat(self, path: Any, *rest: Any, **more: Any) -> os.stat_result:
        found = REAL_STAT(path, *rest, **more)
        self._note(path, follow=more.get("follow_symlinks", True))
        return found

    def _traced_lstat(self, path: Any, *rest: Any, **more: Any) -> os.stat_result:
        found = REAL_LSTAT(path, *rest, **more)
        self._note(path, follow=False)
        return found

    def _traced_access(self, path: Any, *rest: Any, **more: Any) -> bool:
        answer = REAL_ACCESS(path, *rest, **more)
        if answer:
            self._note(path, follow=True)
        return answer

    def _note(self, path: Any, *, follow: bool) -> None:
        with self._alone() as note:
            below = self._below(path, follow=follow) if note else None
            if below is not None:
                self._tell_there(below, os.fspath(path))

    def _traced_readlink(self, path: Any, *rest: Any, **more: Any) -> Any:
        target = REAL_READLINK(path, *rest, **more)
        with self._alone() as note:
            below = self._below(path, follow=False) if note else None
            if below is not None and isinstance(target, str) and _is_text(target):
                inside = self._inside(os.fspath(path), target)
                if inside is not None:
                    self._tell(Seen("link", below, target=inside))
        return target

    def _inside(self, path: str, target: str) -> str | None:
        """Return what the link leads to, one step on, below the root; None where it leads out."""
        folder = os.path.realpath(os.path.dirname(path))  # noqa: PTH120
        if target.startswith("/"):
            whole = os.path.normpath(target)
        else:
            whole = os.path.normpath(f"{folder}/{target}")
        if not whole.startswith(self._real_root + "/"):
            return None
        return whole[len(self._real_root) :].strip("/")

    def _run(self) -> Callable[..., Ran]:
        real = Host.run

        def run(host: Host, arguments: Sequence[str], timeout_seconds: float) -> Ran:
            ran = real(host, arguments, timeout_seconds)
            if host.live:
                name = recorded_name(arguments)
                self._tell(Seen("ran", name, ran.out.encode(), status=ran.status))
            return ran

        return run


REAL_OPEN, REAL_READ, REAL_PREAD, REAL_CLOSE = os.open, os.read, os.pread, os.close
REAL_LISTDIR, REAL_SCANDIR = os.listdir, os.scandir
REAL_STAT, REAL_LSTAT, REAL_READLINK, REAL_ACCESS = os.stat, os.lstat, os.readlink, os.access
REAL_BUILTIN_OPEN = builtins.open


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


# A probe that is traced --------------------------------------------------------------------------


class TracedStream:
    """A stream of which every read is noted."""

    def __init__(self, stream: Stream, trace: Trace) -> None:
        self._stream = stream
        self._trace = trace

    def fileno(self) -> int:
        return self._stream.fileno()

    def read(self) -> Any:
        with self._trace.active(last=False):
            return self._stream.read()

    def close(self) -> None:
        close = getattr(self._stream, "close", None)
        with self._trace.active():
            if close is not None:
                close()


def traced(probe: Probe, folder: Path) -> Probe:
    """Return the probe such that each of its calls leaves a file in the folder."""
    module = ModuleType(probe.module.__name__)
    calls = 0

    def begin(host: Host) -> Trace:
        nonlocal calls
        calls += 1
        name = f"{probe.name}.{os.getpid()}.{calls}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_APPEND
        descriptor = REAL_OPEN(folder / name, flags, 0o600)

        def out(line: bytes) -> None:
            while line:
                line = line[os.write(descriptor, line) :]

        return Trace(host.root, out)

    def read(host: Host, *subject: str) -> Sequence[Reading]:
        with begin(host).active():
            found: Sequence[Reading] = probe.module.read(host, *subject)
            return found

    def subjects(host: Host) -> list[str]:
        with begin(host).active():
            return probe.subjects(host)

    def open_stream(host: Host, position: str) -> TracedStream:
        trace = begin(host)
        with trace.active(last=False):
            stream = probe.open(host, position)
        return TracedStream(stream, trace)

    if probe.shape is Shape.STREAM:
        vars(module)["open"] = open_stream
    else:
        vars(module)["read"] = read
    if probe.shape is Shape.PER_SUBJECT:
        vars(module)["subjects"] = subjects
        vars(module)["SUBJECT"] = probe.subject_field
    return msgspec.structs.replace(probe, module=module)


def read_traces(folder: Path) -> Iterator[Seen]:
    """Yield what all traces in the folder say, in the order of their names."""
    size = 0
    for path in sorted(folder.iterdir()):
        for line in path.read_bytes().split(b"\n"):
            size += len(line)
            if line and size <= LARGEST_TRACES:
                try:
                    yield msgspec.json.decode(line, type=Seen)
                except msgspec.MsgspecError:  # the child was killed as it wrote
                    continue
