"""How do a .deb and an .rpm come about? `make packages`; each architecture, into dist/.

    python packaging/packages.py [--python 3.11] [--architecture x86_64] [--only deb]

Debian's own tools make them (dpkg-deb, rpmbuild) from one tree (stage.py). No root is needed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stage import stage
from wheels import ARCHITECTURES, CHECKOUT, CannotBuild, build_wheel, fetch, install

DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}
TOOLS = {"deb": ("dpkg-deb", "dpkg"), "rpm": ("rpmbuild", "rpm")}
CONFIGURATION = "etc/hpcdoctor/hpcdoctor.yaml"
DESCRIPTION = """\
doctor of an HPC or AI compute node
 hpcdoctor watches the hardware and the software of a compute node, tells what is
 wrong with it and why, takes it out of service at the scheduler, repairs what may
 be repaired, and tells others.
 .
 It starts in shadow: it judges and records, and touches nothing until the site
 says so."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the packages for Debian and RHEL.")
    parser.add_argument("--python", default="3.11", help="of the nodes (default: 3.11)")
    parser.add_argument("--architecture", action="append", choices=ARCHITECTURES)
    parser.add_argument("--only", choices=("deb", "rpm"))
    parser.add_argument("--output", type=Path, default=CHECKOUT / "dist")
    parser.add_argument("--package-version", help="FOR TESTS: another number on the package")
    options = parser.parse_args()
    try:
        for path in make(options):
            print(path)
    except CannotBuild as error:
        print(f"packages: {error}", file=sys.stderr)
        return 1
    return 0


def make(options: argparse.Namespace) -> list[Path]:
    kinds = [options.only] if options.only else list(TOOLS)
    for program, package in (TOOLS[kind] for kind in kinds):
        if shutil.which(program) is None:
            raise CannotBuild(f"the program {program} is missing; on Debian: apt install {package}")
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    epoch = source_date()
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    os.umask(0o022)
    made = []
    with tempfile.TemporaryDirectory(prefix="hpcdoctor-packages-") as scratch:
        wheel = build_wheel(Path(scratch))
        version = options.package_version or wheel.name.split("-")[1]
        for architecture in options.architecture or ARCHITECTURES:
            place = Path(scratch) / architecture
            lock = fetch(wheel, place / "wheels", architecture, options.python)
            install(lock, place / "laid-out", architecture, options.python)
            stage(place / "laid-out", place / "tree", options.python, epoch)
            # The rpm first: what a deb has besides, and has not, is done to the same tree.
            if "rpm" in kinds:
                made.append(rpm(place, version, architecture, options.python, output))
            if "deb" in kinds:
                made.append(deb(place, version, architecture, options.python, output, epoch))
    return made


def deb(
    place: Path, version: str, architecture: str, python: str, output: Path, epoch: int
) -> Path:
    tree = place / "tree"
    shutil.rmtree(tree / "usr/lib/systemd/system-preset")  # Debian enables by its own means
    control = tree / "DEBIAN"
    control.mkdir()
    size = sum(path.lstat().st_size for path in tree.rglob("*")) // 1024
    name, full = DEBIAN[architecture], f"{tilde(version)}-1"
    (control / "control").write_text(
        f"Package: hpcdoctor\nVersion: {full}\nArchitecture: {name}\n"
        "Maintainer: The hpcdoctor authors <hpcdoctor@localhost>\n"
        "Section: admin\nPriority: optional\n"
        f"Installed-Size: {size}\n"
        f"Depends: python{python}, libc6 (>= 2.28), libudev1, util-linux,"
        " systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles\n"
        f"Suggests: bash-completion, ipmitool, nvme-cli, rasdaemon\n"
        f"Description: {DESCRIPTION}\n"
    )
    (control / "conffiles").write_text(f"/{CONFIGURATION}\n")
    for script in ("postinst", "prerm", "postrm"):
        shutil.copyfile(CHECKOUT / "packaging/deb" / script, control / script)
        (control / script).chmod(0o755)
    for path in [*control.iterdir(), control]:
        os.utime(path, (epoch, epoch))
    os.utime(tree / "usr/lib/systemd", (epoch, epoch))
    path = output / f"hpcdoctor_{full}_{name}.deb"
    run("dpkg-deb", "--root-owner-group", "--build", str(tree), str(path))
    return path


def rpm(place: Path, version: str, architecture: str, python: str, output: Path) -> Path:
    top = place / "rpm"
    top.mkdir()
    (top / "files").write_text("".join(f"{line}\n" for line in rpm_files(place / "tree")))
    macros = {
        "_topdir": str(top),
        "_rpmdir": str(output),
        "_rpmfilename": "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
        "_dbpath": str(top / "db"),
        "tree": str(place / "tree"),
        "file_list": str(top / "files"),
        "release_version": tilde(version),
        "python": python,
        "_buildhost": "localhost",
        "use_source_date_epoch_as_buildtime": "1",
        "clamp_mtime_to_source_date_epoch": "1",
        # Every rpm since RHEL 8 reads these; digests as FIPS wants them.
        "_binary_payload": "w6.xzdio",
        "_binary_filedigest_algorithm": "8",
        "_build_id_links": "none",
        "debug_package": "%{nil}",
        "__os_install_post": "%{nil}",  # nothing is stripped, compiled or renamed
    }
    defines = [f"--define={name} {value}" for name, value in macros.items()]
    spec = CHECKOUT / "packaging/rpm/hpcdoctor.spec"
    run("rpmbuild", "--quiet", "-bb", f"--target={architecture}-linux", *defines, str(spec))
    return output / f"hpcdoctor-{tilde(version)}-1.{architecture}.rpm"


def rpm_files(tree: Path) -> list[str]:
    """Return the lines of `%files`: each file, and the folders that are only ours."""
    lines = ["%defattr(-,root,root,-)"]
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        if path.is_dir() and not path.is_symlink():
            if "hpcdoctor" in name:
                lines.append(f'%dir "/{name}"')
        elif name == CONFIGURATION:
            lines.append(f'%config(noreplace) "/{name}"')
        else:
            lines.append(f'{"%doc " if "/share/doc/" in name else ""}"/{name}"')
    return lines


def tilde(version: str) -> str:
    """Turn 1.0rc1 into 1.0~rc1, which comes before 1.0 for dpkg and rpm alike."""
    return re.sub(r"(?<=\d)\.?(a|b|rc|dev)(?=\d)", r"~\1", version)


def source_date() -> int:
    """Return the time of all files: as asked for, of the last commit, or of the release's files."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    done = subprocess.run(
        ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0 and done.stdout.strip():
        return int(done.stdout)
    return int((CHECKOUT / "pyproject.toml").stat().st_mtime)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotBuild(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
