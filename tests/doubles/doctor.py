"""A real hpcdoctor: `hpcdoctor run` with its three processes, in folders of its own.

    with Doctor(installed, {"mode": "act", ...}) as doctor:
        doctor.hpcdoctor("check")
        os.kill(doctor.pid("prober"), signal.SIGKILL)

Not below pytest's own folder: the daemon runs as another user, who has to get in.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from hpcdoctor.checks.judge import NOT_YET
from tests.doubles.waiting import wait_for

START_SECONDS = 60.0
STOP_SECONDS = 10.0
KERNEL_LOG = Path("/dev/kmsg")
PCI = Path("/sys/bus/pci/devices")


class Doctor:
    """One node's hpcdoctor, started by `start()` and stopped at the end of the `with`."""

    def __init__(
        self,
        program: Path,
        settings: Mapping[str, Any],
        *,
        flags: Sequence[str] = (),
        site: Mapping[str, str] | None = None,
    ) -> None:
        """`site` has files of the configuration folder: name to content."""
        self.program = program
        self.flags = list(flags)
        self.folder = Path(tempfile.mkdtemp(prefix="hdd-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.configuration = self.folder / "etc"
        self.configuration.mkdir(mode=0o755)
        self.log_file = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.settings = {
            "cluster": "lab",
            "run_directory": str(self.folder / "run"),
            "state_directory": str(self.folder / "state"),
            "helper_state_directory": str(self.folder / "helper"),
            **settings,
        }
        self.write_settings()
        for name, content in (site or {}).items():
            self.write(name, content)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        # pytest shows it where the test failed; a fixture is not told that it did.
        if error is not None or "PYTEST_CURRENT_TEST" in os.environ:
            print(self.log)
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name: str, content: str) -> None:
        path = self.configuration / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def write_settings(self, **changes: Any) -> None:
        self.settings |= changes
        self.write("hpcdoctor.yaml", yaml.safe_dump(self.settings))

    def start(self, *, wait: bool = True) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "run", "--config", self.configuration, *self.flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            self.wait_until_up()

    def wait_until_up(self) -> None:
        """Wait until the daemon has looked at everything once."""

        def up() -> bool:
            assert self.process is not None and self.process.poll() is None, self.log
            report = self.ask("check", "--json")
            if report is None or report["source"] != "daemon":
                return False
            return NOT_YET not in [check["reason"] for check in report["checks"]]

        wait_for("hpcdoctor to be up", up, START_SECONDS)

    def stop(self) -> int:
        """Stop it as an administrator would; return the exit status."""
        process = self.process
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        finally:
            self.end()

    def end(self) -> None:
        """Whatever is left of it goes."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def pid(self, name: str) -> int:
        """Return the process id of daemon, prober or helper; 0 where it is not there now."""
        assert self.process is not None
        for pid in children(self.process.pid):
            if name in arguments_of(pid):
                return pid
        return 0

    def kill(self, name: str) -> None:
        """As kill -9. A dead daemon ends `run`, which is waited for."""
        pid = self.pid(name)
        assert pid, f"there is no {name} now"  # kill(0) would be for ourselves and all our like
        os.kill(pid, signal.SIGKILL)
        if name == "daemon" and self.process is not None:
            self.process.wait(STOP_SECONDS)
            self.process = None

    def hpcdoctor(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as a user would."""
        return subprocess.run(
            [self.program, arguments[0], "--config", self.configuration, *arguments[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ask(self, *arguments: str) -> Any:
        """Return the JSON that a command prints, or None where there is no daemon yet."""
        done = self.hpcdoctor(*arguments)
        return json.loads(done.stdout) if done.stdout else None

    @property
    def status(self) -> Any:
        return self.ask("status", "--json")

    @property
    def report(self) -> Any:
        return self.ask("check", "--json")

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_for_state(self, *states: str, seconds: float = 30.0) -> Any:
        def reached() -> Any:
            status = self.status
            return status if status is not None and status["state"] in states else None

        return wait_for(f"the state to be {states}", reached, seconds)


def all_but(program: Path, kept: Sequence[str]) -> dict[str, str]:
    """Return site files that switch off every shipped check but these."""
    data = next(program.parent.parent.glob("lib/*/site-packages/hpcdoctor/_data/checks"))
    names = {path.stem for path in data.rglob("*.yaml")} - set(kept)
    return {f"checks/{name}.yaml": "enabled: false\n" for name in names}


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def arguments_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


def some_pci_address() -> str:
    """Return a device of this machine as NVRM writes an address: without the function."""
    return min(PCI.iterdir()).name.rpartition(".")[0]


def write_kernel_log(line: str) -> None:
    """Write a line as a process; the kernel marks it as a user's."""
    with KERNEL_LOG.open("w") as log:
        log.write(f"<3>{line}\n")


def fall_off_the_bus(address: str) -> None:
    """Say what the driver says when a GPU is lost."""
    write_kernel_log(
        f"NVRM: Xid (PCI:{address}): 79, pid='<unknown>', name=<unknown>, "
        "GPU has fallen off the bus."
    )
