"""Do the .deb and the .rpm hold the same, complete and nothing of the machine that made them?"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from hpcdoctor import __version__
from hpcdoctor.definitions.loader import load_settings
from hpcdoctor.definitions.settings import SchedulerName, Settings
from hpcdoctor.model.decision import Mode
from tests.conftest import CHECKOUT
from tests.doubles.packages import PYTHON, build, run

pytestmark = pytest.mark.real

HOME = "/usr/lib/hpcdoctor"
SITE = f"{HOME}/lib/python{PYTHON}/site-packages"
UNITS = ("hpcdoctor.service", "hpcdoctor-prober.service", "hpcdoctor-helper.service")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DPKG_DEB_COMPRESSOR_LEVEL", "1")  # for the haste, not for the size
        rpm, deb = build(tmp_path_factory.mktemp("packages"), "--architecture", "x86_64")
    return deb, rpm


@pytest.fixture(scope="module")
def unpacked(packages: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    run("dpkg-deb", "--extract", str(packages[0]), str(folder))
    return folder


@pytest.fixture(scope="module")
def unpacked_rpm(packages: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where rpm itself has laid the package out, without its scripts."""
    folder = tmp_path_factory.mktemp("unpacked-rpm")
    run("rpm", "--root", str(folder), "--nodeps", "--noscripts", "-i", str(packages[1]))
    return folder


