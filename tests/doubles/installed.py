"""What does a user get? The wheel, built from this tree and installed where everybody can read it.

Below /var/tmp and not below pytest's own folder: the daemon runs as another user, who may read
neither the checkout nor a temporary folder of root.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PATIENCE_SECONDS = 600


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this tree."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel: Path) -> Iterator[Path]:
    """Return the path of bin/hpcdoctor in a fresh environment."""
    folder = Path(tempfile.mkdtemp(prefix="hpcdoctor-test-", dir="/var/tmp"))
    try:
        folder.chmod(0o755)
        yield install_into(folder, wheel)
    finally:
        shutil.rmtree(folder)


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this tree into `folder`."""
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT))
    (found,) = folder.glob("hpcdoctor-*.whl")
    return found


def install_into(folder: Path, wheel: Path | None = None) -> Path:
    """Install into a fresh environment in `folder`; return the path of bin/hpcdoctor."""
    environment = folder / "venv"
    subprocess.run(
        [base_python(), "-m", "venv", "--without-pip", str(environment)],
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    built = wheel or build_wheel(folder)
    pip("--python", str(environment / "bin/python"), "install", str(built))
    return environment / "bin/hpcdoctor"


def base_python() -> str:
    """Return the Python below our own environment: an environment of an environment breaks."""
    return str(Path(sys.executable).resolve())


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"pip {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
