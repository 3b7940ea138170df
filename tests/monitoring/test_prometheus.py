"""Does a real Prometheus read a real doctor, and do rules and dashboard answer on what it reads?"""

from pathlib import Path

import pytest

from hpcdoctor.report.pages import dashboard
from tests.doubles.doctor import Doctor
from tests.doubles.prometheus import Prometheus, needs_prometheus
from tests.doubles.waiting import free_port, wait_for
from tests.monitoring.test_rules import RULES, promtool

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root"), needs_prometheus]


def test_a_prometheus_scrapes_a_doctor_and_its_alerts_follow(
    installed: Path, tmp_path: Path
) -> None:
    port = free_port()
    settings = {"node": "n1", "metrics": {"port": port}}
    with (
        Doctor(installed, settings) as doctor,
        Prometheus(tmp_path, [f"127.0.0.1:{port}"], RULES) as prometheus,
    ):
        wait_for("a scrape", lambda: prometheus.query("hpcdoctor_node_state == 1"), 30)
        ((labels, _),) = prometheus.query("hpcdoctor_node_state == 1")
        assert labels["state"] == doctor.status["state"]
        assert prometheus.query("hpcdoctor_held")[0][1] == 0
        assert len(prometheus.query('{__name__=~"hpcdoctor.*"}')) < 600, "of one node"

        groups = prometheus.get("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []
        for expression in dashboard.expressions():
            prometheus.query(_filled(expression))  # a wrong one raises

        done = doctor.hpcdoctor("hold", "--why", "a test", "--until", "1h")
        assert done.returncode == 0, done.stderr
        wait_for("the hold", lambda: prometheus.query("hpcdoctor_held == 1"), 30)

        doctor.stop()
        alert = 'ALERTS{alertname="HpcdoctorGone"}'
        wait_for("the alert to begin", lambda: prometheus.query(alert), 30)
        assert [group["file"] for group in groups] == [str(RULES)] * 3


def test_the_textfile_is_what_promtool_takes_and_goes_with_the_daemon(installed: Path) -> None:
    with Doctor(installed, {"node": "n1"}) as doctor:
        doctor.stop()
        file = doctor.folder / "state/hpcdoctor.prom"
        doctor.write_settings(metrics={"textfile": str(file)})
        doctor.start()
        wait_for("the textfile", file.exists, 60)
        text = file.read_bytes()
        promtool("check", "metrics", text=text)
        assert b"hpcdoctor_prober_connected 1.0" in text
        modules = Path(f"/proc/{doctor.pid('daemon')}/maps").read_text()
        assert "aiohttp" not in modules, "no HTTP without a port"
        assert doctor.stop() == 0
        assert not file.exists()


def _filled(expression: str) -> str:
    return expression.replace("$cluster", ".*").replace("$node", ".*")
