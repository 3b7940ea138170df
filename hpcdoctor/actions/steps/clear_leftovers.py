"""Remove what ended jobs have left in shared memory: files and segments of users without a process.

The node is drained and has no jobs, or this would not run. Users below 1000 are the system's.
"""

import os
import stat
from pathlib import Path

from hpcdoctor.actions.steps import StepFailed, World

FIRST_USER = 1000
NOBODY = 65534
CREATOR, SEGMENT, ATTACHED = 7, 1, 6  # columns of /proc/sysvipc/shm: uid, shmid, nattch


def run(world: World) -> None:
    root = world.host.root
    living = users_with_processes(root)
    failed = clear_files(root / "dev/shm", living)
    for segment in segments_of(root, living):
        world.run("ipcrm", "--shmem-id", segment)
    if failed:
        raise StepFailed("; ".join(failed))


def clear_files(folder: Path, living: set[int]) -> list[str]:
    """Unlink plain files at the top of the folder; never follow a link, never enter a folder."""
    failed = []
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name in os.listdir(descriptor):  # noqa: PTH208  # by descriptor
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and is_leftover(status.st_uid, living):
                try:
                    os.unlink(name, dir_fd=descriptor)
                except OSError as error:
                    failed.append(f"{folder / name}: {error.strerror}")
    finally:
        os.close(descriptor)
    return failed


def segments_of(root: Path, living: set[int]) -> list[str]:
    """Return the ids of System V segments that nobody has attached and whose user is gone."""
    found = []
    for line in (root / "proc/sysvipc/shm").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[ATTACHED] == "0" and is_leftover(int(columns[CREATOR]), living):
            found.append(columns[SEGMENT])
    return found


def is_leftover(user: int, living: set[int]) -> bool:
    return user >= FIRST_USER and user != NOBODY and user not in living


def users_with_processes(root: Path) -> set[int]:
    users = set()
    for process in (root / "proc").iterdir():
        if process.name.isdigit():
            try:
                users.add(process.stat().st_uid)
            except OSError:  # gone meanwhile
                continue
    return users
