"""`hpcdoctor compare-nhc`: for what would NHC and hpcdoctor each have taken this node out?"""

import os
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from hpcdoctor.cli.parser import Parser, make_parser
from hpcdoctor.cli.replay import NO_RECORD, episodes
from hpcdoctor.daemon.record import files_of
from hpcdoctor.knowledge import load
from hpcdoctor.model.json_text import json_text
from hpcdoctor.model.quantity import parse_duration
from hpcdoctor.model.text import visible
from hpcdoctor.nhc.compare import Pair, Period, Read, compare, read_log, read_reasons

SCHEMA = "hpcdoctor.compare-nhc/1"
LOG = Path("/var/log/nhc.log")
MOST_BYTES = 64 << 20
WHO = ("both", "only NHC", "only hpcdoctor")
OUT = ("drain", "drain-now", "requeue")


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "compare-nhc",
        "Put NHC's drains of this node beside what hpcdoctor's rules, in shadow, asked for by its "
        "own record. Exit code: 0 they agree, 1 they do not, 66 one side has nothing to read.",
    )
    parser.add_argument("--since", default="7d", metavar="TIME", help="how far back (default 7d)")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help=f"NHC's log, - for the input (default: {LOG})"
    )
    parser.add_argument(
        "--reasons",
        type=Path,
        metavar="FILE",
        help="in place of the log: sinfo -h -N -n NODE -o '%%H|%%E', - for the input",
    )
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="another record than ours")
    parser.add_argument("--json", action="store_true", help=f"for scripts; {SCHEMA}")
    options = parser.parse_args(arguments)
    if options.log and options.reasons:
        parser.error("--log and --reasons are the same thing from two places; give one")
    try:
        since = time.time() - parse_duration(options.since)
    except ValueError as error:
        parser.error(f"--since: {error}")
    known = load(options.config)
    folder = options.record or Path(known.settings.state_directory) / "record"
    source: Path = options.reasons or options.log or LOG
    if not folder.is_dir() or not files_of(folder):
        print(
            f"hpcdoctor: {folder} holds no record; the daemon writes one while it runs",
            file=sys.stderr,
        )
        if why_not := _why_not_read(source):
            parser.error(why_not)
        return NO_RECORD
    oldest = max(since, float(files_of(folder)[0].stem))
    lines = _lines(parser, source)
    reader = read_reasons if options.reasons else read_log
    theirs = reader(lines, time.time())
    ours = [
        Period(each.begin, each.end, f"{each.name}: {each.text}")
        for each in episodes(known, folder, since)
        if each.kind == "decision" and each.name.split(" ")[0] in OUT
    ]
    pairs = compare(theirs.periods, ours, oldest)
    if options.json:
        document = {"schema": SCHEMA, "since": oldest, "undated": theirs.undated, "pairs": pairs}
        print(json_text(document))
    else:
        _print(pairs, theirs, oldest, source)
    return 0 if all(pair.who == "both" for pair in pairs) else 1


def _why_not_read(source: Path) -> str | None:
    """Return why NHC's side cannot be read either, without waiting for anybody who writes it."""
    if str(source) == "-":
        return None
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.read(descriptor, 1)
        except BlockingIOError:
            return None  # a pipe whose writer is yet to come
        finally:
            os.close(descriptor)
    except OSError as error:
        return _unread(source, error)
    return None


def _unread(source: Path, error: OSError) -> str:
    return f"{source}: {error.strerror}; name NHC's log with --log"


def _lines(parser: Parser, source: Path) -> list[str]:
    try:
        if str(source) == "-":
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with source.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
    except OSError as error:
        parser.error(_unread(source, error))
    if len(content) > MOST_BYTES:
        parser.error(f"{source} is larger than {MOST_BYTES >> 20} MiB; cut it to the last weeks")
    return content.decode(errors="backslashreplace").split("\n")


def _print(pairs: list[Pair], theirs: Read, since: float, source: Path) -> None:
    count = Counter(pair.who for pair in pairs)
    sums = ", ".join(f"{who} {count[who]}" for who in WHO)
    print(f"Since {_clock(since)} UTC, this node was out, or would have been: {sums}")
    if theirs.undated:
        print(
            f"{theirs.undated} lines of {visible(str(source))} have no time in front and are left "
            "out (NHC's variable TS has it write one)"
        )
    for pair in pairs:
        print()
        head = pair.who
        for name, period in (("NHC", pair.nhc), ("hpcdoctor", pair.hpcdoctor)):
            if period is not None:
                end = "now" if period.end is None else _clock(period.end)
                print(f"{head:<16}{_clock(period.begin)} to {end}")
                print(f"{'':<16}{name}: {visible(period.text, 300)}")
                head = ""


def _clock(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M")
