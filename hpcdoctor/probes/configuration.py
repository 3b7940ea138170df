"""Is the system set up as the profile says? Settings, modules, command line, release, limits.

Source:  /proc/sys, /proc/cmdline, /sys/module, /etc/os-release, /proc/PID/limits of slurmd
Units:   none
Cost:    one small file for each thing that the profile names, once in some minutes (class a)
Absent:  where the profile says nothing of the system, and no slurmd runs beside an RDMA device
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from hpcdoctor.definitions.profile import list_of
from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.model.text import visible
from hpcdoctor.probes.files import list_names, read_text_or_none
from hpcdoctor.probes.host import Host

SETTING = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}")
MODULE = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Setting(Reading, frozen=True):
    """One thing that has to be so."""

    kind: str  # sysctl, command_line, module, release or memlock
    item: str  # "vm.zone_reclaim_mode"
    expected: str
    found: str  # "" where there is nothing of the kind
    fits: bool


def read(host: Host) -> list[Setting]:
    found = [
        *_sysctls(host),
        *_command_line(host),
        *_modules(host),
        *_release(host),
        *_memlock(host.root),
    ]
    if not found:
        raise Absent("the profile says nothing of the system")
    return found


def _sysctls(host: Host) -> Iterator[Setting]:
    for text in list_of(host.profile, "system", "sysctl"):
        name, _, expected = (part.strip() for part in text.partition("="))
        if SETTING.fullmatch(name) is None or ".." in name:
            continue
        path = host.root / "proc/sys" / name.replace(".", "/")
        value = " ".join((read_text_or_none(path) or "").split())
        yield _setting("sysctl", name, " ".join(expected.split()), value)


def _command_line(host: Host) -> Iterator[Setting]:
    wanted = list_of(host.profile, "system", "command_line")
    if not wanted:
        return
    text = read_text_or_none(host.root / "proc/cmdline") or ""
    try:
        words = shlex.split(text)
    except ValueError:  # a quote that nobody closed
        words = text.split()
    for word in wanted:
        key = word.partition("=")[0]
        here = [each for each in words if each == word or each.partition("=")[0] == key]
        found = word if word in words else " ".join(here)
        yield _setting("command_line", key, word, found)


def _modules(host: Host) -> Iterator[Setting]:
    for name in list_of(host.profile, "system", "modules"):
        if MODULE.fullmatch(name) is None:
            continue
        there = (host.root / "sys/module" / name.replace("-", "_")).is_dir()
        yield _setting("module", name, "loaded", "loaded" if there else "")


def _release(host: Host) -> Iterator[Setting]:
    section = host.profile.get("system")
    expected = section.get("release") if isinstance(section, Mapping) else None
    if not expected:
        return
    values = {}
    for line in (read_text_or_none(host.root / "etc/os-release") or "").splitlines():
        key, _, value = line.partition("=")
        values[key] = value.strip().strip("\"'")
    found = f"{values.get('ID', '')} {values.get('VERSION_ID', '')}".strip()
    yield _setting("release", "operating system", str(expected), found)


def _memlock(root: Path) -> Iterator[Setting]:
    """Where there is an RDMA device, jobs inherit slurmd's limit on memory that may be locked."""
    if not list_names(root / "sys/class/infiniband"):
        return
    for name in list_names(root / "proc"):
        if not name.isdigit() or read_text_or_none(root / "proc" / name / "comm") != "slurmd":
            continue
        limits = read_text_or_none(root / "proc" / name / "limits") or ""
        for line in limits.splitlines():
            if line.startswith("Max locked memory"):
                soft = line.removeprefix("Max locked memory").split()[0]
                yield _setting("memlock", "slurmd", "unlimited", soft)
        return


def _setting(kind: str, item: str, expected: str, found: str) -> Setting:
    return Setting(
        kind=kind,
        item=visible(item, 200),
        expected=visible(expected, 200),
        found=visible(found, 200),
        fits=expected == found,
    )
