"""Is a user of the name service found, and how soon? Where it hangs, every job start hangs.

Source:  getpwnam(3) for the user that the profile names (`names.user`)
Units:   seconds
Cost:    one question to sssd, nslcd or LDAP (class h), in a child of its own
Absent:  where the profile names none
"""

import pwd
import time
from collections.abc import Mapping

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.host import Host

SUBJECT = "user"


class Lookup(Reading, frozen=True):
    """One question after a user."""

    user: str
    found: bool
    seconds: float


def subjects(host: Host) -> list[str]:
    section = host.profile.get("names")
    user = section.get("user") if isinstance(section, Mapping) else None
    if not user:
        raise Absent("the profile names no user to look up")
    if not host.live:
        raise Absent("a recording cannot ask a name service")
    return [str(user)]


def read(host: Host, subject: str) -> list[Lookup]:  # noqa: ARG001  # asks the C library
    begin = time.monotonic()
    try:
        pwd.getpwnam(subject)
    except KeyError:
        return [Lookup(subject, found=False, seconds=time.monotonic() - begin)]
    return [Lookup(subject, found=True, seconds=time.monotonic() - begin)]
