"""How are scontrol and sinfo called for this node, and what do their failures mean?

They run with an environment of their own: SLURM_JWT, SLURM_CLUSTERS or SINFO_FORMAT of whoever
started us would change what they do. Their exit status tells success from failure and nothing
more; what a failure means stands in the text.
"""

import os
import re
import socket
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcdoctor.actions.limit import Partition
from hpcdoctor.actions.programs import Finished, NoResult, NotStarted, Programs
from hpcdoctor.actions.schedulers import SchedulerRefused, SchedulerUnavailable
from hpcdoctor.actions.slurm_text import (
    COUNT_FORMAT,
    NAMES_FORMAT,
    SlurmNode,
    nodes_of_host,
    parse_count,
    parse_node,
    parse_uptime,
)
from hpcdoctor.definitions.settings import Slurm
from hpcdoctor.model.text import visible

READ_SECONDS = 15.0  # a dead controller takes scontrol 9 s to notice, a hung one 10 s
WRITE_SECONDS = 30.0
FILE_SECONDS = 5.0

TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# scontrol takes lists, ranges and "ALL" wherever it takes a node's name.
NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

NOT_ALLOWED = ("Invalid user id", "Permission denied", "Access/permission denied")
CONFIGURATION = ("Could not establish a configuration source", "cannot stat file")
UNREACHABLE = ("Unable to contact", "Socket timed out", "Zero Bytes", "Unable to establish")
NO_CONFIGURATION = "Unable to process configuration file"
NO_BYTES = "Zero Bytes"  # the controller hangs up on whoever it cannot tell
NO_BYTES_MEANS = (
    "; is this node's munge key the controller's, and its clock within five minutes of it?"
)
MUNGE = re.compile(r"\b[Mm]unge|authentication")  # and not a node that is called "plunge1"
STARTER_FAILED = (126, 127)  # env found no such program, or none that can be run


class Commands:
    """Slurm's programs, for one node: the one this process runs on."""

    def __init__(
        self,
        settings: Slurm,
        programs: Programs,
        *,
        hostname: str | None = None,
        surroundings: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings = settings
        self._programs = programs
        self._hostname = hostname or socket.gethostname()
        self._name = settings.node_name or surroundings.get("SLURMD_NODENAME", "")
        self._environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C",
            "TZ": "UTC",
            "SLURM_TIME_FORMAT": "standard",
        }
        if settings.conf:
            self._environment["SLURM_CONF"] = settings.conf

    def node_name(self) -> str:
        """Return Slurm's name of this node, which need not be the host's."""
        if not self._name:
            self._name = self._name_by_host()
        if not NODE_NAME.fullmatch(self._name) or self._name.upper() == "ALL":
            raise SchedulerRefused(
                f"{visible(self._name)!r} cannot be the name of one node; set slurm.node_name"
            )
        return self._name

    def show_node(self) -> SlurmNode:
        name = self.node_name()
        finished = self._run(["scontrol", "-o", "show", "node", name], READ_SECONDS)
        if finished.status != 0:
            raise trouble(finished, name)
        node = parse_node(finished.out, name)
        if node is None:
            raise SchedulerUnavailable(
                f"scontrol shows node {name} in a form that is not understood: "
                f"{visible(finished.out.strip(), 200)}"
            )
        return node

    def controller_up_seconds(self) -> float | None:
        """Return how long slurmctld has run, by its own clock; None where it does not say."""
        finished = self._run(["scontrol", "show", "config"], READ_SECONDS)
        if finished.status != 0:
            raise trouble(finished, self._name)
        return parse_uptime(finished.out)

    def update(self, changes: Sequence[str]) -> str:
        """Change this node; return "" or what scontrol says when it may not have worked."""
        name = self.node_name()
        finished = self._run(["scontrol", "update", f"nodename={name}", *changes], WRITE_SECONDS)
        if finished.status == 0:
            return ""
        problem = trouble(finished, name)
        if isinstance(problem, SchedulerRefused):
            raise problem
        return str(problem)

    def reboot(self, reason: str) -> str:
        """Ask for a reboot of this node, DOWN afterwards; return "" or what scontrol says."""
        name = self.node_name()
        argv = ["scontrol", "reboot", "nextstate=DOWN", f"reason={reason}", name]
        finished = self._run(argv, WRITE_SECONDS)
        if finished.status == 0:
            return ""
        if "RebootProgram" in finished.err:
            raise SchedulerRefused("slurm.conf has no RebootProgram, so Slurm cannot reboot a node")
        problem = trouble(finished, name)
        if isinstance(problem, SchedulerRefused):
            raise problem
        return str(problem)

    def squeue(self, form: str, states: str, *, long: bool = False) -> str:
        """Return what squeue prints of the jobs of this node, in this form, or `long` form."""
        name = self.node_name()
        argv = ["squeue", "--noheader", "--local", f"--nodelist={name}"]
        option = "--Format" if long else "--format"
        finished = self._run([*argv, f"--states={states}", f"{option}={form}"], READ_SECONDS)
        if finished.status != 0:
            raise trouble(finished, name)
        return finished.out

    def try_to(self, argv: Sequence[str]) -> str:
        """Run one of Slurm's programs for one job; return "" or what it says against it.

        Raise SchedulerUnavailable where the controller does not answer: then it is unknown.
        """
        finished = self._run(argv, WRITE_SECONDS)
        if finished.status == 0:
            return ""
        said = f"{finished.out}\n{finished.err}"
        if any(text in said for text in UNREACHABLE):
            raise trouble(finished, self.node_name())
        return last_line(finished)

    def count(self, node: SlurmNode) -> list[Partition]:
        """Return the size and our claims of each partition this node is in."""
        if not node.partitions:
            return []
        # A partition that is named is shown also when it is hidden.
        finished = self._sinfo(COUNT_FORMAT, f"--partition={','.join(node.partitions)}")
        counted = parse_count(finished.out)
        missing = set(node.partitions) - {one.name for one in counted}
        if missing:
            raise SchedulerUnavailable(
                f"sinfo says nothing of partition {', '.join(sorted(missing))}, "
                "so the nodes that are out cannot be counted"
            )
        return counted

    def ask(self, argv: Sequence[str], deadline_seconds: float) -> str:
        """Run one of Slurm's programs and return its output; raise what its failure means."""
        finished = self._run(argv, deadline_seconds)
        if finished.status != 0:
            raise trouble(finished, self._name)
        return finished.out

    def _sinfo(self, form: str, which: str) -> Finished:
        # --local: this cluster, not its federation.
        argv = ["sinfo", "--noheader", "--Node", "--local", f"--format={form}", which]
        finished = self._run(argv, READ_SECONDS)
        if finished.status != 0:
            raise trouble(finished, self._name)
        return finished

    def _name_by_host(self) -> str:
        names = nodes_of_host(self._sinfo(NAMES_FORMAT, "--all").out, self._hostname)
        if len(names) == 1:
            return names[0]
        which = f"several nodes ({', '.join(names[:5])}, ...)" if names else "no node"
        raise SchedulerRefused(
            f"Slurm has {which} with the NodeHostName {self._hostname}; set slurm.node_name to "
            "this node's name in Slurm"
        )

    def _run(self, argv: Sequence[str], deadline_seconds: float) -> Finished:
        self._check_configuration()
        self._read_token()
        if self._settings.programs:
            if "=" in self._settings.programs:  # env would take the whole for a variable
                raise SchedulerRefused(
                    f"slurm.programs must hold no `=`: {visible(self._settings.programs, 200)}"
                )
            # That folder may be on a file server. The starter is not: if the server hangs, it is
            # the started process that hangs, and not this one in the middle of starting it.
            argv = ["env", f"{self._settings.programs}/{argv[0]}", *argv[1:]]
        return self._bounded(argv, deadline_seconds)

    def _read_token(self) -> None:
        """Take the token anew each time: whoever renews it need not tell us."""
        if self._settings.token_file is None:
            return
        path = Path(self._settings.token_file)
        if reason := why_not_secret(path):
            raise SchedulerRefused(f"{reason}; correct slurm.token_file")
        token = path.read_text(errors="replace").strip().removeprefix("SLURM_JWT=")
        if TOKEN.fullmatch(token) is None:
            raise SchedulerRefused(f"{path} holds no token; write what `scontrol token` prints")
        self._environment["SLURM_JWT"] = token

    def _check_configuration(self) -> None:
        """Slurm's programs would wait 60 s for a file that is not there."""
        conf = self._settings.conf
        if conf and self._bounded(["test", "-r", conf], FILE_SECONDS).status != 0:
            raise SchedulerRefused(f"{conf} (slurm.conf) cannot be read; correct `slurm.conf`")

    def _bounded(self, argv: Sequence[str], deadline_seconds: float) -> Finished:
        try:
            return self._programs.run(
                argv, deadline_seconds=deadline_seconds, environment=self._environment
            )
        except NotStarted as error:
            raise SchedulerRefused(
                f"{error}; install Slurm's client programs or set slurm.programs"
            ) from error
        except NoResult as error:
            raise SchedulerUnavailable(f"{error}; what was asked may still happen") from error


