"""Where do definitions come from? Finds the shipped files, lays the site's over them, types them.

Names are resolved later, in knowledge.py: this room knows the shape of one file at a time.
"""

import os
from collections.abc import Container
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from hpcdoctor.definitions.catalog import Catalog
from hpcdoctor.definitions.check import Check
from hpcdoctor.definitions.command import Command
from hpcdoctor.definitions.convert import convert
from hpcdoctor.definitions.folder import find_strays, read_file, read_folder
from hpcdoctor.definitions.mistake import DefinitionError, did_you_mean, raise_all
from hpcdoctor.definitions.profile import Profile
from hpcdoctor.definitions.remediation import Remediation
from hpcdoctor.definitions.rule import Rule
from hpcdoctor.definitions.settings import CONFIGURATION, Settings
from hpcdoctor.definitions.settings_check import FILE_NAME, problems_of
from hpcdoctor.definitions.yamlfile import Located, merge, plain

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
    commands: dict[str, Defined[Command]]
    profile: Located | None
    problems: list[DefinitionError]
    # Names of files that are there and could not be used: who refers to them made no mistake.
    broken: frozenset[str] = frozenset()


def data_folder(name: str) -> Path:
    """Return the shipped folder `name`: in the wheel, or beside the package in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parent / name


def load_settings(configuration: Path = CONFIGURATION) -> Settings:
    """Return the site's settings, or the defaults where there is no file.

    Raise DefinitionError where the file is wrong or may be written by others.
    """
    return load_settings_source(configuration).value


def load_settings_source(configuration: Path = CONFIGURATION) -> Defined[Settings]:
    """Return the site's settings, and where each key was written; errors as load_settings."""
    path = configuration / SETTINGS_FILE
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return Defined(Settings(), Located(path, 1))
    except OSError as error:
        raise DefinitionError(f"cannot be read: {error.strerror}", path) from error
    source = read_file(path, check_owner=True)
    settings = convert(source, Settings)
    raise_all(list(problems_of(settings, source)))
    return Defined(settings, source)


def load_definitions(
    configuration: Path = CONFIGURATION,
    profile: str | None = None,
    only: Container[str] | None = None,
) -> Definitions:
    """Return all definitions, shipped and the site's; collect mistakes instead of stopping.

    `only` names the checks that are asked for: then the others are not read, nor what decides.
    """
    problems: list[DefinitionError] = list(find_strays(configuration))
    broken: set[str] = set()

    def load(
        folder: str, key: str, shape: type[T], names: Container[str] | None = None
    ) -> dict[str, Defined[T]]:
        return _load_kind(folder, key, shape, configuration, problems, broken, names)

    nothing: Container[str] | None = None if only is None else ()
    return Definitions(
        checks=load("checks", "check", Check, only),
        rules=load("rules", "rule", Rule, nothing),
        remediations=load("remediations", "remediation", Remediation, nothing),
        catalogs=load("catalogs", "catalog", Catalog),
        commands=load("commands", "command", Command),
        profile=_load_profile(profile, configuration, problems) if profile else None,
        problems=problems,
        broken=frozenset(broken),
    )


def load_commands(configuration: Path = CONFIGURATION) -> dict[str, Defined[Command]]:
    """Return the site's own programs; raise DefinitionError where a file is wrong."""
    problems: list[DefinitionError] = []
    found = _load_kind("commands", "command", Command, configuration, problems, set(), None)
    raise_all(problems)
    return found


def load_rules(configuration: Path = CONFIGURATION) -> dict[str, Defined[Rule]]:
    """Return the rules alone, shipped and the site's; those that are wrong are left out."""
    return _load_kind("rules", "rule", Rule, configuration, [], set(), None)


def load_profile(name: str | None, configuration: Path = CONFIGURATION) -> dict[str, Any]:
    """Return the named profile, empty without a name; raise DefinitionError where it is wrong."""
    if name is None:
        return {}
    problems: list[DefinitionError] = []
    found = _load_profile(name, configuration, problems)
    raise_all(problems)
    return as_plain(found) if found is not None else {}


def _load_kind(
    folder: str,
    key: str,
    shape: type[T],
    configuration: Path,
    problems: list[DefinitionError],
    broken: set[str],
    only: Container[str] | None,
) -> dict[str, Defined[T]]:
    defined: dict[str, Defined[T]] = {}
    before = len(problems)
    shipped = read_folder(data_folder(folder), problems, check_owner=False, only=only)
    site = read_folder(configuration / folder, problems, check_owner=True, only=only)
    broken.update(problem.file.stem for problem in problems[before:])
    for name in sorted({*shipped, *site}):
        merged = _laid_over(shipped.get(name), site.get(name))
        if key not in merged and folder == "catalogs" and name in shipped:
            continue  # a table of another shape, read by the one probe that knows it
        try:
            if name in site and name not in shipped and key not in merged:
                raise _not_new(name, key, merged, shipped)
            if merged.get(key) != name:
                written = merged.get(key)
                raise merged.error(f"`{key}: {written}` is not the file's name, `{name}`", key)
            defined[name] = Defined(convert(merged, shape), merged)
        except DefinitionError as error:
            problems += error.every
            broken.add(name)
    return defined


def _not_new(name: str, key: str, content: Located, shipped: dict[str, Located]) -> DefinitionError:
    """Say what is missing where a site's file neither changes something nor is whole itself."""
    hint = did_you_mean(name, shipped) or f"; a new one begins with `{key}: {name}`"
    return content.error(f"nothing that is shipped is named `{name}`{hint}")


def _laid_over(shipped: Located | None, site: Located | None) -> Located:
    if shipped is not None and site is not None:
        return merge(shipped, site)
    found = site if shipped is None else shipped
    assert found is not None  # noqa: S101  # the name came from one of the two
    return found


def _load_profile(
    name: str, configuration: Path, problems: list[DefinitionError]
) -> Located | None:
    """Return the profile, a site's file laid over the shipped one of the same name."""
    file = f"{name}.yaml"
    layers: dict[bool, Located] = {}
    folders = {False: data_folder("profiles"), True: configuration / "profiles"}
    try:
        if FILE_NAME.fullmatch(name) is None:
            raise DefinitionError(f"`{name}` cannot be the name of a profile", configuration)
        for is_site, folder in folders.items():
            if os.path.lexists(folder / file):
                layers[is_site] = read_file(folder / file, check_owner=is_site)
        if not layers:
            known = {path.stem for folder in folders.values() for path in folder.glob("*.yaml")}
            hint = did_you_mean(name, known) or f"; there are {', '.join(sorted(known))}"
            raise DefinitionError(f"there is no such profile{hint}", folders[True] / file)
        merged = _laid_over(layers.get(False), layers.get(True))
        if merged.get("profile") != name:
            written = merged.get("profile")
            raise merged.error(f"`profile: {written}` is not the file's name, `{name}`", "profile")
        convert(merged, Profile)
    except DefinitionError as error:
        problems += error.every
        return None
    return merged


def as_plain(source: Located) -> dict[str, Any]:
    """Return the definition as written, all files merged, without places."""
    result: dict[str, Any] = plain(source)
    return result
