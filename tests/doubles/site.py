"""What has a site written into its folder? Makes one, and tells what lint says of it."""

from collections.abc import Mapping
from pathlib import Path

from hpcdoctor.definitions.loader import load_definitions
from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.knowledge import Knowledge, resolve

CHECK = """\
check: {name}
summary: The clock says {{source}}
probe: clock
every: 60s
warning:
  when: source == "hpet"
cause: node
why: A slow clock slows programs down.
next_steps:
  - Look why
"""


def written(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a site's files below `folder`; return it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def resolved(folder: Path, profile: str | None = None) -> tuple[Knowledge, list[DefinitionError]]:
    return resolve(Settings(), folder, load_definitions(folder, profile))


def mistakes(folder: Path, profile: str | None = None) -> list[str]:
    """Return every mistake as lint prints it, the folder left out."""
    _, problems = resolved(folder, profile)
    return [str(problem).replace(f"{folder}/", "") for problem in problems]
