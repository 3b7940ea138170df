"""Where do definitions come from? Finds the shipped files, lays the site's over them, types them.

Names are resolved later, in knowledge.py: this room knows the shape of one file at a time.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from hpcdoctor.definitions.catalog import Catalog
from hpcdoctor.definitions.check import Check
from hpcdoctor.definitions.remediation import Remediation
from hpcdoctor.definitions.rule import Rule
from hpcdoctor.definitions.settings import CONFIGURATION, Settings
from hpcdoctor.definitions.yamlfile import (
    DefinitionError,
    Located,
    convert,
    load_yaml,
    merge,
    plain,
    why_not_trusted,
)

T = TypeVar("T")

SETTINGS_FILE = "hpcdoctor.yaml"


class Defined(msgspec.Struct, Generic[T], frozen=True):
    """One definition, and where each of its keys was written."""

    value: T
    source: Located


class Definitions(msgspec.Struct, frozen=True):
    """Every definition that could be read, by name; and every mistake in those that could not."""

    checks: dict[str, Defined[Check]]
    rules: dict[str, Defined[Rule]]
    remediations: dict[str, Defined[Remediation]]
    catalogs: dict[str, Defined[Catalog]]
    profile: Located | None
    problems: list[DefinitionError]


def data_folder(name: str) -> Path:
    """Return the shipped folder `name`: in the wheel, or beside the package in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parent / name


def load_settings(configuration: Path = CONFIGURATION) -> Settings:
    """Return the site's settings, or the defaults where there is no file.

    Raise DefinitionError where the file is wrong or may be written by others.
    """
    path = configuration / SETTINGS_FILE
    if not path.exists():
        return Settings()
    if reason := why_not_trusted(path):
        raise DefinitionError(f"is not used: {reason}", path)
    return convert(load_yaml(path), Settings)


def load_definitions(
    configuration: Path = CONFIGURATION, profile: str | None = None
) -> Definitions:
    """Return all definitions, shipped and the site's; collect mistakes instead of stopping."""
    problems: list[DefinitionError] = []
    checks = _load_kind("checks", "check", Check, configuration, problems)
    rules = _load_kind("rules", "rule", Rule, configuration, problems)
    remediations = _load_kind("remediations", "remediation", Remediation, configuration, problems)
    catalogs = _load_kind("catalogs", "catalog", Catalog, configuration, problems)
    chosen = _load_profile(profile, configuration, problems) if profile else None
    return Definitions(checks, rules, remediations, catalogs, chosen, problems)


def load_profile(name: str | None, configuration: Path = CONFIGURATION) -> dict[str, Any]:
    """Return the named profile, empty without a name; raise DefinitionError where it is wrong."""
    if name is None:
        return {}
    problems: list[DefinitionError] = []
    found = _load_profile(name, configuration, problems)
    if problems:
        raise problems[0]
    return as_plain(found) if found is not None else {}


def _load_kind(
    folder: str, key: str, shape: type[T], configuration: Path, problems: list[DefinitionError]
) -> dict[str, Defined[T]]:
    defined: dict[str, Defined[T]] = {}
    shipped = _read_folder(data_folder(folder), False, problems)
    site = _read_folder(configuration / folder, True, problems)
    for name in sorted({*shipped, *site}):
        if name not in shipped:
            merged = site[name]
        elif name in site:
            merged = merge(shipped[name], site[name])
        else:
            merged = shipped[name]
        if key not in merged and folder == "catalogs":
            continue  # a table of another shape, read by the one probe that knows it
        try:
            if merged.get(key, name) != name:
                raise merged.error(
                    f"`{key}: {merged[key]}` does not match the file's name `{name}`", key
                )
            defined[name] = Defined(convert(merged, shape), merged)
        except DefinitionError as error:
            problems.append(error)
    return defined


def _read_folder(
    folder: Path, check_owner: bool, problems: list[DefinitionError]
) -> dict[str, Located]:
    found: dict[str, Located] = {}
    for path in _yaml_files(folder):
        try:
            if check_owner and (reason := why_not_trusted(path)):
                raise DefinitionError(f"is not used: {reason}", path)
            content = load_yaml(path)
            if path.stem in found:
                raise DefinitionError(f"the same name stands in {found[path.stem].file}", path)
        except DefinitionError as error:
            problems.append(error)
        else:
            found[path.stem] = content
    return found


def _yaml_files(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*.yaml"))


def _load_profile(
    name: str, configuration: Path, problems: list[DefinitionError]
) -> Located | None:
    for folder, is_site in ((configuration / "profiles", True), (data_folder("profiles"), False)):
        path = folder / f"{name}.yaml"
        if not path.exists():
            continue
        try:
            if is_site and (reason := why_not_trusted(path)):
                raise DefinitionError(f"is not used: {reason}", path)
            return load_yaml(path)
        except DefinitionError as error:
            problems.append(error)
            return None
    problems.append(
        DefinitionError(
            f"there is no profile `{name}`", configuration / "profiles" / f"{name}.yaml"
        )
    )
    return None


def as_plain(source: Located) -> dict[str, Any]:
    """Return the definition as written, all files merged, without places."""
    result: dict[str, Any] = plain(source)
    return result
