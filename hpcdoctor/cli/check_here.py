"""What does `hpcdoctor check` do without a daemon, or on a recording or a log?"""

import argparse
import os
import re
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from hpcdoctor.checks.affected import jobs_of
from hpcdoctor.checks.judge import Judge
from hpcdoctor.cli.ask import (
    NoDaemon,
    SilentDaemon,
    ascii_only,
    terminal_width,
    wants_colour,
)
from hpcdoctor.cli.check import FORMS, from_daemon
from hpcdoctor.cli.folders import settings_for_folders
from hpcdoctor.cli.parser import Parser, make_parser
from hpcdoctor.definitions.command import declared
from hpcdoctor.definitions.loader import load_definitions
from hpcdoctor.definitions.mistake import did_you_mean
from hpcdoctor.definitions.profile import mounts_of
from hpcdoctor.knowledge import Knowledge, load
from hpcdoctor.model.finding import EXIT_CODE
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.json_text import json_text
from hpcdoctor.model.quantity import parse_duration
from hpcdoctor.model.reading import Look, ReadStatus, Unavailable
from hpcdoctor.model.text import visible
from hpcdoctor.prober.local import Here, read_here
from hpcdoctor.prober.looking import encode
from hpcdoctor.probes import kernel_log
from hpcdoctor.probes.files import read_text_or_none
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.registry import Shape
from hpcdoctor.report.document import Source, report

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
JOBS = "jobs"  # the probe, of which no check is needed
DEADLINE_SECONDS = 5.0
LONGEST_APART_SECONDS = 3600.0
DAY_SECONDS = 86400.0


