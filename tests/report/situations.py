"""A dozen nights on call: what stands in the report when the engineer types `hpcdoctor check`?

The sentences of findings and states are those that checks and lifecycle really wrote in such a
situation; what is tested is how they read on a page.
"""

from typing import Any

import msgspec

from hpcdoctor.model.decision import Decision, Mode, Want
from hpcdoctor.model.finding import Cause, Evidence, Finding, Outcome, Verdict, worst
from hpcdoctor.model.grant import Kind, Request
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.job import AffectedJob, JobHere, Place
from hpcdoctor.model.node import Hold, Incident, Node, Quarantine, Repair, State
from hpcdoctor.report.document import NodeLine, Report, Source, node_line, report, summary_only

NOW = Instant("boot", 500_000.0, 1_800_000_000.0 - 5 * 3600)  # 2027-01-15 03:00:00 UTC
BUS = NOW.plus(-47 * 60 + 5)
DECISION = Decision(want=Want.DRAIN, mode=Mode.ACT, rule="gpu-lost")
REASON = "hd:k3f9.1 GPU3 Xid79 off bus; rule gpu-lost"
CLAIM = Quarantine("k3f9", 1, REASON, BUS.plus(1))
INCIDENT = Incident("k3f9", 1, BUS, DECISION)
QUIET = [Outcome(f"check-{n}", Verdict.OK, subjects=1) for n in range(73)] + [
    Outcome(f"absent-{n}", None, "not present: the kernel knows no InfiniBand device")
    for n in range(40)
]

ON_GPU = AffectedJob(job="4711", scheduler="slurm", on=Place.GPU, user="anna")
BEFORE = AffectedJob(job="4702", scheduler="slurm", user="ben", ended=True)
ELSEWHERE = AffectedJob(job="4712", scheduler="slurm", user="anna")

GPU_LOST = Finding(
    check="gpu-lost",
    subject={"pci_address": "0000:3b:00"},
    verdict=Verdict.CRITICAL,
    cause=Cause.NODE,
    summary="GPU3 at 0000:3b:00 has fallen off the bus",
    since=BUS,
    object="GPU3",
    label="Xid79 off bus",
    jobs=[ON_GPU, ELSEWHERE, BEFORE],
    evidence=[
        Evidence(
            BUS,
            "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, "
            "GPU has fallen off the bus.",
        )
    ],
    why="The driver cannot reach this GPU any more. Programs that use it are dead or hang, and "
    "nothing starts on it until the machine has been restarted; power, heat and the slot are the "
    "usual causes.",
    next_steps=[
        "See what came before it: journalctl -k | grep -E 'NVRM|pcieport|AER'",
        "See whether the bus still has it: lspci -s 0000:3b:00",
        "Restart the node from cold where you can; the second time on the same GPU, reseat it or "
        "replace it",
    ],
)
SYMPTOMS = [
    Finding(
        check=check,
        subject={"gpu": "GPU3"},
        verdict=verdict,
        cause=Cause.NODE,
        summary=summary,
        since=BUS.plus(20),
        object="GPU3",
        caused_by=GPU_LOST.key,
    )
    for check, verdict, summary in [
        ("gpu-count", Verdict.CRITICAL, "7 of 8 GPUs are there"),
        ("gpu-unreachable", Verdict.CRITICAL, "NVML cannot read GPU3: GPU is lost"),
    ]
]
DIMM = Finding(
    check="dimm-corrected-errors",
    subject={"dimm": "mc0/dimm3"},
    verdict=Verdict.WARNING,
    cause=Cause.NODE,
    summary="DIMM CPU0_DIMM_B2 corrects far more memory errors than a healthy one",
    since=NOW.plus(-3 * 86400 - 7200),
    object="CPU0_DIMM_B2",
    label="corrected errors",
    evidence=[
        Evidence(
            NOW.plus(-30),
            "increase(corrected_errors_total, 24h) = 412; "
            "warning when increase(corrected_errors_total, 24h) > 100",
        )
    ],
    why="Each correction stalls the memory bus, and a DIMM at this rate often goes on to an error "
    "that cannot be corrected.",
    next_steps=["See which DIMM the kernel named: ras-mc-ctl --error-count", "Plan to replace it"],
)
PORTS = [
    Finding(
        check="infiniband-link",
        subject={"device": f"mlx5_{n}", "port": "1"},
        verdict=Verdict.CRITICAL,
        cause=Cause.SHARED,
        summary=f"InfiniBand port mlx5_{n}/1 is down (polling) at 10 Gb/s",
        since=NOW.plus(-600 + n),
        object=f"mlx5_{n}/1",
        label="link down",
        evidence=[Evidence(NOW.plus(-600 + n), 'state = down; critical when state != "active"')],
        why="A parallel job moves at the pace of its slowest port.",
        next_steps=[
            f"See the port: ibstat mlx5_{n} 1; rdma link show mlx5_{n}/1",
            "Polling: reseat the cable at both ends, then try another; disabled: somebody did "
            "that on purpose",
        ],
    )
    for n in range(12)
]
UNBOUND = Finding(
    check="cpu-binding-stacked",
    subject={"job": "4711", "step": "0"},
    verdict=Verdict.WARNING,
    cause=Cause.JOB,
    summary="8 ranks of job 4711 share 4 cpus while 60 are idle",
    since=NOW.plus(-1260),
    object="job 4711",
    jobs=[AffectedJob(job="4711", scheduler="slurm", on=Place.JOB, user="anna")],
    label="ranks stacked",
    evidence=[Evidence(NOW.plus(-60), "stacked = 8; warning when stacked > 1")],
    why="Ranks that wait for each other's cpu make the job slower than it could be.",
    next_steps=["Tell the owner of job 4711: bind the ranks, as with srun --cpu-bind=cores"],
)
HOSTILE = (
    "\x1b[2J\x1b[1;1HOK  all is well\r\n\u202eknil\u202c\0" + "x\u0301\u0301\u0301" + "A" * 200
)
JAPANESE = "田中: 交換部品を注文済み、保守窓口に連絡した、来週火曜日に到着の予定、" * 2


