"""Is hpcdoctor itself ill? From facts about its own parts to notices, each with a lasting code.

Pure: who gathers the facts is daemon/selfwatch.py. A notice is for people: it is shown, counted and
told as an event. No rule sees it, because no finding is made of it, so it can never drain a node.
"""

from collections.abc import Iterator

import msgspec

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.quantity import format_duration

HOUR = 3600.0
# So late is more than one look that waits for a hung mount: those have children of their own.
SILENT_SECONDS = 60.0
RESTARTS_WINDOW_SECONDS = 600.0
RESTARTS_ARE_A_LOOP = 3
STARVED_WINDOW_SECONDS = 600.0
STARVED_LOOKS = 3
COST_WINDOW_SECONDS = 600.0
SPOOL_FULL_RATIO = 0.5  # while there is still time to do something about it
SPOOL_OLD_SECONDS = 1 * HOUR
CLOCK_STEP_SECONDS = 1.0  # a daemon that disciplines the clock slews by 0.5 ms a second at most
STEP_TOLD_SECONDS = 1 * HOUR
LOW_DISK_BYTES = 32 << 20  # half of what the spool may hold


class Notice(msgspec.Struct, frozen=True):
    """One illness of our own, as it is told."""

    code: str
    what: str  # what happened, and to which part
    do: str  # what the reader can do about it

    def __str__(self) -> str:
        stop = "" if self.what.endswith((".", "?", "!")) else "."
        return (
            f"{self.code}: {self.what}{stop} {self.do}" if self.do else f"{self.code}: {self.what}"
        )


class Illness(msgspec.Struct, frozen=True):
    """What a code stands for; docs/troubleshooting.md is made of these."""

    code: str
    meaning: str  # what it means for the node and for what hpcdoctor can still do
    do: str  # the one sentence that stands in the notice
    more: str = ""  # for the page: how to find the cause


