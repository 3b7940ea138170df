"""How does this Lustre client stand with each server's target: connected, put out, or slow?

Source:  {osc,mdc,mgc}.*.{import,state,stats,active} of the client (Lustre manual, "Lustre Tunables
         and Monitoring"), below /proc/fs/lustre, /sys/fs/lustre or debugfs, by release
Units:   requests and their seconds since the mount, as the client counted them
Cost:    class a: four small files a target, kernel memory only, no word to any server
Absent:  where no Lustre is mounted
Trust:   any user's job can make its requests many and slow

Targets of a metadata server's own connections (`-osc-MDT0000`) are no client's and left out.
"""

import re
import statistics
from pathlib import Path

import msgspec

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.lustre_tables import (
    first_number,
    list_parameters,
    parse_history,
    parse_import,
    parse_stats,
    read_parameter,
)

KINDS = ("mdc", "osc", "mgc")
# "lustrefs-OST0000-osc-ffff88105db50000": the last part is the mount.
CLIENT_DEVICE = re.compile(r"(.+)-(?:osc|mdc)-([0-9a-f]{8,16})")
MGC_DEVICE = re.compile(r"MGC(.+)")
CONNECTED = frozenset({"FULL", "IDLE"})  # IDLE: closed since nobody used it, since Lustre 2.12


class LustreTarget(Reading, frozen=True):
    target: str  # "lustrefs-OST0000"; of the management server, its address
    kind: str  # "osc" for data, "mdc" for metadata, "mgc" for the management server
    file_system: str  # "lustrefs"; "" of the management server
    device: str  # as `lctl get_param` names it
    connection: str  # "172.20.20.5@o2ib"
    state: str | None  # "FULL", "IDLE", "DISCONN", "CONNECTING", "REPLAY_WAIT", "EVICTED", ...
    connected: bool | None  # FULL or IDLE
    active: bool | None  # False: an administrator has switched this target off
    connection_attempts_total: int | None
    timeouts_total: int | None  # requests that were given up
    invalidations: int | None  # that are going on: locks and pages are being thrown away
    average_wait_seconds: float | None  # of a request, over the life of the connection
    sibling_wait_seconds: float | None  # the same: the median over the other targets of its kind
    requests_total: int | None
    request_wait_seconds_total: float | None
    # From the last states, at most sixteen; None: none of them is an eviction.
    since_eviction_seconds: float | None
    disconnections_in_history: int | None


def read(host: Host) -> list[LustreTarget]:
    wall = host.clock().wall
    found = [
        target
        for kind in KINDS
        for device in list_parameters(host.root, kind)
        if (target := read_target(host.root, kind, device, wall)) is not None
    ]
    if not found:
        raise Absent("no Lustre is mounted")
    return [compare(target, found) for target in found]


def read_target(root: Path, kind: str, device: str, wall: float) -> LustreTarget | None:
    match = (MGC_DEVICE if kind == "mgc" else CLIENT_DEVICE).fullmatch(device)
    text = read_parameter(root, f"{kind}/{device}/import")
    if match is None or text is None:
        return None
    facts = parse_import(text)
    state = facts.get("state")
    history = parse_history(read_parameter(root, f"{kind}/{device}/state") or "")
    evictions = [time for time, each in history if each == "EVICTED"]
    stats = parse_stats(read_parameter(root, f"{kind}/{device}/stats") or "")
    requests, waited = stats.get("req_waittime", (None, None))
    wait = first_number(facts.get("avg_waittime"))
    return LustreTarget(
        target=match[1],
        kind=kind,
        file_system="" if kind == "mgc" else match[1].rpartition("-")[0],
        device=f"{kind}.{device}",
        connection=facts.get("current_connection", ""),
        state=state,
        connected=None if state is None else state in CONNECTED,
        active=read_active(root, f"{kind}/{device}/active"),
        connection_attempts_total=first_number(facts.get("connection_attempts")),
        timeouts_total=first_number(facts.get("timeouts")),
        invalidations=first_number(facts.get("in-progress_invalidations")),
        average_wait_seconds=None if wait is None else wait / 1e6,
        sibling_wait_seconds=None,
        requests_total=requests,
        request_wait_seconds_total=waited,
        since_eviction_seconds=max(0.0, wall - evictions[-1]) if evictions else None,
        disconnections_in_history=sum(each == "DISCONN" for _, each in history)
        if history
        else None,
    )


def read_active(root: Path, path: str) -> bool | None:
    number = first_number(read_parameter(root, path))
    return None if number is None else number != 0


def compare(target: LustreTarget, every: list[LustreTarget]) -> LustreTarget:
    """Add what the other targets of the same file system and kind need."""
    others = [
        each.average_wait_seconds
        for each in every
        if each is not target
        and (each.kind, each.file_system) == (target.kind, target.file_system)
        and each.average_wait_seconds is not None
    ]
    if len(others) < 2:  # of two, nobody can say which is the odd one
        return target
    return msgspec.structs.replace(target, sibling_wait_seconds=statistics.median(others))
