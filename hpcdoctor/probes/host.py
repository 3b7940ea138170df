"""The machine as a probe sees it: its files, what its tools say, and what time it is there."""

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import files

BOOT_ID = "proc/sys/kernel/random/boot_id"
# Where tools are looked for: never in a PATH that somebody handed down to us.
TOOL_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
TOOL_ENVIRONMENT = {"PATH": ":".join(TOOL_FOLDERS), "LC_ALL": "C", "TZ": "UTC"}
OUTPUT_LIMIT_BYTES = 1 << 20


class Ran(msgspec.Struct, frozen=True):
    """How a tool ended, and what it wrote."""

    status: int
    out: str
    err: str = ""


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
        # What the profile says, for probes that look only at what it names.
        self.profile: Mapping[str, Any] = {}
        # The site's own programs, by name: what probes/command.py runs.
        self.commands: Mapping[str, Any] = {}
        self.visiting = False  # one look by a person: nothing is left behind on any mount
        # Only for tests end to end: believe what a process wrote to /dev/kmsg from now on.
        self.accept_user_kernel_log = False

    def run(self, arguments: Sequence[str], timeout_seconds: float, input_text: str = "") -> Ran:
        """Run a tool of the system without a shell and return how it ended.

        Only for probes with a child of their own, since any tool may hang: the child is killed
        together with what it started. Raises Absent where there is no such tool and Unavailable
        where it gives no answer in time. On a recorded machine the recorded answer is read from
        `commands/NAME` (its standard output; `NAME.status` holds the exit status, where not 0), and
        nothing is run.
        """
        if not self.live:
            return self._recorded_run(arguments)
        program = find_tool(arguments[0])
        if program is None:
            raise Absent(f"{arguments[0]} is not installed")
        import subprocess  # noqa: PLC0415 - only few probes start a tool, and never in a sweep

        try:
            ran = subprocess.run(  # noqa: S603 - arguments of ours, no shell, a tool of the system
                [program, *arguments[1:]],
                input=input_text.encode(),
                capture_output=True,
                timeout=timeout_seconds,
                check=False,
                cwd="/",
                env=TOOL_ENVIRONMENT,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"{' '.join(arguments)} gave no answer within {timeout_seconds:g} s"
            ) from None
        except OSError as error:
            raise Unavailable(f"{program} cannot be started: {error.strerror}") from error
        return Ran(ran.returncode, _text(ran.stdout), _text(ran.stderr))

    def _recorded_run(self, arguments: Sequence[str]) -> Ran:
        name = recorded_name(arguments)
        path = self.root / "commands" / name
        if not path.exists():
            raise Absent(f"the recording holds no output of {' '.join(arguments)}")
        status = files.read_int_or_none(path.with_name(f"{name}.status")) or 0
        return Ran(status, _text(files.read_bytes(path, OUTPUT_LIMIT_BYTES)))

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


def find_tool(name: str) -> str | None:
    """Return the path of a tool of the system, or None where it is not installed."""
    for folder in TOOL_FOLDERS:
        path = f"{folder}/{name}"
        if os.access(path, os.X_OK):
            return path
    return None


def recorded_name(arguments: Sequence[str]) -> str:
    """Return the name of the file in `commands/`: `ipmitool sel elist` is ipmitool_sel_elist."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", " ".join(arguments)).strip("_")[:120]


def _text(output: bytes) -> str:
    return output[:OUTPUT_LIMIT_BYTES].decode(errors="backslashreplace")
