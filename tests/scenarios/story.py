"""What does a story say? The shape of tests/scenarios/<check>/<story>.yaml.

See docs/write-a-check.md for how one is written.
"""

import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

SCENARIOS = Path(__file__).parent
PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(d|h|m|s)")
SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every key is one that the runner knows."""


class Status(_Part, frozen=True, kw_only=True):
    """How a look ends instead of with readings."""

    status: str
    reason: str = ""
    stuck_seconds: float = 0.0


class Happening(_Part, frozen=True, kw_only=True):
    """What becomes of the machine at one moment."""

    write: dict[str, str] = {}
    remove: list[str] = []
    link: dict[str, str] = {}
    grow: dict[str, float] = {}  # added to the number in a file, each second from now on
    log: list[str] = []  # lines of the kernel log
    readings: dict[str, list[dict[str, Any]]] = {}  # as readings/PROBE.json
    change: dict[str, dict[str, dict[str, Any]]] = {}  # probe: subject or "*": field: value
    grow_readings: dict[str, dict[str, dict[str, float]]] = {}
    status: dict[str, dict[str, Status | None]] = {}  # probe: subject: how; None reads again
    reboot: bool = False


class Story(_Part, frozen=True, kw_only=True):
    """One machine over time, and the check that it is about."""

    story: str
    fires: str | None = None
    quiet: str | None = None
    node: str | None = None
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    profile: dict[str, Any] = {}
    every: str | None = None
    until: str
    timeline: dict[str, Happening] = {}

    @property
    def check(self) -> str:
        return self.fires or self.quiet or ""


class Written(msgspec.Struct, frozen=True):
    """A story and the file it stands in."""

    file: Path
    story: Story

    @property
    def name(self) -> str:
        return str(self.file.relative_to(SCENARIOS).with_suffix(""))

    @property
    def log(self) -> Path:
        return self.file.with_suffix(".log")


def all_stories() -> list[Written]:
    return [Written(file, read(file)) for file in sorted(SCENARIOS.glob("*/*.yaml"))]


def read(file: Path) -> Story:
    """Return the story; raise ValueError, with the file's name, where it is none."""
    try:
        story = msgspec.convert(yaml.safe_load(file.read_text()), Story)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ValueError(f"{file}: {error}") from error
    if (story.fires is None) == (story.quiet is None):
        raise ValueError(f"{file}: a story says either `fires:` or `quiet:`, and for which check")
    if story.check != file.parent.name:
        raise ValueError(f"{file}: it is about {story.check}, and so belongs into its folder")
    return story


def seconds(text: str) -> float:
    """Return the seconds of "90s", "26h" or "1h30m"."""
    if not re.fullmatch(f"(?:{PART.pattern})+", text):
        raise ValueError(f"`{text}` is not a time of a story; write 90s, 26h or 1h30m")
    return sum(float(number) * SECONDS[unit] for number, unit in PART.findall(text))


def shown(moment: float) -> str:
    """Return +26h00m00s."""
    minutes, rest = divmod(round(moment), 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours:02}h{minutes:02}m{rest:02}s"
