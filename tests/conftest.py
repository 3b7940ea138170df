"""What do all tests share? Recorded machines, the options of our pytest, the marks' meaning."""

import difflib
import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.probes.host import Host

TESTS = Path(__file__).parent
CHECKOUT = TESTS.parent
NODES = TESTS / "nodes"

pytest_plugins = ["tests.doubles.installed", "tests.doubles.nvml"]


def recorded(name: str, now: Instant | None = None) -> Host:
    """Return the machine recorded in tests/nodes/NAME, standing in for `/`."""
    folder = NODES / name
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no machine of this name is recorded")
    return Host.recorded(folder, now)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update",
        action="store_true",
        help="write what came out over the expected files; read the diff like code",
    )


@pytest.fixture
def expect(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Return expect(file, text): the text is what stands in the file, or --update writes it."""

    def compare(file: Path, text: str) -> None:
        if request.config.getoption("--update"):
            file.write_text(text)
            return
        before = file.read_text() if file.exists() else ""
        difference = difflib.unified_diff(
            before.splitlines(), text.splitlines(), str(file), "what came out", lineterm=""
        )
        if before != text:
            pytest.fail(
                "\n".join(difference) + "\nIf this is right: pytest --update", pytrace=False
            )

    return compare


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of recordings beside the checkout; skip where there is none."""
    folder = CHECKOUT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("there is no folder of shared recordings beside the checkout")
    return folder


@pytest.fixture
def as_root() -> None:
    """Skip where the test is not run by root."""
    if os.geteuid() != 0:
        pytest.skip("only root can do this")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Let what starts real programs run in one worker, one after the other.

    They share one kernel log and one machine. (Marks of the group `--dist=loadgroup` do not reach
    the names of tests in pytest 9.2.)
    """
    from xdist.scheduler import LoadScopeScheduling

    class RealInOne(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            return "real" if starts_real_programs(nodeid.partition("::")[0]) else nodeid

    return RealInOne(config, log)


@functools.cache
def starts_real_programs(file: str) -> bool:
    return "mark.real" in (CHECKOUT / file).read_text(encoding="utf-8")
