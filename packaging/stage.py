"""What does a package hold? The tree below `/`, made from wheels, for one architecture.

/usr/lib/hpcdoctor and not /opt/hpcdoctor: on many clusters /opt is a mount that all nodes share,
and a doctor that lives on a file system cannot tell that it hangs. It is a virtual environment like
that of a plain installation, written here and not by `venv`, so that it fits another machine.
"""

import gzip
import os
import re
import shutil
import subprocess
from email.parser import HeaderParser
from pathlib import Path

from wheels import CHECKOUT, CannotBuild

HOME = "usr/lib/hpcdoctor"
PLAIN_HOME = "/opt/hpcdoctor"  # where the units look, as they are in the tree
UNITS = "usr/lib/systemd/system"

# -I: root's environment (modules set PYTHONPATH) and present folder are not ours to import.
PROGRAM = f"""\
#!/{HOME}/bin/python -I
import sys

from hpcdoctor.__main__ import main

sys.exit(main())
"""
EDITED = """\
# Python's files here are compiled once and for all: a change to one of them has no effect.
# Checks, rules and remediations are changed in /etc/hpcdoctor; see docs/install.md.
"""


def stage(laid_out: Path, tree: Path, python: str, epoch: int) -> None:
    """Make the tree from the wheels' files; every file gets the time `epoch`."""
    home = tree / HOME
    packages = home / f"lib/python{python}/site-packages"
    packages.mkdir(parents=True)
    _programs(laid_out, home, python)
    _shared(laid_out / "share", tree / "usr/share")
    for path in sorted(laid_out.iterdir()):
        if path.name not in ("bin", "share"):
            shutil.move(path, packages / path.name)
    _tidy(packages)
    _units(packages / "hpcdoctor/_data/systemd", tree)
    _documents(packages, tree / "usr/share/doc/hpcdoctor")
    (tree / "etc/hpcdoctor").mkdir(parents=True)
    shutil.copyfile(CHECKOUT / "packaging/hpcdoctor.yaml", tree / "etc/hpcdoctor/hpcdoctor.yaml")
    _links(tree)
    _modes(tree)
    _compile(tree, packages, python)
    _times(tree, epoch)


def _programs(laid_out: Path, home: Path, python: str) -> None:
    """Write what makes the folder an environment, and keep our own programs of all in bin/."""
    (home / "bin").mkdir()
    (home / "bin/python").symlink_to(f"/usr/bin/python{python}")
    (home / "pyvenv.cfg").write_text(
        f"{EDITED}home = /usr/bin\ninclude-system-site-packages = false\nversion = {python}\n"
    )
    (home / "bin/hpcdoctor").write_text(PROGRAM)
    gate = laid_out / "bin/hpcdoctor-gate"
    if gate.exists():
        shutil.copyfile(gate, home / "bin/hpcdoctor-gate")


def _shared(share: Path, to: Path) -> None:
    """Move completions and manual pages; distributions keep the latter compressed."""
    shutil.copytree(share, to)
    shutil.rmtree(to / "hpcdoctor")  # units of a plain installation
    for page in sorted(to.glob("man/man*/*")):
        page.with_name(f"{page.name}.gz").write_bytes(gzip.compress(page.read_bytes(), 9, mtime=0))
        page.unlink()


def _tidy(packages: Path) -> None:
    """Leave out what only pip and compilers read; metadata and licences stay."""
    for pattern in ("*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED"):
        for path in packages.glob(pattern):
            path.unlink()
    for suffix in (".pyi", ".pyx", ".pxd", ".c", ".h", ".hash"):
        for path in packages.rglob(f"*{suffix}"):
            path.unlink()


def _units(shipped: Path, tree: Path) -> None:
    (tree / UNITS).mkdir(parents=True)
    for path in [*sorted(shipped.glob("*.service")), *sorted(shipped.glob("*.socket"))]:
        text = path.read_text().replace(f"{PLAIN_HOME}/bin/hpcdoctor", "/usr/bin/hpcdoctor")
        (tree / UNITS / path.name).write_text(text)
    for folder in ("sysusers.d", "tmpfiles.d", "systemd/system-preset"):
        (tree / "usr/lib" / folder).mkdir(parents=True)
    shutil.copyfile(shipped / "hpcdoctor.sysusers", tree / "usr/lib/sysusers.d/hpcdoctor.conf")
    shutil.copyfile(shipped / "hpcdoctor.tmpfiles", tree / "usr/lib/tmpfiles.d/hpcdoctor.conf")
    preset = tree / "usr/lib/systemd/system-preset/80-hpcdoctor.preset"
    shutil.copyfile(CHECKOUT / "packaging/hpcdoctor.preset", preset)


def _documents(packages: Path, to: Path) -> None:
    """Say what is in the package and under which licence, and bring the pages for operators."""
    to.mkdir(parents=True, exist_ok=True)
    lines = ["hpcdoctor is licensed under Apache-2.0; the text is in its own folder below.", ""]
    lines += ["With it come, unchanged:", ""]
    for path in sorted(packages.glob("*.dist-info/METADATA")):
        data = HeaderParser().parsestr(path.read_text(errors="replace"))
        if data["Name"] != "hpcdoctor":
            licence = data["License-Expression"] or _licence_of(data["License"], data.as_string())
            lines.append(f"  {data['Name']} {data['Version']}: {licence}")
    place = f"/{HOME}/{packages.relative_to(packages.parents[2])}"
    lines += ["", f"The texts of the licences: {place}/*.dist-info/"]
    (to / "copyright").write_text("\n".join(lines) + "\n")
    leave_out = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(CHECKOUT / "docs", to, ignore=leave_out, dirs_exist_ok=True)
    shutil.copyfile(CHECKOUT / "CHANGELOG.md", to / "CHANGELOG.md")


def _licence_of(stated: str | None, metadata: str) -> str:
    found = re.findall(r"^Classifier: License :: (?:OSI Approved :: )?(.+)$", metadata, re.M)
    if found:
        return ", ".join(found)
    return (stated or "see its folder").splitlines()[0]


def _links(tree: Path) -> None:
    folder = tree / "usr/bin"
    folder.mkdir(parents=True)
    for program in sorted((tree / HOME / "bin").glob("hpcdoctor*")):
        (folder / program.name).symlink_to(f"../lib/hpcdoctor/bin/{program.name}")


def _modes(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            program = path.is_dir() or path.parent.name == "bin"
            path.chmod(0o755 if program else 0o644)


def _compile(tree: Path, packages: Path, python: str) -> None:
    """Compile for the Python of the target, without a look at the files' times afterwards.

    Images are often made by tools that keep no times; the daemon's user cannot write here, so that
    each start would compile everything again.
    """
    program = shutil.which(f"python{python}")
    if program is None:
        raise CannotBuild(
            f"there is no python{python} here, which compiles the files for the package; install "
            f"it, or build where the nodes' Python is and say which: make packages NODE_PYTHON=3.12"
        )
    subprocess.run(
        [
            *(program, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(tree), "-p", "/", str(packages)),
        ],
        check=True,
    )
    for path in packages.rglob("__pycache__"):
        path.chmod(0o755)
        for file in path.iterdir():
            file.chmod(0o644)


def _times(tree: Path, epoch: int) -> None:
    for path in [*tree.rglob("*"), tree]:
        os.utime(path, (epoch, epoch), follow_symlinks=False)
