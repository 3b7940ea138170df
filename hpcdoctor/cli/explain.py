"""`hpcdoctor explain NAME`: what does it mean, what follows, and which file says so?"""

import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from hpcdoctor.cli.explain_next import follows, next_of, runbook_at
from hpcdoctor.cli.explain_pasted import bare, evidence_in, names_in, sentence_in, told_by
from hpcdoctor.cli.explain_text import Entry, text
from hpcdoctor.cli.explain_word import known_words, reason, words
from hpcdoctor.cli.parser import USAGE, make_parser
from hpcdoctor.definitions.catalog import Entry as CatalogEntry
from hpcdoctor.definitions.check import Check
from hpcdoctor.definitions.loader import (
    Defined,
    Definitions,
    as_plain,
    load_definitions,
    load_settings,
)
from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.remediation import Remediation
from hpcdoctor.definitions.rule import Rule
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.definitions.yamlfile import Located, Place
from hpcdoctor.model.json_text import json_text
from hpcdoctor.model.text import visible
from hpcdoctor.report.words import plain

SCHEMA = "hpcdoctor.explain/1"
WRONG_CONFIGURATION = 78
LONGEST_VALUE = 60
NO_FOLDER = Path("/nonexistent")  # as where a site has no files of its own
CODE = re.compile(r"(?i)(?:(s?xid)[ -]?)?(\d{1,6})")
KINDS_OF_CODES = ("xid", "sxid")
# The heads of catalogs/xid.yaml and sxid.yaml, as sentences.
ACTIONS = {
    "ignore": "nothing has to be done",
    "app": "restart the application; the GPU is most often well",
    "reset": "reset the GPU once nothing uses it",
    "reboot": "restart the machine",
    "inspect": "have a look: nothing more is known",
    "follow": "another message names the action: Xid 154, or the code beside it",
    "trend": "watch how often it comes",
    "link": "see which GPU reports Xid 74 or 45 beside it",
    "reset-gpu": "reset the GPU at this port",
    "reset-fabric": "reset all GPUs and switches together",
    "cooling": "look after the cooling first",
    "configuration": "look at the fabric's configuration",
    "signal-integrity": "look at cables and seating",
}
RECOVERY = "154"  # the Xid whose own text names the action
RECOVERY_ACTIONS = {
    "None": "nothing is left to do",
    "GPU Reset Required": "end what uses the GPU, then reset it",
    "Node Reboot Required": "restart the machine",
    "Drain P2P": "end what reaches the GPU from other GPUs",
    "Drain and Reset": "end what reaches it from other GPUs, then reset the GPU",
    "Recover IMEX Domain": "restore the IMEX service; the GPU itself is well",
    "Bus Reset": "end what uses the GPU, then reset it over the PCI bus",
    "System Reboot": "restart the machine",
}


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "explain",
        "Explain a check, rule, remediation, event, state or other word of hpcdoctor, a notice "
        "about hpcdoctor itself, a setting (`slurm.grace`), a drain reason (`hd:k3f9.2 ...`), an "
        "Xid or SXid (`xid 79`; a number alone is taken as an Xid), a line of the kernel log or "
        "one that hpcdoctor has printed: what it means, what follows from it, and which file each "
        "key comes from. Exit code: 0, or 64 where nothing is known of the name or the line.",
    )
    parser.add_argument(
        "name", nargs="+", help="one thing, in as many words as it has; or several names"
    )
    parser.add_argument("--json", action="store_true", help="for scripts; hpcdoctor.explain/1")
    options = parser.parse_args(arguments)
    names = [" ".join(name.split()) for name in options.name]
    name = " ".join(" ".join(names).split())
    configuration: Path = options.config
    try:
        settings = load_settings(configuration)
    except DefinitionError as error:
        # What a code means does not depend on them, so this is no reason to say nothing.
        print(f"hpcdoctor: {error}; what follows is as shipped", file=sys.stderr)
        settings, configuration = Settings(), NO_FOLDER
    definitions = load_definitions(configuration, settings.profile)
    about = _about(name, definitions, settings, configuration)
    unknown = []
    if not about and len(names) > 1:
        each = [_named(one, definitions, settings) for one in names]
        about = [entry for entries in each for entry in entries]
        unknown = [one for one, entries in zip(names, each, strict=True) if not entries and about]
    if options.json and about:
        print(json_text({"schema": SCHEMA, "about": about}))
    elif about:
        print("\n".join(text(entry) for entry in about), end="")
    if not about:
        return _nothing(name, definitions)
    return max((_nothing(one, definitions) for one in unknown), default=0)


