"""`hpcdoctor record`: a recording of this node that `hpcdoctor check --root` reads anywhere."""

import io
import os
import shutil
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

from hpcdoctor import __version__
from hpcdoctor.checks.learn import probes_of
from hpcdoctor.cli.parser import Parser, folder, make_parser
from hpcdoctor.definitions.loader import load_definitions, load_settings
from hpcdoctor.definitions.profile import mounts_of
from hpcdoctor.knowledge import load
from hpcdoctor.model.quantity import parse_duration
from hpcdoctor.model.text import visible
from hpcdoctor.prober.recorded_tree import MOST_BYTES, Link, walk
from hpcdoctor.prober.recorder import Recording, finish, hosts_of, snapshots, snapshots_of
from hpcdoctor.prober.scrub import Scrubber
from hpcdoctor.probes import registry

LONGEST_APART_SECONDS = 600.0
DEFAULT_APART_SECONDS = 10.0  # as `check --root A --root B` has it
NAMES = ("first", "second")
README = "README"
MOST_TOLD = 200  # of what was left out


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "record",
        "Record what the probes read of this node, for a bug report or a test. Left out are "
        "secrets, environments, command lines, names of users, of this host and of single parts: "
        "serial numbers, MACs, GUIDs, UUIDs, IP addresses. Look through it before you send it.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="NAME.tar.gz, or a folder to be made; default: hpcdoctor-recording-TIME.tar.gz here",
    )
    parser.add_argument(
        "--root",
        type=folder,
        action="append",
        default=[],
        metavar="FOLDER",
        help="record this recorded machine anew; again for its later snapshot",
    )
    parser.add_argument(
        "--apart", metavar="DURATION", help="two snapshots, for what compares two looks, as in 10s"
    )
    options = parser.parse_args(arguments)
    apart = _duration(parser, options.apart)
    roots = [root.resolve() for root in options.root]
    if roots and apart is not None and len(roots) < 2:
        parser.error("--apart needs two snapshots: give --root twice")
    if len(roots) > len(NAMES):
        parser.error("two snapshots are what a probe can compare; give --root twice at most")
    now = datetime.now(UTC)
    output: Path = options.output or Path(f"hpcdoctor-recording-{now:%Y%m%dT%H%M%SZ}.tar.gz")
    if os.path.lexists(output):
        parser.error(f"{output} is there already")
    if not output.absolute().parent.is_dir():
        parser.error(f"{output.parent} is not a folder")
    probes = _probes(options.config)
    if roots:
        drafts = snapshots_of(roots, probes, apart or DEFAULT_APART_SECONDS)
    else:
        drafts = snapshots(probes, apart, mounts_of(load(options.config).profile))
    names = [load_settings(options.config).node or ""]
    for root in roots or [Path("/")]:
        names += hosts_of(root)
    recorded = finish(drafts, Scrubber(names), apart or DEFAULT_APART_SECONDS)
    whole = {"": recorded[0]} if len(recorded) == 1 else dict(zip(NAMES, recorded, strict=True))
    readme = _readme(whole, options.apart, now, again=bool(roots))
    if output.name.endswith((".tar.gz", ".tgz")):
        _write_archive(output, whole, readme, now)
    else:
        _write_folder(output, whole, readme)
    count = sum(1 for one in recorded for _, node in walk(one.tree) if isinstance(node, bytes))
    left_out = sum(len(one.left_out) for one in recorded)
    print(
        f"{output}: {count} files, {left_out} left out; look through it, then "
        f"`hpcdoctor check --root FOLDER` reads it"
    )
    return 0


def _probes(configuration: Path) -> list[str]:
    """Return the probes that a check or a profile may ask for, also where a site does not."""
    asked = {each.value.probe for each in load_definitions(configuration).checks.values()}
    return sorted({*asked, *probes_of()} & set(registry.names()))


