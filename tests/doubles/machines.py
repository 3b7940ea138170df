"""How does a test change one file of a recorded machine? It gets a copy of its own."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from hpcdoctor.model.instant import Instant
from hpcdoctor.probes.host import Host
from tests.conftest import NODES


def copy_of(name: str, folder: Path) -> Path:
    """Return a copy of tests/nodes/NAME below `folder`, to be changed freely."""
    return shutil.copytree(NODES / name, folder / name.replace("/", "-"), symlinks=True)


def written(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write the files below the folder, which becomes a machine; return it."""
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def host_of(folder: Path, now: Instant | None = None) -> Host:
    return Host.recorded(folder, now)
