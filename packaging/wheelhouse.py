"""How does hpcdoctor reach a node without a network? One tar for each architecture.

In it are the wheels, pip itself, the list of versions with their hashes, and two lines to install.
"""

import argparse
import hashlib
import sys
import tarfile
import tempfile
from pathlib import Path

from packages import source_date
from wheels import ARCHITECTURES, CHECKOUT, LOCK, CannotBuild, build_wheel, fetch, fetch_pip

README = """\
hpcdoctor {version} with all that it needs, for Python {python} on {architecture}. As root, in this
folder; the second line compares every file with its hash, and asks no network:

    python{python} -m venv --without-pip /opt/hpcdoctor
    /opt/hpcdoctor/bin/python {pip}/pip install {from_here} -r {lock}

An upgrade is the second line, from the newer wheelhouse. The folder cannot be moved afterwards.
What comes next (users, units, settings): /opt/hpcdoctor/share/doc/hpcdoctor/install.md
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the wheelhouses.")
    parser.add_argument("--python", default="3.11", help="of the nodes (default: 3.11)")
    parser.add_argument("--architecture", action="append", choices=ARCHITECTURES)
    parser.add_argument("--output", type=Path, default=CHECKOUT / "dist")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="hpcdoctor-wheelhouse-") as scratch:
            wheel = build_wheel(Path(scratch))
            for architecture in options.architecture or ARCHITECTURES:
                place = Path(scratch) / architecture
                path = make(wheel, place, architecture, options.python, options.output)
                print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}")
    except CannotBuild as error:
        print(f"wheelhouse: {error}", file=sys.stderr)
        return 1
    return 0


def make(wheel: Path, place: Path, architecture: str, python: str, output: Path) -> Path:
    lock = fetch(wheel, place / "wheels", architecture, python)
    lock.rename(place / LOCK)
    pip = fetch_pip(place)
    version = wheel.name.split("-")[1]
    (place / "README").write_text(
        README.format(
            from_here="--no-index --find-links wheels --require-hashes",
            version=version,
            python=python,
            architecture=architecture,
            pip=pip.name,
            lock=LOCK,
        )
    )
    name = f"hpcdoctor-{version}-wheelhouse-{architecture}-python{python}"
    path = output / f"{name}.tar"
    epoch = source_date()
    with tarfile.open(path, "w") as tar:
        for file in sorted(place.rglob("*")):
            tar.add(
                file,
                f"{name}/{file.relative_to(place)}",
                recursive=False,
                filter=lambda entry: _plain(entry, epoch),
            )
    return path


def _plain(entry: tarfile.TarInfo, epoch: int) -> tarfile.TarInfo:
    """Leave out who built it, and when."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() else 0o644
    entry.mtime = epoch
    return entry


if __name__ == "__main__":
    sys.exit(main())
