"""The machine as a probe sees it: where its files are, and what time it is there."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpcdoctor.model.instant import Instant
from hpcdoctor.probes import files

BOOT_ID = "proc/sys/kernel/random/boot_id"


class Host:
    """A live machine (`Host.live()`) or a recorded one (`Host.recorded(folder)`).

    `root` stands in for `/`: no path in a probe begins with a slash.
    `memory` is what a probe noted when it looked last, for those that compare two looks; it lives
    as long as the child that reads.
    `extra_mounts` are the mount points that the profile names.
    """

    def __init__(self, root: Path, *, live: bool, clock: Callable[[], Instant]) -> None:
        self.root = root
        self.live = live
        self.clock = clock
        self.memory: dict[str, Any] = {}
        self.extra_mounts: list[str] = []
        self.visiting = False  # one look by a person: nothing is left behind on any mount
        # Only for tests end to end: believe what a process wrote to /dev/kmsg from now on.
        self.accept_user_kernel_log = False

    @classmethod
    def this_machine(cls) -> "Host":
        boot_id = read_boot_id(Path("/"))

        def now() -> Instant:
            return Instant(boot_id, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())

        return cls(Path("/"), live=True, clock=now)

    @classmethod
    def recorded(cls, folder: Path, now: Instant | None = None) -> "Host":
        """Let a recorded tree stand in for `/`. It is hostile: links that lead out have no value.

        `now` is the moment of the recording; without it, zero of that machine's boot.
        """
        root = folder.resolve()
        files.confine(root)
        moment = now or Instant(read_boot_id(root), 0.0, 0.0)
        return cls(root, live=False, clock=lambda: moment)


def read_boot_id(root: Path) -> str:
    """Return the boot's id; a recording without one is its own boot."""
    return files.read_text_or_none(root / BOOT_ID) or "recorded"
