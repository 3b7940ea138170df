"""What does a recording of a machine hold? What the probes read of it, without what is private.

A look of every probe is traced, on this machine in children that can be killed; the answers become
a tree of plain files. Then the probes read that tree: what they do not ask for is left out, and a
probe that sees something else there than it saw of the machine gets its looks written down, as
readings/PROBE.json.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.kernel_record import parse_kmsg
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.prober import looking, recordings
from hpcdoctor.prober.local import Here, read_recorded
from hpcdoctor.prober.recorded_tree import Folder, Link, Node, build, node_at, put, walk, write
from hpcdoctor.prober.scrub import Scrubber
from hpcdoctor.prober.tracing import LARGEST_TRACES, Seen, Trace, read_traces, traced
from hpcdoctor.probes import files, registry
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.kernel_messages import JOIN_RECORDS, Reader, catalogue
from hpcdoctor.probes.registry import Probe, Shape

DEADLINE_SECONDS = 10.0
RECORDED_SECONDS = 86400.0  # as `check --root` has it: a recording does not say when it was made


class Recording(msgspec.Struct):
    """One snapshot, and what was left out of it."""

    tree: Folder
    looks: dict[str, list[Look]]
    left_out: list[str] = []
    as_readings: list[str] = []  # probes whose looks are written down


# Looking ------------------------------------------------------------------------------------------


def snapshots(probes: list[str], apart: float | None, mounts: list[str]) -> list[Recording]:
    """Look at this machine, with `apart` twice; never later than a few deadlines."""
    host = Host.this_machine()
    host.visiting = True
    host.extra_mounts = mounts
    found: list[Recording] = []
    with tempfile.TemporaryDirectory(prefix="hpcdoctor-record-") as text:
        folder = Path(text)

        def find(name: str) -> Probe:
            return traced(registry.find(name), folder)

        seen: list[Seen] = []
        with Here(host, find) as here:
            for number in range(1 if apart is None else 2):
                if number:
                    time.sleep(apart or 0.0)
                looks = here.read(probes, DEADLINE_SECONDS)
                now = list(read_traces(folder))
                for path in folder.iterdir():
                    path.unlink(missing_ok=True)
                # What a probe remembers it does not read again: it is as it was.
                seen = [*_still_there(seen, now), *now]
                found.append(_first_draft(seen, looks, probes))
    return found


def snapshots_of(roots: Sequence[Path], probes: list[str], apart: float) -> list[Recording]:
    """Read recorded snapshots anew. They are hostile: nothing outside of them is read."""
    memory: dict[str, object] = {}
    looks = [
        [look for name in probes for look in read_recorded(name, host, registry.find)]
        for host in _hosts(roots, apart, memory)
    ]
    traces = _trace_recorded(roots, probes, apart)
    return [_first_draft(seen, one, probes) for seen, one in zip(traces, looks, strict=True)]


def _trace_recorded(
    roots: Sequence[Path], probes: Iterable[str], apart: float
) -> Iterator[list[Seen]]:
    """Yield what the probes ask of each recorded snapshot, its readings/ left aside."""
    seen: list[Seen] = []
    for host in _hosts(roots, apart, {}):
        now: list[Seen] = []
        size = 0

        def take(line: bytes, now: list[Seen] = now) -> None:
            nonlocal size
            size += len(line)
            if size <= LARGEST_TRACES:
                now.append(msgspec.json.decode(line, type=Seen))

        for name in probes:
            with Trace(host.root, take).active():
                look_at_files(registry.find(name), host)
        seen = [*_still_there(seen, now), *now]
        yield seen


def _hosts(roots: Sequence[Path], apart: float, memory: dict[str, object]) -> Iterator[Host]:
    """Yield the snapshots as `check --root` sees them: what a probe remembers goes along."""
    for number, root in enumerate(roots):
        boot_id = Host.recorded(root).clock().boot_id
        host = Host.recorded(root, Instant(boot_id, RECORDED_SECONDS + number * apart, 0.0))
        host.memory = memory
        yield host


def look_at_files(probe: Probe, host: Host) -> list[Look]:
    """Look at a recorded machine, its readings/ left aside."""
    if probe.shape is Shape.PLAIN:
        return [looking.look(probe, host)]
    if probe.shape is Shape.STREAM:
        return [looking.drain(probe, host)]
    named = looking.name_subjects(probe, host)
    if isinstance(named, Look):
        return [named]
    if not named:
        return [Look(probe.name, ReadStatus.READ, host.clock())]
    return [looking.look(probe, host, subject) for subject in named]


def _still_there(before: list[Seen], now: list[Seen]) -> list[Seen]:
    """Leave out what has gone since: a folder was listed again, and does not have it any more."""
    listed = {seen.path: set(seen.names) for seen in now if seen.kind == "folder"}

    def is_there(path: str) -> bool:
        while path:
            path, _, name = path.rpartition("/")
            if path in listed and name not in listed[path]:
                return False
        return True

    return [seen for seen in before if is_there(seen.path)]


def _first_draft(seen: list[Seen], looks: Iterable[Look], probes: Iterable[str]) -> Recording:
    by_probe: dict[str, list[Look]] = {name: [] for name in probes}
    for look in looks:
        by_probe.setdefault(look.probe, []).append(look)
    left_out: list[str] = []
    return Recording(build(seen, left_out), by_probe, left_out)


# What is kept -------------------------------------------------------------------------------------


def finish(drafts: Sequence[Recording], scrubber: Scrubber, apart: float) -> list[Recording]:
    """Return the snapshots as they may leave the machine: read once more, and scrubbed."""
    probes = list(drafts[0].looks)
    finished = []
    with _in_folders([draft.tree for draft in drafts]) as folders:
        traces = _trace_recorded(folders, probes, apart)
        for draft, folder, seen in zip(drafts, folders, traces, strict=True):
            left_out = list(draft.left_out)
            tree = build(seen, left_out)
            kept = _known_lines(node_at(tree, "dev/kmsg"), folder)
            if kept is not None:
                put(tree, "dev/kmsg", kept, over=True)
            tree = scrubbed(tree, scrubber, left_out)
            looks = {
                name: [_scrubbed_look(look, scrubber) for look in looks]
                for name, looks in draft.looks.items()
            }
            finished.append(Recording(tree, looks, left_out))
    with _in_folders([one.tree for one in finished]) as folders:
        for one, host in zip(finished, _hosts(folders, apart, {}), strict=True):
            _add_readings(one, host)
    return finished


def _add_readings(one: Recording, host: Host) -> None:
    """Write down the looks of those probes that see something else in the files."""
    for name, looks in one.looks.items():
        there = look_at_files(registry.find(name), host)
        if not looks or _essence(there) == _essence(looks):
            continue
        data = as_json(looks)
        if len(data) > files.LIMIT_BYTES:
            one.left_out.append(f"readings/{name}.json")
        else:
            one.as_readings.append(name)
            put(one.tree, f"readings/{name}.json", data, over=True)


@contextlib.contextmanager
def _in_folders(trees: Sequence[Folder]) -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory(prefix="hpcdoctor-record-") as text:
        folders = [Path(text).resolve() / str(number) for number in range(len(trees))]
        for tree, folder in zip(trees, folders, strict=True):
            folder.mkdir()
            write(tree, folder)
        yield folders


def _known_lines(data: Node | None, root: Path) -> bytes | None:
    """Keep of the kernel log the lines that some check may be about, and nothing else."""
    if not isinstance(data, bytes):
        return None
    reader = Reader(catalogue(), root)
    lines: list[bytes] = []
    kept: set[int] = set()
    for line in data.split(b"\n"):
        record = parse_kmsg(line)
        if record is None or record.facility != 0:
            continue
        lines.append(line)
        message = reader.read(record)
        if message is not None:
            here = len(lines) - 1
            joined = not record.text.startswith(message.text[:40])
            kept.update(range(max(0, here - JOIN_RECORDS), here + 1) if joined else [here])
    return b"".join(lines[number] + b"\n" for number in sorted(kept))


def scrubbed(tree: Folder, scrubber: Scrubber, left_out: list[str]) -> Folder:
    """Return the tree with stand-ins for names, in paths as well."""
    found: Folder = {}
    for path, node in walk(tree):
        place = scrubber.path(path)
        if isinstance(node, bytes):
            data = scrubber.file(path, node)
            if data is None:
                left_out.append(place)
            else:
                put(found, place, data, over=False)
        elif isinstance(node, Link):
            put(found, place, Link(scrubber.path(node.target)), over=False)
        else:
            put(found, place, {}, over=False)
    return found


def _scrubbed_look(look: Look, scrubber: Scrubber) -> Look:
    look = msgspec.json.decode(looking.encode(look), type=Look)
    values = scrubber.reading({"subject": look.subject, "reason": look.reason})
    subject, reason = values["subject"], values["reason"]
    return msgspec.structs.replace(
        look,
        subject=subject if isinstance(subject, str) else None,
        reason=str(reason or ""),
        readings=[scrubber.reading(reading) for reading in look.readings],
    )


def _essence(looks: Iterable[Look]) -> list[tuple[str, str, bytes]]:
    """Return what two looks at one thing have to agree on."""
    return sorted(
        (
            (
                look.subject or "",
                look.status.value,
                b"".join(sorted(msgspec.json.encode(row, order="sorted") for row in look.readings)),
            )
            for look in (msgspec.json.decode(looking.encode(look), type=Look) for look in looks)
        ),
    )


def as_json(looks: Iterable[Look]) -> bytes:
    """Return readings/PROBE.json for these looks."""
    recorded = [
        recordings.RecordedLook(
            subject=look.subject,
            status=look.status,
            readings=list(look.readings),
            reason=look.reason,
            stuck_seconds=round(look.taken.seconds_since(look.stuck_since), 3)
            if look.stuck_since
            else 0.0,
        )
        for look in looks
    ]
    data: bytes = msgspec.json.format(msgspec.json.encode(recorded), indent=1) + b"\n"
    return data


def hosts_of(root: Path) -> list[str]:
    """Return the names of the machine: our own, or those that a recorded one has written down."""
    if root == Path("/"):
        return [os.uname().nodename]
    host = Host.recorded(root)
    paths = ("proc/sys/kernel/hostname", "etc/hostname")
    return [name for path in paths if (name := files.read_text_or_none(host.root / path))]