def main(arguments: list[str], *, silent: str = "") -> int:
    """Look, and print the report; `silent` says that the daemon has been asked in vain already."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in options.name:
        if NAME.fullmatch(name) is None:
            parser.error(f"{name!r} cannot be the name of a check")
    apart = _duration(parser, options.apart)
    elsewhere = bool(options.root or options.kernel_log)
    if elsewhere and options.here:
        parser.error("--here is this machine; --root and --kernel-log are another one")
    if options.root and options.apart and len(options.root) < 2:
        parser.error("--apart needs two snapshots: give --root twice")
    if silent:
        print(f"hpcdoctor: {silent}; looking without it", file=sys.stderr)
    elif not elsewhere and not options.here and apart is None:
        code = _ask_daemon(options)
        if code is not None:
            return code
    knowledge = load(options.config, options.name or None)
    if not set(options.name) <= set(knowledge.checks):
        knowledge = load(options.config)  # a wrong name is answered with the likely one
    checks = knowledge.checks
    for name in options.name:
        if name not in checks:
            parser.error(_why_no_check(name, checks, options.config))
    if options.name:
        checks = {name: checks[name] for name in options.name}
    elif options.kernel_log and not options.root:
        checks = {n: c for n, c in checks.items() if c.definition.probe == "kernel_log"}
    knowledge = msgspec.structs.replace(knowledge, checks=checks)
    source: Source
    if elsewhere:
        judge, now = _elsewhere(parser, knowledge, options.root, apart, options.kernel_log)
        source = "recording" if options.root else "log"
        node = (options.root or options.kernel_log)[-1].resolve().name
    else:
        judge, now = _here(knowledge, apart)
        source = "probes"
        node = knowledge.settings.node or socket.gethostname().partition(".")[0]
    whole = report(
        visible(node),
        judge.outcomes(),
        judge.findings.values(),
        judge.verdict(),
        now,
        source=source,
        jobs=judge.jobs,
    )
    if options.json:
        print(json_text(whole))
    elif options.brief:
        from hpcdoctor.report.brief import brief  # what is not printed is not imported

        print(brief(whole))
    else:
        from hpcdoctor.report.text import render

        text = render(
            whole,
            width=terminal_width(),
            colour=wants_colour(),
            verbose=options.verbose,
            ascii_only=ascii_only(),
        )
        _print(text)
    return EXIT_CODE[whole.verdict]


def _print(text: str) -> None:
    """Print it, whatever letters standard output has."""
    letters = sys.stdout.encoding or "utf-8"
    print(text.encode(letters, "backslashreplace").decode(letters), end="")


def _why_no_check(name: str, checks: Iterable[str], configuration: Path) -> str:
    """Tell a check that the site has switched off from one that there never was."""
    found = load_definitions(configuration).checks.get(name)
    if found is not None:
        place = found.source.place("enabled")
        return f"the check {name!r} is switched off in {place.file}:{place.line}"
    hint = did_you_mean(name, checks) or "; `hpcdoctor check --verbose` lists them all"
    return f"no check is named {name!r}{hint}"


def _why_no_folder(root: Path) -> str:
    if not os.path.lexists(root):
        return f"--root {root}: there is no such folder"
    if root.suffix in {".gz", ".tgz", ".tar"}:
        return f"--root {root} is an archive: unpack it first, with `tar xf {root}` in a new folder"
    return f"--root {root} is no folder, or may not be entered"


def _parser() -> Parser:
    parser = make_parser(
        "check",
        "Say what is wrong with this machine. Exit code: 0 ok, 1 warning, 2 critical, 3 unknown.",
    )
    parser.add_argument("name", nargs="*", help="only these checks")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for scripts; schema hpcdoctor.check/1")
    form.add_argument(
        "--brief", action="store_true", help="one line, the same on every node with this trouble"
    )
    parser.add_argument(
        "--verbose", action="store_true", help="name what is ok and what is not here, too"
    )
    parser.add_argument("--here", action="store_true", help="look now, also where a daemon runs")
    parser.add_argument(
        "--root",
        action="append",
        type=Path,
        default=[],
        metavar="FOLDER",
        help="judge this recorded machine; again for a later snapshot of the same one",
    )
    parser.add_argument(
        "--apart", metavar="DURATION", help="between snapshots, as in 10s; live: look twice"
    )
    parser.add_argument(
        "--kernel-log",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="judge this log: /dev/kmsg records, dmesg in any form, syslog, journal, pstore",
    )
    return parser


def _duration(parser: Parser, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        parser.error(f"--apart: {error}")
    if not 0 < seconds <= LONGEST_APART_SECONDS:
        parser.error(f"--apart {text}: between 1ms and 1h")
    return seconds


def _ask_daemon(options: argparse.Namespace) -> int | None:
    path = str(settings_for_folders(options.config, quiet=True).control_socket)
    try:
        return from_daemon(path, options.name, _form_of(options))
    except NoDaemon:
        return None
    except SilentDaemon as error:
        print(f"hpcdoctor: {error}; looking without it", file=sys.stderr)
        return None


def _form_of(options: argparse.Namespace) -> str:
    return next((form for form in FORMS if getattr(options, form)), "")


def visitor(knowledge: Knowledge) -> Host:
    """Return this machine, as one sees it who is not the prober and does not stay."""
    host = Host.this_machine()
    host.visiting = True
    host.extra_mounts = mounts_of(knowledge.profile)
    host.profile = knowledge.profile
    host.commands = declared(knowledge.commands)
    return host


def _here(knowledge: Knowledge, apart: float | None) -> tuple[Judge, Instant]:
    """Look once; with --apart twice, so that what compares two looks has an answer."""
    host = visitor(knowledge)
    judge = Judge(knowledge.checks, knowledge.profile, patient=False)
    probes = sorted({JOBS} | {check.definition.probe for check in knowledge.checks.values()})
    with Here(host) as here:
        looks = here.read(probes, DEADLINE_SECONDS)
        know_jobs(judge, looks)
        for look in looks:
            judge.judge(look)
        if apart is not None:
            time.sleep(apart)
            again = [
                name
                for name in probes
                if name != JOBS and knowledge.probes[name].shape is not Shape.STREAM
            ]
            for look in here.read(again, DEADLINE_SECONDS):
                judge.judge(look)
    return _settled(judge, host.clock()), host.clock()


def _settled(judge: Judge, now: Instant) -> Judge:
    """Leave out what the kernel log tells and is over, as the daemon would by now."""
    judge.tick(now)
    judge.explain()
    return judge


def know_jobs(judge: Judge, looks: Iterable[Look]) -> None:
    """Tell the judge first which jobs are here, so that what opens carries them."""
    for look in looks:
        if look.probe == JOBS:
            judge.know_jobs(jobs_of(look))


def _elsewhere(
    parser: Parser,
    knowledge: Knowledge,
    roots: list[Path],
    apart: float | None,
    logs: list[Path],
) -> tuple[Judge, Instant]:
    """Judge recordings in the order given, then logs; nothing else is read."""
    judge = Judge(knowledge.checks, knowledge.profile, patient=False)
    probes = sorted({check.definition.probe for check in knowledge.checks.values()})
    now = Instant("recorded", 0.0, time.time())
    memory: dict[str, object] = {}
    host: Host | None = None
    uptime = 0.0
    for number, root in enumerate(roots):
        if not os.path.isdir(root):  # noqa: PTH112  # Path.is_dir raises where it may not look
            parser.error(_why_no_folder(root))
        recorded = Host.recorded(root)
        if host is None:
            uptime = _uptime(recorded)
        boot_id = recorded.clock().boot_id
        now = Instant(boot_id, uptime + number * (apart or 10.0), now.wall)
        host = Host.recorded(root, now)
        host.memory = memory
        host.profile = knowledge.profile
        looks = [_as_sent(look) for look in read_here([JOBS, *probes], host, DEADLINE_SECONDS)]
        know_jobs(judge, looks)
        for look in looks:
            judge.judge(look)
    judge.tick(now)
    for path in logs:
        try:
            messages = kernel_log.read_file(path, host)
        except Unavailable as error:
            parser.error(f"--kernel-log: {error}")
        readings = [msgspec.to_builtins(message) for message in messages]
        judge.judge(Look("kernel_log", ReadStatus.READ, now, readings=readings))
    judge.explain()
    return judge, now


def _uptime(recorded: Host) -> float:
    """Return how long the machine had been up, in seconds, as far as the recording tells."""
    newest = kernel_log.newest_boottime(recorded.root / "dev/kmsg")
    said = (read_text_or_none(recorded.root / "proc/uptime") or "").partition(" ")[0]
    seconds = float(said) if re.fullmatch(r"\d{1,10}(\.\d{1,2})?", said) else newest or DAY_SECONDS
    return max(seconds, newest)


def _as_sent(look: Look) -> Look:
    """Return the look as the prober would send it: a hostile file name may be no text at all."""
    return msgspec.json.decode(encode(look), type=Look)
