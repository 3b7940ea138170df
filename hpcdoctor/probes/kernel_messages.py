"""Which records of a kernel log mean something, and what do they say?

Which lines matter, and their grammar: catalogs/kernel-messages.yaml; all others are silent. What is
told in several lines, or by several tellers, is one message.
"""

import os
from collections import deque
from functools import cache
from pathlib import Path

import msgspec

from hpcdoctor.definitions.kernel_message import KernelMessage, KernelMessages, load
from hpcdoctor.model.kernel_record import Record
from hpcdoctor.model.reading import Reading
from hpcdoctor.model.text import visible
from hpcdoctor.probes.files import list_names, read_text_or_none

SAME_A_SECOND = 50  # identical messages beyond this are counted and not passed on
TEXT_LIMIT = 500
MATCH_LIMIT = 2048  # characters that a pattern sees
DAY_SECONDS = 86400.0
ECHOES = 256  # things remembered, so that a hostile log cannot make us grow
JOIN_RECORDS = 8  # records among which the rest of a sentence is looked for
JOIN_SECONDS = 1.0


class Message(Reading, frozen=True):
    """One message that the catalogue knows. Texts are "" where the message does not say."""

    kind: str
    text: str  # as logged, control characters written out
    facility: int | None = None  # 0 the kernel; None: a log file that does not tell
    level: int | None = None
    sequence: int | None = None
    boottime_seconds: float | None = None
    pci_address: str = ""  # "0000:3b:00": domain, bus, device, without function
    in_pci_tree: bool = False  # the address is a device of this machine; always so for log files
    gpu: str = ""  # for people and for the scheduler's reason: "GPU3", or "GPU 3b:00"
    code: int | None = None  # a vendor's number for the fault, such as the Xid
    mig: str = ""  # "GPU-I:05 GPU-CI:00"
    device: str = ""  # what it is about, where that is no PCI address: a drive, a DIMM, a server
    unit: str = ""  # the part of it, or who reports
    severity: str = ""  # in the message's own word, in lower case
    detail: str = ""
    count: int | None = None  # errors that this one message tells of
    number: int | None = None  # a port, a process id, a size: see the catalogue
    count_in_day: int = 1  # errors of this kind on this thing in 24 hours of log, this one included


@cache
def catalogue() -> KernelMessages:
    return load()


