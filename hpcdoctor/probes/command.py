"""What do the site's own programs say? One child for each; Nagios, node-problem-detector or JSON.

Source:  the programs of /etc/hpcdoctor/commands/, run without a shell
Units:   as the program gives them, told beside each value
Cost:    one process each (class c to h), killed with all it started at its deadline
Absent:  where no command is declared
Trust:   the file and the program belong to root; what the program prints is only text
"""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator

import msgspec

from hpcdoctor.definitions.command import Declared, Format
from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.model.text import visible
from hpcdoctor.probes.host import TOOL_ENVIRONMENT, Host

SUBJECT = "command"
OUTPUT_LIMIT_BYTES = 64 << 10
MESSAGE_LIMIT = 300
NPD_LIMIT = 80
MOST_VALUES = 100
NAGIOS = {0: "ok", 1: "warning", 2: "critical"}
NPD = {0: "ok", 1: "critical"}
VERDICTS = frozenset({"ok", "warning", "critical", "unknown"})
NUMBER = r"-?[0-9]+(?:[.,][0-9]+)?(?:[eE][-+]?[0-9]+)?"
# 'label'=value[UOM];[warn];[crit];[min];[max]
DATUM = re.compile(
    rf"\s*(?:'(?P<quoted>(?:[^']|'')+)'|(?P<bare>[^\s='|]+))="
    rf"(?:(?P<value>{NUMBER})(?P<unit>[^\s;0-9,.]*)|U)"
    r"(?:;(?P<warn>[^\s;]*))?(?:;(?P<crit>[^\s;]*))?(?:;[^\s;]*)*"
)


class Answer(Reading, frozen=True):
    """What a program said as a whole (`label` is ""), or one of its numbers."""

    command: str
    subject: str = ""  # of one line of JSON; "" otherwise
    name: str = ""  # both, as people are told: "raid", "raid md0"
    label: str = ""
    verdict: str | None = None  # ok, warning, critical; None: the program could not tell
    message: str = ""
    value: float | None = None
    unit: str = ""
    warning_limit: str = ""  # as the program says it, a range of Nagios
    critical_limit: str = ""
    exit_status: int | None = None
    seconds: float | None = None


def subjects(host: Host) -> list[str]:
    if not host.commands:
        raise Absent("no command is declared")
    if not host.live:
        raise Absent("a recording runs no programs")
    return sorted(host.commands)


def read(host: Host, subject: str) -> list[Answer]:
    declared = host.commands[subject]
    begin = time.monotonic()
    try:
        status, output = run(declared)
    except OSError as error:
        message = f"{declared.run[0]} cannot be started: {error.strerror}"
        return [named(Answer(command=subject, message=message))]
    seconds = time.monotonic() - begin
    if status is None:
        message = f"{declared.run[0]} gave no answer within {declared.timeout_seconds:g} s"
        return [named(Answer(command=subject, message=message, seconds=seconds))]
    answers = parse(subject, declared.format, status, output)
    return [msgspec.structs.replace(named(each), seconds=seconds) for each in answers]


def named(answer: Answer) -> Answer:
    return msgspec.structs.replace(answer, name=f"{answer.command} {answer.subject}".strip())


def run(declared: Declared) -> tuple[int | None, str]:
    """Return exit status and output; None where it had to be killed, with all that it started."""
    import subprocess  # noqa: PLC0415 - most nodes declare no command

    child = subprocess.Popen(  # noqa: S603  # the site's own, root's, without a shell
        declared.run,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=TOOL_ENVIRONMENT,
        cwd="/",
        process_group=0,
    )
    end = time.monotonic() + declared.timeout_seconds
    output = b""
    assert child.stdout is not None  # noqa: S101  # asked for above
    descriptor = child.stdout.fileno()
    os.set_blocking(descriptor, False)
    try:
        while child.poll() is None and time.monotonic() < end:
            output += _available(descriptor)[: OUTPUT_LIMIT_BYTES - len(output)]
            time.sleep(0.01)
        output += _available(descriptor)[: OUTPUT_LIMIT_BYTES - len(output)]
        status = child.poll()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.stdout.close()
        child.wait()
    return status, output.decode(errors="backslashreplace")


def _available(descriptor: int) -> bytes:
    """Return what can be read now; a program that writes on is read on, and forgotten."""
    try:
        return os.read(descriptor, OUTPUT_LIMIT_BYTES)
    except BlockingIOError:
        return b""


def parse(command: str, form: Format, status: int, output: str) -> list[Answer]:
    """Return what a program meant by its exit status and its output."""
    if status < 0:
        message = f"it was ended by {signal_name(-status)}"
        return [Answer(command=command, message=message, exit_status=status)]
    match form:
        case Format.NAGIOS:
            return list(_nagios(command, status, output))
        case Format.NPD:
            text = visible(" ".join(output.split()), NPD_LIMIT)
            verdict = NPD.get(status)
            return [Answer(command=command, verdict=verdict, message=text, exit_status=status)]
        case Format.JSON:
            return list(_json(command, status, output))


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def _nagios(command: str, status: int, output: str) -> Iterator[Answer]:
    """Text | data on the first line; further text, and behind a later | further data."""
    lines = output.splitlines() or [""]
    text, _, data = lines[0].partition("|")
    _, _, more = "\n".join(lines[1:]).partition("|")
    verdict = NAGIOS.get(status)
    said = visible(text.strip(), MESSAGE_LIMIT) or "it said nothing"
    if verdict is None and status != 3:
        said = f"exit status {status} means nothing to Nagios; {said}"
    yield Answer(command=command, verdict=verdict, message=said, exit_status=status)
    position, joined = 0, f"{data} {more}"
    for _ in range(MOST_VALUES):
        match = DATUM.match(joined, position)
        if match is None:
            return
        position = match.end()
        label = match["quoted"].replace("''", "'") if match["quoted"] else match["bare"]
        yield Answer(
            command=command,
            label=visible(label, 80),
            value=float(match["value"].replace(",", ".")) if match["value"] else None,
            unit=visible(match["unit"] or "", 20),
            warning_limit=visible(match["warn"] or "", 40),
            critical_limit=visible(match["crit"] or "", 40),
        )


class _Line(msgspec.Struct):
    verdict: str
    subject: str = ""
    message: str = ""
    values: dict[str, float] = {}


def _json(command: str, status: int, output: str) -> Iterator[Answer]:
    """One object a line: {"subject", "verdict", "message", "values": {"name": number}}."""
    seen = 0
    for number, line in enumerate(output.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            said = msgspec.json.decode(line.encode(), type=_Line)
        except (msgspec.MsgspecError, ValueError) as error:
            message = f"line {number} of its output is not understood: {visible(str(error), 150)}"
            yield Answer(command=command, subject=f"line {number}", message=message)
            continue
        seen += 1
        subject = visible(said.subject, 80)
        verdict = said.verdict if said.verdict in VERDICTS - {"unknown"} else None
        message = visible(said.message, MESSAGE_LIMIT)
        if said.verdict not in VERDICTS:
            message = f"`{visible(said.verdict, 20)}` is no verdict; {message}"
        yield Answer(
            command=command, subject=subject, verdict=verdict, message=message, exit_status=status
        )
        for label, value in list(said.values.items())[:MOST_VALUES]:
            yield Answer(command=command, subject=subject, label=visible(label, 80), value=value)
        if seen >= MOST_VALUES:
            return
    if not seen and not output.strip():
        message = f"it wrote nothing and ended with {status}"
        yield Answer(command=command, message=message, exit_status=status)
