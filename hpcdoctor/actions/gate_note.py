"""Did our own gate turn a job away? It leaves a note in a folder that only root can write.

Slurm drains a node whose Prolog has failed, with a reason of its own ("Prolog error"). Where that
was our gate, under this very mark, the reason may be replaced by ours; where it was another
program's Prolog, the drain is not ours and stays.
"""

import os
import stat
from pathlib import Path

LONGEST_NOTE = 512
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def turned_away(run_directory: str, mark: str) -> bool:
    """Tell whether the last job that the gate turned away in this boot was so under this mark."""
    folder = Path(f"{run_directory}-gate")
    try:
        if not is_ours_alone(folder.lstat()):
            return False
        descriptor = os.open(folder / "turned-away", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            text = os.read(descriptor, LONGEST_NOTE).decode("ascii", errors="replace")
        finally:
            os.close(descriptor)
        boot = BOOT_ID.read_text().strip()
    except OSError:
        return False
    words = text.split(" ", 4)
    return len(words) == 5 and words[:2] == ["1", boot] and words[4].startswith(f"{mark} ")


def is_ours_alone(found: os.stat_result) -> bool:
    return (
        stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    )
