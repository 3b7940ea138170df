"""Why can the daemon's database not be used at the start, and which command mends it?

The daemon does not start without it: what it drains, whom it promised a hold and how often it has
repaired must outlive it. systemd tries again every two seconds, so it starts once this is mended.
"""

import grp
import os
import pwd
import stat
from pathlib import Path

from hpcdoctor.daemon.durable import MOUNTS, mount_of
from hpcdoctor.daemon.store import FILE
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.probes.mount_table import parse_mountinfo

LEAST_BYTES = 1 << 20
AND_WHY = "the daemon does not start without its memory"


def why_no_store(folder: Path, reason: str) -> str:
    """Return what is wrong and what to do, as far as it can be seen; else SQLite's own `reason`."""
    me = _user_name(os.geteuid())
    for above in reversed(folder.parents):
        if not os.access(above, os.X_OK):
            if not os.path.lexists(above):
                break
            return f"user {me} may not enter {above}, which is above {folder}; chmod a+x {above}"
    if not os.path.lexists(folder):
        return (
            f"there is no folder {folder}, and {AND_WHY}; make it with: "
            f"install -d -o {me} -g {_group()} -m 750 {folder}"
        )
    if not folder.is_dir():
        return f"{folder} is not a folder, and {AND_WHY}; move it away and make one of that name"
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        return f"{folder} cannot be looked at: {error.strerror}"
    mount = _mount(folder)
    if disk.f_flag & os.ST_RDONLY:
        other = (
            ""
            if str(folder) == Settings().state_directory
            else (
                "; under systemd a folder other than the shipped one has to be named in "
                "ReadWritePaths= of hpcdoctor.service"
            )
        )
        return (
            f"{folder} is on a file system that is read-only ({mount}), and {AND_WHY}; see in "
            f"`dmesg` whether an error made it so, then: mount -o remount,rw {mount}{other}"
        )
    if mine := _not_mine(folder, me):
        return mine
    if "full" in reason or disk.f_bavail * disk.f_frsize < LEAST_BYTES or _no_file_left(disk):
        what = "has no room for another file" if _no_file_left(disk) else "is full"
        return (
            f"the file system of {folder} ({mount}) {what}, and {AND_WHY}; make room on it: "
            f"du -xh --max-depth=2 {mount} | sort -h | tail"
        )
    return f"{reason}; {AND_WHY}"


def _not_mine(folder: Path, me: str) -> str:
    for path in (folder, *(folder / f"{FILE}{suffix}" for suffix in ("", "-wal", "-shm"))):
        wanted = os.W_OK | os.R_OK | (os.X_OK if path == folder else 0)
        if not os.path.lexists(path) or os.access(path, wanted):
            continue
        found = path.lstat()
        return (
            f"{path} belongs to {_user_name(found.st_uid)}:{_group_name(found.st_gid)} (mode "
            f"{stat.S_IMODE(found.st_mode):04o}) and user {me} may not write to it, and {AND_WHY}; "
            f"mend it with: chown -R {me}:{_group()} {folder} && chmod -R u+rwX {folder}"
        )
    return ""


def _no_file_left(disk: os.statvfs_result) -> bool:
    return disk.f_files > 0 and disk.f_favail == 0


def _mount(folder: Path) -> str:
    try:
        text = MOUNTS.read_text(errors="replace")
    except OSError:
        return str(folder)
    found = mount_of(str(folder.resolve()), parse_mountinfo(text))
    return found.mount_point if found is not None else str(folder)


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def _group() -> str:
    return _group_name(os.getegid())