def made(
    *findings: Finding,
    state: Node | None = None,
    source: Source = "daemon",
    jobs: list[int] | None = None,
    outcomes: list[Outcome] | None = None,
    **line: Any,
) -> Report:
    """Return the report of node n017 with these findings."""
    judged = {f.check: Outcome(f.check, f.verdict, subjects=1) for f in findings}
    every = [*judged.values(), *(QUIET if outcomes is None else outcomes)]
    node = None
    if state is not None:
        line = {"mode": "act", "authority": "node", "notices": [], **line}
        node = node_line(state, **line)
    verdict = worst([outcome.verdict for outcome in every if outcome.verdict is not None])
    return report(
        "n017", every, findings, verdict, NOW, source=source, daemon=node,
        jobs=None if jobs is None else [JobHere(str(job), "slurm", user="anna") for job in jobs],
    )  # fmt: skip


def at(state: State, since: Instant, because: str, **more: Any) -> Node:
    return Node("n017", state, since, because, **more)


HEALTHY = at(State.HEALTHY, NOW.plus(-9 * 86400), "nothing is known to be wrong")
GRANTED = Request(
    f"{INCIDENT.id}.{INCIDENT.epoch}.drain", Kind.DRAIN, INCIDENT.id, INCIDENT.epoch, BUS,
    answered=BUS.plus(1), granted_until=BUS.plus(600),
)  # fmt: skip
DRAINED: dict[str, Any] = {"incident": INCIDENT, "quarantine": CLAIM}


def repair(ended: float, result: str, message: str = "") -> Repair:
    asked = NOW.plus(-1500)
    return Repair("k3f9.1.2", "k3f9", "reboot-node", asked, "", NOW.plus(ended), result, message)


