"""`hpcdoctor explain NAME`: what does it mean, and which file says so?"""

import re
import sys
import textwrap
from typing import Any

from hpcdoctor.cli.parser import USAGE, make_parser
from hpcdoctor.definitions.loader import (
    Defined,
    Definitions,
    as_plain,
    load_definitions,
    load_settings,
)
from hpcdoctor.definitions.yamlfile import Located, did_you_mean

WIDTH = 80
XID = re.compile(r"(?i)xid[ -]?(\d+)$")
IN_A_LINE = re.compile(r"Xid \(PCI:[^)]*\): (\d+)")


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
    if code := XID.match(name) or IN_A_LINE.search(name):
        return _explain_code(definitions, "xid", code[1])
    kinds: dict[str, dict[str, Defined[Any]]] = {
        "check": {**definitions.checks},
        "rule": {**definitions.rules},
        "remediation": {**definitions.remediations},
    }
    found = [(kind, named[name]) for kind, named in kinds.items() if name in named]
    for kind, defined in found:
        _explain(kind, name, defined, definitions)
    if not found:
        every = [name for named in kinds.values() for name in named]
        hint = did_you_mean(name, every) or "; `hpcdoctor check` lists the checks"
        print(f"hpcdoctor: nothing is named {name!r}{hint}", file=sys.stderr)
        return USAGE
    return 0


def _explain(kind: str, name: str, defined: Defined[Any], definitions: Definitions) -> None:
    content = as_plain(defined.source)
    print(f"{kind} {name}")
    for key in ("summary", "why"):
        if content.get(key):
            text = " ".join(str(content[key]).split())
            print(textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  "))
    print()
    _origins(defined.source, "  ")
    if kind == "check":
        rules = [
            rule
            for rule, other in definitions.rules.items()
            if name in other.value.when.all or name in other.value.when.any
        ]
        print(f"\n  rules that name it: {', '.join(sorted(rules)) or 'none; it is only reported'}")
    print()


def _origins(source: Located, indent: str) -> None:
    """Every key with its value, and the file and line that it comes from."""
    for key, value in source.items():
        place = source.place(key)
        if isinstance(value, Located):
            print(f"{indent}{key}:")
            _origins(value, indent + "  ")
            continue
        shown = ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
        shown = " ".join(shown.split())
        if len(shown) > 60:
            shown = shown[:59] + "…"
        print(f"{indent}{key}: {shown}")
        print(f"{indent}    from {place.file}:{place.line}")


def _explain_code(definitions: Definitions, name: str, code: str) -> int:
    catalog = definitions.catalogs[name].value
    entry = catalog.look_up(code)
    known = code in catalog.entries
    print(
        f"Xid {code}"
        if known
        else f"Xid {code}: not in the catalogue; what holds for unknown codes:"
    )
    for key, value in entry.items():
        print(f"  {key:<9} {value}")
    print(f"  source    {catalog.source}")
    return 0
