"""Who could have written this file? What steers a root process may come from nobody but root."""

import errno
import os
import stat
from pathlib import Path

MOST_LINKS = 40  # as the kernel's own limit


def why_not_trusted(path: Path) -> str | None:
    """Return why nothing may be loaded from `path`, or None.

    A file that steers a root process must be owned by root (or by whoever runs this, if that is
    not root) and writable by nobody else, and so must every folder above it, every link on the way
    and every folder above where the link leads; a sticky folder such as /tmp is as good, since
    others cannot replace what is in it.
    """
    owners = {0, os.geteuid()}
    here = Path("/")
    left = list(reversed(path.absolute().parts[1:]))
    links = 0
    if reason := _why_not(here, owners):
        return reason
    while left:
        name = left.pop()
        if name == "..":
            here = here.parent
            continue
        part = here / name
        if reason := _why_not(part, owners):
            return reason
        if not part.is_symlink():
            here = part
            continue
        links += 1
        if links > MOST_LINKS:
            return f"{path} cannot be looked at: {os.strerror(errno.ELOOP)}"
        try:
            target = part.readlink()
        except OSError as error:
            return f"{part} cannot be looked at: {error.strerror}"
        if target.is_absolute():
            here = Path("/")
            left += reversed(target.parts[1:])
        else:
            left += reversed(target.parts)
    return None


def _why_not(part: Path, owners: set[int]) -> str | None:
    """Judge one file, folder or link by itself."""
    try:
        status = part.lstat()
    except OSError as error:
        return f"{part} cannot be looked at: {error.strerror}"
    if status.st_uid not in owners:
        command = "chown -h" if stat.S_ISLNK(status.st_mode) else "chown"
        return f"{part} belongs to user {status.st_uid}, not to root; {command} root {part}"
    if stat.S_ISLNK(status.st_mode):
        return None  # a link has no rights of its own
    if status.st_mode & stat.S_ISVTX and stat.S_ISDIR(status.st_mode):
        return None
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != 0):
        return f"{part} may be written by others than root; chmod go-w {part}"
    return None