ILLNESSES = (
    Illness(
        "unsafe-kernel-log",
        "The daemon was started with --accept-user-kernel-log, and believes kernel log lines that "
        "any user can write. That is for tests; on a node with jobs a user could drain it.",
        "Start it without --accept-user-kernel-log",
        "`systemctl cat hpcdoctor hpcdoctor-prober` shows who added the flag.",
    ),
    Illness(
        "prober-away",
        "The process that reads the hardware is not there. Every check becomes `unknown`, which "
        "never drains a node; what was found before stays open.",
        "Look at `systemctl status hpcdoctor-prober.socket hpcdoctor-prober`",
        "The daemon connects again by itself. Where the socket is missing, `systemctl start "
        "hpcdoctor-prober.socket`.",
    ),
    Illness(
        "prober-silent",
        "The prober is connected and has answered nothing for a minute, though it was asked. Its "
        "checks become `unknown`. It was stopped by a signal, or the whole machine is out of CPU "
        "or memory.",
        "Look at `systemctl status hpcdoctor-prober` and restart it if it stays so",
        "State `T` in `ps -o pid,stat,wchan:30,cmd -C python3` is a SIGSTOP (`kill -CONT` ends "
        "it), `D` waits in the kernel for what `wchan` names.",
    ),
    Illness(
        "prober-restarts",
        "The connection to the prober has broken several times within ten minutes. Each time all "
        "windows lose a reading, and the kernel log is taken up where it was.",
        "Read `journalctl -u hpcdoctor-prober -n 50`",
        "Killed for memory shows in `journalctl -k -g 'Killed process'`; a bug of ours shows as a "
        "traceback, which belongs into a bug report with `hpcdoctor record`.",
    ),
    Illness(
        "probe-denied",
        "A source is there and the kernel refuses it to the prober (EACCES, EPERM). Its checks are "
        "`unknown`.",
        "Compare `systemctl cat hpcdoctor-prober` with the shipped unit",
        "Usual causes: a drop-in that takes a capability away, a container without the device, "
        "SELinux (`ausearch -m avc -ts recent`), or files made unreadable by a person.",
    ),
    Illness(
        "probe-broken",
        "A probe raised what it never should. That is a bug of ours; its checks are `unknown`, the "
        "others are not touched.",
        "Please report it with the output of `hpcdoctor record`",
        "`journalctl -u hpcdoctor-prober` has the line of the code. Until it is mended, switch the "
        "check off: `enabled: false` in /etc/hpcdoctor/checks/NAME.yaml.",
    ),
    Illness(
        "probe-cost",
        "All probes together use more of one CPU than `probe_cost_ratio` allows. The node belongs "
        "to the jobs.",
        "Give the checks of the probe that costs most a longer `every`",
        "`hpcdoctor_probe_cpu_seconds_total` tells the cost by probe. A tool that a probe starts "
        "is counted with it.",
    ),
    Illness(
        "starved",
        "Looks came too late because the doctor got no CPU, and not because a source hung: nobody "
        "is blamed for it. Checks keep their last verdict and become `unknown` when it lasts.",
        "See who holds the CPUs that hpcdoctor may use: `systemctl show -p AllowedCPUs "
        "hpcdoctor-prober` and `cat /proc/pressure/cpu`",
        "Jobs that fill every CPU do not starve it by themselves; real-time threads, a CPU quota "
        "on system.slice, or a set of CPUs without any for the system do.",
    ),
    Illness(
        "store-damaged",
        "The database was damaged and was set aside; a new one was begun. The scheduler was read "
        "first, so a drain of ours was adopted, with all of its repairs counted as used. Events "
        "that had not left are lost, and consumers see a new `stream`.",
        "Check the disk (`dmesg`, `smartctl -a`), then remove the file that was set aside",
        "The notice stays until the daemon is started again.",
    ),
    Illness(
        "store-of-another",
        "The database belonged to a node of another name: this node was renamed, or its image "
        "holds one. Nothing is damaged. It was put aside, and the state of this name was taken up "
        "or begun; under the old name the old state comes back. The scheduler was read first, as "
        "after a loss.",
        "Give the node its old name back if it has changed by mistake; remove the file that was "
        "put aside only when nobody wants that state any more",
        "A hold of the old name does not hold under the new one: give it again. An image should "
        "hold no /var/lib/hpcdoctor. The notice stays until the daemon is started again.",
    ),
    Illness(
        "store-unwritable",
        "Nothing can be written into the state directory. Judging goes on; nothing is drained, "
        "resumed or repaired, because it could not be remembered.",
        "Make the state directory writable for the user hpcdoctor; it is tried again every tick",
        "A file system that was remounted read-only shows in `findmnt -T /var/lib/hpcdoctor` and "
        "`dmesg`.",
    ),
    Illness(
        "disk-full",
        "The file system of the state directory is full, or nearly. When full: as "
        "`store-unwritable`.",
        "Make room on it",
        "`du -xh --max-depth=2 /var | sort -h | tail`. What hpcdoctor itself keeps is bounded by "
        "`spool_size` and `record_size`.",
    ),
    Illness(
        "spool-growing",
        "Many events wait, or the oldest has waited long. Nothing is lost yet; at the limit "
        "findings go before state changes, and each loss is an event of its own.",
        "See why the broker or the fleet controller does not take them",
        "`hpcdoctor status` names the broker's trouble. Events leave the spool with the "
        "controller's receipt.",
    ),
    Illness(
        "spool-lost",
        "Events were dropped before anybody had acknowledged them; `hpcdoctor.spool.lost` tells "
        "which.",
        "Nothing brings them back; consumers read the retained state instead",
        "Raise `spool_size` or `spool_age` where the broker may be away for longer. The notice "
        "goes after an hour without a loss.",
    ),
    Illness(
        "broker-away",
        "The broker is not connected or refuses what is published. Events wait in the spool; "
        "checking, draining under `authority: node`, and the gate go on.",
        "Look at the broker and at `mqtt:` in hpcdoctor.yaml",
        "`mosquitto_sub` with the node's own certificate tells a wrong name, an expired "
        "certificate and a closed port apart.",
    ),
    Illness(
        "clock-stepped",
        "The wall clock jumped. Durations within this boot are not touched (they come from the "
        "boot clock); limits and probation may only get longer by it, moments in events before and "
        "after do not compare.",
        "Look at `chronyc tracking` or `timedatectl`",
        "The notice goes an hour after the last step.",
    ),
    Illness(
        "helper-away",
        "The process that may drain and repair cannot be reached. Judging goes on, and what the "
        "rules ask for waits.",
        "Look at `systemctl status hpcdoctor-helper.socket hpcdoctor-helper`",
        "It is started by its socket when it is needed; not running is its usual state, a missing "
        "socket is not.",
    ),
    Illness(
        "scheduler-away",
        "The scheduler did not answer the last question about this node, or the helper had no "
        "program to ask it with. Judging goes on; a drain that the rules ask for would have to "
        "wait until it answers.",
        "Run the scheduler's own command on this node as root (`scontrol show node`), and read "
        "`journalctl -u hpcdoctor-helper`",
        "It is asked at the start, and while it does not answer every 5 minutes and at a reload. "
        "Usual causes: no Slurm client on this node or not where `slurm: {programs: ...}` says, a "
        "node that has another name there (`slurm: {node_name: ...}`), slurmctld or munge away.",
    ),
    Illness(
        "restart-needed",
        "The configuration was read anew, and keys have changed that take effect only at a start. "
        "Until then the values of the last start hold for them, or for some of the parts that read "
        "them; all other keys are in force.",
        "Run `systemctl restart hpcdoctor-prober hpcdoctor`",
        "`docs/settings.md` marks these keys. A restart of the daemon touches no job and no drain. "
        "Without systemd, end `hpcdoctor run` and start it again.",
    ),
    Illness(
        "configuration-newer",
        "Files below the configuration folder have changed since they were read. What they say is "
        "not in force.",
        "Run `hpcdoctor lint`, then `systemctl reload hpcdoctor`",
        "A reload that was refused is told as `configuration-wrong`.",
    ),
    Illness(
        "configuration-wrong",
        "A reload found a mistake in the configuration. The one before stays in force, whole.",
        "Run `hpcdoctor lint`, mend what it names, then `systemctl reload hpcdoctor`",
        "A restart with this configuration would end with exit status 78.",
    ),
    Illness(
        "rule-cannot-match",
        "An enabled rule needs a check that is switched off, so it can never match. A rule whose "
        "hardware this node does not have is no illness and is not told.",
        "Switch the check on, or the rule off",
        "`hpcdoctor explain NAME` shows which file says `enabled: false`.",
    ),
    Illness(
        "check-never-ran",
        "An enabled check has not been judged once in an hour, and not because its source is "
        "absent: no look has come at all.",
        "Read `journalctl -u hpcdoctor-prober` for the name of its probe",
        "A probe that is stuck is a finding; this is a probe of which nothing is heard.",
    ),
    Illness(
        "gate-unwritable",
        "The file that the Prolog's gate reads cannot be written. The gate lets jobs start when "
        "the file is too old: a bad node is then kept free only by its drain.",
        "Make the run directory writable for the user hpcdoctor",
        "`ls -ld /run/hpcdoctor`; it is the daemon's own.",
    ),
    Illness(
        "metrics-off",
        "The address for /metrics is taken or cannot be used; it is tried again every minute.",
        "Choose another `port` in `metrics:`, or end who has it: `ss -ltnp`",
        "Any job can take a free port above 1023; the textfile cannot be taken away.",
    ),
    Illness(
        "textfile-unwritable",
        "The file for node_exporter's textfile collector cannot be written.",
        "Let the user hpcdoctor write into its folder, and name it in `ReadWritePaths=`",
        "`docs/metrics.md` has the drop-in.",
    ),
)
BY_CODE = {one.code: one for one in ILLNESSES}
CODES = tuple(BY_CODE)


