"""Which metrics are there, and how does one moment of a node read in Prometheus' terms?

docs/metrics.md is made from FAMILIES. No label carries what a user can choose: the loopback and the
textfile are open to every job. Moments are seconds since 1970, as Prometheus wants them, so that an
age goes on growing when the doctor stops. prometheus_client is imported only to write.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from hpcdoctor.model.decision import Mode
from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.node import State
from hpcdoctor.report.illness import CODES

if TYPE_CHECKING:
    from prometheus_client.core import Metric

WAITS = ("hold", "maintenance", "authority", "over-limit", "scheduler")
SKIPPED = "skipped"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What one scrape shows. `None` is what this node does not have; it is then left out."""

    version: str
    python: str = ""
    written: float = 0.0  # seconds of wall time, as every moment here
    started: float = 0.0
    mode: Mode = Mode.SHADOW
    state: State
    state_since: float = 0.0
    verdict: Verdict
    outcomes: dict[str, int] = {}  # verdict, or "skipped": how many checks
    findings: dict[tuple[str, str], int]  # (check, verdict): how many are open
    held: bool
    maintenance: bool = False
    incident_since: float | None = None
    quarantine_since: float | None = None
    waits_for: str | None = None  # one of WAITS, while a drain is wanted and not done
    would_have_drained_total: int
    actions_total: dict[tuple[str, str], int] = {}  # (operation, result)
    repairs_total: dict[tuple[str, str], int] = {}  # (remediation, result)
    events_total: dict[str, int] = {}  # by type, all of them: `increase` sees no counter begin at 1
    prober_connected: bool
    prober_losses_total: int = 0
    looks_total: dict[tuple[str, str], int]  # (probe, status)
    last_look: dict[str, float] = {}  # by probe
    probe_cpu_seconds: dict[str, float] = {}
    probe_duration_seconds: dict[str, float] = {}
    broker_connected: bool | None  # None: no broker is configured
    denied_total: int
    spool_pending: int
    spool_oldest: float | None = None
    spool_bytes: int = 0
    spool_limit_bytes: int = 0
    spool_lost_total: int
    store_usable: bool
    free_bytes: int | None = None
    scheduler_failures: int  # in a row
    history_bytes: int
    resident_bytes: int
    cpu_seconds: float = 0.0
    definitions: dict[str, int] = {}  # kind: how many are in force
    notices: frozenset[str] = frozenset()  # codes of what is wrong with hpcdoctor itself


Sample = tuple[tuple[str, ...], float]
Take = Callable[[Snapshot], Iterable[Sample]]


class Family(NamedTuple):
    """One metric; a counter's name ends with _total."""

    name: str
    kind: str  # gauge or counter
    labels: tuple[str, ...]
    meaning: str
    take: Take


def _one(value: Callable[[Snapshot], float | None]) -> Take:
    def take(now: Snapshot) -> Iterator[Sample]:
        number = value(now)
        if number is not None:
            yield (), float(number)

    return take


def _by_name(values: Callable[[Snapshot], dict[str, int] | dict[str, float]]) -> Take:
    return lambda now: [((name,), float(n)) for name, n in sorted(values(now).items())]


def _by_pair(values: Callable[[Snapshot], dict[tuple[str, str], int]]) -> Take:
    return lambda now: [(pair, float(n)) for pair, n in sorted(values(now).items())]


def _set(every: Iterable[str], is_so: Callable[[Snapshot], Iterable[str]]) -> Take:
    """Return 1 for what is so and 0 for the others, so that an alert on it ends by itself."""
    names = tuple(every)
    return lambda now: [((name,), float(name in is_so(now))) for name in names]


def _counted(every: Iterable[str], values: Callable[[Snapshot], dict[str, int]]) -> Take:
    """Return all names, also those at 0: `increase` does not see a counter begin at 1."""
    names = tuple(every)
    return lambda now: [((name,), float(values(now).get(name, 0))) for name in names]


def _waits(now: Snapshot) -> list[str]:
    return [now.waits_for] if now.waits_for else []


OUTCOMES = (*(verdict.value for verdict in Verdict), SKIPPED)
PLURALS = ("checks", "rules", "remediations", "probes")

