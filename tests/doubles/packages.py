"""How does a test get our packages? From this tree, by the program that `make packages` runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

PATIENCE_SECONDS = 600
PYTHON = "3.11"


def build(folder: Path, *options: str) -> list[Path]:
    """Build packages into `folder`; skip where a program that this takes is missing."""
    for program in ("dpkg-deb", "rpmbuild", f"python{PYTHON}"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; no package can be built")
    said = run(
        sys.executable, str(CHECKOUT / "packaging/packages.py"), "--output", str(folder), *options
    )
    return [Path(line) for line in said.splitlines()]


def run(*command: str, code: int = 0, timeout: float = PATIENCE_SECONDS) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == code, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
    return done.stdout
