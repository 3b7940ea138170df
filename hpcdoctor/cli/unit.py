"""What may each process do? Read from its systemd unit, so that `hpcdoctor run` grants the same."""

import pwd
from pathlib import Path

import msgspec

from hpcdoctor.definitions.loader import data_folder


class Grant(msgspec.Struct, frozen=True):
    """User and privileges as one unit file has them."""

    user: str  # "" where the unit names none, which is root
    bounding: list[str] | None  # capabilities in setpriv's spelling; None: not limited
    ambient: list[str]
    no_new_privileges: bool
    umask: int


def grant_of(process: str) -> Grant:
    """Return what the unit of `daemon`, `prober` or `helper` grants."""
    name = "hpcdoctor" if process == "daemon" else f"hpcdoctor-{process}"
    return read_grant(data_folder("systemd") / f"{name}.service")


def read_grant(path: Path) -> Grant:
    values = _service_section(path)
    bounding = values.get("CapabilityBoundingSet")
    return Grant(
        user=" ".join(values.get("User", [])),
        bounding=None if bounding is None else _capabilities(path, bounding),
        ambient=_capabilities(path, values.get("AmbientCapabilities", [])),
        no_new_privileges=values.get("NoNewPrivileges", []) == ["yes"],
        umask=int(" ".join(values.get("UMask", ["0022"])), 8),
    )


def setpriv(grant: Grant, user: str | None) -> list[str]:
    """Return the command before a command that starts it with exactly this grant.

    Without `user` the caller stays who he is, and only gives up what anybody may give up.
    What it starts is killed when its parent dies, however that happens.
    """
    command = ["setpriv", "--pdeathsig", "KILL"]
    if grant.no_new_privileges:
        command.append("--no-new-privs")
    if user is None:
        return command
    command += ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid)]
    command += ["--clear-groups"] if user == "root" else ["--init-groups"]
    if grant.bounding is not None:
        command += ["--bounding-set", _set_of(grant.bounding)]
    return [
        *command,
        *("--inh-caps", _set_of(grant.ambient)),  # only an inheritable one can be ambient
        *("--ambient-caps", _set_of(grant.ambient)),
    ]


def _set_of(capabilities: list[str]) -> str:
    return ",".join(["-all", *(f"+{name}" for name in capabilities)])


def _capabilities(path: Path, words: list[str]) -> list[str]:
    for word in words:
        if not word.startswith("CAP_"):
            raise ValueError(f"{path}: `{word}` is not the name of a capability")
    return [word.removeprefix("CAP_").lower() for word in words]


def _service_section(path: Path) -> dict[str, list[str]]:
    """Return the words of each key of [Service]; a second line adds, an empty one clears."""
    values: dict[str, list[str]] = {}
    section = ""
    for raw in path.read_text().splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and line[0] not in "#;":
            key, _, value = line.partition("=")
            words = value.split()
            values[key] = values.get(key, []) + words if words else []
    return values
