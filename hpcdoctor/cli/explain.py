"""`hpcdoctor explain NAME`: what does it mean, what follows, and which file says so?"""

import difflib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from hpcdoctor.cli.explain_next import follows, next_of, runbook_at
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
from hpcdoctor.model.text import visible
from hpcdoctor.report.words import plain

SCHEMA = "hpcdoctor.explain/1"
WRONG_CONFIGURATION = 78
LONGEST_VALUE = 60
NO_FOLDER = Path("/nonexistent")  # as where a site has no files of its own
CODE = re.compile(r"(?i)(s?xid)[ -]?(\d{1,6})")
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


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "explain",
        "Explain a check, rule, remediation, event, state or other word of hpcdoctor, a notice "
        "about hpcdoctor itself, a setting (`slurm.grace`), a drain reason (`hd:k3f9.2 ...`), an "
        "Xid or SXid (`xid 79`) or a line of the kernel log: what it means, what follows from it, "
        "and which file each key comes from.",
    )
    parser.add_argument("name", nargs="+")
    parser.add_argument("--json", action="store_true", help="for scripts; hpcdoctor.explain/1")
    options = parser.parse_args(arguments)
    name = " ".join(" ".join(options.name).split())
    configuration: Path = options.config
    try:
        settings = load_settings(configuration)
    except DefinitionError as error:
        # What a code means does not depend on them, so this is no reason to say nothing.
        print(f"hpcdoctor: {error}; what follows is as shipped", file=sys.stderr)
        settings, configuration = Settings(), NO_FOLDER
    definitions = load_definitions(configuration, settings.profile)
    about = _about(name, definitions, settings, configuration)
    if not about:
        return _nothing(name, definitions)
    if options.json:
        print(json.dumps({"schema": SCHEMA, "about": about}, indent=2))
    else:
        print("\n".join(text(entry) for entry in about), end="")
    return 0


def _about(
    name: str, definitions: Definitions, settings: Settings, configuration: Path
) -> list[Entry]:
    code = CODE.fullmatch(name)
    if code is not None and code[1].lower() in definitions.catalogs:
        return [_code(definitions, settings, code[1].lower(), code[2])]
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
    if not about and (said := reason(name, definitions)) is not None:
        about.append(said)
    if not about and " " in name and name not in definitions.broken:
        from hpcdoctor.cli.explain_line import explain_line

        about += explain_line(name, configuration, definitions, settings)
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


def _code(definitions: Definitions, settings: Settings, name: str, code: str) -> Entry:
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
        checks = ["gpu-lost"] if code == "79" else checks
    return {
        "kind": "code",
        "name": f"{'SXid' if name == 'sxid' else name.capitalize()} {code}",
        "known": known,
        "entry": to_builtins(entry),
        "action": ACTIONS.get(str(entry.get("action")), ""),
        "from": f"{place.file}:{place.line}",
        "after": catalog.source,
        "checks": [
            {
                "check": n,
                "follows": [
                    to_builtins(rule)
                    for rule in follows(n, definitions, settings)
                    # What a rule makes of worse ones is no word about this code.
                    if name != "xid" or rule.verdict.value in ("warning", entry.get("severity"))
                ],
            }
            for n in checks
        ],
    }


def _is_about(check: str, entry: CatalogEntry) -> bool:
    """Whether the check of Xids is about such codes: one is for the node's, one for the job's."""
    return (check == "gpu-xid-application") == (entry.get("cause") == "job")
