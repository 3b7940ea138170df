"""What does the engineer on call see in Grafana? monitoring/grafana/hpcdoctor.json, generated.

From top to bottom: is it bad now, where, what waits for whom, and is the doctor itself well.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

# Sites with one cluster need no label for it: an empty one matches too.
NODES = 'cluster=~"$cluster", instance=~"$node"'
OUT = "draining|drained|remediating|verifying|handed_over"
WIDTH = 24
GREEN, YELLOW, RED = "green", "yellow", "red"

Json = dict[str, Any]


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One picture; the first panel of a row carries the row's name."""

    kind: str  # stat, timeseries or table
    title: str
    about: str
    queries: list[tuple[str, str]]  # expression, legend
    width: int
    height: int = 8
    unit: str = "short"
    steps: list[tuple[str, float]] = []  # colour from this value on
    stacked: bool = False
    row: str = ""


def _number(title: str, about: str, query: str, *, warn: float = 1, bad: float = 5) -> Panel:
    return Panel(
        kind="stat",
        title=title,
        about=about,
        queries=[(query, "")],
        width=4,
        height=4,
        steps=[(YELLOW, warn), (RED, bad)],
    )


def _panels() -> Iterator[Panel]:
    yield msgspec.structs.replace(
        _number(
            "Nodes watched",
            "Nodes whose numbers are not older than five minutes.",
            f"count(time() - hpcdoctor_written_timestamp_seconds{{{NODES}}} < 300) or vector(0)",
        ),
        row="Now",
        steps=[],
    )
    yield _number(
        "Nodes out",
        "Out of service by hpcdoctor: draining until handed over.",
        f'sum(hpcdoctor_node_state{{{NODES}, state=~"{OUT}"}}) or vector(0)',
    )
    yield _number(
        "Handed over",
        "hpcdoctor is at its end with them; people have to look.",
        f'sum(hpcdoctor_node_state{{{NODES}, state="handed_over"}}) or vector(0)',
    )
    yield _number(
        "Waiting to be drained",
        "Bad, and still taking jobs. The table below says what they wait for.",
        f'sum(hpcdoctor_node_state{{{NODES}, state="waiting"}}) or vector(0)',
        bad=1,
    )
    yield _number(
        "Critical in service",
        "Critical and neither out nor waiting: shadow mode, a shared cause, or no rule for it.",
        f'count((hpcdoctor_node_verdict{{{NODES}, verdict="critical"}} == 1) and on (cluster, '
        f'instance) (hpcdoctor_node_state{{{NODES}, state=~"healthy|degraded"}} == 1)) '
        "or vector(0)",
    )
    yield _number(
        "Doctors gone",
        "Nodes that were watched within a day and are not now.",
        f"count(max by (cluster, instance) (present_over_time("
        f"hpcdoctor_written_timestamp_seconds{{{NODES}}}[1d])) unless on (cluster, instance) "
        "(time() - hpcdoctor_written_timestamp_seconds < 300)) or vector(0)",
    )
    yield Panel(
        kind="timeseries",
        title="Nodes by state",
        about="Everything that is not healthy, over time.",
        queries=[
            (
                f'sum by (state) (hpcdoctor_node_state{{{NODES}, state!="healthy"}})',
                "{{state}}",
            )
        ],
        width=12,
        stacked=True,
        row="Where",
    )
    yield Panel(
        kind="table",
        title="Open findings, by check",
        about="On how many nodes each check has something open. Many with one name: one cause.",
        queries=[
            (
                f"sort_desc(count by (check, verdict) (hpcdoctor_findings{{{NODES}}} > 0))",
                "",
            )
        ],
        width=12,
    )
    yield Panel(
        kind="table",
        title="Nodes that are not healthy",
        about="Each node's state. The story is in `hpcdoctor check` on the node.",
        queries=[
            (
                f"max by (cluster, instance, state) "
                f'(hpcdoctor_node_state{{{NODES}, state!="healthy"}}) == 1',
                "",
            )
        ],
        width=8,
    )
    yield Panel(
        kind="table",
        title="Longest out",
        about="How long each node has had no new work by our claim.",
        queries=[
            (
                f"topk(20, time() - hpcdoctor_quarantine_since_timestamp_seconds{{{NODES}}})",
                "",
            )
        ],
        width=8,
        unit="s",
    )
    yield Panel(
        kind="table",
        title="Drains that wait, and for what",
        about="over-limit: too many are out already. scheduler: it does not answer.",
        queries=[
            (
                f"max by (cluster, instance, reason) (hpcdoctor_drain_waiting{{{NODES}}}) == 1",
                "",
            )
        ],
        width=8,
    )
    yield Panel(
        kind="timeseries",
        title="Incidents",
        about="Opened and closed within an hour, and what shadow mode would have drained.",
        queries=[
            (
                "sum(increase(hpcdoctor_events_total"
                f'{{{NODES}, type="hpcdoctor.incident.{kind}"}}[1h]))',
                kind,
            )
            for kind in ("opened", "closed")
        ]
        + [
            (
                f"sum(increase(hpcdoctor_shadow_drains_total{{{NODES}}}[1h]))",
                "would have drained",
            )
        ],
        width=8,
        row="What was done",
    )
    yield Panel(
        kind="timeseries",
        title="Repairs within a day",
        about="By how they ended.",
        queries=[
            (
                "sum by (remediation, result) "
                f"(increase(hpcdoctor_repairs_total{{{NODES}}}[1d])) > 0",
                "{{remediation}} {{result}}",
            )
        ],
        width=8,
    )
    yield Panel(
        kind="timeseries",
        title="Scheduler and helper",
        about="Answers within an hour, by operation and how it ended.",
        queries=[
            (
                "sum by (operation, result) "
                f"(increase(hpcdoctor_actions_total{{{NODES}}}[1h])) > 0",
                "{{operation}} {{result}}",
            )
        ],
        width=8,
    )
    yield Panel(
        kind="table",
        title="Where hpcdoctor itself is ill",
        about="docs/troubleshooting.md tells what each code means. None of these drains a node.",
        queries=[
            (
                f"max by (cluster, instance, code) (hpcdoctor_notice{{{NODES}}}) == 1",
                "",
            )
        ],
        width=12,
        row="The doctor itself",
    )
    yield Panel(
        kind="timeseries",
        title="CPU of one node's probes, the ten dearest",
        about="Mean over the nodes; 0.01 is one hundredth of one CPU.",
        queries=[
            (
                "topk(10, avg by (probe) "
                f"(rate(hpcdoctor_probe_cpu_seconds_total{{{NODES}}}[10m])))",
                "{{probe}}",
            )
        ],
        width=12,
        unit="percentunit",
    )
    yield Panel(
        kind="timeseries",
        title="CPU of hpcdoctor, the dearest node",
        about="All probes of a node together, and its daemon.",
        queries=[
            (
                "max(sum by (cluster, instance) "
                f"(rate(hpcdoctor_probe_cpu_seconds_total{{{NODES}}}[10m])))",
                "probes",
            ),
            (f"max(rate(hpcdoctor_daemon_cpu_seconds_total{{{NODES}}}[10m]))", "daemon"),
        ],
        width=8,
        unit="percentunit",
    )
    yield Panel(
        kind="timeseries",
        title="Memory of the daemon",
        about="The largest and the median.",
        queries=[
            (f"max(hpcdoctor_daemon_resident_memory_bytes{{{NODES}}})", "largest"),
            (f"quantile(0.5, hpcdoctor_daemon_resident_memory_bytes{{{NODES}}})", "median"),
        ],
        width=8,
        unit="bytes",
    )
    yield Panel(
        kind="timeseries",
        title="Events that wait",
        about="In the spools of nodes with a broker; the ten longest.",
        queries=[
            (
                f"topk(10, hpcdoctor_spool_pending_events{{{NODES}}} and on (cluster, instance) "
                "hpcdoctor_broker_connected)",
                "{{instance}}",
            )
        ],
        width=8,
    )
    yield Panel(
        kind="table",
        title="Versions and modes",
        about="How many nodes run what.",
        queries=[
            (
                f"count by (version, mode) (hpcdoctor_build_info{{{NODES}}} * on (cluster, "
                f"instance) group_left (mode) (hpcdoctor_mode{{{NODES}}} == 1))",
                "",
            )
        ],
        width=12,
        height=6,
    )
    yield Panel(
        kind="timeseries",
        title="Looks that came back with nothing",
        about="By how they ended; stuck is the source, starved our own want of CPU.",
        queries=[
            (
                "sum by (status) (rate(hpcdoctor_looks_total"
                f'{{{NODES}, status!~"read|absent|first"}}[10m])) > 0',
                "{{status}}",
            )
        ],
        width=12,
        height=6,
    )


