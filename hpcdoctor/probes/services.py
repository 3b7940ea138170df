"""Do the services run that the profile expects? One question to systemd for all of them.

Source:  `systemctl show` of the units that the profile names (`services.units`)
Units:   restarts since the unit was loaded
Cost:    one process (class c), in a child of its own
Absent:  where the profile names none, or systemd does not run this machine
"""

from hpcdoctor.definitions.profile import list_of
from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.model.text import visible
from hpcdoctor.probes.host import Host

SUBJECT = "manager"
MANAGER = "systemd"
TIMEOUT_SECONDS = 8.0
PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,NRestarts"
MOST_UNITS = 100


class Service(Reading, frozen=True):
    """One unit of systemd."""

    manager: str  # "systemd"
    unit: str  # "slurmd.service", as the profile names it
    load_state: str  # loaded, not-found, masked
    active_state: str  # active, activating, inactive, failed, ...
    sub_state: str  # running, dead, auto-restart, ...
    result: str  # success, exit-code, signal, oom-kill, ...
    restarts_total: int | None


def subjects(host: Host) -> list[str]:
    if not list_of(host.profile, "services", "units"):
        raise Absent("the profile names no services")
    if host.live and not (host.root / "run/systemd/system").is_dir():
        raise Absent("systemd does not run this machine")
    return [MANAGER]


def read(host: Host, subject: str) -> list[Service]:
    units = list_of(host.profile, "services", "units")[:MOST_UNITS]
    ran = host.run(["systemctl", "show", f"--property={PROPERTIES}", *units], TIMEOUT_SECONDS)
    blocks = [block for block in ran.out.split("\n\n") if block.strip()]
    if ran.status != 0 or len(blocks) != len(units):
        said = visible((ran.err or ran.out).strip(), 200) or "nothing"
        raise Unavailable(f"systemctl show ended with {ran.status} and said: {said}")
    return [parse(subject, unit, block) for unit, block in zip(units, blocks, strict=True)]


def parse(manager: str, unit: str, block: str) -> Service:
    """Read the lines KEY=VALUE that systemctl writes of one unit."""
    values = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
    restarts = values.get("NRestarts", "")
    return Service(
        manager=manager,
        unit=unit,
        load_state=visible(values.get("LoadState", "")),
        active_state=visible(values.get("ActiveState", "")),
        sub_state=visible(values.get("SubState", "")),
        result=visible(values.get("Result", "")),
        restarts_total=int(restarts) if restarts.isdigit() else None,
    )
