"""Which probes are there, and what does each of them read? A name is a path: there is no list.

A probe is one file of this folder with one of three shapes:

    read(host) -> list[R]                     one look at one source
    subjects(host) -> list[str]               one child process for each subject, because looking
    read(host, subject) -> list[R]            at one may hang; naming them touches none of them;
    SUBJECT = "mount_point"                   and the field of R that names the subject
    open(host, position) -> Stream            a source that tells by itself when something happens

where R is the probe's one subclass of Reading, taken from the annotation of `read` or `parse`.
"""

import importlib
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Protocol

import msgspec

from hpcdoctor.model.reading import Chunk, Reading
from hpcdoctor.probes.host import Host

NOT_PROBES = frozenset(
    {
        "__init__",
        "disk_kind",
        "files",
        "host",
        "ipmi_tool",
        "kernel_messages",
        "kernel_modules",
        "lustre_tables",
        "mount_table",
        "nvidia_files",
        "registry",
    }
)


class Shape(Enum):
    PLAIN = "plain"
    PER_SUBJECT = "per subject"
    STREAM = "stream"


class Stream(Protocol):
    def fileno(self) -> int:
        """Return a descriptor that polls readable when there is something to read."""

    def read(self) -> Chunk[Reading]:
        """Return what is there, at most some hundred records, and never block."""


class Probe(msgspec.Struct, frozen=True):
    """One probe, as the prober runs it and as checks are held against it."""

    name: str
    shape: Shape
    reading: type[Reading]
    module: ModuleType

    @property
    def subject_field(self) -> str:
        """Return the field that names the subject, of a probe with one child a subject."""
        name: str = self.module.SUBJECT
        return name

    def read(self, host: Host, subject: str | None = None) -> Sequence[Reading]:
        read: Callable[..., Sequence[Reading]] = self.module.read
        return read(host) if self.shape is Shape.PLAIN else read(host, subject)

    def subjects(self, host: Host) -> list[str]:
        subjects: Callable[[Host], list[str]] = self.module.subjects
        return subjects(host)

    def open(self, host: Host, position: str) -> Stream:
        open_stream: Callable[[Host, str], Stream] = self.module.open
        return open_stream(host, position)


def names() -> list[str]:
    """Return the names of all probes, in order."""
    here = Path(__file__).parent
    return sorted(path.stem for path in here.glob("*.py") if path.stem not in NOT_PROBES)


def find(name: str) -> Probe:
    """Return the probe of this name; raise KeyError where there is none."""
    if (
        name in NOT_PROBES
        or not name.isidentifier()
        or not (Path(__file__).parent / f"{name}.py").exists()
    ):
        raise KeyError(name)
    module = importlib.import_module(f"hpcdoctor.probes.{name}")
    if hasattr(module, "open"):
        shape, function = Shape.STREAM, module.parse
    elif hasattr(module, "subjects"):
        shape, function = Shape.PER_SUBJECT, module.read
    else:
        shape, function = Shape.PLAIN, module.read
    return Probe(name, shape, function.__annotations__["return"].__args__[0], module)
