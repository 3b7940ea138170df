"""What does the template ask of a child, and how is that written on the pipe between them?

The template writes a JSON list of Tasks a line; the child answers each with a line of its own:
the task's number, a word, and JSON that the template passes on to the daemon without reading it.
A line that comes in the middle of a list ends that list.
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec


class Kind(StrEnum):
    READ = "read"
    SUBJECTS = "subjects"  # name the things that a probe can look at
    FOLLOW = "follow"  # a stream, until it is told to stop
    DRAIN = "drain"  # a stream, as far as it goes now


class Task(msgspec.Struct, frozen=True):
    """One thing to be done by a child; the number is unique for as long as the template lives."""

    number: int
    probe: str
    kind: Kind
    subject: str | None = None
    position: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Name what is looked at: who asks for the same may share the answer."""
        return (self.kind, self.probe, self.subject or "")


class Answer(NamedTuple):
    """What a child said to one task: `word` is the Look's status; `body` the Look as JSON.

    Where subjects were asked for and named, the body is a JSON list of them.
    """

    number: int
    word: str
    body: bytes


STOP = b"[]\n"


def write_tasks(tasks: list[Task]) -> bytes:
    return msgspec.json.encode(tasks) + b"\n"


_TASKS = msgspec.json.Decoder(list[Task])


def read_tasks(line: bytes) -> list[Task]:
    return _TASKS.decode(line)


def write_answer(number: int, word: str, body: bytes) -> bytes:
    return b"%d %s %s\n" % (number, word.encode(), body)


def read_answer(line: bytes) -> Answer:
    """Return the answer; raise ValueError for what no child of ours would write."""
    number, word, body = line.split(b" ", 2)
    return Answer(int(number), word.decode(), body)
