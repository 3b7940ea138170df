"""`hpcdoctor replay`: what would changed checks and rules have made of this node's last days?"""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hpcdoctor.checks.replay import Difference, Episode, differences, replay
from hpcdoctor.cli.parser import Parser, make_parser
from hpcdoctor.daemon.record import files_of, read
from hpcdoctor.knowledge import Knowledge, load
from hpcdoctor.model.decision import Mode, Want
from hpcdoctor.model.finding import Finding
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.json_text import json_text
from hpcdoctor.model.quantity import format_duration, parse_duration
from hpcdoctor.model.text import visible
from hpcdoctor.rules.circumstances import Circumstances
from hpcdoctor.rules.decide import decide

SCHEMA = "hpcdoctor.replay/1"
NO_RECORD = 66  # sysexits: EX_NOINPUT


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "replay",
        "Judge what this node's probes have seen in the last days by another configuration, and "
        "say what would have been otherwise. Nothing is read anew and nothing is done.",
    )
    parser.add_argument(
        "other", metavar="FOLDER", type=Path, help="a folder laid out as /etc/hpcdoctor"
    )
    parser.add_argument("--since", default="7d", metavar="TIME", help="how far back (default 7d)")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="another record than ours")
    parser.add_argument("--json", action="store_true", help=f"for scripts; {SCHEMA}")
    options = parser.parse_args(arguments)
    if not options.other.is_dir():
        parser.error(f"{options.other}: there is no such folder")
    ours, theirs = load(options.config), load(options.other)
    folder = options.record or Path(ours.settings.state_directory) / "record"
    since = time.time() - _seconds(parser, options.since)
    if not folder.is_dir() or not files_of(folder):
        print(
            f"hpcdoctor: {folder} holds no record; the daemon writes one while it runs "
            "(`record_age` and `record_size` in hpcdoctor.yaml)",
            file=sys.stderr,
        )
        return NO_RECORD
    before, after = (episodes(known, folder, since) for known in (ours, theirs))
    found = differences(before, after)
    if options.json:
        document = {"schema": SCHEMA, "before": before, "after": after, "differences": found}
        print(json_text(document))
    else:
        _print(found, before, after, since, folder)
    return 1 if found else 0


def _seconds(parser: Parser, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        parser.error(f"--since: {error}")


def episodes(known: Knowledge, folder: Path, since: float) -> list[Episode]:
    def asked(findings: Sequence[Finding], now: Instant) -> tuple[str, str] | None:
        decided = decide(known.rules, findings, Mode.ACT, Circumstances(now=now))
        strongest = decided.act if decided.act.want is not Want.NONE else decided.shadow
        if strongest.want is Want.NONE:
            return None
        mode = "" if strongest.mode is Mode.ACT else f", in {strongest.mode.value}"
        return f"{strongest.want.value} by {strongest.rule}{mode}", strongest.summary

    return replay(read(folder, since), known.checks, known.profile, asked)


def _print(
    found: Sequence[Difference],
    before: Sequence[Episode],
    after: Sequence[Episode],
    since: float,
    folder: Path,
) -> None:
    oldest = max(since, float(files_of(folder)[0].stem))
    print(f"Since {_clock(oldest)} UTC, by the record in {folder}:")
    for kind in ("finding", "decision"):
        was, is_now = (sum(e.kind == kind for e in each) for each in (before, after))
        print(f"  {kind}s: {was} as configured now, {is_now} with the other folder")
    if not found:
        print("Nothing would have been otherwise.")
        return
    print()
    for difference in found:
        episode = difference.episode
        verdict = f" {episode.verdict}" if episode.verdict else ""
        print(f"{difference.how:<8}{_clock(episode.begin)}  {episode.kind} {visible(episode.name)}")
        print(
            f"{'':<8}{verdict.strip() or 'asked for'} {_length(episode)}: {visible(episode.text)}"
        )
        if difference.before is not None:
            old = difference.before
            print(f"{'':<8}as configured now: {old.verdict or 'asked for'} {_length(old)}")


def _length(episode: Episode) -> str:
    if episode.end is None:
        return "until now"
    return f"for {format_duration(episode.end - episode.begin)}"


def _clock(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S")
