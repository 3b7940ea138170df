"""Can a command of nhc.conf be a step of a remediation? Only one program with plain words can."""

import re
import shlex

from hpcdoctor.nhc.notes import Call, Code, Notes, Remedy

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


def commands(call: Call, notes: Notes, *, failing: str, well: str) -> None:
    """Note what a line's own commands become: that of a failure a remediation, the other nothing.

    `failing` and `well` are the options whose commands NHC runs where the check fails and passes.
    """
    for command in call.values(failing):
        words = command_words(command)
        how = "a remediation, disabled" if words else "this line of the report alone"
        notes.warn(Code.DESTRUCTIVE, f"-{failing} runs `{command}`: {how}")
        if words:
            notes.remedies.append(Remedy("What nhc.conf runs here", words))
    for command in call.values(well) if well else ():
        notes.warn(
            Code.DESTRUCTIVE,
            f"-{well} runs `{command}` where all is well, at every run of NHC that finds it so: it "
            "is left out, for nothing here acts on a node where nothing is wrong",
        )
