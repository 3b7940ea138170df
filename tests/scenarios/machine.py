"""How does the machine of a story change with time? A tree of files, a clock, and a kernel log."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

from hpcdoctor.model.instant import Instant
from hpcdoctor.probes import files
from hpcdoctor.probes.host import BOOT_ID, Host
from tests.conftest import NODES
from tests.scenarios.story import Happening, Status, Story

# The first look: late enough for every check that is quiet after boot.
BOOTED_SECONDS = 42_000.0
WALL = 1_700_000_000.0

Looks = list[dict[str, Any]]


class Machine:
    """One recorded tree, made anew for one story."""

    def __init__(self, folder: Path, story: Story) -> None:
        self.root = folder / "node"
        if story.node is None:
            self.root.mkdir()
        else:
            shutil.copytree(NODES / story.node, self.root, symlinks=True)
        self.moment = 0.0
        self.boots = 1
        self._profile = story.profile
        self.host = self._booted()
        self._booted_at = -BOOTED_SECONDS
        self._sequence = 0
        self._growing: dict[str, tuple[float, float, float]] = {}  # file: from, since, a second
        self._looks: dict[str, Looks] = {}
        self._growing_fields: list[tuple[dict[str, Any], str, float, float, float]] = []
        for file in sorted(self.root.glob("readings/*.json")):
            self._looks[file.stem] = json.loads(file.read_text())
        self._write_boot_id()
        self._apply(Happening(write=story.files, link=story.links))

    @property
    def now(self) -> Instant:
        boottime = self.moment - self._booted_at
        return Instant(f"boot-{self.boots}", boottime, WALL + self.moment)

    def pass_to(self, moment: float, happening: Happening | None) -> None:
        """Let time go on to this moment, and then let this happen."""
        self.moment = moment
        if happening is not None and happening.reboot:
            self.boots += 1
            self._booted_at = moment
            self._sequence = 0
            self.host = self._booted()
            self._write_boot_id()
            (self.root / "dev/kmsg").unlink(missing_ok=True)
        self._grow()
        if happening is not None:
            self._apply(happening)
        self._write_looks()

    def _booted(self) -> Host:
        files.confine(self.root.resolve())
        host = Host(self.root.resolve(), live=False, clock=lambda: self.now)
        host.profile = self._profile
        return host

    def _write_boot_id(self) -> None:
        self._write(BOOT_ID, f"boot-{self.boots}\n")

    def _apply(self, happening: Happening) -> None:
        for path in happening.remove:
            self._remove(self._path(path))
        for path, text in happening.write.items():
            self._growing.pop(path, None)
            self._write(path, text)
        for path, target in happening.link.items():
            place = self._path(path)
            self._remove(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
        for path, rate in happening.grow.items():
            before = float(self._path(path).read_text())
            self._growing[path] = (before, self.moment, rate)
        if happening.log:
            self._log(happening.log)
        self._looks |= copy.deepcopy(happening.readings)
        for probe, subjects in happening.change.items():
            for subject, fields in subjects.items():
                for reading in self._of(probe, subject):
                    reading.update(fields)
        for probe, subjects in happening.grow_readings.items():
            for subject, rates in subjects.items():
                for reading in self._of(probe, subject):
                    self._grow_fields(reading, rates)
        for probe, ends in happening.status.items():
            for subject, how in ends.items():
                self._end(probe, subject, how)

    def _grow_fields(self, reading: dict[str, Any], rates: dict[str, float]) -> None:
        for field, rate in rates.items():
            self._growing_fields = [
                row for row in self._growing_fields if (row[0], row[1]) != (reading, field)
            ]
            self._growing_fields.append((reading, field, reading[field], self.moment, rate))

    def _of(self, probe: str, subject: str) -> list[dict[str, Any]]:
        """Return the readings of this subject, or with one of these values; "*" for all."""
        found = [
            reading
            for look in self._looks[probe]
            for reading in look.get("readings", [])
            if subject in ("*", look.get("subject"))
            or subject in [value for value in reading.values() if isinstance(value, str)]
        ]
        if not found:
            raise ValueError(f"no reading of {probe} is about {subject}")
        return found

    def _end(self, probe: str, subject: str, how: Status | None) -> None:
        looks = self._looks.setdefault(probe, [])
        mine = [look for look in looks if look.get("subject", "") == subject]
        if not mine:
            mine = [{"subject": subject}]
            looks += mine
        for look in mine:
            for key in ("status", "reason", "stuck_seconds"):
                look.pop(key, None)
            look.pop("stuck_from", None)
            if how is not None:
                look |= {"status": how.status, "reason": how.reason}
                look["stuck_from"] = self.moment - how.stuck_seconds

    def _grow(self) -> None:
        for path, (before, since, rate) in self._growing.items():
            self._write(path, f"{int(before + rate * (self.moment - since))}\n")
        for reading, field, before, since, rate in self._growing_fields:
            grown = before + rate * (self.moment - since)
            reading[field] = int(grown) if isinstance(before, int) else grown

    def _write_looks(self) -> None:
        for probe, looks in self._looks.items():
            written = []
            for look in looks:
                shown = {key: value for key, value in look.items() if key != "stuck_from"}
                if look.get("status") == "stuck":
                    shown["stuck_seconds"] = self.moment - look["stuck_from"]
                if "status" in look:
                    shown["readings"] = []
                written.append(shown)
            self._write(f"readings/{probe}.json", json.dumps(written))

    def _log(self, lines: list[str]) -> None:
        file = self._path("dev/kmsg")
        file.parent.mkdir(parents=True, exist_ok=True)
        microseconds = round(self.now.boottime * 1e6)
        with file.open("a") as log:
            for line in lines:
                self._sequence += 1
                log.write(f"6,{self._sequence},{microseconds},-;{line}\n")

    def _write(self, path: str, text: str) -> None:
        place = self._path(path)
        if place.is_symlink():
            place = place.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def _remove(self, place: Path) -> None:
        if place.is_symlink() or place.is_file():
            place.unlink()
        elif place.exists():
            shutil.rmtree(place)

    def _path(self, path: str) -> Path:
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path}: a path of a story begins without a slash and leads down")
        return self.root / path
