"""What does one GPU say of its links? PCIe replays, NVLink by link, the fabric behind NVLink."""

from hpcdoctor.probes.host import Host
from hpcdoctor.probes.nvml.session import Asker, Values

MOST_LINKS = 36
ALL_LINKS = 0
# Field ids that are asked for each link: in driver 525 and later, and those of NVLink 5.
BY_LINK = {
    161: "replays",
    162: "recoveries",
    163: "crc",
    206: "malformed",
    207: "overruns",
    208: "receive",
    211: "integrity",
    214: "recoveries_failed",
    213: "recoveries",
    221: "symbol",
}
NVLINK_5 = range(201, 251)
# The same for all links at once, as older drivers have it.
TOTALS = {38: "crc", 45: "crc", 52: "replays", 59: "recoveries"}
# What stands for each name among the readings; what NVLink 5 counts as damage is one sum.
SUMS = {
    "nvlink_replays_total": ("replays",),
    "nvlink_recoveries_total": ("recoveries",),
    "nvlink_recoveries_failed_total": ("recoveries_failed",),
    "nvlink_crc_errors_total": ("crc",),
    "nvlink_receive_errors_total": ("malformed", "overruns", "receive", "integrity"),
    "nvlink_symbol_errors_total": ("symbol",),
}

FABRIC_STATES = ["not supported", "not started", "in progress", "completed"]
FABRIC_HEALTH = ["not supported", "healthy", "unhealthy", "limited capacity"]
CONFIGURATIONS = [
    "not supported",
    "none",
    "system GUID",
    "chassis serial number",
    "no partition",
    "too few NVLinks",
    "GPU firmware",
    "location",
    "GPU state",
]
TRUE = 1


def pcie(asker: Asker, values: Values) -> None:
    """Read what PCI's own files do not tell; width and speed are theirs."""
    values["pcie_replays_total"] = asker.ask("GetPcieReplayCounter")


def nvlink(asker: Asker, values: Values, host: Host, subject: str) -> None:
    up, down = states(asker)
    if not up and not down:
        return
    values["nvlinks"] = len(up) + len(down)
    values["nvlinks_active"] = len(up)
    values["nvlinks_down"] = [f"link {link}" for link in down]
    remembered = host.memory.setdefault(f"nvlink {subject}", {})
    counts = counts_by_link(asker, up + down, remembered)
    if counts is None:
        totals = asker.fields([(number, ALL_LINKS) for number in TOTALS])
        counts = {ALL_LINKS: named(TOTALS, {n: v for (n, _), v in totals.items()})}
    for field, names in SUMS.items():
        found = [row[name] for row in counts.values() for name in names if name in row]
        values[field] = sum(found) if found else None
    damage = {link: sum(row.values()) for link, row in counts.items()}
    first = remembered.setdefault("damage", damage)
    values["nvlinks_with_errors"] = [
        f"link {link}: {total - first.get(link, total)}"
        for link, total in damage.items()
        if total > first.get(link, total)
    ]


def states(asker: Asker) -> tuple[list[int], list[int]]:
    """Return the links that are up and those that are down; a link that is not there is neither."""
    up: list[int] = []
    down: list[int] = []
    for link in range(MOST_LINKS):
        active = asker.ask("GetNvLinkState", link)
        if active is not None:
            (up if active else down).append(link)
        elif not up and not down and link >= 3:  # noqa: PLR2004 - no NVLink at all
            break
    return up, down


def counts_by_link(
    asker: Asker, links: list[int], remembered: Values
) -> dict[int, dict[str, int]] | None:
    """Return what each link has counted, or None where the driver has only sums.

    Which fields there are is found out at the first link and then remembered.
    """
    if "fields" not in remembered:
        first = asker.fields([(number, links[0]) for number in BY_LINK])
        remembered["fields"] = sorted(number for number, _ in first)
    numbers: list[int] = remembered["fields"]
    if any(number in NVLINK_5 for number in numbers):
        numbers = [number for number in numbers if number in NVLINK_5]
    if not numbers:
        return None
    found = asker.fields([(number, link) for link in links for number in numbers])
    return {
        link: named(BY_LINK, {n: v for (n, scope), v in found.items() if scope == link})
        for link in links
    }


def named(names: dict[int, str], found: dict[int, int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for number, value in found.items():
        counts[names[number]] = counts.get(names[number], 0) + value
    return counts


def fabric(asker: Asker, values: Values) -> None:
    """Read how far the GPU has come in joining the NVSwitch fabric, in the newest form there is."""
    for name, shape, size in (
        ("GetGpuFabricInfoV", "c_nvmlGpuFabricInfo_v3_t", 0),
        ("GetGpuFabricInfoV", "c_nvmlGpuFabricInfoV_t", 0),
        ("GetGpuFabricInfo", "c_nvmlGpuFabricInfo_t", 28),  # without a version, and so its size
    ):
        info = asker.struct(name, shape, size)
        if info is None:
            continue
        values["fabric_state"] = word(FABRIC_STATES, info.state)
        values["fabric_status"] = info.status  # an NVML return code; counts once completed
        if hasattr(info, "healthSummary"):
            values["fabric_health"] = word(FABRIC_HEALTH, info.healthSummary)
        if hasattr(info, "healthMask"):
            health(info.healthMask, values)
        return


def health(mask: int, values: Values) -> None:
    """Take the mask apart: two bits each, 1 is true, 2 is false, 0 is not supported."""
    for field, shift in (
        ("fabric_degraded_bandwidth", 0),
        ("fabric_route_recovery", 2),
        ("fabric_route_unhealthy", 4),
        ("fabric_access_timeout_recovery", 6),
        ("fabric_partition_assigned", 12),
        ("fabric_manager_connected", 14),
    ):
        bits = mask >> shift & 3
        values[field] = None if bits == 0 else bits == TRUE
    wrong = mask >> 8 & 15
    values["fabric_configuration_error"] = word(CONFIGURATIONS, wrong) if wrong > TRUE else ""


def word(words: list[str], number: int) -> str:
    return words[number] if 0 <= number < len(words) else f"{number}"