def files(folder: Path) -> set[str]:
    return {
        f"/{path.relative_to(folder)}"
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def test_all_that_is_shipped_is_in_it(unpacked: Path) -> None:
    there = files(unpacked)
    for name in ("checks", "rules", "remediations", "profiles", "catalogs"):
        for path in (CHECKOUT / name).rglob("*.yaml"):
            assert f"{SITE}/hpcdoctor/_data/{path.relative_to(CHECKOUT)}" in there
    for path in (CHECKOUT / "hpcdoctor").rglob("*.py"):
        assert f"{SITE}/{path.relative_to(CHECKOUT)}" in there
    assert {f"/usr/lib/systemd/system/{unit}" for unit in UNITS} < there
    assert {
        "/etc/hpcdoctor/hpcdoctor.yaml",
        "/usr/bin/hpcdoctor",
        "/usr/bin/hpcdoctor-gate",
        "/usr/lib/sysusers.d/hpcdoctor.conf",
        "/usr/lib/tmpfiles.d/hpcdoctor.conf",
        "/usr/share/bash-completion/completions/hpcdoctor",
        "/usr/share/doc/hpcdoctor/copyright",
        "/usr/share/doc/hpcdoctor/install.md",
        "/usr/share/fish/vendor_completions.d/hpcdoctor.fish",
        "/usr/share/man/man1/hpcdoctor.1.gz",
        "/usr/share/man/man5/hpcdoctor.yaml.5.gz",
        "/usr/share/man/man8/hpcdoctor-gate.8.gz",
        "/usr/share/zsh/site-functions/_hpcdoctor",
    } < there


def test_both_packages_hold_the_same_but_for_what_enables_the_units(
    unpacked: Path, packages: tuple[Path, Path]
) -> None:
    listed = set(run("rpm", "-qlp", str(packages[1])).splitlines())
    preset = "/usr/lib/systemd/system-preset/80-hpcdoctor.preset"
    in_rpm = {name for name in listed if not (unpacked / name[1:]).is_dir()}
    assert in_rpm == files(unpacked) | {preset}
    shared = {"/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/lib/systemd", "/usr/share/man"}
    assert not listed & shared, "folders of others"


def test_everything_is_roots_and_only_root_may_write(packages: tuple[Path, Path]) -> None:
    for line in run("dpkg-deb", "--contents", str(packages[0])).splitlines():
        mode, owner, *_ = line.split()
        assert owner == "root/root", line
        assert mode in ("drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx"), line
    for line in run("rpm", "-qp", "--dump", str(packages[1])).splitlines():
        mode, owner, group = line.split()[4:7]
        assert (owner, group) == ("root", "root"), line
        assert mode in ("040755", "0100755", "0100644", "0120777"), line


def test_nothing_in_it_tells_of_the_machine_that_made_it(unpacked: Path) -> None:
    place = str(CHECKOUT).encode()
    told = [path for path in unpacked.rglob("*") if path.is_file() and place in path.read_bytes()]
    assert told == []
    assert not list(unpacked.rglob("direct_url.json"))


def test_the_units_start_the_program_where_the_package_has_it(unpacked: Path) -> None:
    for unit in UNITS:
        text = (unpacked / "usr/lib/systemd/system" / unit).read_text()
        assert "ExecStart=/usr/bin/hpcdoctor " in text
    for path in unpacked.rglob("*"):
        if path.is_file() and path.parts[-2] in ("system", "bin"):
            assert b"/opt/" not in path.read_bytes()
    for name in ("hpcdoctor", "hpcdoctor-gate"):
        link = unpacked / "usr/bin" / name
        assert (link.parent / link.readlink()).resolve() == unpacked / HOME[1:] / "bin" / name


def test_the_settings_are_kept_and_touch_nothing(
    unpacked: Path, packages: tuple[Path, Path]
) -> None:
    deb, rpm = packages
    name = "/etc/hpcdoctor/hpcdoctor.yaml"
    assert run("dpkg-deb", "--info", str(deb), "conffiles").split() == [name]
    assert run("rpm", "-qp", "--configfiles", str(rpm)).split() == [name]
    settings = load_settings(unpacked / "etc/hpcdoctor")
    assert (settings.mode, settings.scheduler) == (Mode.SHADOW, SchedulerName.NONE)
    assert settings == Settings(), "what stands there are the defaults"


def test_what_it_needs_is_named(packages: tuple[Path, Path]) -> None:
    deb, rpm = packages
    fields = run("dpkg-deb", "--field", str(deb), "Version", "Architecture", "Depends")
    assert f"Version: {__version__}-1\nArchitecture: amd64\n" in fields
    assert f"python{PYTHON}, libc6 (>= 2.28), libudev1, util-linux, systemd |" in fields
    needed = run("rpm", "-qp", "--requires", str(rpm)).splitlines()
    named = {line for line in needed if not line.startswith("rpmlib")}
    assert named == {f"python{PYTHON}", "systemd", "systemd-libs", "util-linux", "/bin/sh"}
    # What RHEL 8's rpm does not know it refuses to install.
    assert {line.split("(")[1].split(")")[0] for line in needed if line.startswith("rpmlib")} == {
        "CompressedFileNames",
        "FileDigests",
        "PayloadFilesHavePrefix",
        "PayloadIsXz",
    }


def test_the_scripts_are_plain_shell(packages: tuple[Path, Path], tmp_path: Path) -> None:
    deb, rpm = packages
    run("dpkg-deb", "--control", str(deb), str(tmp_path / "control"))
    for name in ("postinst", "prerm", "postrm"):
        run("sh", "-n", str(tmp_path / "control" / name))
    scripts = run("rpm", "-qp", "--scripts", str(rpm))
    for moment in ("postinstall", "preuninstall", "postuninstall"):
        assert f"{moment} scriptlet (using /bin/sh):" in scripts
    body = "\n".join(line for line in scripts.splitlines() if "scriptlet (using" not in line)
    (tmp_path / "scripts").write_text(body)
    run("sh", "-n", str(tmp_path / "scripts"))
    assert "rm -" not in scripts, "an rpm that goes leaves the state"


def test_the_rpm_as_rpm_lays_it_out_works(unpacked_rpm: Path) -> None:
    home = unpacked_rpm / HOME[1:]
    program = [str(home / "bin/python"), "-I", str(home / "bin/hpcdoctor")]
    assert run(*program, "--version") == f"hpcdoctor {__version__}\n"
    assert "no mistakes" in run(*program, "lint", "--config", str(unpacked_rpm / "etc/hpcdoctor"))


def test_it_brings_all_that_it_imports_and_is_compiled(unpacked: Path) -> None:
    home = unpacked / HOME[1:]
    code = (
        "import marshal, pathlib, sys, hpcdoctor.daemon.main, hpcdoctor.daemon.web,"
        " hpcdoctor.cli.helper, hpcdoctor.cli.prober, hpcdoctor.events.publisher, pynvml,"
        " pyudev, prometheus_client\n"
        "home = sys.argv[1]\n"
        "for name, module in sorted(sys.modules.items()):\n"
        "    file = getattr(module, '__file__', None) or ''\n"
        "    if 'site-packages' in file or 'dist-packages' in file:\n"
        "        assert file.startswith(home), (name, file)\n"
        "        if file.endswith('.py'):\n"
        "            compiled = pathlib.Path(module.__spec__.cached)\n"
        "            assert compiled.read_bytes()[4] == 1, (name, 'unchecked')\n"
        "            told = marshal.loads(compiled.read_bytes()[16:]).co_filename\n"
        "            assert told == file.removeprefix(sys.argv[2]), told\n"
    )
    done = subprocess.run(
        [str(home / "bin/python"), "-I", "-c", code, str(home), str(unpacked)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_all_but_the_tests_is_in_the_sdist_and_a_wheel_can_be_built_from_it(
    tmp_path: Path,
) -> None:
    if not (CHECKOUT / ".git").exists():
        pytest.skip("this is no checkout, so nobody can say what belongs into the sdist")
    run(sys.executable, "-m", "build", "--outdir", str(tmp_path), str(CHECKOUT))
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        there = {name.partition("/")[2] for name in archive.getnames()}
    tracked = run("git", "-C", str(CHECKOUT), "ls-files").splitlines()
    wanted = {name for name in tracked if not name.startswith(("tests/", "."))}
    assert there >= {name for name in wanted if (CHECKOUT / name).exists()}
    assert not [name for name in there if name.startswith("tests/")]
    (wheel,) = tmp_path.glob("*.whl")  # made from the sdist, not from the checkout
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    shipped = [name for name in wanted if name.startswith(("checks/", "rules/", "catalogs/"))]
    assert {f"hpcdoctor/_data/{name}" for name in shipped} < set(names)
    assert f"hpcdoctor-{__version__}.data/scripts/hpcdoctor-gate" in names


def test_where_a_tool_is_missing_the_build_says_which(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "packaging/packages.py"), "--output", str(tmp_path)],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "packages: the program dpkg-deb is missing; on Debian: apt install dpkg\n"
