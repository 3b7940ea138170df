"""How does an editor know what may stand in our YAML? JSON Schemas, made of the structs.

An override of a shipped definition holds only the keys that differ, so what has to be there is
asked for only in a file that says its name, as in `check: NAME`. Where a site may add names of its
own, the known ones are offered and others are taken. Only keywords that older drafts know are used
too, apart from `$defs`.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hpcdoctor.definitions import folder, profile, settings_check
from hpcdoctor.definitions.check import BY_HAND, REBOOT, Check
from hpcdoctor.definitions.command import Command
from hpcdoctor.definitions.loader import Definitions, data_folder, load_definitions
from hpcdoctor.definitions.profile import Profile
from hpcdoctor.definitions.remediation import LIMIT, Remediation
from hpcdoctor.definitions.rule import Rule
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.probes import registry
from hpcdoctor.report.pages.fields import Key, Shape, keys

KINDS: dict[str, Shape] = {
    "settings": Settings,
    "check": Check,
    "rule": Rule,
    "remediation": Remediation,
    "profile": Profile,
    "command": Command,
}
FILES = {
    "settings": "hpcdoctor.yaml",
    "check": "checks/NAME.yaml",
    "rule": "rules/NAME.yaml",
    "remediation": "remediations/NAME.yaml",
    "profile": "profiles/NAME.yaml",
    "command": "commands/NAME.yaml",
}
DRAFT = "https://json-schema.org/draft/2020-12/schema"
SHIPPED_ONLY = Path("/nonexistent")
NAME = f"^{folder.NAME.pattern}$"
DURATION = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
SIZE = r"^[0-9]+(\.[0-9]+)? ?(B|[kMGT]B|[KMGT]iB)$"

Schema = dict[str, Any]


def render(kind: str, configuration: Path = SHIPPED_ONLY) -> str:
    """Return one kind's schema as JSON, with the names that this configuration knows."""
    return json.dumps(build(kind, configuration), indent=2, ensure_ascii=False) + "\n"


def build(kind: str, configuration: Path = SHIPPED_ONLY) -> Schema:
    shape = KINDS[kind]
    _, parts = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
    known = _Names(load_definitions(configuration), configuration)
    for name, struct in _structs(shape).items():
        for key in keys(struct):
            place = parts[name]["properties"]
            place[key.name] = _described(place[key.name], key, nothing=kind == "settings")
            place[key.name] |= known.of(name, key.name)
    said = json.dumps(parts)
    used = {name: names for name, names in known.offered.items() if f"#/$defs/{name}" in said}
    head = {
        "$schema": DRAFT,
        "title": f"hpcdoctor: {FILES[kind]}",
        "description": " ".join((shape.__doc__ or "").split()),
    }
    whole = shape.__name__
    if kind in ("settings", "profile"):
        if kind == "profile":  # one that is laid over a shipped one need not name itself
            parts[whole]["required"] = []
        return {**head, "$ref": f"#/$defs/{whole}", "$defs": _tidy({**parts, **used})}
    return {
        **head,
        "if": {"required": [kind]},
        "then": {"$ref": f"#/$defs/{whole}"},
        "else": {"$ref": f"#/$defs/{whole}Override"},
        "$defs": _tidy({**parts, **_overrides(parts), **used}),
    }


def _structs(shape: Shape) -> dict[str, Shape]:
    found = {shape.__name__: shape}
    for key in keys(shape):
        if key.shape is not None:
            found |= _structs(key.shape)
    return found


