"""Can a command of nhc.conf be a step of a remediation? Only one program with plain words can."""

import re
import shlex

SERVICE = re.compile(r"[A-Za-z0-9@_.:-]+")


def command_words(command: str) -> list[str] | None:
    """Return program and arguments; None where only a shell could run it."""
    if re.search(r"[;&|<>`$(){}*?\[\]\n#~]", command):
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    return words if words and "=" not in words[0] else None


def unit(service: str) -> str | None:
    """Return the unit of a service as NHC names it; None where it cannot be one."""
    if SERVICE.fullmatch(service) is None or service.startswith("-"):
        return None
    return service if service.endswith(".service") else f"{service}.service"
