"""Does munge make credentials here, and does it believe them? One round, as jobs need it.

Source:  `munge -n`, and `unmunge` of what it wrote
Units:   none
Cost:    two processes (class c), in a child of its own
Absent:  where munge is not installed, or its daemon keeps no socket
"""

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.model.text import visible
from hpcdoctor.probes.host import Host, find_tool

SUBJECT = "service"
SERVICE = "munge"
SOCKET = "run/munge/munge.socket.2"
TIMEOUT_SECONDS = 4.0


class Munge(Reading, frozen=True):
    """One credential, made and read back."""

    service: str  # "munge"
    works: bool
    message: str  # what the program that failed has said; "" where both worked


def subjects(host: Host) -> list[str]:
    if host.live and (find_tool("munge") is None or find_tool("unmunge") is None):
        raise Absent("munge is not installed")
    if host.live and not (host.root / SOCKET).exists():
        raise Absent("no munge daemon keeps a socket here")
    return [SERVICE]


def read(host: Host, subject: str) -> list[Munge]:
    made = host.run(["munge", "-n"], TIMEOUT_SECONDS)
    if made.status != 0:
        return [Munge(subject, works=False, message=_said("munge", made.err or made.out))]
    back = host.run(["unmunge"], TIMEOUT_SECONDS, input_text=made.out)
    if back.status != 0:
        return [Munge(subject, works=False, message=_said("unmunge", back.err or back.out))]
    return [Munge(subject, works=True, message="")]


def _said(program: str, text: str) -> str:
    return f"{program}: {visible(' '.join(text.split()), 200) or 'it said nothing'}"
