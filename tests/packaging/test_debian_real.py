"""Can the packages be installed, upgraded, downgraded and removed? For real, in a Debian.

The rpm is put into the same Debian by rpm itself: its scripts run there, with the same systemd.
"""

import hashlib
import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdoctor import __version__
from tests.conftest import CHECKOUT
from tests.doubles.debian import Debian, bootstrap, copy_of
from tests.doubles.dump import make_newer, restore
from tests.doubles.packages import build, run
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("as_root")]

OLDER = "0.0.9"
CONFIGURATION = "/etc/hpcdoctor/hpcdoctor.yaml"
STORE = "var/lib/hpcdoctor/hpcdoctor.db"
DUMP = Path(__file__).parents[1] / "daemon/databases/early.sql"
ENABLED = (
    "/etc/systemd/system/multi-user.target.wants/hpcdoctor.service",
    "/etc/systemd/system/sockets.target.wants/hpcdoctor-helper.socket",
    "/etc/systemd/system/sockets.target.wants/hpcdoctor-prober.socket",
)
UNITS = ("hpcdoctor.service", "hpcdoctor-prober.socket", "hpcdoctor-helper.socket")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hpcdoctor-test-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def pristine(place: Path) -> Path:
    return bootstrap(place / "pristine")


@pytest.fixture(scope="module")
def packages(place: Path) -> tuple[Path, Path]:
    """Return deb and rpm of this tree."""
    rpm, deb = build(place / "now", "--architecture", "x86_64")
    return deb, rpm


@pytest.fixture(scope="module")
def older(place: Path) -> tuple[Path, Path]:
    """Return the same with a lower number."""
    rpm, deb = build(place / "older", "--architecture", "x86_64", "--package-version", OLDER)
    return deb, rpm


@pytest.fixture
def debian(pristine: Path, place: Path) -> Iterator[Debian]:
    with copy_of(pristine, place / "debian") as made:
        yield made


def put_state(debian: Debian) -> None:
    """Leave what an older daemon left: a node that is drained, under a hold."""
    restore(DUMP, debian.folder / STORE)
    debian.run("chown", "hpcdoctor:hpcdoctor", f"/{STORE}")


def state(debian: Debian) -> dict[str, object]:
    """Return the node as the database has it."""
    connection = sqlite3.connect(debian.folder / STORE)
    try:
        row = connection.execute("SELECT value FROM document WHERE name = 'node'").fetchone()
    finally:
        connection.close()
    return dict(json.loads(row[0]))


def assert_well(debian: Debian) -> None:
    """Hold what a fresh installation has to be, whichever package it came from."""
    assert debian.run("hpcdoctor", "--version") == f"hpcdoctor {__version__}\n"
    document = json.loads(debian.run("sh", "-c", "hpcdoctor check --json || [ $? -le 3 ]"))
    assert document["schema"] == "hpcdoctor.check/1"
    assert len(document["checks"]) > 100 or document["counts"], "it has looked"
    assert "no mistakes" in debian.run("hpcdoctor", "lint")
    assert "cannot know" in debian.run("hpcdoctor-gate", "ask", code=3)
    assert debian.owner("/var/lib/hpcdoctor") == "hpcdoctor:hpcdoctor 750"
    assert debian.owner("/var/lib/hpcdoctor-helper") == "root:root 700"
    assert debian.owner(CONFIGURATION) == "root:root 644"
    assert debian.owner("/usr/lib/hpcdoctor/bin/hpcdoctor") == "root:root 755"
    assert debian.run("getent", "passwd", "hpcdoctor").endswith("/usr/sbin/nologin\n")
    assert debian.run("getent", "group", "hpcdoctor-admin")
    for link in ENABLED:
        assert debian.run("readlink", link).endswith(f"/systemd/system/{Path(link).name}\n")
    for unit in UNITS:
        assert debian.run("systemctl", "is-enabled", unit) == "enabled\n"


def status_of_what_runs(debian: Debian) -> dict[str, object]:
    """Start the three processes as a user without systemd does, and ask where the node stands."""
    with debian.running("hpcdoctor", "run") as process:
        socket = debian.folder / "run/hpcdoctor/control.sock"

        def up() -> bool:
            assert process.poll() is None, debian.said()
            return socket.exists()

        wait_for("the daemon's socket", up, 60)
        return dict(json.loads(debian.run("hpcdoctor", "status", "--json")))


def test_the_deb_is_installed_and_runs_as_it_is(
    debian: Debian, packages: tuple[Path, Path]
) -> None:
    debian.run("dpkg", "--install", debian.bring(packages[0]))
    assert_well(debian)
    status = status_of_what_runs(debian)
    assert (status["state"], status["mode"]) == ("healthy", "shadow"), status
    assert debian.owner(f"/{STORE}").startswith("hpcdoctor:hpcdoctor")


def test_a_deb_goes_without_a_trace_when_it_is_purged(
    debian: Debian, packages: tuple[Path, Path]
) -> None:
    before = debian.find("hpcdoctor")
    debian.run("dpkg", "--install", debian.bring(packages[0]))
    put_state(debian)
    debian.run("dpkg", "--remove", "hpcdoctor")
    left = [path for path in debian.find("hpcdoctor") if "/systemd/" not in path]
    assert {path for path in left if not path.startswith("/var/lib/dpkg/")} == {
        "/etc/hpcdoctor",
        CONFIGURATION,
        "/var/lib/hpcdoctor",
        f"/{STORE}",
        "/var/lib/hpcdoctor-helper",
    }, "state and settings stay until the purge"
    debian.run("dpkg", "--purge", "hpcdoctor")
    assert debian.find("hpcdoctor") == before


