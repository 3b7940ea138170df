"""`hpcdoctor gate`: may a job start on this node, and how is that known?

The same answer as `hpcdoctor-gate` gives to Slurm's Prolog, for people, with its reasons.
"""

import json
import sys
import textwrap
from pathlib import Path

import msgspec

from hpcdoctor.cli.ask import NoDaemon, SilentDaemon, ask, terminal_width
from hpcdoctor.cli.folders import settings_for_folders
from hpcdoctor.cli.parser import make_parser
from hpcdoctor.model import gate
from hpcdoctor.model.gate import Answer, Gate, Reading
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.text import visible
from hpcdoctor.probes.host import Host

CODES = {Answer.OPEN: 0, Answer.CLOSED: 1, Answer.UNKNOWN: 3}
LONGEST_FILE = 1024
MARGIN = " " * 10


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "gate",
        "Say whether a job may start on this node. Exit codes: 0 open, 1 closed, 3 cannot know.",
    )
    parser.add_argument("--json", action="store_true", help="for scripts; hpcdoctor.gate/1")
    parser.add_argument("--file", type=Path, help="default: `gate` in the run directory")
    parser.add_argument(
        "--after-job",
        metavar="JOB",
        help="as Epilog: name what this job has left behind; exit 1 where it has",
    )
    parser.add_argument("--user", type=int, metavar="UID", help="whose job that was")
    options = parser.parse_args(arguments)
    if options.after_job is not None:
        if options.user is None:
            parser.error("--after-job wants --user, the number of the job's user")
        from hpcdoctor.cli.after_job import say_what_is_left

        return say_what_is_left(options.after_job, options.user)
    path = options.file or Path(settings_for_folders(options.config).run_directory) / gate.FILE
    reading = read(path, Host.this_machine())
    if options.json:
        print(json.dumps(_document(reading, path)))
    else:
        text = _text(reading, path, Host.this_machine())
        if options.file is None and reading.answer is Answer.OPEN:
            text = _with_what_it_leaves_open(text, options.config)
        sys.stdout.write(text)
    return CODES[reading.answer]


def read(path: Path, host: Host) -> Reading:
    """Return the answer of the file, as a Prolog would get it now."""
    if not path.is_file():
        why = f"missing: there is no {path}; no doctor has run here since the machine started"
        return Reading(Answer.UNKNOWN, why)
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST_FILE).decode("ascii", errors="replace")
    except OSError as error:
        return Reading(Answer.UNKNOWN, f"broken: {path} cannot be read: {error.strerror}")
    said = gate.parse(text)
    if said is None:
        return Reading(Answer.UNKNOWN, f"broken: the line in {path} is not in its grammar")
    now = host.clock()
    alive = Path(f"/proc/{said.process}").is_dir()
    return gate.judge(said, now.boot_id, int(now.boottime), alive=alive)


def _document(reading: Reading, path: Path) -> dict[str, object]:
    said = reading.gate
    return {
        "schema": "hpcdoctor.gate/1",
        "answer": reading.answer.value,
        "why": reading.why,
        "file": str(path),
        "authority": said.authority if said else None,
        "heartbeat_seconds": said.heartbeat_seconds if said else None,
        "process": said.process if said else None,
    }


class Standing(msgspec.Struct):
    """What is needed of the daemon's answer to `status`."""

    state: str
    verdict: str
    because: str
    would: str
    mode: str
    held_by: str | None = None
    quarantine: str | None = None


def _with_what_it_leaves_open(text: str, configuration: Path) -> str:
    """Add, below the first line, that an open gate is not a sound node; the daemon knows."""
    question = {"type": "status", "json": True}
    try:
        socket = str(settings_for_folders(configuration, quiet=True).control_socket)
        code, answer = ask(socket, msgspec.json.encode(question))
        found = msgspec.json.decode(answer, type=Standing) if code == 0 else None
    except (NoDaemon, SilentDaemon, msgspec.DecodeError):
        return text  # `written` tells how old the line is
    but = open_although(found) if found else ""
    first, newline, rest = text.partition("\n")
    lines = textwrap.wrap(but, max(40, terminal_width()) - len(MARGIN), break_on_hyphens=False)
    return first + newline + "".join(f"{MARGIN}{line}\n" for line in lines) + rest


def open_although(standing: Standing) -> str:
    """Say what is known against this node although jobs start on it; "" where nothing is."""
    because = visible(standing.because)
    if standing.state == "waiting" and standing.held_by:
        return f"a rule wants the node drained, and nothing is done: {because}"
    if standing.state == "waiting":
        return f"but the node waits to be drained, and jobs start until it is: {because}"
    if standing.held_by and standing.quarantine:
        return f"what stands at the scheduler is left as it is: {visible(standing.quarantine)}"
    if standing.verdict != "critical":
        return ""
    if standing.mode != "act" and standing.would.startswith("rule "):
        return f"but the node is critical; mode is {standing.mode}: {visible(standing.would)}"
    return (
        "but the node is critical, and no rule drains it for that now: `hpcdoctor check` says why"
    )


def _text(reading: Reading, path: Path, host: Host) -> str:
    said = reading.gate
    lines = {
        Answer.OPEN: [f"open: jobs may start here{'; ' if reading.why else ''}{reading.why}"],
        Answer.CLOSED: [
            f"closed: {reading.why}",
            "          jobs do not start here until `hpcdoctor release --quarantine --why ...`",
        ],
        Answer.UNKNOWN: [
            f"cannot know: {reading.why}",
            "          jobs start here all the same; `hpcdoctor status` says how the doctor is",
        ],
    }[reading.answer]
    lines.append(f"file      {path}")
    if said is not None:
        beat = said.heartbeat_seconds
        lines.append(
            f"written   {_when(said, host.clock())} by process {said.process}, every {beat} s; "
            f"after {gate.MISSED_BEATS * beat} s it counts no more"
        )
        lines.append(f"authority {said.authority}")
    return "\n".join(lines) + "\n"


def _when(said: Gate, now: Instant) -> str:
    age = int(now.boottime) - said.at_seconds
    if said.boot_id != now.boot_id:
        return "before this start of the machine"
    return f"{-age} s in the future" if age < -1 else f"{max(0, age)} s ago"
