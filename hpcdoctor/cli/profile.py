"""`hpcdoctor profile learn | diff`: what is this kind of node made of, and is this one like it?"""

import os
import re
import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from hpcdoctor.checks.judge import Judge
from hpcdoctor.checks.learn import compare, flat, learn, probes_of
from hpcdoctor.cli.parser import USAGE, Parser, folder, make_parser
from hpcdoctor.definitions.convert import convert
from hpcdoctor.definitions.folder import read_file
from hpcdoctor.definitions.loader import as_plain, load_profile, load_settings
from hpcdoctor.definitions.profile import Profile, mounts_of
from hpcdoctor.definitions.settings_check import FILE_NAME
from hpcdoctor.knowledge import load
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.json_text import json_text
from hpcdoctor.model.reading import Look
from hpcdoctor.model.text import visible
from hpcdoctor.prober.local import Here
from hpcdoctor.prober.looking import encode
from hpcdoctor.probes.host import Host
from hpcdoctor.report.profile import difference_document, difference_lines, render

DEADLINE_SECONDS = 10.0
# A recorded machine says nothing of when it was recorded: long after its boot.
RECORDED_SECONDS = 86400.0
NOT_WELL = 1
CANNOT_TELL = 3
DEFAULT_NAME = "this-kind"
BAD = (Verdict.CRITICAL, Verdict.UNKNOWN)


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "profile",
        "learn: write the profile of a good node. diff: hold this node against a profile; exit "
        "code 0 the same, 1 it differs, 3 something could not be read.",
    )
    parser.add_argument("what", choices=("learn", "diff"))
    parser.add_argument(
        "name", nargs="?", help="the profile; default: the one that hpcdoctor.yaml names"
    )
    parser.add_argument("--root", type=folder, metavar="FOLDER", help="read this recorded machine")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="learn: write here, not to the screen"
    )
    parser.add_argument(
        "--force", action="store_true", help="learn: also from a node that is not well"
    )
    parser.add_argument("--json", action="store_true", help="diff: for scripts")
    options = parser.parse_intermixed_args(arguments)
    if options.what == "learn":
        if options.json:
            parser.error("learn writes YAML; --json is for diff")
        return _learn(parser, options)
    if options.output or options.force:
        parser.error("diff writes no file and asks for no health; leave --output and --force out")
    return _diff(parser, options)


# learn --------------------------------------------------------------------------------------------


def _learn(parser: Parser, options: Namespace) -> int:
    output: Path | None = options.output
    settings = load_settings(options.config)
    name = options.name or (output.stem if output else settings.profile) or DEFAULT_NAME
    if FILE_NAME.fullmatch(name) is None:
        parser.error(f"{visible(name)!r} cannot be the name of a profile, as in h100x8")
    if output is not None and output.name != f"{name}.yaml":
        parser.error(f"the profile {name} has to be in a file {name}.yaml, not {output.name}")
    if output is not None and os.path.lexists(output):
        print(
            f"hpcdoctor: {output} is there already; compare it with this node: "
            f"`hpcdoctor profile diff {output}`, or move it away",
            file=sys.stderr,
        )
        return USAGE
    if output is not None and not output.absolute().parent.is_dir():
        parser.error(f"{output.parent} is not a folder")
    knowledge = load(options.config)
    judge = Judge(knowledge.checks, knowledge.profile, patient=False)
    probes = sorted({check.definition.probe for check in knowledge.checks.values()})
    looks = _look({*probes, *probes_of()}, options.root, mounts_of(knowledge.profile))
    for look in looks:
        judge.judge(look)
    judge.explain()
    ill = _what_is_wrong(judge)
    for verdict, words in ill:
        print(f"hpcdoctor: {verdict.value} {words}", file=sys.stderr)
    refused = [verdict for verdict, _ in ill if verdict in BAD]
    if refused and not options.force:
        print(
            f"hpcdoctor: this node is not well ({len(refused)} critical or unknown, above), and "
            "what is broken would become the norm; repair it, learn on another node, or say "
            "--force and read what comes out twice",
            file=sys.stderr,
        )
        return NOT_WELL
    # In the file without the words: they may name a job, or a user's process.
    named = [
        f"{verdict.value} {words.partition('[')[0].partition(':')[0]}" for verdict, words in ill
    ]
    text = render(name, learn(looks), sorted(set(named)))
    if output is None:
        print(text, end="")
        return 0
    _write(output, text)
    print(f"{output}: read it, then put it into {options.config}/profiles", file=sys.stderr)
    return 0


def _what_is_wrong(judge: Judge) -> list[tuple[Verdict, str]]:
    """Return the verdict and the words of each finding, and of each check that cannot tell."""
    findings = sorted(judge.findings.values(), key=lambda finding: finding.key)
    found = [(each.verdict, f"{each.key}: {visible(each.summary, 200)}") for each in findings]
    told = {each.check for each in findings}
    found += [
        (each.verdict, f"{each.check}: {visible(each.reason, 200)}")
        for each in judge.outcomes()
        if each.verdict in BAD and each.check not in told
    ]
    return found


def _write(path: Path, text: str) -> None:
    """Write a new file; never over one that is there, or through a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


# diff ---------------------------------------------------------------------------------------------


def _diff(parser: Parser, options: Namespace) -> int:
    name, written = _profile(parser, options)
    looks = _look(probes_of(flat(written)), options.root, mounts_of(written))
    found = compare(written, looks)
    if options.json:
        print(json_text(difference_document(name, found)))
    else:
        print("\n".join(difference_lines(name, found)))
    if found.differences:
        return 1
    return CANNOT_TELL if found.unread else 0


def _profile(parser: Parser, options: Namespace) -> tuple[str, dict[str, Any]]:
    """Return the profile by its name, or from the file that is named instead."""
    name = options.name
    if name is not None and re.search(r"/|\.ya?ml$", name):
        source = read_file(Path(name), check_owner=False)
        return str(convert(source, Profile).profile), as_plain(source)
    name = name or load_settings(options.config).profile
    if not name:
        parser.error(f"which profile? {options.config}/hpcdoctor.yaml names none")
    return name, load_profile(name, options.config)


# both ---------------------------------------------------------------------------------------------


def _look(probes: Iterable[str], root: Path | None, mounts: list[str]) -> list[Look]:
    """Look once with each probe, as `check` does without a daemon."""
    if root is None:
        host = Host.this_machine()
        host.visiting = True
    else:
        boot_id = Host.recorded(root).clock().boot_id
        host = Host.recorded(root, Instant(boot_id, RECORDED_SECONDS, 0.0))
    host.extra_mounts = mounts
    with Here(host) as here:
        looks = here.read(sorted(probes), DEADLINE_SECONDS)
    return [msgspec.json.decode(encode(look), type=Look) for look in looks]
