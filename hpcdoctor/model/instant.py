"""When was that? A moment that survives clock steps, suspends and reboots."""

import msgspec


class Instant(msgspec.Struct, frozen=True):
    """One moment on one machine.

    Within a boot, durations come from CLOCK_BOOTTIME, which no clock step moves and which counts
    suspends; across boots only the wall clock is left, and it may have stepped.
    """

    boot_id: str  # /proc/sys/kernel/random/boot_id
    boottime: float  # seconds, CLOCK_BOOTTIME
    wall: float  # seconds since 1970-01-01 UTC

    def seconds_since(self, earlier: "Instant") -> float:
        """Return how long after `earlier` this is, in seconds, and never less than zero."""
        if self.boot_id == earlier.boot_id:
            return max(0.0, self.boottime - earlier.boottime)
        return max(0.0, self.wall - earlier.wall)

    def plus(self, seconds: float) -> "Instant":
        return Instant(self.boot_id, self.boottime + seconds, self.wall + seconds)

    def reached(self, target: "Instant") -> bool:
        """Tell whether `target`, made with `plus`, is past; a clock step may only delay it.

        In the boot that set it, the boot clock alone decides. After a reboot there is only the
        wall clock.
        """
        if self.boot_id == target.boot_id:
            return self.boottime >= target.boottime
        return self.wall >= target.wall
