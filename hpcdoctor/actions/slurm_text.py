"""What do scontrol and sinfo say about nodes?

`scontrol -o show node` is the one form that all releases share. Values hold blanks, so nothing is
split at blanks; words that we do not know are kept and change nothing.
"""

import re
from collections.abc import Iterator

import msgspec

from hpcdoctor.actions.limit import Claim, Partition
from hpcdoctor.actions.reason import mark_of
from hpcdoctor.model.action import SchedulerView

# One line a node and partition; the reason last, because it may hold anything.
COUNT_FORMAT = "%N|%R|%T|%H|%E"
NAMES_FORMAT = "%N|%n"  # %n is the host's name

STATE = re.compile(r" State=(\S+)")
CPUS_IN_USE = re.compile(r" CPUAlloc=(\d+)")
PARTITIONS = re.compile(r" Partitions=(\S+)")
# Greedy: a reason may itself end in something like its own "[who@when]". What may follow it
# differs between releases: the comment, more free text, the cloud's names.
REASON = re.compile(
    r" Reason=(.*) \[([^@\] ]+)@(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\]"
    r"(?=\s+(?:Comment|Extra|InstanceId|InstanceType)=|\s*\Z)",
    re.DOTALL,
)
# Old releases print a suffix on the base state instead of a flag.
SUFFIXES = {"*": "NOT_RESPONDING", "$": "MAINTENANCE"}
# In these a node can be given jobs, whatever reason is left on it.
IN_SERVICE = frozenset(
    {"idle", "allocated", "mixed", "planned", "completing", "reserved", "maint", "blocked"}
)
# What slurmctld itself writes when it takes a node down. Overwriting them loses nothing; any
# other reason is a person's, or another program's.
OWN_REASONS = (
    "Not responding",
    "Node unexpectedly rebooted",
    "Prolog error",
    "Epilog error",
    "Kill task failed",
    "Low RealMemory",
    "Low TmpDisk",
    "Low CPUs",
    "Low socket*core*thread count",
    "ResumeTimeout reached",
)


class SlurmNode(msgspec.Struct, frozen=True):
    """A node, and what of it only the Slurm adapter asks for."""

    view: SchedulerView
    words: frozenset[str]  # base state and flags
    partitions: list[str]


def parse_node(text: str, name: str) -> SlurmNode | None:
    """Return the node of this name as `scontrol -o show node` prints it, or None."""
    if not text.startswith(f"NodeName={name} "):
        return None
    state = STATE.search(text)
    if state is None:
        return None
    words = frozenset(state_words(state[1]))
    cpus_in_use = CPUS_IN_USE.search(text)
    partitions = PARTITIONS.search(text)
    reason, by, at = parse_reason(text)
    view = SchedulerView(
        drained=bool(words & {"DRAIN", "FAIL"}),
        down="DOWN" in words,
        responding="NOT_RESPONDING" not in words,
        in_use=bool(words & {"ALLOCATED", "MIXED", "COMPLETING"})
        or (cpus_in_use is not None and int(cpus_in_use[1]) > 0),
        maintenance="MAINTENANCE" in words,
        prolog_failed=is_prolog_error(reason, by),
        settled="UNKNOWN" not in words,
        reason=reason,
        reason_by=by,
        reason_at=at,
        state=state[1],
    )
    return SlurmNode(view, words, partitions[1].split(",") if partitions else [])


def state_words(state: str) -> Iterator[str]:
    """Give the base state and the flags of "IDLE+DRAIN", or of the older "IDLE*+DRAIN"."""
    for word in state.split("+"):
        yield word.rstrip("*~#!%$@^-")
        yield from (flag for suffix, flag in SUFFIXES.items() if word.endswith(suffix))


def parse_reason(text: str) -> tuple[str, str, str]:
    found = REASON.search(text)
    return (found[1], found[2], found[3]) if found else ("", "", "")


def is_prolog_error(reason: str, by: str) -> bool:
    """Tell whether slurmctld has drained the node itself for a Prolog that ended with a failure."""
    return by != "root" and reason.startswith("Prolog error")


def is_slurms_own(reason: str) -> bool:
    """Tell whether nobody loses anything when this reason is overwritten."""
    return not reason or reason.startswith(OWN_REASONS)


def parse_count(text: str) -> list[Partition]:
    """Return each partition with its size and our claims in it, from lines of COUNT_FORMAT."""
    nodes: dict[str, set[str]] = {}
    claims: dict[str, list[Claim]] = {}
    for line in text.splitlines():
        fields = line.split("|", 4)
        if len(fields) < 5:
            continue  # the rest of a reason in which somebody has put a new line
        node, partition, state, at, reason = (field.strip() for field in fields)
        members = nodes.setdefault(partition, set())
        counted = claims.setdefault(partition, [])
        if node not in members and mark_of(reason) and is_out(state):
            counted.append(Claim(node, reason, at))
        members.add(node)
    return [Partition(name, len(members), claims[name]) for name, members in nodes.items()]


def is_out(state: str) -> bool:
    """Tell whether sinfo's word for the state is one without new jobs; a new word counts as such.

    A reason with our mark alone does not say so: a power saving node loses its drain and keeps the
    reason, and anybody may set a reason on a node in service.
    """
    return state.rstrip("*~#!%$@^-+") not in IN_SERVICE


def nodes_of_host(text: str, hostname: str) -> list[str]:
    """Return the nodes whose host has this name, from lines of NAMES_FORMAT."""
    short = hostname.partition(".")[0]
    pairs = (line.strip().partition("|") for line in text.splitlines())
    return sorted({node for node, _, host in pairs if host in (hostname, short)})
