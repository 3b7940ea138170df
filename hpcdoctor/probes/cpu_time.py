"""How much of the processors' time did the host of this virtual machine keep? One reading.

Source:  /proc/stat, the line of all cpus
Units:   seconds since boot, summed over the cpus
Cost:    one file that grows with the cpus (a)
Absent:  in a recording that leaves it out
"""

import os

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import read_list_or_none, read_text
from hpcdoctor.probes.host import Host

FIELDS = 8  # user nice system idle iowait irq softirq steal; guest time is part of user time


class CpuTime(Reading, frozen=True):
    cpus: int | None  # that are online
    total_seconds_total: float  # of all of them, whatever they did
    steal_seconds_total: float | None  # kept by the host; Linux 2.6.11
    iowait_seconds_total: float | None


def read(host: Host) -> list[CpuTime]:
    path = host.root / "proc/stat"
    if not host.live and not path.exists():
        raise Absent("the recording does not tell what the cpus did")
    words = read_text(path).partition("\n")[0].split()
    if len(words) < 5 or words[0] != "cpu" or not all(word.isdecimal() for word in words[1:]):
        raise Unavailable(f"{path} does not begin with the time of all cpus")
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = [int(word) / ticks for word in words[1 : FIELDS + 1]]
    online = read_list_or_none(host.root / "sys/devices/system/cpu/online")
    return [
        CpuTime(
            cpus=len(online) if online else None,
            total_seconds_total=sum(seconds),
            steal_seconds_total=seconds[7] if len(seconds) > 7 else None,
            iowait_seconds_total=seconds[4] if len(seconds) > 4 else None,
        )
    ]
