"""`hpcdoctor bundle`: one archive of an incident, for a vendor or for tomorrow."""

import io
import json
import os
import sqlite3
import sys
import tarfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpcdoctor import __version__
from hpcdoctor.cli.folders import settings_for_folders
from hpcdoctor.cli.parser import make_parser
from hpcdoctor.daemon.evidence import FOLDER
from hpcdoctor.daemon.store import FILE
from hpcdoctor.model.job import NEARNESS
from hpcdoctor.model.text import visible

LARGEST_FILE = 4 << 20
MOST_FILES = 200
NOTHING_THERE = 66  # sysexits: EX_NOINPUT
NO_RIGHT = 77  # sysexits: EX_NOPERM
SUMMARY = "SUMMARY.txt"


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "bundle",
        "Put what is known of an incident into one archive: the evidence captured when it began, "
        "its events in order, and a summary to read first. Names of users and their processes, "
        "command lines and passwords are not in it. For root, or the daemon's own user.",
    )
    parser.add_argument(
        "incident", nargs="?", help="four characters, as in `hd:k3f9.1`; default: the last one"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: INCIDENT.tar.gz here")
    options = parser.parse_args(arguments)
    state = Path(settings_for_folders(options.config).state_directory)
    try:
        captures = list(captures_of(state, options.incident))
    except PermissionError as error:
        print(
            f"hpcdoctor: {error.filename} may be read by root and the daemon's own user only; run "
            "`sudo hpcdoctor bundle`",
            file=sys.stderr,
        )
        return NO_RIGHT
    if not captures:
        about = f"incident {visible(options.incident)}" if options.incident else "any incident"
        print(
            f"hpcdoctor: {state / FOLDER} has nothing of {about}; evidence is captured while the "
            "daemon runs, when something critical is found",
            file=sys.stderr,
        )
        return NOTHING_THERE
    incident = options.incident or captures[-1].name.partition("-")[2]
    captures = [each for each in captures if each.name.endswith(f"-{incident}")]
    output = options.output or Path(f"hpcdoctor-{incident}.tar.gz")
    events = events_of(state / FILE, incident)
    write(output, incident, captures, events)
    print(f"{output}: {len(captures)} captures, {len(events)} events; read {SUMMARY} in it first")
    return 0


def captures_of(state: Path, incident: str | None) -> Iterator[Path]:
    """Yield the folders of this incident, or all, the oldest first."""
    try:
        folders = sorted((state / FOLDER).iterdir())
    except FileNotFoundError:
        return
    for folder in folders:
        if incident is None or folder.name.endswith(f"-{incident}"):
            yield folder


def events_of(database: Path, incident: str) -> list[dict[str, Any]]:
    """Return what was published of the incident and is still kept here, in order."""
    if not database.exists():
        return []
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)
    try:
        rows = connection.execute("SELECT payload FROM spool ORDER BY sequence").fetchall()
    finally:
        connection.close()
    events = [json.loads(payload) for (payload,) in rows]
    return [event for event in events if event.get("data", {}).get("incident") == incident]


def write(output: Path, incident: str, captures: list[Path], events: list[dict[str, Any]]) -> None:
    """Write the archive, readable by its owner only; never through a link that lies there."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with (
        os.fdopen(descriptor, "wb") as file,
        tarfile.open(fileobj=file, mode="w:gz") as archive,
    ):
        _add(archive, incident, SUMMARY, summary(incident, captures, events).encode())
        _add(archive, incident, "events.json", json.dumps(events, indent=1).encode())
        for capture in captures:
            for path in sorted(capture.iterdir())[:MOST_FILES]:
                if path.is_file() and not path.is_symlink():
                    data = path.read_bytes()[:LARGEST_FILE]
                    _add(archive, incident, f"{capture.name}/{path.name}", data)


def _add(archive: tarfile.TarFile, incident: str, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(f"hpcdoctor-{incident}/{name}")
    entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
    archive.addfile(entry, io.BytesIO(data))


def summary(incident: str, captures: list[Path], events: list[dict[str, Any]]) -> str:
    """Return the page that a person reads first: what happened, in order, and what is in here."""
    lines = [f"Incident {incident}, as hpcdoctor {__version__} saw it", ""]
    findings = [
        finding
        for capture in captures
        for finding in _read(capture / "findings.json")
        if finding.get("verdict") == "critical"
    ]
    for finding in {f"{f['check']}{f['subject']}": f for f in findings}.values():
        lines.append(f"CRITICAL  {finding['check']}: {visible(finding['summary'], 500)}")
        lines += [f"          {visible(e['text'], 500)}" for e in finding["evidence"][:3]]
        lines += [f"          {_job(job)}" for job in finding.get("jobs") or []]
    lines += ["", "What happened", ""]
    for event in events:
        data = event["data"]
        said = data.get("summary") or data.get("because") or data.get("message") or ""
        if "happens" in data:
            said = f"{_job(data)}: {data['happens']}"
        kind = event["type"].removeprefix("hpcdoctor.")
        lines.append(f"{event['time']}  {kind:<20} {visible(str(said), 300)}")
    lines += ["", "In here", "", "events.json: each event in full"]
    for capture in captures:
        seconds = float(capture.name.partition("-")[0])
        moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
        names = ", ".join(sorted(path.name for path in capture.iterdir()))
        lines.append(f"{capture.name}/: captured {moment} UTC: {names}")
    lines += [
        "",
        "scene.json has the end of the kernel log and the processes at that moment,",
        "scene-later.json a minute after it; looks.json is the last look of every probe.",
    ]
    return "\n".join(lines) + "\n"


def _job(job: dict[str, Any]) -> str:
    """Return a job of a finding or an event in words: whose it is, and how near."""
    who = job.get("user") or job.get("user_id")
    of = "" if who is None else f" of user {who}"
    near = NEARNESS.get(job.get("on", ""), "on this node")
    ended = ", ended since" if job.get("ended") else ""
    return visible(f"{job.get('scheduler', '')} job {job.get('job')}{of}, {near}{ended}", 300)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    return found if isinstance(found, list) else []
