"""How fast do the disks answer, does one not answer at all, and has the kernel given one up?

Source:  /sys/block/*/{stat,inflight,size,ro}, device/{state,model} (kernel: ABI/stable/sysfs-block,
         block/stat.rst)
Units:   seconds and counts since the device appeared; wait is from the block layer's queue to the
         answer
Cost:    class a: some six small files a disk; asks no hardware
Absent:  where there is no block device but loops and memory
Trust:   any user can keep a disk busy

Left out: loop, zram, ram, floppy and CD. Of a stack (LVM, crypt, multipath) each layer is told,
with the one disk beneath where there is just one.
"""

from pathlib import Path

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.disk_kind import bases_of, kind_of
from hpcdoctor.probes.files import list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

LEFT_OUT = ("loop", "zram", "ram", "fd", "sr", "mtd")
SECTOR_BYTES = 512


class BlockDevice(Reading, frozen=True):
    device: str  # "sda", "nvme0n1", "dm-0"
    name: str  # as people call it: the name that device mapper gives, else the same
    kind: str  # "nvme", "ssd", "turning", or "" where the block layer does not say
    model: str
    size_bytes: int | None
    beneath: str  # the one device that this one is made of; "" for a disk, or for several
    read_only: bool | None
    state: str  # of SCSI and ATA: "running", "offline", "blocked"; "" where there is none
    in_flight: int | None  # requests that wait for their answer now
    reads_total: int | None
    read_wait_seconds_total: float | None  # of all reads
    writes_total: int | None
    write_wait_seconds_total: float | None
    flushes_total: int | None  # since Linux 5.5
    flush_wait_seconds_total: float | None
    completed_total: int | None  # reads, writes, discards, flushes
    busy_seconds_total: float | None  # with at least one request in flight


def read(host: Host) -> list[BlockDevice]:
    base = host.root / "sys/block"
    names = [name for name in list_names(base) if name.rstrip("0123456789") not in LEFT_OUT]
    devices = [read_device(host.root, base / name) for name in names]
    if not devices:
        raise Absent("there is no block device")
    return devices


def read_device(root: Path, folder: Path) -> BlockDevice:
    name = folder.name
    bases = bases_of(root, name)
    sectors = read_int_or_none(folder / "size")
    read_only = read_int_or_none(folder / "ro")
    numbers = read_numbers(folder / "stat")
    reads, writes, discards, flushes = (numbers.get(index) for index in (0, 4, 11, 15))
    done = [number for number in (reads, writes, discards, flushes) if number is not None]
    return BlockDevice(
        device=name,
        name=read_text_or_none(folder / "dm/name") or name,
        kind=kind_of(root, name),
        model=read_text_or_none(folder / "device/model") or "",
        size_bytes=None if sectors is None else sectors * SECTOR_BYTES,
        beneath=bases[0] if len(bases) == 1 else "",
        read_only=None if read_only is None else read_only == 1,
        state=read_text_or_none(folder / "device/state") or "",
        in_flight=read_in_flight(folder, numbers),
        reads_total=reads,
        read_wait_seconds_total=seconds(numbers.get(3)),
        writes_total=writes,
        write_wait_seconds_total=seconds(numbers.get(7)),
        flushes_total=flushes,
        flush_wait_seconds_total=seconds(numbers.get(16)),
        completed_total=sum(done) if done else None,
        busy_seconds_total=seconds(numbers.get(9)),
    )


def read_numbers(path: Path) -> dict[int, int]:
    """Return the columns of `stat`: 11 in old kernels, 15 since 4.18, 17 since 5.5."""
    words = (read_text_or_none(path) or "").split()
    return {index: int(word) for index, word in enumerate(words) if word.isdecimal()}


def read_in_flight(folder: Path, numbers: dict[int, int]) -> int | None:
    words = (read_text_or_none(folder / "inflight") or "").split()
    if len(words) == 2 and all(word.isdecimal() for word in words):
        return sum(map(int, words))
    return numbers.get(8)


def seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