def test_a_node_keeps_its_state_and_its_settings_through_an_upgrade(
    debian: Debian, packages: tuple[Path, Path], older: tuple[Path, Path]
) -> None:
    debian.run("dpkg", "--install", debian.bring(older[0]))
    settings = "cluster: mine\nmode: shadow\nnode: n017\n"
    (debian.folder / CONFIGURATION[1:]).write_text(settings)
    debian.run("systemctl", "disable", "hpcdoctor-helper.socket")
    put_state(debian)
    said = debian.run("dpkg", "--install", debian.bring(packages[0]))
    assert f"Unpacking hpcdoctor ({__version__}-1) over ({OLDER}-1)" in said
    assert (debian.folder / CONFIGURATION[1:]).read_text() == settings
    assert debian.run("systemctl", "is-enabled", "hpcdoctor-helper.socket", code=1) == "disabled\n"
    status = status_of_what_runs(debian)
    assert "a technician is on the way" in str(status["hold"])
    incident = state(debian)["incident"]
    assert isinstance(incident, dict)
    assert incident["id"] == "k3f9"
    assert not list((debian.folder / STORE).parent.glob("*damaged*"))


def test_a_program_that_is_older_than_the_state_refuses_and_says_what_to_do(
    debian: Debian, packages: tuple[Path, Path], older: tuple[Path, Path]
) -> None:
    debian.run("dpkg", "--install", debian.bring(packages[0]))
    status_of_what_runs(debian)
    make_newer(debian.folder / STORE, "9.1.0")
    before = (debian.folder / STORE).read_bytes()
    said = debian.run("dpkg", "--install", debian.bring(older[0]))
    assert "downgrading hpcdoctor" in said
    said = debian.run("hpcdoctor", "daemon", code=78)
    assert said.startswith(f"hpcdoctor: /{STORE} was written by hpcdoctor 9.1.0")
    assert "Install the newer one again, or move the file away" in said
    assert (debian.folder / STORE).read_bytes() == before
    debian.run("mv", f"/{STORE}", f"/{STORE}.newer")
    assert status_of_what_runs(debian)["state"] == "healthy"


def test_the_rpm_is_installed_upgraded_and_removed_by_rpm_itself(
    debian: Debian, packages: tuple[Path, Path], older: tuple[Path, Path]
) -> None:
    rpm = ("rpm", "--root", str(debian.folder))
    run(*rpm, "--install", "--nodeps", str(older[1]))
    assert_well(debian)
    put_state(debian)
    settings = "cluster: mine\n"
    (debian.folder / CONFIGURATION[1:]).write_text(settings)
    run(*rpm, "--upgrade", "--nodeps", str(packages[1]))
    assert f"hpcdoctor-{__version__}-1" in run(*rpm, "--query", "hpcdoctor")
    assert (debian.folder / CONFIGURATION[1:]).read_text() == settings
    assert_well(debian)
    incident = state(debian)["incident"]
    assert isinstance(incident, dict)
    assert incident["id"] == "k3f9"
    run(*rpm, "--erase", "hpcdoctor")
    left = [path for path in debian.find("hpcdoctor") if not path.startswith("/var/lib/rpm")]
    assert left == [
        "/etc/hpcdoctor",
        f"{CONFIGURATION}.rpmsave",
        "/var/lib/hpcdoctor",
        "/var/lib/hpcdoctor-helper",
        f"/{STORE}",
    ], "what a site wrote and what a node remembers stays"


def test_a_node_without_a_network_installs_from_the_wheelhouse_and_takes_no_other_file(
    debian: Debian, place: Path
) -> None:
    """The Debian here has neither pip nor the part of venv that would bring it."""
    builder = str(CHECKOUT / "packaging/wheelhouse.py")
    said = run(
        *(sys.executable, builder, "--architecture", "x86_64", "--output", str(place / "house"))
    )
    digest, tar = said.split()
    assert hashlib.sha256(Path(tar).read_bytes()).hexdigest() == digest
    debian.run("tar", "-xf", debian.bring(Path(tar)), "-C", "/root")
    house = f"/root/{Path(tar).stem}"
    readme = (debian.folder / house[1:] / "README").read_text()
    lines = [line.strip() for line in readme.splitlines() if line.startswith("    ")]
    assert len(lines) == 2
    script = f"cd {house} && {' && '.join(lines)}"
    (wheel,) = (debian.folder / house[1:]).glob("wheels/attrs-*.whl")
    genuine = wheel.read_bytes()
    wheel.write_bytes(genuine + b"x")
    without_network = ("unshare", "--net", "chroot", str(debian.folder), "sh", "-c")
    refused = run(*without_network, script, code=1)
    assert "DO NOT MATCH THE HASHES" in refused
    wheel.write_bytes(genuine)
    run(*without_network, script)
    program = "/opt/hpcdoctor/bin/hpcdoctor"
    assert debian.run(program, "--version") == f"hpcdoctor {__version__}\n"
    assert "no mistakes" in debian.run(program, "lint")
    assert "cannot know" in debian.run(f"{program}-gate", "ask", code=3)
    units = debian.run("ls", "/opt/hpcdoctor/share/hpcdoctor/systemd").split()
    assert "hpcdoctor.service" in units


def test_the_same_commit_makes_the_same_packages(place: Path, packages: tuple[Path, Path]) -> None:
    rpm, deb = build(place / "again", "--architecture", "x86_64")
    assert deb.read_bytes() == packages[0].read_bytes()
    assert rpm.read_bytes() == packages[1].read_bytes()
