"""Is the Lustre client of this node well as a whole: its own health check, its network?

Source:  health_check and version of Lustre; stats and catastrophe of LNet (/proc/sys/lnet up to
         2.10, debugfs since)
Units:   messages since LNet was loaded
Cost:    class a: four small files, no word to any server
Absent:  where Lustre is not loaded
"""

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.lustre_tables import read_parameter

LNET_PLACES = ("sys/kernel/debug/lnet", "proc/sys/lnet")


class LustreClient(Reading, frozen=True):
    version: str  # "2.15.3"; "" where it is not told
    healthy: bool | None
    health: str  # what health_check says where it is not "healthy": devices, "NOT HEALTHY", "LBUG"
    lnet_catastrophe: bool | None  # an assertion of Lustre has failed: nothing of it works any more
    lnet_errors_total: int | None
    lnet_sent_total: int | None
    lnet_received_total: int | None
    lnet_dropped_total: int | None


def read(host: Host) -> list[LustreClient]:
    root = host.root
    health = read_parameter(root, "health_check")
    version = read_parameter(root, "version")
    stats = catastrophe = None
    for place in LNET_PLACES:
        stats = stats or read_text_or_none(root / place / "stats")
        if catastrophe is None:
            catastrophe = read_int_or_none(root / place / "catastrophe")
    if health is None and version is None and stats is None:
        raise Absent("Lustre is not loaded")
    numbers = [int(word) for word in (stats or "").split() if word.isdecimal()]
    numbers = numbers if len(numbers) >= 11 else []
    return [
        LustreClient(
            version=(version or "").removeprefix("lustre:").strip().splitlines()[0]
            if version
            else "",
            healthy=None if health is None else health == "healthy",
            health="" if health in (None, "healthy") else " ".join((health or "").split())[:200],
            lnet_catastrophe=None if catastrophe is None else catastrophe != 0,
            lnet_errors_total=numbers[2] if numbers else None,
            lnet_sent_total=numbers[3] if numbers else None,
            lnet_received_total=numbers[4] if numbers else None,
            lnet_dropped_total=numbers[6] if numbers else None,
        )
    ]