class ProbeCost(msgspec.Struct, frozen=True):
    """What one probe has cost within the window."""

    probe: str
    cpu_seconds: float


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon knows of its own parts at one moment. A fact that is not known is None."""

    now: Instant
    unsafe: bool = False
    prober_connected: bool = True
    # Seconds since the prober said anything although it was asked; None where nothing is awaited.
    prober_silent_seconds: float | None = None
    prober_losses: int = 0  # connections lost within RESTARTS_WINDOW_SECONDS
    denied: dict[str, str] = {}  # probe to what the kernel refused
    broken: dict[str, str] = {}  # probe to what it raised
    starved_looks: int = 0  # within STARVED_WINDOW_SECONDS
    probe_costs: list[ProbeCost] = []  # within `cost_seconds`
    cost_seconds: float = 0.0  # how much time the costs are of
    cost_limit_ratio: float = 0.02
    rebuilt: str = ""
    of_another: str = ""
    store_trouble: str = ""
    state_directory: str = ""
    free_bytes: int | None = None
    spool_pending: int = 0
    spool_oldest_seconds: float | None = None  # of those that wait
    spool_age_seconds: float = 0.0  # how long they are kept
    spool_bytes: int = 0  # of those that wait
    spool_limit_bytes: int = 0
    spool_lost_recently: int = 0  # within an hour
    broker_configured: bool = False
    broker_trouble: str = ""
    clock_step_seconds: float | None = None  # the last one, signed, within STEP_TOLD_SECONDS
    helper_trouble: str = ""
    scheduler_trouble: str = ""
    need_restart: list[str] = []  # keys
    changed_files: list[str] = []
    reload_trouble: str = ""
    blind_rules: dict[str, str] = {}  # rule to the check that it needs and that is switched off
    never_ran: list[str] = []  # checks
    gate_trouble: str = ""
    web_trouble: str = ""
    textfile_trouble: str = ""


def diagnose(facts: Facts) -> list[Notice]:
    """Return what is wrong, in the order of ILLNESSES; at most one notice a code."""
    found = {code: what for code, what in _found(facts) if what}
    return [Notice(one.code, found[one.code], one.do) for one in ILLNESSES if one.code in found]


def _found(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.unsafe:
        yield "unsafe-kernel-log", "lines that any user can write to the kernel log are believed"
    yield from _prober(facts)
    yield "probe-denied", _named("the kernel refuses to let {} read", facts.denied)
    yield "probe-broken", _named("{} failed by a bug", facts.broken)
    yield "probe-cost", _cost(facts)
    if facts.starved_looks >= STARVED_LOOKS:
        span = format_duration(STARVED_WINDOW_SECONDS)
        yield "starved", f"in {span} {facts.starved_looks} looks came too late for want of CPU"
    yield "store-damaged", facts.rebuilt
    yield "store-of-another", facts.of_another
    yield from _store(facts)
    yield from _spool(facts)
    if facts.broker_trouble:
        yield "broker-away", facts.broker_trouble
    if facts.clock_step_seconds is not None:
        way = "forwards" if facts.clock_step_seconds > 0 else "backwards"
        span = format_duration(max(1.0, abs(facts.clock_step_seconds)))
        yield "clock-stepped", f"within the last hour the clock jumped {span} {way}"
    yield "helper-away", facts.helper_trouble
    if not facts.helper_trouble:  # who cannot be asked through it is told as that
        yield "scheduler-away", facts.scheduler_trouble
    if facts.need_restart:
        yield "restart-needed", f"changed and not wholly in force: {', '.join(facts.need_restart)}"
    if facts.changed_files and not facts.reload_trouble:
        files = _few(facts.changed_files)
        yield "configuration-newer", f"changed on disk and not in force: {files}"
    yield "configuration-wrong", facts.reload_trouble
    if facts.blind_rules:
        named = [f"{rule} (needs {check})" for rule, check in sorted(facts.blind_rules.items())]
        yield "rule-cannot-match", f"rules that need a check that is switched off: {_few(named)}"
    if facts.never_ran:
        yield "check-never-ran", f"no look has come for an hour for: {_few(facts.never_ran)}"
    yield "gate-unwritable", facts.gate_trouble
    yield "metrics-off", facts.web_trouble
    yield "textfile-unwritable", facts.textfile_trouble


def _prober(facts: Facts) -> Iterator[tuple[str, str]]:
    silent = facts.prober_silent_seconds
    if not facts.prober_connected:
        yield "prober-away", "the prober does not answer: nothing new is measured"
    elif silent is not None and silent >= SILENT_SECONDS:
        span = format_duration(silent)
        yield "prober-silent", f"the prober has not answered for {span}: nothing new is measured"
    if facts.prober_losses >= RESTARTS_ARE_A_LOOP:
        span = format_duration(RESTARTS_WINDOW_SECONDS)
        what = f"the connection to the prober broke {facts.prober_losses} times in {span}"
        yield "prober-restarts", what


def _cost(facts: Facts) -> str:
    """Judge only over a whole window: the first looks after a start cost more than the others."""
    if facts.cost_seconds < COST_WINDOW_SECONDS or not facts.probe_costs:
        return ""
    total = sum(one.cpu_seconds for one in facts.probe_costs)
    ratio = total / facts.cost_seconds
    if ratio <= facts.cost_limit_ratio:
        return ""
    most = max(facts.probe_costs, key=lambda one: one.cpu_seconds)
    return (
        f"the probes use {ratio:.1%} of a CPU, more than the {facts.cost_limit_ratio:.1%} allowed; "
        f"most of it {most.probe}, {most.cpu_seconds / facts.cost_seconds:.1%}"
    )


def _store(facts: Facts) -> Iterator[tuple[str, str]]:
    full = "full" in facts.store_trouble
    if facts.store_trouble and not full:
        yield "store-unwritable", facts.store_trouble
    if facts.store_trouble and full:
        yield "disk-full", facts.store_trouble
    elif facts.free_bytes is not None and facts.free_bytes < LOW_DISK_BYTES:
        left = f"{facts.free_bytes / (1 << 20):.0f} MiB"
        yield "disk-full", f"only {left} are left for {facts.state_directory}"


def _spool(facts: Facts) -> Iterator[tuple[str, str]]:
    """Without a broker events only wait to be aged out, which is no illness."""
    if not facts.broker_configured:
        return
    oldest = facts.spool_oldest_seconds
    if oldest is not None and oldest > SPOOL_OLD_SECONDS:
        span, limit = format_duration(oldest), format_duration(facts.spool_age_seconds)
        yield (
            "spool-growing",
            f"{facts.spool_pending} events wait, the oldest for {span}; they are kept for {limit}",
        )
    elif facts.spool_limit_bytes and facts.spool_bytes > facts.spool_limit_bytes * SPOOL_FULL_RATIO:
        share = facts.spool_bytes / facts.spool_limit_bytes
        yield "spool-growing", f"the spool is {share:.0%} full, {facts.spool_pending} events wait"
    if facts.spool_lost_recently:
        lost = facts.spool_lost_recently
        yield "spool-lost", f"{lost} events were dropped within the last hour"


def _named(sentence: str, probes: dict[str, str]) -> str:
    """Name the probes, and say of the first one why."""
    if not probes:
        return ""
    first = min(probes)
    return f"{sentence.format(_few(sorted(probes)))}: {probes[first]}"


def _few(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