def _duration(parser: Parser, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        parser.error(f"--apart: {error}")
    if not 0 < seconds <= LONGEST_APART_SECONDS:
        parser.error(f"--apart {text}: between 1ms and 10m")
    return seconds


def _readme(
    recorded: dict[str, Recording], apart: str | None, now: datetime, *, again: bool
) -> bytes:
    first = next(iter(recorded.values()))
    kernel = first.tree
    for name in ("proc", "sys", "kernel", "osrelease"):
        below = kernel.get(name, {})
        if isinstance(below, bytes):
            release = below.decode(errors="replace").strip()
            break
        kernel = below if isinstance(below, dict) else {}
    else:
        release = "not recorded"
    roots = " ".join(f"--root {name}" for name in recorded if name) or "--root ."
    lines = [
        "A node as the probes of hpcdoctor read it.",
        "",
        f"Recorded:  {now:%Y-%m-%d %H:%M} UTC by hpcdoctor {__version__}"
        + (", from another recording" if again else ""),
        f"Kernel:    {visible(release, 200)}",
        f"Read it:   hpcdoctor check {roots}" + (f" --apart {apart}" if apart else ""),
        "",
        "Only what a probe reads is in here. Stand-ins take the place of host names, MACs, GUIDs,",
        "UUIDs, serial numbers, IP addresses, names below /home and of users' programs: the same",
        "for the same. Environments are cut down to the variables that tell of job and rank. Of",
        "the kernel log there are only lines that hpcdoctor knows. Left out are command lines,",
        "passwords and logins of mounts, and what processes have open.",
    ]
    for name, one in recorded.items():
        of = f" ({name})" if name else ""
        if one.as_readings:
            lines += ["", f"As readings, since files alone do not show it{of}:"]
            lines += [f"  readings/{probe}.json" for probe in one.as_readings]
        if one.left_out:
            lines += ["", f"Left out{of}, as private or beyond {MOST_BYTES >> 20} MiB:"]
            lines += [f"  {visible(path, 200)}" for path in sorted(set(one.left_out))[:MOST_TOLD]]
            if len(one.left_out) > MOST_TOLD:
                lines.append(f"  and {len(one.left_out) - MOST_TOLD} more")
    return ("\n".join(lines) + "\n").encode()


def _write_folder(output: Path, recorded: dict[str, Recording], readme: bytes) -> None:
    """Make the folder; nothing that is there is written over, no link followed."""
    output.mkdir(mode=0o700)
    try:
        for name, one in recorded.items():
            if name:
                (output / name).mkdir()
            for path, node in walk(one.tree):
                place = output / name / path
                if isinstance(node, dict):
                    place.mkdir()
                elif isinstance(node, Link):
                    place.symlink_to(_relative(path, node))
                else:
                    place.write_bytes(node)
        (output / README).write_bytes(readme)
    except OSError:
        shutil.rmtree(output, ignore_errors=True)
        raise


def _write_archive(
    output: Path, recorded: dict[str, Recording], readme: bytes, now: datetime
) -> None:
    """Write the archive, readable by its owner only."""
    top = output.name.removesuffix(".tar.gz").removesuffix(".tgz")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(output, flags, 0o600)
    except OSError as error:
        print(f"hpcdoctor: {output}: {error.strerror}", file=sys.stderr)
        raise
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:

        def add(name: str, kind: bytes, data: bytes = b"", target: str = "") -> None:
            entry = tarfile.TarInfo(f"{top}/{name}".rstrip("/"))
            entry.type, entry.size, entry.linkname = kind, len(data), target
            entry.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
            entry.mtime = int(now.timestamp())
            archive.addfile(entry, io.BytesIO(data))

        add("", tarfile.DIRTYPE)
        add(README, tarfile.REGTYPE, readme)
        for name, one in recorded.items():
            head = f"{name}/" if name else ""
            if name:
                add(name, tarfile.DIRTYPE)
            for path, node in walk(one.tree):
                if isinstance(node, dict):
                    add(head + path, tarfile.DIRTYPE)
                elif isinstance(node, Link):
                    add(head + path, tarfile.SYMTYPE, target=_relative(path, node))
                else:
                    add(head + path, tarfile.REGTYPE, node)


def _relative(path: str, link: Link) -> str:
    return "../" * path.count("/") + link.target
