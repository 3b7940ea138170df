"""What has the NFS client itself counted of each server: requests, waits, repeats, reconnects?

Source:  /proc/self/mountstats (kernel: net/sunrpc/stats.c, fs/nfs/super.c), mountinfo for which
         mounts share one superblock
Units:   counts and seconds since the superblock was first mounted; a request is counted when it is
         over, so one that waits for ever is in no count but in those of the connection
Cost:    class a: one file of the kernel, no word to any server
Absent:  where no NFS is mounted
Trust:   any user's job can make its requests many and slow

All mounts of one superblock show the same counts: it is told once, by its first mount. A
connection that several exports of a server share is told with the first of them.
"""

from collections.abc import Iterable

import msgspec

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import read_text_or_none
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.mount_table import on_top, parse_mountinfo, unescape

NFS_TYPES = frozenset({"nfs", "nfs4"})
# What a listing, a look for a file or an open begins with.
METADATA = frozenset({"GETATTR", "LOOKUP", "ACCESS"})
WRAPPED = 1 << 63  # a negative number that was printed as an unsigned one
LIMIT_BYTES = 8 << 20


class NfsMount(Reading, frozen=True):
    mount_point: str
    server: str  # as mounted: a name or an address
    export: str
    version: str  # "4.2"; "" where the kernel does not say
    transport: str  # "tcp", "rdma", "udp"
    hard: bool | None  # False: a request is given up, and a job sees an error
    mounts: int  # of the same superblock
    operations_total: int | None
    round_trip_seconds_total: float | None  # of all of them: network and server
    queue_seconds_total: float | None  # before they were sent
    execute_seconds_total: float | None  # queue, round trip and the rest
    transmissions_total: int | None
    retransmissions_total: int | None
    major_timeouts_total: int | None  # of requests that are over
    errors_total: int | None  # since Linux 5.3
    metadata_total: int | None  # GETATTR, LOOKUP, ACCESS
    metadata_round_trip_seconds_total: float | None
    read_total: int | None
    read_round_trip_seconds_total: float | None
    write_total: int | None
    write_round_trip_seconds_total: float | None
    # Of the connection, on the first mount of each server; None on its others.
    connects_total: int | None
    sends_total: int | None
    receives_total: int | None
    bad_replies_total: int | None  # to no request of ours


class Operation(msgspec.Struct, frozen=True):
    """One line of the table; None: the number cannot be what was meant."""

    name: str
    count: int | None
    transmissions: int | None
    major_timeouts: int | None
    queue_seconds: float | None
    round_trip_seconds: float | None
    execute_seconds: float | None
    errors: int | None


class Transport(msgspec.Struct, frozen=True):
    """One connection."""

    protocol: str
    connects: int | None
    sends: int | None
    receives: int | None
    bad_replies: int | None


class Block(msgspec.Struct):
    """What mountstats says of one mount."""

    source: str
    mount_point: str
    options: list[str] = []
    transports: list[Transport] = []
    operations: list[Operation] = []


def read(host: Host) -> list[NfsMount]:
    text = read_text_or_none(host.root / "proc/self/mountstats", LIMIT_BYTES)
    if text is None:
        if host.live and (host.root / "proc/self/mountinfo").exists():
            raise Unavailable("/proc/self/mountstats cannot be read")
        raise Absent("there is no /proc/self/mountstats")
    blocks = parse(text)
    if not blocks:
        raise Absent("no NFS is mounted")
    table = read_text_or_none(host.root / "proc/self/mountinfo", LIMIT_BYTES) or ""
    devices = {point: entry.device for point, entry in on_top(parse_mountinfo(table)).items()}
    shared: dict[str, list[Block]] = {}
    for block in blocks:
        shared.setdefault(devices.get(block.mount_point, block.mount_point), []).append(block)
    told: set[tuple[str, str]] = set()
    return [describe(same, told) for same in shared.values()]


def parse(text: str) -> list[Block]:
    """Return one block for each NFS mount, in the order of mounting."""
    blocks: list[Block] = []
    block: Block | None = None
    for line in text.splitlines():
        if line.startswith("device "):
            block = parse_head(line)
            if block is not None:
                blocks.append(block)
        elif block is not None:
            parse_line(block, line.strip())
    return blocks


