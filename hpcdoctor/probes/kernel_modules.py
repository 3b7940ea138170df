"""Which kernels are installed, and what would loading a module bring? From files, without modinfo.

What `modprobe` would load is in modules.dep; what that file says of itself is in its ELF section
.modinfo. Compressed files are unpacked only as far as needed, and never kept. Bounded everywhere: a
recorded tree is hostile.
"""

import lzma
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from hpcdoctor.probes.files import check_inside, list_names, read_bytes, read_text_or_none
from hpcdoctor.probes.host import Host

DEPENDENCIES_LIMIT_BYTES = 8 << 20
CHUNK_BYTES = 1 << 20
UNPACKED_LIMIT_BYTES = 512 << 20  # an unpacked nvidia.ko is some 100 MB
SECTIONS_LIMIT_BYTES = 4 << 20
MODINFO_LIMIT_BYTES = 1 << 20
# A person who looks once does not wait for a module of this size to be unpacked.
PATIENT_BYTES = 4 << 20
MOST_REMEMBERED = 16
# As depmod searches where it is not told otherwise, and where distributions put drivers.
FOLDERS = ["updates/dkms", "updates", "extra", "weak-updates", "kernel/drivers/video", "misc"]
SUFFIXES = ["", ".xz", ".gz", ".zst"]

_NUMBER = re.compile(r"\d+")
_FLAVOUR = re.compile(r"[a-z][a-z_]*(?:-[a-z][a-z_]*)*$")
_VALUE = re.compile(rb"\0(version|srcversion|vermagic)=([ -~]{1,200})\0")
_WANTED = 2  # version and srcversion; vermagic may be far away


class ModuleFile(msgspec.Struct, frozen=True):
    """The file that loading a module would take, and what it says of itself."""

    path: str = ""  # below the root; "" where there is no such module for this kernel
    version: str | None = None  # None: cannot be told, see `reason`; "" where it has none
    source_version: str | None = None
    reason: str = ""


class _Unpacker(Protocol):
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def running_kernel(root: Path) -> str:
    return read_text_or_none(root / "proc/sys/kernel/osrelease") or ""


def by_number(version: str) -> tuple[int, ...]:
    """Sort 6.1.0-9 before 6.1.0-18, and 570.9 before 570.124."""
    return tuple(int(number) for number in _NUMBER.findall(version)[:12])


def installed_kernels(root: Path) -> list[str]:
    """Return the releases that could be booted, the newest first.

    From /boot where it holds kernels; a folder in /lib/modules may outlive its kernel.
    """
    bootable = [n.removeprefix("vmlinuz-") for n in list_names(root / "boot") if is_kernel(n)]
    found = bootable or [
        name for name in list_names(root / "lib/modules") if _NUMBER.match(name) is not None
    ]
    return sorted(found, key=by_number, reverse=True)


def is_kernel(name: str) -> bool:
    return re.match(r"vmlinuz-\d", name) is not None and "rescue" not in name


def newer_kernel(root: Path) -> str:
    """Return the newest installed kernel, if newer than the running one and of its flavour.

    6.1.0-21-cloud-amd64 is not what 6.1.0-18-amd64 would be replaced by.
    """
    running = running_kernel(root)
    if not running:
        return ""
    for name in installed_kernels(root):
        if by_number(name) > by_number(running) and flavour(name) == flavour(running):
            return name
    return ""


def flavour(release: str) -> str:
    """Return what the release ends on without numbers: "amd64", "generic", "rt"."""
    found = _FLAVOUR.search(re.sub(r"\d+", "", release).lstrip(".-_"))
    return found[0] if found else ""


def module_file(host: Host, name: str, release: str) -> ModuleFile:
    """Return what loading the module under this kernel would take; remembered while it stands."""
    path = find_module(host, name, release)
    if path is None:
        return ModuleFile()
    try:
        check_inside(path)
        state = path.stat()
    except OSError as error:
        return ModuleFile(str(path), reason=f"it cannot be read: {error.strerror}")
    seen: dict[tuple[str, int, int], ModuleFile] = host.memory.setdefault("module files", {})
    key = (str(path), state.st_mtime_ns, state.st_size)
    if key not in seen:
        if host.visiting and path.suffix != ".ko" and state.st_size > PATIENT_BYTES:
            return ModuleFile(inside(host.root, path), reason="it is compressed, and large")
        if len(seen) > MOST_REMEMBERED:
            seen.clear()
        seen[key] = read_module(path, inside(host.root, path))
    return seen[key]


def inside(root: Path, path: Path) -> str:
    """Return the path as the machine itself has it."""
    return f"/{path.relative_to(root)}"


def find_module(host: Host, name: str, release: str) -> Path | None:
    """Return the file that modules.dep names; without that, the first in depmod's order."""
    folder = host.root / "lib/modules" / release
    if not release or "/" in release:
        return None
    listed = listed_module(host, folder, name)
    if listed is not None:
        return folder / listed
    places = [*FOLDERS, *(f"{each}/{name}" for each in ("extra", "weak-updates"))]
    for place in places:
        names = set(list_names(folder / place))
        for suffix in SUFFIXES:
            if f"{name}.ko{suffix}" in names:
                return folder / place / f"{name}.ko{suffix}"
    return None


