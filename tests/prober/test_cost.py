"""Does a look say what it cost, and whether the kernel refused it?"""

import subprocess
import sys

from hpcdoctor.model.reading import Look, ReadStatus, Unavailable
from hpcdoctor.prober.looking import Meter, explain
from hpcdoctor.probes.host import Host


def refused(error: OSError) -> Look:
    try:
        try:
            raise error
        except OSError as cause:
            raise Unavailable("mc0/ce_count cannot be read") from cause
    except Unavailable as unavailable:
        return explain(unavailable, "edac", Host.this_machine())


def test_what_the_kernel_refuses_is_told_from_what_is_broken() -> None:
    assert refused(PermissionError(13, "Permission denied")).denied
    assert refused(PermissionError(1, "Operation not permitted")).denied
    assert not refused(OSError(5, "Input/output error")).denied


def test_the_tools_of_a_probe_are_in_its_cost() -> None:
    meter = Meter()
    subprocess.run([sys.executable, "-c", "sum(range(2_000_000))"], check=True)
    seen = meter.put_on(Look("x", ReadStatus.READ, Host.this_machine().clock()))
    assert seen.cpu_seconds > 0.005
    assert seen.took_seconds > 0
