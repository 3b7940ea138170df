"""How do tests get GPUs? A stand-in for libnvidia-ml.so.1 that reads its answers from a file."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parent / "nvml_stub.c"
LOADED = "570.158.01"

# One look for each line of standard input, a state; the answers go out as lines of JSON.
READ = """
import json, os, sys, msgspec
from pathlib import Path
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import nvidia_gpu
from hpcdoctor.probes.host import Host
host = Host(Path(sys.argv[1]), live=True, clock=lambda: Instant("boot", 100.0, 1000.0))
for line in sys.stdin:
    Path(os.environ["NVML_STUB_STATE"]).write_text(json.loads(line))
    try:
        answer = msgspec.to_builtins(nvidia_gpu.read(host, sys.argv[2]))
    except (Absent, Unavailable) as reason:
        answer = {type(reason).__name__: str(reason)}
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            pass
    print(json.dumps({"answer": answer, "open": links}), flush=True)
"""


class Gpus:
    """Reads GPUs in a process of its own, since the loader looks for the library at its start."""

    def __init__(self, root: Path, library: Path) -> None:
        self.root = root
        self.library = library  # the folder with libnvidia-ml.so.1 in it
        version = root / "sys/module/nvidia/version"
        version.parent.mkdir(parents=True)
        version.write_text(f"{LOADED}\n")

    def __call__(self, state: str, subject: str) -> Any:  # noqa: ANN401  # JSON
        """Return what the nvidia_gpu probe gives, or why it gives nothing."""
        return self.looks([state], subject)[0]["answer"]

    def looks(self, states: list[str], subject: str) -> list[dict[str, Any]]:
        """Look once in each state, in one process; return each answer and what stayed open."""
        with self.start(subject) as process:
            lines = "".join(json.dumps(state) + "\n" for state in states)
            out, error = process.communicate(lines, timeout=60)
        assert process.returncode == 0, error
        return [json.loads(line) for line in out.splitlines()]

    def start(self, subject: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(self.library),
            "NVML_STUB_STATE": str(self.root / "state"),
        }
        return subprocess.Popen(
            [sys.executable, "-c", READ, str(self.root), subject],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def build(folder: Path, *options: str) -> Path:
    """Compile the stand-in as libnvidia-ml.so.1 in this folder; skip without gcc."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc to build the stand-in for NVML with")
    shared = ["-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Werror", "-O1", *options]
    soname = "-Wl,-soname,libnvidia-ml.so.1"
    output = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", *shared, soname, "-o", output, SOURCE], check=True, timeout=60)
    return folder


@pytest.fixture(scope="session")
def nvml_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with libnvidia-ml.so.1 in it, for LD_LIBRARY_PATH; skip without gcc."""
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def old_nvml_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the library of an older driver, which lacks many functions."""
    return build(tmp_path_factory.mktemp("nvml"), "-DOLD_DRIVER")


@pytest.fixture
def read_gpu(nvml_folder: Path, tmp_path: Path) -> Gpus:
    """Return read(state, subject): what the nvidia_gpu probe gives, or why it gives nothing."""
    return Gpus(tmp_path, nvml_folder)


@pytest.fixture
def read_old_gpu(old_nvml_folder: Path, tmp_path: Path) -> Gpus:
    """Return the same for a machine with an older driver."""
    return Gpus(tmp_path, old_nvml_folder)
