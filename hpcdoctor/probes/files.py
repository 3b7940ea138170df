"""How does a probe read a small text file of the kernel, whatever the kernel answers?

Every read of a probe goes through here. One system call pair a file, bounded, never blocking on a
FIFO; texts by which drivers say "no value" become None; inside a recorded tree, a link that leads
out of it has no value.
"""

import os
import re
import stat
from pathlib import Path

from hpcdoctor.model.reading import Unavailable

LIMIT_BYTES = 1 << 20
PAGE = 1 << 16

# What drivers write where there is nothing to say (reference: kernel and vendor drivers).
NO_VALUE = frozenset({"", "N/A", "N/A (no PMA)", "Unknown", "unknown", "<unsupported>", "(null)"})

# Roots of recorded trees; nothing is confined on a live machine.
_confined: list[str] = []


def confine(root: Path) -> None:
    """From now on, links below `root` that lead out of it are unreadable."""
    prefix = str(root)
    if prefix not in _confined:
        _confined.append(prefix)


def check_inside(path: Path | str) -> None:
    """Raise OSError where a recorded tree's path leads out of the tree."""
    for prefix in _confined:
        if str(path).startswith(prefix + "/"):
            real = os.path.realpath(path)
            if real != prefix and not real.startswith(prefix + "/"):
                raise PermissionError(1, "the link leads out of the recorded machine", str(path))


def read_bytes(path: Path | str, limit: int = LIMIT_BYTES) -> bytes:
    """Return up to `limit` bytes; raise OSError as the kernel gives it."""
    if _confined:
        check_inside(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if _confined and not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PermissionError(1, "not a plain file", str(path))
        data = os.read(descriptor, PAGE)
        if len(data) < 4096:  # sysfs and most of procfs: one page at most, all of it at once
            return data
        parts = [data]
        size = len(data)
        while data and size < limit:
            data = os.read(descriptor, PAGE)
            parts.append(data)
            size += len(data)
        return b"".join(parts)[:limit]
    finally:
        os.close(descriptor)


def read_text(path: Path | str, limit: int = LIMIT_BYTES) -> str:
    """Return the text without white space at its ends; raise Unavailable where it cannot be read.

    Bytes that are no UTF-8 come as backslash escapes: what names things may be hostile.
    """
    try:
        return read_bytes(path, limit).decode(errors="backslashreplace").strip()
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error


def read_text_or_none(path: Path | str, limit: int = LIMIT_BYTES) -> str | None:
    """Return the text, or None where there is none or the driver says that it has no value."""
    try:
        text = read_bytes(path, limit).decode(errors="backslashreplace").strip()
    except OSError:
        return None
    return None if text in NO_VALUE else text


def read_int(path: Path | str) -> int:
    """Return the number; raise Unavailable where the file holds none."""
    text = read_text(path)
    try:
        return int(text, 0) if text.startswith("0x") else int(text)
    except ValueError:
        raise Unavailable(f"{path}: `{text[:40]}` is not a number") from None


def read_int_or_none(path: Path | str) -> int | None:
    """Return the number, or None: absent, unreadable, or a text that means "no value"."""
    text = read_text_or_none(path)
    if text is None:
        return None
    try:
        return int(text, 0) if text.startswith("0x") else int(text)
    except ValueError:
        return None


def read_link_or_none(path: Path | str) -> str | None:
    """Return what a link says, or None; what it leads to is not touched, as it may hang."""
    try:
        if _confined:
            check_inside(os.path.dirname(path))  # noqa: PTH120
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return None


def list_names(folder: Path | str) -> list[str]:
    """Return the names in a folder in order; none where it does not exist or cannot be listed."""
    try:
        if _confined:
            check_inside(folder)
        return sorted(os.listdir(folder))
    except OSError:
        return []


def list_folders(folder: Path, prefix: str = "") -> list[Path]:
    """Return the entries of a folder whose names begin with `prefix`, by number then name."""
    return [
        folder / name
        for name in sorted(list_names(folder), key=_by_number)
        if name.startswith(prefix)
    ]


def _by_number(name: str) -> tuple[str, int, str]:
    """Sort cpu2 before cpu10."""
    head = name.rstrip("0123456789")
    return (head, int(name[len(head) :] or -1), name)


def parse_list(text: str) -> list[int]:
    """Return the numbers of a kernel list such as "0-3,8,10-11"; the empty list for ""."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first:
            numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


def read_list_or_none(path: Path | str, most: int = 1 << 16) -> list[int] | None:
    """Return the numbers of a kernel list in a file, or None: unreadable, no list, or absurd."""
    text = read_text_or_none(path)
    return None if text is None else parse_list_or_none(text, most)


def parse_list_or_none(text: str, most: int = 1 << 16) -> list[int] | None:
    """Return the numbers, or None where the text is no list or names one of `most` and above."""
    if re.fullmatch(r"[0-9]{1,9}(-[0-9]{1,9})?(,[0-9]{1,9}(-[0-9]{1,9})?)*", text) is None:
        return None if text else []
    return parse_list(text) if all(int(end) < most for end in re.findall("[0-9]+", text)) else None