class Gpus:
    """What people call a GPU, remembered from when it was alive."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._minors: dict[str, str] = {}
        self._look()

    def name(self, address: str) -> str:
        if address not in self._minors:
            self._look()
        if address in self._minors:
            return f"GPU{self._minors[address]}"
        return "GPU " + address.removeprefix("0000:")

    def _look(self) -> None:
        if self._root is None:
            return
        folder = self._root / "proc/driver/nvidia/gpus"
        for name in list_names(folder):
            text = read_text_or_none(folder / name / "information") or ""
            for line in text.splitlines():
                key, _, value = line.partition(":")
                if key.strip() == "Device Minor" and value.strip().isdigit():
                    self._minors[normal_address(name)] = value.strip()


class Reader:
    """Turns records into messages: joins, drops echoes, bounds a flood. Only its own past counts.

    `root` is the machine that the log is of, or None where only the log is at hand.
    """

    def __init__(
        self, messages: KernelMessages, root: Path | None, gpus: Gpus | None = None
    ) -> None:
        self.suppressed = 0
        self._messages = messages
        self._root = root
        self._gpus = gpus or Gpus(root)
        self._open: tuple[KernelMessage, Record, str, int] | None = None
        self._echoes: dict[tuple[object, ...], float] = {}
        self._days: dict[tuple[object, ...], deque[tuple[float, int]]] = {}
        self._second: int | None = None
        self._in_second: dict[tuple[object, ...], int] = {}
        self._seen_in_tree: set[str] = set()  # stays true for what has been pulled out since

    def read(self, record: Record) -> Message | None:
        """Return what this record says, or None. Who may be believed is the caller's business."""
        first, _, rest = record.text.partition("\n")
        began = self._open
        found = self._match(record, first)
        if found is None and self._open is began:
            found = self._continue(record, first)
        # Further lines of one record only ever complete its first: they begin nothing.
        for line in rest.split("\n") if rest else ():
            found = found or self._continue(record, line)
        if found is None or self._is_echo(found, record):
            return None
        in_day = self._count_in_day(found, record)
        if self._is_flood(found, record):
            return None
        return found if in_day == 1 else msgspec.structs.replace(found, count_in_day=in_day)

    def _match(self, record: Record, text: str) -> Message | None:
        for entry in self._messages.candidates(text, record.program):
            if message := self._message(entry, record, text):
                return message
            if entry.continues:
                self._open = (entry, record, text, JOIN_RECORDS)
        return None

    def _continue(self, record: Record, text: str) -> Message | None:
        """Take this line as the rest of a sentence that an earlier record began."""
        if self._open is None:
            return None
        entry, began, joined, left = self._open
        late = (record.scale_seconds or 0) - (began.scale_seconds or 0) > JOIN_SECONDS
        if left == 0 or late:
            self._open = None
            return None
        stripped = text.lstrip()
        if stripped.startswith(entry.continues):
            joined = f"{joined} {stripped.removeprefix(entry.continues).strip()}"[:MATCH_LIMIT]
        self._open = (entry, began, joined, left - 1)
        message = self._message(entry, began, joined)
        if message:
            self._open = None
        return message

    def _message(self, entry: KernelMessage, record: Record, text: str) -> Message | None:
        match = entry.regex.match(text[:MATCH_LIMIT])
        if match is None:
            return None
        groups = {name: value or "" for name, value in match.groupdict().items()}
        address = normal_address(groups.get("pci_address", ""))
        return Message(
            kind=entry.kind,
            text=visible(text, TEXT_LIMIT),
            facility=record.facility,
            level=record.level,
            sequence=record.sequence,
            boottime_seconds=record.boottime_seconds,
            pci_address=address,
            in_pci_tree=self._root is None or (bool(address) and self._in_tree(address)),
            gpu=self._gpus.name(address) if entry.about == "gpu" else "",
            code=number(groups.get("code", "")) if groups.get("code") else entry.code,
            mig=visible(groups.get("mig", "")),
            device=visible(groups.get("device", "")),
            unit=visible(groups.get("unit", "")),
            severity=groups.get("severity", "").lower(),
            detail=visible(groups.get("detail", "").strip()),
            count=number(groups.get("count", "")),
            number=number(groups.get("number", "")),
        )

    def _in_tree(self, address: str) -> bool:
        if self._root is None or address in self._seen_in_tree:
            return True
        devices = self._root / "sys/bus/pci/devices"
        found = any(os.path.lexists(devices / f"{address}.{function}") for function in range(8))
        if found:
            self._seen_in_tree.add(address)
        return found

    def _is_echo(self, message: Message, record: Record) -> bool:
        entry = self._messages.by_kind[message.kind]
        if not entry.echo_seconds:
            return False
        thing = thing_of(message)
        now = record.scale_seconds or 0.0
        event = entry.event or message.kind
        before = self._echoes.get((event, *thing))
        self._echoes.pop((entry.opposite, *thing), None)
        if before is not None and abs(now - before) <= entry.echo_seconds:
            return True
        if len(self._echoes) >= ECHOES:
            del self._echoes[next(iter(self._echoes))]
        self._echoes[event, *thing] = now
        return False

    def _count_in_day(self, message: Message, record: Record) -> int:
        """Count errors as the log tells them; a restart of ours begins anew."""
        key = (message.kind, *thing_of(message))
        if key not in self._days and len(self._days) >= ECHOES:
            del self._days[next(iter(self._days))]
        day = self._days.setdefault(key, deque(maxlen=ECHOES))
        now = record.scale_seconds or 0.0
        while day and now - day[0][0] > DAY_SECONDS:
            day.popleft()
        if len(day) == ECHOES:  # what is so frequent may be counted in heaps
            (_, first), (when, second) = day.popleft(), day.popleft()
            day.appendleft((when, first + second))
        day.append((now, message.count or 1))
        return sum(count for _, count in day)

    def _is_flood(self, message: Message, record: Record) -> bool:
        second = int(record.scale_seconds or 0)
        if second != self._second:
            self._second = second
            self._in_second.clear()
        key: tuple[object, ...]
        key = (message.kind, message.pci_address or message.device, message.code)
        if len(self._in_second) >= ECHOES and key not in self._in_second:
            key = ("",)  # a flood of ever new things is a flood as well
        count = self._in_second[key] = self._in_second.get(key, 0) + 1
        if count <= SAME_A_SECOND:
            return False
        self.suppressed += 1
        return True


def thing_of(message: Message) -> tuple[object, ...]:
    """Return what a message is about: several drivers name one device, not all with its address."""
    return (message.device or message.pci_address, message.code, message.number)


def normal_address(text: str) -> str:
    """Return "0000:3b:00" for the ways in which drivers write it; "" for nothing."""
    if not text:
        return ""
    domain, _, rest = text.partition(":")
    return f"{int(domain, 16):04x}:{rest.partition('.')[0].lower()}"


def number(text: str) -> int | None:
    if not text:
        return None
    return int(text, 16) if text.startswith("0x") else int(text[:18])
