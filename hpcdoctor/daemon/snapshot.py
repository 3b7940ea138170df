"""What do the metrics show now? One Snapshot of the daemon's parts; nothing here blocks."""

import os
import platform
from collections import Counter
from pathlib import Path

from hpcdoctor import __version__
from hpcdoctor.daemon.pipeline import Pipeline
from hpcdoctor.daemon.readings import Readings
from hpcdoctor.events.publisher import Health
from hpcdoctor.events.spool import Backlog, Counts
from hpcdoctor.lifecycle.inputs import Context
from hpcdoctor.model.action import Result
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.node import Node, State
from hpcdoctor.model.quantity import parse_size
from hpcdoctor.report.illness import Notice
from hpcdoctor.report.metrics import SKIPPED, Snapshot

# How a remediation may end; counted from 0 on, so that `increase` sees the first.
ENDS = (Result.DONE, Result.FAILED, Result.TOO_LONG, Result.NO_ANSWER, Result.REFUSED)


def take(
    pipeline: Pipeline,
    readings: Readings,
    counts: Counts,
    backlog: Backlog,
    health: Health | None,
    *,
    scheduler_failures: int,
    notices: list[Notice],
    free_bytes: int | None,
    started: Instant,
) -> Snapshot:
    """Return what stands now; `health` is of the broker, None where none is configured."""
    judge, node, now, context = pipeline.judge, pipeline.node, pipeline.clock(), pipeline.context()
    ledger, known, oldest = readings.ledger, pipeline.knowledge, backlog.oldest_seconds
    return Snapshot(
        version=__version__,
        python=platform.python_version(),
        written=now.wall,
        started=started.wall,
        mode=known.settings.mode,
        state=node.state,
        state_since=node.since.wall,
        verdict=judge.verdict(),
        outcomes=Counter(o.verdict.value if o.verdict else SKIPPED for o in judge.outcomes()),
        findings=Counter((f.check, f.verdict.value) for f in judge.findings.values()),
        held=node.hold is not None,
        maintenance=bool(context.maintenance),
        incident_since=node.incident.opened.wall if node.incident else None,
        quarantine_since=node.quarantine.since.wall if node.quarantine else None,
        waits_for=waits_for(node, context, pipeline.tally.last_drain),
        would_have_drained_total=node.would_have_drained,
        actions_total=dict(pipeline.tally.actions),
        repairs_total={
            **{(name, end.value): 0 for name in known.settings.remediations for end in ENDS},
            **pipeline.tally.repairs,
        },
        events_total=dict(pipeline.tally.events),
        prober_connected=readings.connected,
        prober_losses_total=ledger.losses,
        looks_total=dict(ledger.looks),
        # A stream speaks only when something happens: its silence is no age.
        last_look={
            probe: moment
            for probe, moment in ledger.last_look.items()
            if probe in readings.schedule.probes
        },
        probe_cpu_seconds=dict(ledger.cpu_seconds),
        probe_duration_seconds=dict(ledger.duration_seconds),
        broker_connected=health.connected if health else None,
        denied_total=health.denied if health else 0,
        spool_pending=counts.pending,
        spool_oldest=None if oldest is None else now.wall - oldest,
        spool_bytes=counts.size_bytes,
        spool_limit_bytes=parse_size(known.settings.spool_size),
        spool_lost_total=counts.lost,
        store_usable=not pipeline.trouble,
        free_bytes=free_bytes,
        # The lifecycle counts its own, and asks only where something is wanted.
        scheduler_failures=max(node.failures, scheduler_failures),
        history_bytes=judge.history.used_bytes,
        resident_bytes=resident_bytes(),
        cpu_seconds=sum(os.times()[:2]),
        definitions={
            "checks": len(known.checks),
            "rules": len(known.rules),
            "remediations": len(known.settings.remediations),
            "probes": len(known.probes),
        },
        notices=frozenset(notice.code for notice in notices),
    )


def waits_for(node: Node, context: Context, last_drain: Result | None) -> str | None:
    """Return the class of what a wanted drain waits for; the sentence may name a person."""
    if node.state is not State.WAITING:
        return None
    if node.hold is not None:
        return "hold"
    if context.maintenance:
        return "maintenance"
    if context.authority.value != "node":
        return "authority"
    return "over-limit" if last_drain is Result.OVER_LIMIT else "scheduler"


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