def parse_head(line: str) -> Block | None:
    """Read "device server:/export mounted on /mnt with fstype nfs4 statvers=1.1"."""
    words = line.split(" ")
    if len(words) < 8 or words[2:4] != ["mounted", "on"] or words[5:7] != ["with", "fstype"]:
        return None
    if words[7] not in NFS_TYPES:
        return None
    return Block(unescape(words[1]), unescape(words[4]))


def parse_line(block: Block, line: str) -> None:
    name, separator, rest = line.partition(":")
    if not separator:
        return
    words = rest.split()
    if name == "opts" and words:
        block.options = words[0].split(",")
    elif name == "xprt" and words:
        block.transports.append(parse_transport(words))
    elif name.isupper() and 8 <= len(words) <= 9:
        block.operations.append(parse_operation(name, words))


def parse_transport(words: list[str]) -> Transport:
    """Read an xprt line: "udp" has no connects; "tcp", "rdma" and "local" begin alike."""
    numbers = [number_of(word) for word in words[1:]]
    numbers += [None] * (9 - len(numbers))
    if words[0] == "udp":
        return Transport("udp", None, numbers[2], numbers[3], numbers[4])
    offset = 0 if words[0] == "local" else 1  # which has no port
    connects, sends, receives, bad = (numbers[offset + index] for index in (1, 4, 5, 6))
    return Transport(words[0], connects, sends, receives, bad)


def parse_operation(name: str, words: list[str]) -> Operation:
    numbers = [number_of(word) for word in words]
    queue, round_trip, execute = (
        None if number is None else number / 1000 for number in numbers[5:8]
    )
    errors = numbers[8] if len(numbers) > 8 else None
    return Operation(name, numbers[0], numbers[1], numbers[2], queue, round_trip, execute, errors)


def number_of(word: str) -> int | None:
    if not word.isdecimal() or len(word) > 20:
        return None
    number = int(word)
    return None if number >= WRAPPED else number


def describe(same: list[Block], told: set[tuple[str, str]]) -> NfsMount:
    """Return the reading of one superblock; `told` has the connections that were told already."""
    block = same[0]
    options = dict(option.partition("=")[::2] for option in block.options)
    server, _, export = block.source.partition(":/")
    connection = (server, options.get("proto", "") + options.get("port", ""))
    first = connection not in told
    told.add(connection)
    transports = block.transports if first else []
    operations = block.operations
    metadata = [each for each in operations if each.name in METADATA]
    reads = [each for each in operations if each.name == "READ"]
    writes = [each for each in operations if each.name == "WRITE"]
    return NfsMount(
        mount_point=block.mount_point,
        server=server,
        export=f"/{export}",
        version=options.get("vers", ""),
        transport=block.transports[0].protocol if block.transports else options.get("proto", ""),
        hard=True if "hard" in options else False if options.keys() & {"soft", "softerr"} else None,
        mounts=len(same),
        operations_total=whole(each.count for each in operations),
        round_trip_seconds_total=total(each.round_trip_seconds for each in operations),
        queue_seconds_total=total(each.queue_seconds for each in operations),
        execute_seconds_total=total(each.execute_seconds for each in operations),
        transmissions_total=whole(each.transmissions for each in operations),
        retransmissions_total=whole(map(retransmissions, operations)),
        major_timeouts_total=whole(each.major_timeouts for each in operations),
        errors_total=whole(each.errors for each in operations),
        metadata_total=whole(each.count for each in metadata),
        metadata_round_trip_seconds_total=total(each.round_trip_seconds for each in metadata),
        read_total=whole(each.count for each in reads),
        read_round_trip_seconds_total=total(each.round_trip_seconds for each in reads),
        write_total=whole(each.count for each in writes),
        write_round_trip_seconds_total=total(each.round_trip_seconds for each in writes),
        connects_total=whole(each.connects for each in transports),
        sends_total=whole(each.sends for each in transports),
        receives_total=whole(each.receives for each in transports),
        bad_replies_total=whole(each.bad_replies for each in transports),
    )


def retransmissions(operation: Operation) -> int | None:
    if operation.count is None or operation.transmissions is None:
        return None
    return max(0, operation.transmissions - operation.count)


def whole(numbers: Iterable[int | None]) -> int | None:
    """Add up what is known; None where nothing is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def total(numbers: Iterable[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
