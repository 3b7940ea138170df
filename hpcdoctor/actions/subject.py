"""Is the thing that a remediation is for really there? Held against the machine, not the request.

Whoever asks the helper names a thing in the words of a finding. Only what is found on this machine,
or in files that root wrote, becomes an argument of a program.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from hpcdoctor.model.text import visible
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.mount_table import read_wanted

PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@-]{0,200}\.service")
PORT = re.compile(r"[0-9]{1,3}")
PLACE = re.compile(r"\{([a-z_]+)\}")


class WrongSubject(Exception):
    """The thing is not here, or its name is none; the message says which."""


class Machine:
    """What there is on this machine, as a remediation may name it."""

    def __init__(self, host: Host, services: Iterable[str] = ()) -> None:
        """`services` are the units that the profile, which root wrote, expects here."""
        self._host = host
        self._services = frozenset(services)
        self._is: Mapping[str, Callable[[str], bool]] = {
            "pci_address": self._is_gpu,
            "device": self._is_adapter,
            "port": lambda text: PORT.fullmatch(text) is not None,
            "mount_point": self._is_mount,
            "unit": self._is_service,
        }

    def fill(self, argument: str, subject: Mapping[str, str]) -> str:
        """Return the argument with its places filled; raise WrongSubject where one cannot be."""
        return PLACE.sub(lambda match: self._value(match[1], subject), argument)

    def _value(self, place: str, subject: Mapping[str, str]) -> str:
        text = subject.get(place, "")
        known = self._is.get(place)
        if known is None or not text:
            raise WrongSubject(f"the request names no {place}")
        if not known(text):
            raise WrongSubject(f"this machine has no {place} {visible(text, 80)!r}")
        return text

    def _is_gpu(self, text: str) -> bool:
        if PCI.fullmatch(text) is None:
            return False
        folder = self._host.root / "sys/bus/pci/devices" / f"{text}.0"
        return _read(folder / "vendor") == "0x10de" and _read(folder / "class")[:4] == "0x03"

    def _is_adapter(self, text: str) -> bool:
        folder = self._host.root / "sys/class/infiniband"
        return NAME.fullmatch(text) is not None and (folder / text).exists()

    def _is_mount(self, text: str) -> bool:
        return text.startswith("/") and text in read_wanted(self._host)

    def _is_service(self, text: str) -> bool:
        return UNIT.fullmatch(text) is not None and text in self._services


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