def situations() -> dict[str, Report]:
    """Return them by name, the quiet ones first."""
    held = Hold("alice", "memory test, ask me before you touch it", NOW.plus(-3600), NOW.plus(7200))
    waiting = at(
        State.WAITING,
        BUS.plus(1),
        "2 of 100 nodes of partition gpu are out by hpcdoctor, the limit is 2",
        incident=INCIDENT,
    )
    degraded = at(State.DEGRADED, BUS, "mode is shadow: rule gpu-lost would drain (GPU3)")
    draining = at(
        State.DRAINING, BUS.plus(1), f"drained as {REASON}; jobs that run here finish", **DRAINED
    )
    remediating = at(
        State.REMEDIATING,
        NOW.plus(-40),
        "rule gpu-lost: reboot-node is being carried out",
        repairs=[repair(-1400, "failed", "the GPU was not there after it")],
        **DRAINED,
    )
    handed = at(
        State.HANDED_OVER,
        NOW.plus(-300),
        "handed over to hardware, since every remediation has been tried",
        repairs=[repair(-1400, "failed", "the GPU was not there after it")],
        **DRAINED,
    )
    probation = at(
        State.PROBATION,
        NOW.plus(-7200),
        "released by reboot-node: verified",
        incident=INCIDENT,
        probation_until=NOW.plus(22 * 3600),
        repairs=[repair(-1400, "done", "reboot-node is done")],
    )
    known = msgspec.structs.replace(DIMM, acknowledged_by="bob: new DIMM is ordered")
    unmeasured = [
        Outcome("ipmi-events", Verdict.UNKNOWN, "ipmitool did not answer within 20 s"),
        Outcome("ipmi-sensors", Verdict.UNKNOWN, "ipmitool did not answer within 20 s"),
        Outcome("nvme-health", None, "needs a second reading"),
    ]
    evil = msgspec.structs.replace(
        DIMM, summary=HOSTILE, object=HOSTILE, evidence=[Evidence(NOW, HOSTILE)],
        next_steps=[f"See it: ls /mnt/{HOSTILE}"], acknowledged_by=HOSTILE,
    )  # fmt: skip
    wide = msgspec.structs.replace(
        DIMM,
        acknowledged_by=JAPANESE,
    )
    log = msgspec.structs.replace(
        GPU_LOST, count=4, evidence=[Evidence(NOW, GPU_LOST.evidence[0].text,
                                              {"boottime_seconds": 60702.700142})],
    )  # fmt: skip
    would = "rule gpu-lost would drain the node; running jobs finish; then reboot-node"
    return {
        "healthy": made(state=HEALTHY, coming="nothing to do", jobs=[4711]),
        "healthy-held": made(state=msgspec.structs.replace(HEALTHY, hold=held)),
        "degraded-in-shadow": made(
            GPU_LOST, *SYMPTOMS, state=degraded, mode="shadow", would=would, jobs=[4711, 4712]
        ),
        "waiting-for-the-limit": made(
            GPU_LOST, state=waiting, coming="the drain is asked for again in 42 s", jobs=[4711]
        ),
        "waiting-held": made(
            GPU_LOST,
            state=at(State.WAITING, BUS, f"held by {held.who}: {held.why}", hold=held),
            coming="nothing while held by alice",
        ),
        "draining-with-symptoms": made(
            GPU_LOST, *SYMPTOMS, DIMM, state=draining, jobs=[4711, 4712],
            coming="when no job runs here: reboot-node",
        ),
        "draining-for-a-consumer": made(
            GPU_LOST, authority="consumer", coming="when no job runs here: handed over",
            state=at(
                State.DRAINING, BUS.plus(1),
                f"published as {REASON}; whoever reads it drains",
                probation_until=NOW.plus(22 * 3600), **DRAINED,
            ),
        ),
        "drained-by-the-fleet": made(
            GPU_LOST, authority="fleet", coming="gpu-reset",
            state=at(
                State.DRAINED, NOW.plus(-60), "drained, and no job runs here",
                requests=[GRANTED], **DRAINED,
            ),
        ),
        "drained": made(
            GPU_LOST, state=at(State.DRAINED, NOW.plus(-60), "drained, and no job runs here",
                               **DRAINED),
            coming="reboot-node", jobs=[],
        ),
        "remediating": made(
            GPU_LOST, state=remediating, jobs=[],
            coming="reboot-node has been under way for 40 s; when it ends, it is verified",
        ),
        "handed-over": made(
            GPU_LOST, state=handed, jobs=[],
            coming="a person repairs it, then `hpcdoctor release --quarantine --why ...`",
        ),
        "probation": made(state=probation, coming="healthy in 22 h if nothing comes again"),
        "twelve-ports-down": made(
            *PORTS, known, UNBOUND, state=HEALTHY, coming="nothing to do",
            jobs=[4711 + n for n in range(11)],
        ),
        "no-daemon": made(
            msgspec.structs.replace(DIMM, since=NOW), source="probes",
            outcomes=[*QUIET, *unmeasured],
        ),
        "nothing-measured": made(state=HEALTHY, outcomes=[*QUIET, *unmeasured]),
        "hpcdoctor-itself-is-ill": made(
            state=HEALTHY,
            notices=["nothing can be written, so nothing is acted upon: the disk is full; free "
                     "space below /var/lib/hpcdoctor"],
        ),
        "a-log": made(log, source="log"),
        "for-everybody": summary_only(made(GPU_LOST, DIMM, state=draining, jobs=[4711])),
        "hostile": made(evil, state=at(State.DEGRADED, NOW, HOSTILE), notices=[HOSTILE]),
        "wide-letters": made(wide, state=HEALTHY),
    }  # fmt: skip


__all__ = ["NodeLine", "situations"]
