"""Which wheels does hpcdoctor need on a machine of some kind? Built and fetched, with hashes."""

import hashlib
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("x86_64", "aarch64")
# glibc of the oldest distribution that has the Python we want: RHEL 8 with 2.28.
GLIBC = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
LOCK = "requirements.txt"


class CannotBuild(Exception):
    """The text says what is missing."""


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this tree."""
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT))
    (found,) = folder.glob("hpcdoctor-*.whl")
    return found


def fetch(wheel: Path, folder: Path, architecture: str, python: str) -> Path:
    """Fetch what the wheel needs into `folder`, the wheel beside it, and write the lock file."""
    pip("download", "--dest", str(folder), *platform(architecture, python), str(wheel))
    lines = [
        f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in sorted(folder.glob("*.whl"))
        for name, version in [path.name.split("-")[:2]]
    ]
    (folder / LOCK).write_text("".join(lines))
    return folder / LOCK


def fetch_pip(folder: Path) -> Path:
    """Fetch pip itself, which runs from its own wheel: Debian's Python comes without it."""
    pip("download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), "pip")
    (found,) = folder.glob("pip-*.whl")
    return found


def install(lock: Path, folder: Path, architecture: str, python: str) -> None:
    """Lay the locked wheels out in `folder`, for a machine that need not be this one."""
    pip(
        *("install", "--target", str(folder), "--no-compile", "--no-deps", "--no-index"),
        *("--find-links", str(lock.parent), "--require-hashes", "--requirement", str(lock)),
        *platform(architecture, python),
    )


def platform(architecture: str, python: str) -> list[str]:
    tags = [f"--platform={glibc}_{architecture}" for glibc in GLIBC]
    return [*tags, "--implementation=cp", f"--python-version={python}", "--only-binary=:all:"]


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotBuild(f"pip {arguments[0]} failed:\n{done.stderr.strip()}")