def why_not_secret(path: Path) -> str | None:
    """Return why this file is not one that only its owner, root or we, can read; or None."""
    try:
        found = path.lstat()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, os.geteuid()):
        return f"{path} is not a plain file of root's"
    if found.st_mode & 0o077:
        return f"{path} can be read by others than root: chmod 600 {path}"
    return None


def trouble(finished: Finished, name: str) -> SchedulerRefused | SchedulerUnavailable:
    """Return what a failed call means: is it worth trying again?"""
    said = f"{finished.out}\n{finished.err}"
    last = last_line(finished)
    if finished.status in STARTER_FAILED:  # before the words: env says "Permission denied", too
        return SchedulerRefused(f"{last}; correct slurm.programs")
    if MUNGE.search(said):
        return SchedulerUnavailable(f"munge does not work here: {last}; look after munged")
    if f"Node {name} not found" in said or "Invalid node name specified" in said:
        return SchedulerRefused(
            f"Slurm knows no node {name}, or hides it as FUTURE or as powered down; "
            "correct slurm.node_name"
        )
    if any(text in said for text in NOT_ALLOWED):
        return SchedulerRefused(f"Slurm does not allow it: {last}; the helper must run as root")
    if any(text in said for text in CONFIGURATION):
        return SchedulerRefused(f"Slurm's configuration is not found: {last}; set slurm.conf")
    if NO_CONFIGURATION in said:  # perhaps it is being written just now
        return SchedulerUnavailable(f"Slurm's configuration is not understood: {last}; correct it")
    hint = NO_BYTES_MEANS if NO_BYTES in said else ""
    return SchedulerUnavailable(f"Slurm's controller: {last}{hint}")


def last_line(finished: Finished) -> str:
    """Return the program's last word, which says most."""
    lines = [line.strip() for line in (finished.err or finished.out).splitlines() if line.strip()]
    return visible(lines[-1], 200) if lines else f"exit status {finished.status}"
