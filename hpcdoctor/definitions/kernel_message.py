"""Which kernel messages mean something? The shape of catalogs/kernel-messages.yaml, and its index.

Nearly every line of a kernel log means nothing to us, so saying so has to cost next to nothing: a
line is held against a pattern only when it begins with, or contains, that entry's literal text.
"""

import re
from functools import cached_property

import msgspec

from hpcdoctor.definitions.convert import convert
from hpcdoctor.definitions.loader import data_folder
from hpcdoctor.definitions.yamlfile import DefinitionError, Located, load_yaml
from hpcdoctor.model.kernel_record import KERNEL
from hpcdoctor.model.quantity import parse_duration

NAME = "kernel-messages"
GROUPS = frozenset(
    {"pci_address", "mig", "code", "device", "unit", "severity", "detail", "count", "number"}
)
ADDRESS = r"(?P<pci_address>[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})"
KEY_LENGTH = 4  # of the index of first characters


class KernelMessage(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True
):
    """One form of one message, as a driver or the kernel prints it."""

    kind: str
    begins: list[str] = []  # the message begins with one of these
    contains: str = ""  # or, where it begins with a name: it has this inside
    pattern: str  # the grammar, from the first character; <pci_address> stands for an address
    source: str
    continues: str = ""  # its further lines, in records of their own, begin with this
    about: str = ""  # "gpu": the address is a GPU's
    program: str = KERNEL  # only believed from this one; others than the kernel only in log files
    code: int | None = None  # where the text names none
    echo: str = "0s"  # the same again within this time is the same event
    opposite: str = ""  # the kind that ends the echo: up after down
    event: str = ""  # what lines of several kinds tell of: the first of them is the one that counts

    @cached_property
    def regex(self) -> re.Pattern[str]:
        return re.compile(self.pattern.replace("<pci_address>", ADDRESS))

    @cached_property
    def echo_seconds(self) -> float:
        return parse_duration(self.echo)


class _Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    messages: list[KernelMessage]


class KernelMessages:
    """All entries, indexed by how a line may begin."""

    def __init__(self, entries: list[KernelMessage]) -> None:
        self.entries = entries
        self.by_kind = {entry.kind: entry for entry in entries}
        self._by_start: dict[str, list[tuple[str, KernelMessage]]] = {}
        self._by_content: list[tuple[str, KernelMessage]] = []
        self._by_program: dict[str, list[KernelMessage]] = {}
        for entry in entries:
            if entry.program != KERNEL:
                self._by_program.setdefault(entry.program, []).append(entry)
                continue
            for literal in entry.begins:
                self._by_start.setdefault(literal[:KEY_LENGTH], []).append((literal, entry))
            if entry.contains:
                self._by_content.append((entry.contains, entry))

    def candidates(self, text: str, program: str = KERNEL) -> list[KernelMessage]:
        """Return the entries, in the file's order, whose pattern this line is worth trying on."""
        if program != KERNEL:
            return self._by_program.get(program, [])
        found = [
            entry
            for literal, entry in self._by_start.get(text[:KEY_LENGTH], ())
            if text.startswith(literal)
        ]
        found += [entry for literal, entry in self._by_content if literal in text]
        return found


def load() -> KernelMessages:
    """Return the shipped catalogue; raise DefinitionError where an entry is wrong."""
    path = data_folder("catalogs") / f"{NAME}.yaml"
    located = load_yaml(path)
    catalogue = convert(located, _Catalogue)
    for entry, written in zip(catalogue.messages, located["messages"], strict=True):
        if mistake := why_not(entry):
            raise _error(written, mistake)
    return KernelMessages(catalogue.messages)


def why_not(entry: KernelMessage) -> str | None:
    """Return what is wrong with an entry without compiling its pattern, or None."""
    if entry.program == KERNEL and bool(entry.begins) == bool(entry.contains):
        return f"`{entry.kind}` needs either `begins` or `contains`"
    if any(len(literal) < KEY_LENGTH for literal in entry.begins):
        return f"`{entry.kind}`: each text of `begins` needs {KEY_LENGTH} characters or more"
    names = set(re.findall(r"\(\?P<(\w+)>", entry.pattern))
    if unknown := names - GROUPS:
        known = ", ".join(sorted(GROUPS))
        return f"`{entry.kind}`: no field is named `{min(unknown)}`; there are {known}"
    return None


def _error(written: object, message: str) -> DefinitionError:
    if isinstance(written, Located):
        return written.error(message, "kind")
    return DefinitionError(message, data_folder("catalogs") / f"{NAME}.yaml")
