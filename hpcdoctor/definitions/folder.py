"""Which files of a folder are definitions? Every one is used or told of; none is passed over."""

import os
import re
import stat
from collections.abc import Container, Iterator
from pathlib import Path

from hpcdoctor.definitions.mistake import DefinitionError, did_you_mean
from hpcdoctor.definitions.trust import why_not_trusted
from hpcdoctor.definitions.yamlfile import Located, load_yaml

SUFFIX = ".yaml"
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
LONGEST_NAME = 60  # it has to fit into the reason line at a scheduler
DEEPEST = 5
# What a site's folder may hold, so that a misspelt one is not passed over in silence.
KNOWN = (
    "hpcdoctor.yaml",
    "checks",
    "rules",
    "remediations",
    "profiles",
    "catalogs",
    "commands",
)


def read_folder(
    folder: Path,
    problems: list[DefinitionError],
    *,
    check_owner: bool,
    only: Container[str] | None = None,
) -> dict[str, Located]:
    """Return the content of every definition below `folder` by its name; none where there is none.

    What cannot be used is added to `problems`. `only` has the names that are asked for.
    """
    found: dict[str, Located] = {}
    if not os.path.lexists(folder):
        return found
    for path in _files(folder, 0, problems):
        if only is not None and path.stem not in only:
            continue
        try:
            if mistake := _why_not_named(path, any_name=not check_owner):
                raise DefinitionError(mistake, path)
            content = read_file(path, check_owner=check_owner)
            if path.stem in found:
                raise DefinitionError(f"the same name stands in {found[path.stem].file}", path)
        except DefinitionError as error:
            problems += error.every
        else:
            found[path.stem] = content
    return found


def read_file(path: Path, *, check_owner: bool) -> Located:
    """Return what one file says; raise DefinitionError where it is wrong or not to be trusted."""
    if check_owner and (reason := why_not_trusted(path)):
        raise DefinitionError(f"is not used: {reason}", path)
    return load_yaml(path)


def find_strays(configuration: Path) -> Iterator[DefinitionError]:
    """Yield what lies in a site's folder under nearly the name of something that is read."""
    try:
        names = sorted(entry.name for entry in os.scandir(configuration))
    except FileNotFoundError:
        return
    except OSError as error:
        yield DefinitionError(f"cannot be listed: {error.strerror}", configuration)
        return
    for name in names:
        if name in KNOWN or _is_left_over(name):
            continue
        missing = [known for known in KNOWN if known not in names]
        if hint := did_you_mean(name, missing):
            yield DefinitionError(f"is not read{hint}", configuration / name)


def _files(folder: Path, depth: int, problems: list[DefinitionError]) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except NotADirectoryError:
        problems.append(DefinitionError("has to be a folder", folder))
        return
    except OSError as error:
        problems.append(DefinitionError(f"cannot be listed: {error.strerror}", folder))
        return
    for entry in entries:
        path = Path(entry.path)
        if _is_left_over(entry.name):
            continue
        if _is_folder(path):
            if depth < DEEPEST:
                yield from _files(path, depth + 1, problems)
            else:
                problems.append(DefinitionError("lies too deep; at most 5 folders", path))
        elif entry.name.endswith(SUFFIX):
            yield path
        elif entry.name.lower().endswith((".yml", ".yaml")):
            message = f"is not read: its name has to end in {SUFFIX}"
            problems.append(DefinitionError(message, path))


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False  # a link to nowhere: reading it says so


def _is_left_over(name: str) -> bool:
    """Tell whether an editor or a package manager left this: .x.swp, x~, x.rpmsave, #x#."""
    return name.startswith((".", "#")) or name.endswith(
        ("~", ".bak", ".orig", ".rej", ".swp", ".rpmnew", ".rpmsave", ".dpkg-dist", ".dpkg-old")
    )


def _why_not_named(path: Path, *, any_name: bool) -> str | None:
    name = path.stem
    if any_name or (NAME.fullmatch(name) and len(name) <= LONGEST_NAME):
        return None
    near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST_NAME].strip("-")
    hint = f"; did you mean `{near}{SUFFIX}`?" if near else ""
    return (
        f"`{name}` cannot be a name: it is made of lower-case words, digits and single hyphens, "
        f"at most {LONGEST_NAME} characters{hint}"
    )
