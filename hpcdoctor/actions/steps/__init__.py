"""What can a step `do:`? One built-in a file, named as in the YAML with _ for -.

Each has `run(world)`, which returns when it is done and raises StepFailed, with what a person has
to know, when it cannot be done.
"""

import importlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from hpcdoctor.actions.programs import Finished, Programs
from hpcdoctor.model.text import visible
from hpcdoctor.probes.host import Host

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/"}
AFTER_SECONDS = 5.0  # that systemd gives a program beyond our own patience
SAID = 200  # characters of a program's last words that a person gets to see


class StepFailed(Exception):
    """The step did not work; the message says what happened."""


class World(msgspec.Struct):
    """What a step may touch, and what one step leaves for a later one."""

    host: Host
    programs: Programs
    subject: dict[str, str]
    timeout_seconds: float = 60.0  # of the step that runs now
    # Has the scheduler reboot this node; raises StepFailed where it will not.
    reboot_by_scheduler: Callable[[], str] | None = None
    stopped: list[str] = []  # units that a step has stopped, for `finally` to start again

    def run(self, *argv: str) -> str:
        """Run a program within the step's time and return what it wrote; it has to succeed."""
        finished = self.programs.run(
            self._outside(argv), deadline_seconds=self.timeout_seconds, environment=ENVIRONMENT
        )
        if finished.status != 0:
            raise StepFailed(f"{argv[0]} ended with {finished.status}: {complaint(finished)}")
        return finished.out

    def _outside(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Have systemd start it where there is one, and not below this process.

        The helper itself is confined: it sees a copy of the mounts and may load no module. What it
        asks systemd for is not, and systemd ends it where we no longer can.
        """
        if not (self.host.root / "run/systemd/system").is_dir():
            return argv
        limit = f"--property=RuntimeMaxSec={self.timeout_seconds + AFTER_SECONDS:g}"
        path = f"--setenv=PATH={ENVIRONMENT['PATH']}"
        return ("systemd-run", "--quiet", "--wait", "--pipe", "--collect", limit, path, "--", *argv)


def complaint(finished: Finished) -> str:
    """Return the first line of what a program complained of, else of what it wrote at all."""
    lines = [line.strip() for line in f"{finished.err}\n{finished.out}".splitlines()]
    return visible(next((line for line in lines if line), "it said nothing"), SAID)


def names() -> list[str]:
    """Return the names of the built-ins, as the YAML writes them."""
    here = Path(__file__).parent
    return sorted(
        file.stem.replace("_", "-") for file in here.glob("*.py") if file.stem != "__init__"
    )


def find(name: str) -> Callable[[World], None]:
    """Return the built-in; raise KeyError where there is none of this name."""
    if name not in names():
        raise KeyError(name)
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    run: Callable[[World], None] = module.run
    return run
