"""What would Slurm answer? A controller on paper, for what a real one cannot be made to do.

It stands where hpcdoctor starts programs: it takes the arguments of scontrol and sinfo and answers
with text in their form. `before` is called ahead of each command, so that a test can change the
world between two of them; `failures` are what the next commands with that word say instead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hpcdoctor.actions.programs import Finished, NoResult, Programs


@dataclass
class PaperNode:
    state: str = "IDLE"
    reason: str = ""
    by: str = "root"
    at: str = "2026-11-21T02:00:00"
    partitions: str = "main"
    host: str = "host1"

    def drain(self, reason: str, at: str = "2026-11-21T02:00:00", by: str = "root") -> None:
        self.state, self.reason, self.at, self.by = "IDLE+DRAIN", reason, at, by


CONFIG = """\
Configuration data as of {now}
AccountingStorageBackupHost = (null)
BOOT_TIME               = {started}
BurstBufferType         = (null)
"""


@dataclass
class PaperSlurm(Programs):
    nodes: dict[str, PaperNode]
    now: str = "2026-11-21T02:00:00"
    started: str = "2026-11-20T02:00:00"  # the controller
    before: Callable[[Sequence[str]], None] = lambda argv: None
    failures: dict[str, Finished | None] = field(default_factory=dict)
    commands: list[Sequence[str]] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def updates(self) -> list[str]:
        return [" ".join(argv[2:]) for argv in self.commands if "update" in argv]

    def run(
        self, argv: Sequence[str], *, deadline_seconds: float, environment: Mapping[str, str]
    ) -> Finished:
        self.before(argv)
        self.commands.append(argv)
        self.environments.append(environment)
        for word, failure in self.failures.items():
            if word in argv:
                if failure is None:
                    raise NoResult(f"{argv[0]} gave no answer within {deadline_seconds:g} s")
                return failure
        match list(argv):
            case ["test", *_]:
                return Finished(0, "", "")
            case [*_, "show", "node", name]:
                return self.show(name)
            case ["scontrol", "update", target, *changes]:
                return self.update(target.removeprefix("nodename="), changes)
            case ["scontrol", "show", "config"]:
                return Finished(0, f"{CONFIG.format(now=self.now, started=self.started)}", "")
            case ["sinfo", *options]:
                return self.sinfo(options)
            case other:
                raise AssertionError(f"nobody answers {other}")

    def show(self, name: str) -> Finished:
        node = self.nodes.get(name)
        if node is None:
            return Finished(1, f"Node {name} not found\n", "")
        reason = f" Reason={node.reason} [{node.by}@{node.at}]" if node.reason else ""
        partitions = f" Partitions={node.partitions} " if node.partitions else ""
        return Finished(
            0, f"NodeName={name} CPUAlloc=0 State={node.state} Weight=1{partitions}{reason}\n", ""
        )

    def update(self, name: str, changes: Sequence[str]) -> Finished:
        node = self.nodes[name]
        values = dict(change.split("=", 1) for change in changes)
        base, *flags = node.state.split("+")
        if values["state"] == "drain":
            same = "DRAIN" in flags and node.reason == values["reason"]
            if not same:
                node.reason, node.by, node.at = values["reason"], "root", self.now
                node.state = "+".join([base, *{*flags, "DRAIN"}])
        else:
            node.reason, node.state = "", "IDLE+NOT_RESPONDING"
        return Finished(0, "", "")

    def sinfo(self, options: Sequence[str]) -> Finished:
        if "--format=%N|%n" in options:
            return Finished(0, "".join(f"{n}|{o.host}\n" for n, o in self.nodes.items()), "")
        wanted = [one for one in options if one.startswith("--partition=")]
        lines = [
            f"{name}|{partition}|{word(node)}|{node.at}|{node.reason or 'none'}\n"
            for name, node in self.nodes.items()
            for partition in node.partitions.split(",")
            if partition in wanted[0].partition("=")[2].split(",")
        ]
        return Finished(0, "".join(lines), "")


def word(node: PaperNode) -> str:
    return "drained" if "DRAIN" in node.state else node.state.split("+")[0].lower()
