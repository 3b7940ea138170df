"""A real Prometheus, scraping what a test names, in a folder of its own.

    with Prometheus(tmp_path, ["127.0.0.1:9735"]) as prometheus:
        prometheus.query("hpcdoctor_held")

There is no package for promtool alone; both come with Debian's prometheus.
"""

import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.doubles.waiting import free_port, wait_for

START_SECONDS = 60.0
STOP_SECONDS = 20.0

needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None or shutil.which("prometheus") is None,
    reason="the package prometheus is not installed",
)


class Prometheus:
    """One server, which scrapes and evaluates each second."""

    def __init__(self, folder: Path, targets: Sequence[str], rules: Path | None = None) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._folder = folder / "prometheus"
        self._folder.mkdir()
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        configuration: dict[str, Any] = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)] if rules else [],
            "scrape_configs": [
                {"job_name": "hpcdoctor", "static_configs": [{"targets": list(targets)}]}
            ],
        }
        (self._folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/data",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for("Prometheus to be ready", self._is_ready, START_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(STOP_SECONDS)
        if error is not None:
            print(self._log.read_text(errors="replace"))

    def _is_ready(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self._log.read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """Return `data` of an answer of its API."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - our own address
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each series now; an expression that is wrong raises."""
        result = self.get("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in result]
