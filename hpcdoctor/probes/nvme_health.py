"""What does each NVMe drive say of its own health: wear, spare blocks, heat, damaged data?

Source:  the SMART / Health log page 02h and Identify Controller, by one admin command each
         (NVM Express base specification; kernel: include/uapi/linux/nvme_ioctl.h)
Units:   as the drive counts over its life; "used" may pass 100 %
Cost:    class c: two commands a drive, answered by its firmware; one that is ill may take its time,
         so each controller has its own child
Absent:  where there is no NVMe drive behind PCI
"""

import ctypes
import fcntl
import os

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import list_names, read_text_or_none
from hpcdoctor.probes.host import Host

SUBJECT = "controller"
ADMIN_COMMAND = 0xC0484E41  # NVME_IOCTL_ADMIN_CMD, of the 72 bytes below
GET_LOG_PAGE, IDENTIFY = 0x02, 0x06
HEALTH_LOG, HEALTH_BYTES = 0x02, 512
IDENTIFY_CONTROLLER, IDENTIFY_BYTES = 0x01, 4096
EVERY_NAMESPACE = 0xFFFFFFFF
ANSWER_MILLISECONDS = 5000
ZERO_CELSIUS = 273  # as the specification has it, in whole kelvins
DATA_UNIT_BYTES = 512_000
# The bits of "critical warning", by what the drive means with them.
WARNINGS = (
    "spare blocks are used up",
    "temperature is out of its range",
    "reliability is degraded",
    "media is read-only",
    "backup of the volatile memory has failed",
    "persistent memory is read-only or unreliable",
)

TOO_HOT = 1 << 1


class NvmeHealth(Reading, frozen=True):
    controller: str  # "nvme0"
    model: str
    serial: str
    warnings: list[str]  # of the drive itself, in our words
    warning_bits: int  # the same as the drive gives them: 0 is well
    failing: bool  # any of these but the temperature
    read_only: bool  # the drive takes no more data
    temperature_celsius: int | None
    warning_temperature_celsius: int | None  # the drive's own limits; None: it has none
    critical_temperature_celsius: int | None
    spare_ratio: float  # 1.0 is all of them
    spare_limit_ratio: float  # the drive's own
    used_ratio: float  # 1.0 is the life that the vendor foresaw, and may be passed
    media_errors_total: int  # data that could not be read right, nor be repaired
    error_log_entries_total: int  # grows from harmless commands, too
    unsafe_shutdowns_total: int
    power_on_hours: int
    written_bytes: int


class _AdminCommand(ctypes.Structure):
    _fields_ = (
        ("opcode", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("reserved", ctypes.c_uint16),
        ("namespace", ctypes.c_uint32),
        ("cdw2", ctypes.c_uint32),
        ("cdw3", ctypes.c_uint32),
        ("metadata", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("metadata_bytes", ctypes.c_uint32),
        ("data_bytes", ctypes.c_uint32),
        ("cdw10", ctypes.c_uint32),
        ("cdw11", ctypes.c_uint32),
        ("cdw12", ctypes.c_uint32),
        ("cdw13", ctypes.c_uint32),
        ("cdw14", ctypes.c_uint32),
        ("cdw15", ctypes.c_uint32),
        ("timeout_milliseconds", ctypes.c_uint32),
        ("result", ctypes.c_uint32),
    )


def subjects(host: Host) -> list[str]:
    base = host.root / "sys/class/nvme"
    names = [
        name
        for name in list_names(base)
        if read_text_or_none(base / name / "transport") in ("pcie", None)
        and read_text_or_none(base / name / "model") is not None
    ]
    if not names:
        raise Absent("there is no NVMe drive behind PCI")
    if not host.live:
        raise Absent("a recorded machine has no drive that could be asked")
    return names


def read(host: Host, subject: str) -> list[NvmeHealth]:
    folder = host.root / "sys/class/nvme" / subject
    path = host.root / "dev" / subject
    try:
        device = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise Absent(f"{subject} is not there any more") from None
    except OSError as error:
        raise Unavailable(f"{path} cannot be opened: {error.strerror}") from error
    try:
        log = ask(device, GET_LOG_PAGE, HEALTH_BYTES, EVERY_NAMESPACE, log_page(HEALTH_LOG))
        identity = ask(device, IDENTIFY, IDENTIFY_BYTES, 0, IDENTIFY_CONTROLLER)
    except OSError as error:
        raise Unavailable(f"{subject} does not tell of its health: {error.strerror}") from error
    finally:
        os.close(device)
    model = read_text_or_none(folder / "model") or ""
    serial = read_text_or_none(folder / "serial") or ""
    return [parse(subject, model, serial, log, identity)]


def log_page(number: int) -> int:
    """Return command word 10: which page, and how many words of four bytes less one."""
    return number | (HEALTH_BYTES // 4 - 1) << 16


def ask(device: int, opcode: int, size: int, namespace: int, cdw10: int) -> bytes:
    """Send one admin command that only reads, and return what the drive says."""
    data = ctypes.create_string_buffer(size)
    command = _AdminCommand(
        opcode=opcode,
        namespace=namespace,
        address=ctypes.addressof(data),
        data_bytes=size,
        cdw10=cdw10,
        timeout_milliseconds=ANSWER_MILLISECONDS,
    )
    status = fcntl.ioctl(device, ADMIN_COMMAND, command)
    if status:
        raise OSError(status, f"the drive answers with status {status:#x}")
    return data.raw


def parse(controller: str, model: str, serial: str, log: bytes, identity: bytes) -> NvmeHealth:
    bits = log[0]
    return NvmeHealth(
        controller=controller,
        model=model,
        serial=serial,
        warnings=[text for number, text in enumerate(WARNINGS) if bits >> number & 1],
        warning_bits=bits,
        failing=bool(bits & ~TOO_HOT),
        read_only=bool(bits >> 3 & 1),
        temperature_celsius=celsius(log[1:3]),
        warning_temperature_celsius=celsius(identity[266:268]),
        critical_temperature_celsius=celsius(identity[268:270]),
        spare_ratio=log[3] / 100,
        spare_limit_ratio=log[4] / 100,
        used_ratio=log[5] / 100,
        media_errors_total=number(log[160:176]),
        error_log_entries_total=number(log[176:192]),
        unsafe_shutdowns_total=number(log[144:160]),
        power_on_hours=number(log[128:144]),
        written_bytes=number(log[48:64]) * DATA_UNIT_BYTES,
    )


def number(data: bytes) -> int:
    """Return a number of 128 bits, as far as 64 of them; no drive has counted further."""
    return min(int.from_bytes(data, "little"), (1 << 63) - 1)


def celsius(data: bytes) -> int | None:
    kelvins = int.from_bytes(data, "little")
    return kelvins - ZERO_CELSIUS if kelvins else None