def _described(schema: Schema, key: Key, *, nothing: bool) -> Schema:
    """Add what the code says of a key; leave out that it may be nothing, which says nothing."""
    described = {name: value for name, value in schema.items() if name != "default"}
    # Where nobody has given an example of a setting, hpcdoctor.yaml's has `null`.
    unknown = nothing and key.shape is None and key.default is None and key.example is None
    options = [o for o in schema.get("anyOf", []) if unknown or o != {"type": "null"}]
    if "anyOf" in schema:
        del described["anyOf"]
        described |= options[0] if len(options) == 1 else {"anyOf": options}
    if key.note:
        described["description"] = key.note[0].upper() + key.note[1:]
    if schema.get("default") not in (None, "", [], {}) and key.shape is None:
        described["default"] = schema["default"]
    if key.deprecated:
        described["deprecated"] = True
    if key.kind.startswith("a duration"):
        described["pattern"] = DURATION
    elif key.kind == "a size":
        described["pattern"] = SIZE
    elif key.kind == "a whole path" and key.name.endswith("directory"):
        described["pattern"] = "^/"
    elif key.kind.startswith("a fraction"):
        described |= {"minimum": 0, "maximum": 1}
    elif key.name == "port":
        described |= {"minimum": 1, "maximum": 65535}
    return described


class _Names:
    """What may stand at one place of one struct, where the type alone does not say it."""

    def __init__(self, definitions: Definitions, configuration: Path) -> None:
        self.offered = {
            "check-names": _offered(sorted(definitions.checks)),
            "remediation-names": _offered(sorted(definitions.remediations)),
        }
        checks = {"propertyNames": {"$ref": "#/$defs/check-names"}}
        remediations = {"items": {"$ref": "#/$defs/remediation-names"}}
        duration = {"pattern": DURATION}
        own_name = {"pattern": NAME, "maxLength": folder.LONGEST_NAME}
        facts = sorted(name for name in profile.names())
        kinds = {
            path.stem
            for place in (data_folder("profiles"), configuration / "profiles")
            for path in place.glob("*.yaml")
        }
        self.places: dict[tuple[str, str], Schema] = {
            ("Settings", "cluster"): {"pattern": f"^{settings_check.NAME.pattern}$"},
            ("Settings", "node"): {"pattern": f"^{settings_check.NAME.pattern}$"},
            ("Settings", "profile"): _offered(
                sorted(kinds), f"^{settings_check.FILE_NAME.pattern}$"
            ),
            ("Settings", "remediations"): remediations,
            ("Check", "check"): own_name,
            ("Check", "probe"): {"enum": registry.names()},
            ("Check", "every"): duration,
            ("Check", "clear_after"): {"pattern": f"{DURATION}|^{REBOOT}$|^{BY_HAND}$"},
            ("Check", "expected"): _offered(facts, rf"^{profile.SITE}\.".replace("e.s", r"e\.s")),
            ("Check", "catalog"): {"propertyNames": _offered(sorted(definitions.catalogs))},
            ("Check", "explained_by"): checks,
            ("Rule", "rule"): own_name,
            ("Match", "all"): checks,
            ("Match", "any"): checks,
            ("Match", "within"): duration,
            ("Decide", "remediate"): remediations,
            ("Remediation", "remediation"): own_name,
            ("Remediation", "limit"): {"pattern": f"^{LIMIT.pattern}$"},
            ("Verify", "all"): checks,
            ("Command", "command"): own_name,
        }

    def of(self, struct: str, key: str) -> Schema:
        return self.places.get((struct, key), {})


def _offered(names: Sequence[str], others: str = NAME) -> Schema:
    """Offer the known names, and take those that a site may add."""
    return {"anyOf": [{"enum": list(names)}, {"type": "string", "pattern": others}]}


def _overrides(parts: dict[str, Schema]) -> dict[str, Schema]:
    """Return every mapping once more, with nothing in it that has to be there."""
    structs = {name for name, part in parts.items() if "properties" in part}
    found = {}
    for name in structs:
        part = copy.deepcopy(parts[name])
        part["required"] = []
        for schema in _every(part["properties"]):
            target = str(schema.get("$ref", "")).removeprefix("#/$defs/")
            if target in structs:
                schema["$ref"] = f"#/$defs/{target}Override"
        found[f"{name}Override"] = part
    return found


def _every(value: object) -> Iterator[Schema]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _every(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _every(inner)


def _tidy(parts: dict[str, Schema]) -> dict[str, Schema]:
    """In one order, so that a page is the same each time it is made."""
    for part in parts.values():
        part.pop("title", None)
        if not part.get("required", True):
            del part["required"]
        if "description" in part:
            part["description"] = " ".join(part["description"].split())
    return dict(sorted(parts.items()))
