"""Does what is written here outlive a reboot? Without that, nothing that disrupts may run."""

from pathlib import Path

from hpcdoctor.probes.mount_table import Entry, parse_mountinfo

MOUNTS = Path("/proc/self/mountinfo")
MEMORY = frozenset({"tmpfs", "ramfs", "rootfs"})


def why_not_durable(folder: Path, mounts: Path = MOUNTS) -> str:
    """Return why the folder's files are gone after a reboot; "" where they stay, as far as known.

    An overlay or a live image whose upper layer lies in memory cannot be told from another.
    """
    above = mount_of(str(folder.resolve()), parse_mountinfo(mounts.read_text(errors="replace")))
    if above is not None and above.type in MEMORY:
        return f"the store in {folder} lies in memory ({above.type}) and does not survive a reboot"
    return ""


def mount_of(path: str, entries: list[Entry]) -> Entry | None:
    """Return the mount that the path is on: the longest above it, the last of equals on top."""
    above = [
        entry
        for entry in entries
        if path == entry.mount_point or path.startswith(entry.mount_point.rstrip("/") + "/")
    ]
    return (
        max(enumerate(above), key=lambda row: (len(row[1].mount_point), row[0]))[1]
        if above
        else None
    )
