"""What do scontrol and sinfo say about nodes?

`scontrol -o show node` is the one form that all releases share. Values hold blanks, so nothing is
split at blanks; words that we do not know are kept and change nothing.
"""

import re
from collections.abc import Iterator
from datetime import datetime

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
# What slurmctld stamps on a reason: who, which may be "ann@site.example", and when. Greedy, because
# a reason may itself hold something like it. After it comes the end, the next field (releases
# differ in what they have: Comment, Extra, InstanceId, ReservationName), or, behind eight blanks,
# the second line of a reason: the stamp stands after the first.
REASON = re.compile(
    r" Reason=(?P<reason>.*) "
    r"\[(?P<by>[^\[\]]+)@(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\]"
    r"(?=\s+[A-Z]\w*=|\s+\Z|\Z|\s{8}\s*\S)",
    re.DOTALL,
)
# A reason that stands in slurm.conf has no stamp, and is a person's all the same.
UNSTAMPED = re.compile(
    r" Reason=(.*?)(?=\s+(?:Comment|Extra|InstanceId|InstanceType|ReservationName)=|\s*\Z)",
    re.DOTALL,
)
AS_OF = re.compile(r"^Configuration data as of (\S+)$", re.MULTILINE)
STARTED = re.compile(r"^BOOT_TIME += (\S+)$", re.MULTILINE)
# Old releases print a suffix on the base state instead of a flag.
SUFFIXES = {"*": "NOT_RESPONDING", "$": "MAINTENANCE"}
# In these a node can be given jobs, whatever reason is left on it.
IN_SERVICE = frozenset(
    {"idle", "allocated", "mixed", "planned", "completing", "reserved", "maint", "blocked"}
    | {"power_up", "power_down", "powering_up", "powering_down", "powered_down"}
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
    # A node in no partition has no such field, and whoever wrote the reason could put one there.
    partitions = PARTITIONS.search(text.partition(" Reason=")[0])
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


def parse_uptime(text: str) -> float | None:
    """Return how long slurmctld has run, in seconds, from `scontrol show config`, by its clock.

    BOOT_TIME is its own start; a reconfiguration does not change it. None where that is not told.
    """
    found = [pattern.search(text) for pattern in (AS_OF, STARTED)]
    try:
        now, started = (datetime.fromisoformat(one[1]) for one in found if one)
    except ValueError:  # one of the two is missing, or is no time
        return None
    return max(0.0, (now - started).total_seconds())


def state_words(state: str) -> Iterator[str]:
    """Give the base state and the flags of "IDLE+DRAIN", or of the older "IDLE*+DRAIN"."""
    for word in state.split("+"):
        yield word.rstrip("*~#!%$@^-")
        yield from (flag for suffix, flag in SUFFIXES.items() if word.endswith(suffix))


def parse_reason(text: str) -> tuple[str, str, str]:
    found = REASON.search(text)
    if found:
        return found["reason"], found["by"], found["at"]
    unstamped = UNSTAMPED.search(text)
    return (unstamped[1].strip() if unstamped else "", "", "")


def is_prolog_error(reason: str, by: str) -> bool:
    """Tell whether slurmctld has drained the node itself for a Prolog that ended with a failure."""
    return by != "root" and reason.startswith("Prolog error")


def is_slurms_own(reason: str) -> bool:
    """Tell whether nobody loses anything when this reason is overwritten.

    Slurm goes on with a blank and a bracket or a colon ("Low RealMemory (reported:1 < 2)"); a
    person who copies its words goes on otherwise ("Not responding, Ann looks at it").
    """
    if not reason:
        return True
    own = next((text for text in OWN_REASONS if reason.startswith(text)), None)
    return own is not None and reason[len(own) :].strip()[:1] in ("", "(", "[", ":")


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
    here = hostname.lower()
    short = here.partition(".")[0]
    pairs = [line.strip().partition("|")[::2] for line in text.splitlines()]
    found = {node for node, host in pairs if host.lower() in (here, short)}
    if not found and here == short:  # the kernel has the short name, and Slurm the long one
        found = {node for node, host in pairs if host.lower().partition(".")[0] == short}
    return sorted(found)
