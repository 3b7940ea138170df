"""What will be gone tomorrow? Captured when something critical is found: a folder a time, bounded.

The findings, the last look of every probe, and the scene, now and a minute later. Nothing of it is
needed to decide; where it cannot be written, that is said and everything goes on.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from hpcdoctor.checks.judge import Change
from hpcdoctor.daemon.record import Recorder
from hpcdoctor.model.finding import Cause, Finding, Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node
from hpcdoctor.model.reading import Look, ReadStatus

log = structlog.get_logger()

FOLDER = "evidence"
SCENE = "scene"  # the probe
LATER_SECONDS = 60.0
APART_SECONDS = 60.0  # between two captures: a burst is one scene
KEPT = 30
LARGEST_FILE = 2 << 20


class Capture(msgspec.Struct):
    """One folder that is being filled."""

    folder: Path
    began: Instant
    scenes: int = 0


class Evidence:
    """Decides when to capture, and what goes where."""

    def __init__(self, state_directory: Path, recorder: Recorder | None) -> None:
        self._root = state_directory / FOLDER
        self._recorder = recorder
        self._open: Capture | None = None

    def begins(self, node: Node, changes: Iterable[Change], now: Instant) -> bool:
        """Tell whether this turn is worth a capture, and begin it."""
        if not any(is_serious(change) for change in changes):
            return False
        if self._open is not None and now.seconds_since(self._open.began) < APART_SECONDS:
            return False
        about = node.incident.id if node.incident else "none"
        self._open = Capture(self._root / f"{now.wall:.0f}-{about}", now)
        return True

    def wants_scene(self, now: Instant) -> bool:
        """Tell whether the scene is to be looked at: at once, and again a minute later."""
        capture = self._open
        if capture is None:
            return False
        age = now.seconds_since(capture.began)
        if age > 2 * LATER_SECONDS:  # what is seen now is another scene
            return False
        return capture.scenes == 0 or (capture.scenes == 1 and age >= LATER_SECONDS)

    def files(self, node: Node, findings: Sequence[Finding]) -> dict[str, Any]:
        """Return what is known at once."""
        looks = self._recorder.latest() if self._recorder is not None else []
        return {"node.json": node, "findings.json": list(findings), "looks.json": looks}

    def scene(self, looks: Iterable[Look]) -> dict[str, Any]:
        """Return the scene among these looks, under its name, where one was asked for."""
        capture = self._open
        if capture is None or capture.scenes >= 2:
            return {}
        seen = [each for each in looks if each.probe == SCENE and each.status is ReadStatus.READ]
        if not seen:
            return {}
        capture.scenes += 1
        name = "scene.json" if capture.scenes == 1 else "scene-later.json"
        return {name: seen[0].readings}

    def write(self, files: dict[str, Any]) -> None:
        """Write these files into the open capture; may block, never raises."""
        if self._open is None:
            return
        folder = self._open.folder
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            for name, content in files.items():
                data = msgspec.json.format(msgspec.json.encode(content), indent=1)
                if len(data) > LARGEST_FILE:
                    data = json.dumps({"left_out": f"{len(data)} bytes are too much"}).encode()
                (folder / name).write_bytes(data)
            captures = sorted(self._root.iterdir(), key=lambda each: each.name)
            for old in captures[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            log.warning("evidence.unusable", reason=str(error))


def is_serious(change: Change) -> bool:
    finding = change.finding
    return (
        change.kind in ("opened", "changed")
        and finding.verdict is Verdict.CRITICAL
        and finding.cause is not Cause.JOB
        and finding.caused_by is None
    )