def _about(
    name: str, definitions: Definitions, settings: Settings, configuration: Path
) -> list[Entry]:
    about = _named(name, definitions, settings)
    if not about and (said := reason(name, definitions)) is not None:
        about.append(said)
    if not about and name not in definitions.broken:
        from hpcdoctor.cli.explain_line import explain_line

        about += explain_line(name, configuration, definitions, settings)
        if not about and (line := evidence_in(name)):
            about += explain_line(line, configuration, definitions, settings)
    if not about:
        about = _pasted(name, definitions, settings)
    return about


def _named(name: str, definitions: Definitions, settings: Settings) -> list[Entry]:
    """Return all that has this name, where it is one."""
    code = CODE.fullmatch(name)
    if code is not None and (kind := _kind_of(code, definitions)) in definitions.catalogs:
        return [_code(definitions, settings, kind, code[2], taken=not code[1])]
    if name.lower() in KINDS_OF_CODES:
        return [_how_to_ask(name.lower())]
    kinds: dict[str, dict[str, Defined[Any]]] = {
        "check": {**definitions.checks},
        "rule": {**definitions.rules},
        "remediation": {**definitions.remediations},
    }
    key = name if any(name in named for named in kinds.values()) else plain(name)
    about = [
        _definition(kind, key, named[key], definitions, settings)
        for kind, named in kinds.items()
        if key in named
    ]
    about += words(name) or words(name.lower())
    if not about and " " not in name and (inside := bare(name)) not in (name, ""):
        return _named(inside, definitions, settings)
    return about


def _kind_of(code: re.Match[str], definitions: Definitions) -> str:
    """A number alone is an Xid, unless only the SXids have it: those have five digits."""
    if code[1]:
        return code[1].lower()
    number = str(int(code[2]))
    has = {kind for kind in KINDS_OF_CODES if number in definitions.catalogs[kind].value.entries}
    return "sxid" if has == {"sxid"} else "xid"


def _how_to_ask(kind: str) -> Entry:
    of = {"xid": "a GPU", "sxid": "an NVSwitch"}[kind]
    example = {"xid": "79", "sxid": "12028"}[kind]
    return {
        "kind": "word",
        "name": kind,
        "meaning": f"The number by which NVIDIA's driver names what went wrong with {of}; it "
        "stands in the kernel log.",
        "next_steps": [
            f"Ask with the number: hpcdoctor explain {kind} {example}",
            f"All that this node has logged: journalctl -k | grep {'S' * (kind == 'sxid')}Xid",
        ],
    }


def _pasted(line: str, definitions: Definitions, settings: Settings) -> list[Entry]:
    """Explain the checks that a line of a report, or of a user's program, is about."""
    checks = names_in(line, definitions.checks)
    if not checks:
        checks = told_by(line, {n: check.value.summary for n, check in definitions.checks.items()})
    about: list[Entry] = []
    if not checks and (said := sentence_in(line)) is not None and said[1] in definitions.checks:
        checks = [said[1]]
        about = [
            {
                "kind": "sentence",
                "name": said[0],
                "meaning": "NVIDIA's programs say so to users; it is no line of the kernel log. "
                f"Check {said[1]} sees the same on the node:",
            }
        ]
    for name in checks:
        about.append(_definition("check", name, definitions.checks[name], definitions, settings))
    return about


def _nothing(name: str, definitions: Definitions) -> int:
    if name in definitions.broken:
        for problem in definitions.problems:
            if problem.file.stem == name:
                print(f"hpcdoctor: {problem}", file=sys.stderr)
        return WRONG_CONFIGURATION
    every = [*definitions.checks, *definitions.rules, *definitions.remediations, *known_words()]
    near = difflib.get_close_matches(name.lower(), every, n=3, cutoff=0.6)
    near = near or [one for one in every if len(name) > 2 and name.lower() in one][:3]
    hint = " or ".join(f"`{one}`" for one in dict.fromkeys(near))
    hint = f"; did you mean {hint}?" if hint else "; docs/checks.md lists the checks"
    if " " in name:
        print(
            f"hpcdoctor: {visible(repr(name), 100)} is no message that hpcdoctor knows, and has no "
            f"name in it: it makes nothing of this line{hint if near else ''}",
            file=sys.stderr,
        )
        return USAGE
    print(f"hpcdoctor: nothing is named {visible(repr(name), 100)}{hint}", file=sys.stderr)
    return USAGE