def expressions() -> list[str]:
    """Return every query, as it stands in the panels."""
    return [query for panel in _panels() for query, _ in panel.queries]


def render() -> str:
    """Return the dashboard as Grafana imports it."""
    panels: list[Json] = []
    x = y = row_height = 0
    for panel in _panels():
        if panel.row or x + panel.width > WIDTH:
            x, y, row_height = 0, y + row_height, 0
        if panel.row:
            panels.append(_row(panel.row, len(panels) + 1, y))
            y += 1
        panels.append(_drawn(panel, len(panels) + 1, x, y))
        x, row_height = x + panel.width, max(row_height, panel.height)
    document = {
        "uid": "hpcdoctor",
        "title": "hpcdoctor",
        "description": "On call: is it bad now, where, what waits for whom, is the doctor well.",
        "tags": ["hpcdoctor"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-12h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables()},
        "panels": panels,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def _row(title: str, number: int, y: int) -> Json:
    place = {"h": 1, "w": WIDTH, "x": 0, "y": y}
    return {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}


def _drawn(panel: Panel, number: int, x: int, y: int) -> Json:
    steps: list[Json] = [{"color": GREEN, "value": None}]
    steps += [{"color": colour, "value": value} for colour, value in panel.steps]
    drawn: Json = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "targets": [_target(panel, place) for place in range(len(panel.queries))],
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {},
    }
    if panel.kind == "timeseries":
        mode = "normal" if panel.stacked else "none"
        fill = 30 if panel.stacked else 0
        drawn["fieldConfig"]["defaults"]["custom"] = {
            "stacking": {"mode": mode},
            "fillOpacity": fill,
        }
        drawn["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}}
    if panel.kind == "table":  # the moment of the query says nothing
        hide = {"excludeByName": {"Time": True, "__name__": True, "job": True}}
        drawn["transformations"] = [{"id": "organize", "options": hide}]
    if panel.kind == "stat":
        drawn["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"}
    return drawn


def _target(panel: Panel, place: int) -> Json:
    query, legend = panel.queries[place]
    target: Json = {
        "refId": "ABCDEFGH"[place],
        "datasource": SOURCE,
        "expr": query,
        "legendFormat": legend,
    }
    if panel.kind == "timeseries":
        return {**target, "range": True}
    more: Json = {"instant": True, "range": False}
    return target | more | ({"format": "table"} if panel.kind == "table" else {})


SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _variables() -> list[Json]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}
    return [source, _choice("cluster", "Cluster"), _choice("node", "Node", "instance")]


def _choice(name: str, label: str, of: str = "") -> Json:
    only = ', cluster=~"$cluster"' if name != "cluster" else ""
    selector = f'{{__name__="hpcdoctor_written_timestamp_seconds"{only}}}'
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": f"label_values({selector}, {of or name})",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }
