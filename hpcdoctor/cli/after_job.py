"""What has a job left behind on this node? Asked by the Epilog, answered in one sentence."""

from hpcdoctor.model.job import parse_cgroup
from hpcdoctor.model.text import visible
from hpcdoctor.probes import leftovers
from hpcdoctor.probes.files import read_text_or_none
from hpcdoctor.probes.host import Host

NAMED = 5  # of the processes; the rest are counted


def say_what_is_left(job: str, user: int) -> int:
    """Print it and return 1, or return 0 where nothing is left.

    A user's processes count where they belong to no other job, and shared memory where the user
    has none left at all: it may be the next job's.
    """
    if user < leftovers.FIRST_USER:
        return 0  # the system's own
    host = Host.this_machine()
    left, others = [], False
    for pid in sorted(leftovers.processes_of(host.root, user)):
        here = parse_cgroup(read_text_or_none(host.root / f"proc/{pid}/cgroup") or "")
        if here.id and here.id != job:
            others = True
        elif not here.service:
            left.append(pid)
    said = []
    if left:
        names = [f"{pid} ({name_of(host, pid)})" for pid in left[:NAMED]]
        more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
        said.append(f"processes {', '.join(names)}{more}")
    if not left and not others:
        said += leftovers.belongings(host.root, user)
    if said:
        print(f"left behind by user {user}: {'; '.join(said)}")
    return 1 if said else 0


def name_of(host: Host, pid: int) -> str:
    return visible((read_text_or_none(host.root / f"proc/{pid}/comm") or "?").strip(), 20)
