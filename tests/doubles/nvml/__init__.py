"""How do tests get GPUs? A stand-in for libnvidia-ml.so.1 that reads its answers from a file."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parent / "nvml_stub.c"

READ = """
import json, sys, msgspec
from pathlib import Path
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import nvidia_gpu
from hpcdoctor.probes.host import Host
host = Host(Path(sys.argv[1]), live=True, clock=lambda: Instant("boot", 100.0, 1000.0))
try:
    answer = msgspec.to_builtins(nvidia_gpu.read(host, sys.argv[2]))
except (Absent, Unavailable) as reason:
    answer = {type(reason).__name__: str(reason)}
print(json.dumps(answer))
"""

ReadGpu = Callable[[str, str], Any]


@pytest.fixture(scope="session")
def nvml_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with libnvidia-ml.so.1 in it, for LD_LIBRARY_PATH; skip without gcc."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc to build the stand-in for NVML with")
    folder = tmp_path_factory.mktemp("nvml")
    options = ["-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Werror", "-O1"]
    soname = "-Wl,-soname,libnvidia-ml.so.1"
    output = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", *options, soname, "-o", output, SOURCE], check=True, timeout=60)
    return folder


@pytest.fixture
def read_gpu(nvml_folder: Path, tmp_path: Path) -> ReadGpu:
    """Return read(state, subject): what the nvidia_gpu probe gives, or why it gives nothing.

    In a process of its own, since the loader looks for the library at its start.
    """

    def read(state: str, subject: str) -> Any:  # noqa: ANN401  # JSON
        (tmp_path / "state").write_text(state)
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(nvml_folder),
            "NVML_STUB_STATE": str(tmp_path / "state"),
        }
        done = subprocess.run(
            [sys.executable, "-c", READ, str(tmp_path), subject],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return read