def listed_module(host: Host, folder: Path, name: str) -> str | None:
    path = folder / "modules.dep"
    try:
        check_inside(path)
        stamp = (str(path), path.stat().st_mtime_ns, name)
    except OSError:
        return None
    seen: dict[str, Any] = host.memory.setdefault("modules.dep", {})
    if seen.get("stamp " + name) != stamp:
        try:
            text = read_bytes(path, DEPENDENCIES_LIMIT_BYTES)
        except OSError:
            return None
        pattern = rb"^([\w./+-]*/)?" + re.escape(name).encode() + rb"\.ko(?:\.xz|\.gz|\.zst)?(?=:)"
        found = re.search(pattern, text, re.MULTILINE)
        seen["stamp " + name] = stamp
        seen[name] = found[0].decode() if found and b".." not in found[0] else None
    listed: str | None = seen[name]
    return listed if listed is None or not listed.startswith("/") else None


def read_module(path: Path, shown: str) -> ModuleFile:
    if path.name.endswith(".zst"):
        return ModuleFile(shown, reason="it is compressed with zstd, which is not read here")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ModuleFile(shown, reason="it is no plain file")
            if path.name.endswith(".xz"):
                unpacker = lzma.LZMADecompressor(memlimit=256 << 20)
                said = search(unpacked(descriptor, unpacker))
            elif path.name.endswith(".gz"):
                said = search(unpacked(descriptor, zlib.decompressobj(31)))
            else:
                said = parse_modinfo(elf_section(descriptor, b".modinfo"))
        finally:
            os.close(descriptor)
    except (OSError, lzma.LZMAError, zlib.error, struct.error, ValueError) as error:
        return ModuleFile(shown, reason=f"it is no kernel module that can be read: {error}"[:200])
    return ModuleFile(shown, said.get("version", ""), said.get("srcversion"))


def unpacked(descriptor: int, unpacker: _Unpacker) -> Iterator[bytes]:
    """Yield what the file holds, a piece at a time, up to the limit."""
    size = 0
    while size < UNPACKED_LIMIT_BYTES and (data := os.read(descriptor, CHUNK_BYTES)):
        while True:
            piece = unpacker.decompress(data, CHUNK_BYTES)
            size += len(piece)
            if piece:
                yield piece
            # What did not fit is kept by the one kind of unpacker and given back by the other.
            data = getattr(unpacker, "unconsumed_tail", b"")
            if size >= UNPACKED_LIMIT_BYTES or getattr(unpacker, "eof", False):
                return
            if not data and getattr(unpacker, "needs_input", True):
                break


def search(pieces: Iterator[bytes]) -> dict[str, str]:
    """Return what stands in the stream like an entry of .modinfo; stop at the end of the need."""
    found: dict[str, str] = {}
    tail = b""
    for piece in pieces:
        text = tail + piece
        for match in _VALUE.finditer(text):
            found.setdefault(match[1].decode(), match[2].decode())
        # An entry's own zero is the next one's first: look again behind each.
        for name in (b"version", b"srcversion"):
            if (again := re.search(rb"\0" + name + rb"=([ -~]{1,200})\0", text)) is not None:
                found.setdefault(name.decode(), again[1].decode())
        if len({"version", "srcversion"} & set(found)) == _WANTED:
            break
        tail = text[-512:]
    return found


def parse_modinfo(section: bytes) -> dict[str, str]:
    """Return the entries KEY=VALUE, the first of each key."""
    found: dict[str, str] = {}
    for entry in section.split(b"\0"):
        key, equals, value = entry.partition(b"=")
        if equals:
            found.setdefault(key.decode(errors="replace"), value.decode(errors="replace")[:200])
    return found


def elf_section(descriptor: int, name: bytes) -> bytes:
    """Return a section of an ELF file of 64 bits; raise ValueError or OSError for anything else."""
    head = os.pread(descriptor, 64, 0)
    if len(head) < 64 or head[:5] != b"\x7fELF\x02" or head[5] not in (1, 2):
        raise ValueError("it is no ELF file of 64 bits")
    order = "<" if head[5] == 1 else ">"
    (table,) = struct.unpack_from(f"{order}Q", head, 40)
    size, count, names = struct.unpack_from(f"{order}HHH", head, 58)
    if size < 64 or size * count > SECTIONS_LIMIT_BYTES:
        raise ValueError("its table of sections makes no sense")
    data = os.pread(descriptor, size * count, table)
    rows = [
        struct.unpack_from(f"{order}IIQQQQ", data, number * size)
        for number in range(len(data) // size)
    ]
    if names >= len(rows):
        raise ValueError("its table of sections makes no sense")
    texts = os.pread(descriptor, min(rows[names][5], SECTIONS_LIMIT_BYTES), rows[names][4])
    for row in rows:
        if texts[row[0] : row[0] + len(name) + 1] == name + b"\0":
            return os.pread(descriptor, min(row[5], MODINFO_LIMIT_BYTES), row[4])
    raise ValueError(f"it has no section {name.decode()}")
