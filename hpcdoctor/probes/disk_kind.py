"""What kind of disk is behind a name of the block layer: NVMe, another SSD, or one that turns?

The block layer's own view, /sys/class/block/NAME: a partition belongs to its disk, and what device
mapper or md puts on top of others (`slaves`) is as slow as the slowest kind below it.
"""

import os
from pathlib import Path

from hpcdoctor.probes.files import list_names, read_int_or_none

NVME, SSD, TURNING = "nvme", "ssd", "turning"
SLOWEST_FIRST = (TURNING, SSD, NVME)
DEEPEST = 8  # LVM on crypt on md on partitions is four


def kind_of(root: Path, name: str, deepest: int = DEEPEST) -> str:
    """Return "nvme", "ssd", "turning", or "" where the block layer does not say."""
    folder = root / "sys/class/block" / name
    below = bases_of(root, name)
    if below and deepest:
        kinds = {kind_of(root, each, deepest - 1) for each in below}
        return next((kind for kind in SLOWEST_FIRST if kind in kinds), "")
    if name.startswith("nvme"):
        return NVME
    rotational = read_int_or_none(folder / "queue/rotational")
    if rotational is None:  # a partition has no queue of its own
        rotational = read_int_or_none(folder / "../queue/rotational")
    if rotational is None:
        return ""
    return TURNING if rotational else SSD


def bases_of(root: Path, name: str) -> list[str]:
    """Return what this one is put together from; nothing for a real disk."""
    return list_names(root / "sys/class/block" / name / "slaves")


def name_of(root: Path, number: str) -> str:
    """Return "sda1" for the "8:1" of mountinfo; "" for what is on no block device."""
    if number.startswith("0:"):
        return ""
    try:
        return os.path.basename(os.readlink(root / "sys/dev/block" / number))  # noqa: PTH115, PTH119
    except OSError:
        return ""