def _definition(
    kind: str, name: str, defined: Defined[Any], definitions: Definitions, settings: Settings
) -> Entry:
    value, content = defined.value, as_plain(defined.source)
    entry: Entry = {
        "kind": kind,
        "name": name,
        "enabled": bool(content.get("enabled", True)),
        "summary": " ".join(str(content.get("summary") or "").split()),
        "why": " ".join(str(content.get("why") or "").split()),
    }
    if isinstance(value, Check):
        entry["cause"] = value.cause.value
        entry["origin"] = value.origin
        entry["proven"] = value.proven.value
        entry["next_steps"] = value.next_steps
        entry["follows"] = to_builtins(list(follows(name, definitions, settings)))
        entry["levels"] = _levels(value)
    if isinstance(value, Rule):
        entry["follows_from"] = [
            f"{check} {verdict.value}"
            for each in (value.when.all, value.when.any)
            for check, verdict in each.items()
        ]
        entry["next"] = next_of(value, settings)
        entry["runbook"] = runbook_at(value.runbook)
    if isinstance(value, Remediation):
        entry["next"] = _when_run(name, value, definitions, settings)
    entry["keys"] = [
        {"key": key, "value": _short(said), "file": str(place.file), "line": place.line}
        for key, said, place in _keys(defined.source, "")
    ]
    return entry


def _levels(check: Check) -> list[str]:
    levels = []
    for verdict, condition in (("critical", check.critical), ("warning", check.warning)):
        if condition is not None:
            lasting = "" if condition.hold == "0s" else f", for {condition.hold}"
            levels.append(f"{verdict} when {' '.join(condition.when.split())}{lasting}")
    ends = {"0s": "as soon as it no longer holds", "reboot": "with a reboot", "by-hand": "by hand"}
    levels.append(f"clears {ends.get(check.clear_after, f'after {check.clear_after} without it')}")
    return levels


def _when_run(
    name: str, value: Remediation, definitions: Definitions, settings: Settings
) -> list[str]:
    rules = [
        n for n, rule in sorted(definitions.rules.items()) if name in rule.value.decide.remediate
    ]
    said = [f"Rules that ask for it: {', '.join(rules) or 'none'}."]
    if name in settings.remediations:
        said.append(f"hpcdoctor.yaml names it: it may run, in mode act, {value.limit} at the most.")
    else:
        said.append("It never runs here: `remediations` in hpcdoctor.yaml does not name it.")
    return said


def _keys(source: Located, above: str) -> Iterator[tuple[str, object, Place]]:
    for key, value in source.items():
        if isinstance(value, Located):
            yield from _keys(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value, source.place(key)


def _short(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    shown = ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
    shown = " ".join(shown.split())
    return shown if len(shown) <= LONGEST_VALUE else shown[: LONGEST_VALUE - 1] + "…"


def _code(
    definitions: Definitions, settings: Settings, name: str, code: str, *, taken: bool
) -> Entry:
    """What the catalogue says of a vendor's code, where it says so, and which checks use it."""
    defined = definitions.catalogs[name]
    catalog, source = defined.value, defined.source
    code = str(int(code))
    known = code in catalog.entries
    place = source["entries"].place(code) if known else source.place("default")
    checks = [n for n, check in sorted(definitions.checks.items()) if name in check.value.catalog]
    entry = catalog.look_up(code)
    if name == "xid":
        checks = [n for n in checks if _is_about(n, entry)]
        checks = {"79": ["gpu-lost"], RECOVERY: ["gpu-recovery-action"]}.get(code, checks)
    action = ACTIONS.get(str(entry.get("action")), "")
    names_action = name == "xid" and code == RECOVERY
    if names_action:
        action = "its own line names the action at its end"
    title = f"{'SXid' if name == 'sxid' else name.capitalize()} {code}"
    return {
        "kind": "code",
        "name": title,
        "taken": f"The number alone is taken as an {title.split()[0]}." if taken else "",
        "known": known,
        "entry": to_builtins(entry),
        "action": action,
        "actions": RECOVERY_ACTIONS if names_action else {},
        "from": f"{place.file}:{place.line}",
        "after": catalog.source,
        "checks": [
            {
                "check": n,
                "follows": [
                    to_builtins(rule)
                    for rule in follows(n, definitions, settings)
                    # What a rule makes of worse ones is no word about this code.
                    if name != "xid"
                    or names_action
                    or rule.verdict.value in ("warning", entry.get("severity"))
                ],
            }
            for n in checks
        ],
    }


def _is_about(check: str, entry: CatalogEntry) -> bool:
    """Whether the check of Xids is about such codes: one is for the node's, one for the job's."""
    return (check == "gpu-xid-application") == (entry.get("cause") == "job")
