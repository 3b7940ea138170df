"""Where does the running daemon have its folders, also while the configuration is wrong?

It goes on with the settings of its start, and whoever asks it, holds it or reads its files in that
hour is not to be stopped by a mistake in a file that they may not even have written.
"""

import re
import sys
from pathlib import Path, PurePosixPath

import msgspec

from hpcdoctor.definitions.loader import SETTINGS_FILE, load_settings
from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.definitions.trust import why_not_trusted

FOLDERS = ("run_directory", "state_directory")
LONGEST_FILE = 1 << 20
_LINE = re.compile(r"""^(\w+):[ \t]+(["']?)(/[^"'#\s]+)\2[ \t\r]*(?:#.*)?$""", re.MULTILINE)


def settings_for_folders(configuration: Path, *, quiet: bool = False) -> Settings:
    """Return the settings; where they are wrong, tell so in one line and return the folders alone.

    These are read from their own lines, or are the defaults where that cannot be done. For use by
    commands that need no other key; `quiet` for those that tell the mistake by themselves.
    """
    try:
        return load_settings(configuration)
    except DefinitionError as error:
        settings = msgspec.structs.replace(Settings(), **_folders(configuration / SETTINGS_FILE))
        if quiet:
            return settings
        others = len(error.every) - 1
        more = f" (and {others} more: `hpcdoctor lint`)" if others else ""
        print(
            f"hpcdoctor: {error}{more}; going on with run_directory {settings.run_directory}",
            file=sys.stderr,
        )
        return settings


def _folders(path: Path) -> dict[str, str]:
    """Return what the file says of them, line by line; nothing where others may write to it."""
    if not path.is_file() or why_not_trusted(path) is not None:
        return {}
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST_FILE).decode(errors="replace")
    except OSError:
        return {}
    found = {key: value for key, _, value in _LINE.findall(text) if key in FOLDERS}
    return {key: value for key, value in found.items() if ".." not in PurePosixPath(value).parts}
