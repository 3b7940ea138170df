"""`hpcdoctor explain NAME`: what does it mean, and which file says so?"""

import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcdoctor.cli.parser import USAGE, make_parser
from hpcdoctor.definitions.check import Check
from hpcdoctor.definitions.loader import (
    Defined,
    Definitions,
    as_plain,
    load_definitions,
    load_settings,
)
from hpcdoctor.definitions.mistake import did_you_mean
from hpcdoctor.definitions.yamlfile import Located, Place
from hpcdoctor.model.text import visible

WIDTH = 80
LONGEST_VALUE = 60
CODE = re.compile(r"(?i)(s?xid)[ -]?(\d{1,6})")


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "explain",
        "Explain a check, rule, remediation, Xid (`xid 79`) or a line of the kernel log: what it "
        "means, and which file each key comes from.",
    )
    parser.add_argument("name", nargs="+")
    options = parser.parse_args(arguments)
    name = " ".join(options.name)
    settings = load_settings(options.config)
    definitions = load_definitions(options.config, settings.profile)
    code = CODE.fullmatch(name)
    if code is not None and code[1].lower() in definitions.catalogs:
        return _explain_code(definitions, code[1].lower(), code[2])
    kinds: dict[str, dict[str, Defined[Any]]] = {
        "check": {**definitions.checks},
        "rule": {**definitions.rules},
        "remediation": {**definitions.remediations},
    }
    found = [(kind, named[name]) for kind, named in kinds.items() if name in named]
    for kind, defined in found:
        _explain(kind, name, defined, definitions)
    if found:
        return 0
    if name in definitions.broken:
        for problem in definitions.problems:
            if problem.file.stem == name:
                print(f"hpcdoctor: {problem}", file=sys.stderr)
        return 78
    if " " in name:
        from hpcdoctor.cli.explain_line import explain_line

        return explain_line(name, options.config)
    every = [name for named in kinds.values() for name in named]
    hint = did_you_mean(name, every) or "; `hpcdoctor check` lists the checks"
    print(f"hpcdoctor: nothing is named {name!r}{hint}", file=sys.stderr)
    return USAGE


def _explain(kind: str, name: str, defined: Defined[Any], definitions: Definitions) -> None:
    content = as_plain(defined.source)
    off = "" if content.get("enabled", True) else "   (switched off)"
    print(f"{kind} {name}{off}")
    for key in ("summary", "why"):
        _paragraph(str(content.get(key) or ""))
    if isinstance(defined.value, Check):
        print("\n  What to do")
        for number, step in enumerate(defined.value.next_steps, start=1):
            _paragraph(step, first=f"{number}. ")
        print("\n  Rules that name it")
        _paragraph("; ".join(_rules_of(name, definitions)) or "none: it is only reported")
    print()
    _origins(defined.source)
    print()


def _paragraph(text: str, *, first: str = "") -> None:
    if text := visible(" ".join(text.split()), 2000):
        margin = "    " if first else "  "
        print(
            textwrap.fill(
                first + text,
                WIDTH,
                initial_indent=margin,
                subsequent_indent=margin + " " * len(first),
                break_on_hyphens=False,
            )
        )


def _rules_of(check: str, definitions: Definitions) -> Iterator[str]:
    for name, rule in sorted(definitions.rules.items()):
        when = rule.value.when
        for verdict in (when.all.get(check), when.any.get(check)):
            if verdict is not None:
                asks = f"asks for {rule.value.decide.node.value}"
                yield f"{name} ({verdict.value}: {asks}, mode {rule.value.mode.value})"


def _origins(source: Located) -> None:
    """Every key with its value, below the file that it comes from, at its line."""
    files: dict[Path, list[tuple[int, str, object]]] = defaultdict(list)
    for key, value, place in _keys(source, ""):
        files[place.file].append((place.line, key, value))
    for file, keys in files.items():
        print(f"  {visible(str(file))}")
        for line, key, value in sorted(keys, key=lambda each: each[0]):
            print(f"  {line:>4}  {visible(f'{key}: {_short(value)}')}")


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


def _explain_code(definitions: Definitions, name: str, code: str) -> int:
    """What the catalogue says of a vendor's code, and where it says so."""
    defined = definitions.catalogs[name]
    catalog, source = defined.value, defined.source
    code = str(int(code))
    known = code in catalog.entries
    title = f"{name.capitalize()} {code}"
    print(title if known else f"{title}: not in the catalogue; what holds for unknown codes:")
    for key, value in catalog.look_up(code).items():
        print(f"  {key:<10}{visible(str(value))}")
    place = source["entries"].place(code) if known else source.place("default")
    print(f"\n  from      {visible(str(place.file))}:{place.line}")
    print(f"  after     {visible(catalog.source)}")
    return 0