FAMILIES = (
    Family(
        "hpcdoctor_build_info",
        "gauge",
        ("version", "python"),
        "Always 1; which hpcdoctor on which Python.",
        lambda now: [((now.version, now.python), 1.0)],
    ),
    Family(
        "hpcdoctor_start_timestamp_seconds",
        "gauge",
        (),
        "When the daemon was started.",
        _one(lambda now: now.started),
    ),
    Family(
        "hpcdoctor_written_timestamp_seconds",
        "gauge",
        (),
        "When these numbers were taken. A textfile that grows old has lost its daemon.",
        _one(lambda now: now.written),
    ),
    Family(
        "hpcdoctor_mode",
        "gauge",
        ("mode",),
        "1 for the mode of this node, 0 for the others.",
        _set([mode.value for mode in Mode], lambda now: [now.mode.value]),
    ),
    Family(
        "hpcdoctor_node_state",
        "gauge",
        ("state",),
        "1 for the state in which the node is, 0 for the others.",
        _set([state.value for state in State], lambda now: [now.state.value]),
    ),
    Family(
        "hpcdoctor_node_state_since_timestamp_seconds",
        "gauge",
        (),
        "When the node came into its state.",
        _one(lambda now: now.state_since),
    ),
    Family(
        "hpcdoctor_node_verdict",
        "gauge",
        ("verdict",),
        "1 for the verdict over everything that was not skipped, 0 for the others.",
        _set([verdict.value for verdict in Verdict], lambda now: [now.verdict.value]),
    ),
    Family(
        "hpcdoctor_checks",
        "gauge",
        ("outcome",),
        "How many checks end in this verdict, or are skipped.",
        _counted(OUTCOMES, lambda now: now.outcomes),
    ),
    Family(
        "hpcdoctor_findings",
        "gauge",
        ("check", "verdict"),
        "Findings that are open, by check and verdict. Where none is open there is no line.",
        _by_pair(lambda now: now.findings),
    ),
    Family(
        "hpcdoctor_held",
        "gauge",
        (),
        "1 while an administrator holds the node.",
        _one(lambda now: now.held),
    ),
    Family(
        "hpcdoctor_maintenance",
        "gauge",
        (),
        "1 while the node is in maintenance, and nothing is drained or repaired.",
        _one(lambda now: now.maintenance),
    ),
    Family(
        "hpcdoctor_incident_since_timestamp_seconds",
        "gauge",
        (),
        "When the open incident was opened; left out where there is none.",
        _one(lambda now: now.incident_since),
    ),
    Family(
        "hpcdoctor_quarantine_since_timestamp_seconds",
        "gauge",
        (),
        "Since when the node gets no new work by our claim; left out where there is none.",
        _one(lambda now: now.quarantine_since),
    ),
    Family(
        "hpcdoctor_drain_waiting",
        "gauge",
        ("reason",),
        "1 for what a wanted drain waits for: a hold, maintenance, another authority that drains, "
        "the limit of nodes that may be out, or the scheduler's answer.",
        _set(WAITS, _waits),
    ),
    Family(
        "hpcdoctor_shadow_drains_total",
        "counter",
        (),
        "How often the node would have been drained had the mode not been shadow. Outlives a "
        "restart.",
        _one(lambda now: now.would_have_drained_total),
    ),
    Family(
        "hpcdoctor_actions_total",
        "counter",
        ("operation", "result"),
        "What was asked of scheduler and helper, by how it ended.",
        _by_pair(lambda now: now.actions_total),
    ),
    Family(
        "hpcdoctor_repairs_total",
        "counter",
        ("remediation", "result"),
        "Remediations that have ended, by how.",
        _by_pair(lambda now: now.repairs_total),
    ),
    Family(
        "hpcdoctor_events_total",
        "counter",
        ("type",),
        "Events told, by type: incidents, decisions, findings and the others of docs/events.md.",
        _by_name(lambda now: now.events_total),
    ),
    Family(
        "hpcdoctor_scheduler_consecutive_failures",
        "gauge",
        (),
        "Failures of the scheduler in a row; 0 after the next success.",
        _one(lambda now: now.scheduler_failures),
    ),
    Family(
        "hpcdoctor_prober_connected",
        "gauge",
        (),
        "1 while the prober is connected.",
        _one(lambda now: now.prober_connected),
    ),
    Family(
        "hpcdoctor_prober_connections_lost_total",
        "counter",
        (),
        "Connections to the prober that broke.",
        _one(lambda now: now.prober_losses_total),
    ),
    Family(
        "hpcdoctor_looks_total",
        "counter",
        ("probe", "status"),
        "Looks of a probe by how they ended; `starved` is our own want of CPU, `stuck` the source.",
        _by_pair(lambda now: now.looks_total),
    ),
    Family(
        "hpcdoctor_probe_last_look_timestamp_seconds",
        "gauge",
        ("probe",),
        "When a look of this probe came last, however it ended. Streams, which speak only when "
        "something happens, are left out.",
        _by_name(lambda now: now.last_look),
    ),
    Family(
        "hpcdoctor_probe_duration_seconds_total",
        "counter",
        ("probe",),
        "How long the looks of a probe took, together. Those that never answered are not in it.",
        _by_name(lambda now: now.probe_duration_seconds),
    ),
    Family(
        "hpcdoctor_probe_cpu_seconds_total",
        "counter",
        ("probe",),
        "CPU time of the looks of a probe, with that of the tools it ran.",
        _by_name(lambda now: now.probe_cpu_seconds),
    ),
    Family(
        "hpcdoctor_broker_connected",
        "gauge",
        (),
        "1 while the broker is connected; left out where none is configured.",
        _one(lambda now: now.broker_connected),
    ),
    Family(
        "hpcdoctor_broker_denied_total",
        "counter",
        (),
        "Messages that the broker refused.",
        _one(lambda now: now.denied_total),
    ),
    Family(
        "hpcdoctor_spool_pending_events",
        "gauge",
        (),
        "Events that the broker has not taken. Without a broker they wait until they are too old.",
        _one(lambda now: now.spool_pending),
    ),
    Family(
        "hpcdoctor_spool_oldest_pending_timestamp_seconds",
        "gauge",
        (),
        "When the oldest of them happened; left out where none waits.",
        _one(lambda now: now.spool_oldest),
    ),
    Family(
        "hpcdoctor_spool_bytes",
        "gauge",
        (),
        "Size of all events that are kept, also of those that wait only for a receipt.",
        _one(lambda now: now.spool_bytes),
    ),
    Family(
        "hpcdoctor_spool_limit_bytes",
        "gauge",
        (),
        "`spool_size`: beyond it events are dropped.",
        _one(lambda now: now.spool_limit_bytes),
    ),
    Family(
        "hpcdoctor_spool_lost_events_total",
        "counter",
        (),
        "Events dropped before anybody had acknowledged them.",
        _one(lambda now: now.spool_lost_total),
    ),
    Family(
        "hpcdoctor_store_usable",
        "gauge",
        (),
        "1 while the database can be written; at 0 nothing is drained, resumed or repaired.",
        _one(lambda now: now.store_usable),
    ),
    Family(
        "hpcdoctor_state_directory_free_bytes",
        "gauge",
        (),
        "What is free for us on the file system of the state directory.",
        _one(lambda now: now.free_bytes),
    ),
    Family(
        "hpcdoctor_history_bytes",
        "gauge",
        (),
        "Memory behind the windows of the checks.",
        _one(lambda now: now.history_bytes),
    ),
    Family(
        "hpcdoctor_daemon_resident_memory_bytes",
        "gauge",
        (),
        "Resident memory of the daemon; what it shares with the prober counts in both.",
        _one(lambda now: now.resident_bytes),
    ),
    Family(
        "hpcdoctor_daemon_cpu_seconds_total",
        "counter",
        (),
        "CPU time of the daemon.",
        _one(lambda now: now.cpu_seconds),
    ),
    Family(
        "hpcdoctor_definitions",
        "gauge",
        ("kind",),
        "How many checks, rules, remediations and probes are in force.",
        _counted(PLURALS, lambda now: now.definitions),
    ),
    Family(
        "hpcdoctor_notice",
        "gauge",
        ("code",),
        "1 for what is wrong with hpcdoctor itself, 0 for the rest of docs/troubleshooting.md.",
        _set(CODES, lambda now: now.notices),
    ),
)


def render(snapshot: Snapshot) -> bytes:
    """Return the text that Prometheus and node_exporter read (text format 0.0.4)."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    return generate_latest(registry)


class _Collector:
    """One snapshot as the library wants it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._now = snapshot

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        kinds = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}
        for one in FAMILIES:
            family = kinds[one.kind](one.name, one.meaning, labels=list(one.labels))
            for labels, value in one.take(self._now):
                family.add_metric(list(labels), value)
            if family.samples:
                yield family
