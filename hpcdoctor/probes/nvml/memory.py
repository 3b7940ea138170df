"""What does one GPU say of its memory? Errors by place, spare rows, lost pages, size, users."""

from hpcdoctor.model.job import parse_cgroup
from hpcdoctor.probes.files import read_text_or_none
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.nvml.session import NOT_AVAILABLE, Asker, Values

KINDS = {"corrected": 0, "uncorrected": 1}
SPANS = {"volatile": 0, "aggregate": 1}
PLACES = {"dram": 2, "sram": 7}  # NVML_MEMORY_LOCATION_*
RETIRED_FOR_SINGLE, RETIRED_FOR_DOUBLE = 29, 30  # field ids: before Ampere
MOST_PROCESSES = 4096


def errors(asker: Asker, values: Values) -> None:
    mode = asker.ask("GetEccMode")
    if mode is not None:
        values["ecc"], values["ecc_pending"] = bool(mode[0]), bool(mode[1])
    for word, kind in KINDS.items():
        for span, counter in SPANS.items():
            total = asker.ask("GetTotalEccErrors", kind, counter)
            values[f"{word}_errors_{span}_total"] = total
            for name, place in PLACES.items():
                count = asker.ask("GetMemoryErrorCounter", kind, counter, place)
                values[f"{name}_{word}_errors_{span}_total"] = count
    status = asker.struct("GetSramEccErrorStatus", "c_nvmlEccSramErrorStatus_v1_t")
    if status is None:
        return
    values["sram_threshold_exceeded"] = bool(status.bThresholdExceeded)
    for field, count in (
        ("sram_corrected_errors_volatile_total", status.volatileCor),
        ("sram_corrected_errors_aggregate_total", status.aggregateCor),
        (
            "sram_uncorrected_errors_volatile_total",
            status.volatileUncParity + status.volatileUncSecDed,
        ),
        (
            "sram_uncorrected_errors_aggregate_total",
            status.aggregateUncParity + status.aggregateUncSecDed,
        ),
    ):
        values[field] = int(count)
    values["sram_uncorrected_places"] = [
        f"{place} {count}"
        for place, count in (
            ("L2", status.aggregateUncBucketL2),
            ("SM", status.aggregateUncBucketSm),
            ("PCIe", status.aggregateUncBucketPcie),
            ("microcontroller", status.aggregateUncBucketMcu),
            ("other", status.aggregateUncBucketOther),
        )
        if count
    ]


def spare_rows(asker: Asker, values: Values) -> None:
    remapped = asker.ask("GetRemappedRows")  # not before Ampere, and not while MIG is active
    if remapped is not None:
        values["rows_remapped_corrected"], values["rows_remapped_uncorrected"] = remapped[:2]
        values["row_remap_pending"], values["row_remap_failed"] = map(bool, remapped[2:])
    histogram = asker.ask("GetRowRemapperHistogram")
    if histogram is not None:
        values["memory_banks"] = sum(getattr(histogram, name) for name, _ in histogram._fields_)
        values["memory_banks_without_spare_rows"] = histogram.none
    values["memory_unrepairable"] = asker.flag("GetUnrepairableMemoryFlag_v1")
    repair = asker.ask("GetRepairStatus")
    if repair is not None:
        values["repair_pending"] = any(repair)


def retired_pages(asker: Asker, values: Values) -> None:
    counts = asker.fields([(RETIRED_FOR_SINGLE, 0), (RETIRED_FOR_DOUBLE, 0)])
    values["retired_pages_corrected"] = counts.get((RETIRED_FOR_SINGLE, 0))
    values["retired_pages_uncorrected"] = counts.get((RETIRED_FOR_DOUBLE, 0))
    if len(counts) == 2:  # noqa: PLR2004 - both
        values["retired_pages"] = sum(counts.values())
    values["retired_pages_pending"] = asker.flag("GetRetiredPagesPendingStatus")


def size_and_processes(asker: Asker, values: Values, host: Host) -> None:
    version = getattr(asker.nvml, "nvmlMemory_v2", None)
    memory = asker.ask("GetMemoryInfo", version) if version is not None else None
    if memory is None:  # before driver 510; here `used` holds what the driver keeps for itself
        memory = asker.ask("GetMemoryInfo")
    if memory is not None:
        values["memory_total_bytes"], values["memory_used_bytes"] = memory.total, memory.used
    found = {}
    for name in ("GetComputeRunningProcesses", "GetGraphicsRunningProcesses"):
        processes = asker.ask(name)
        if processes is None and name == "GetComputeRunningProcesses":
            processes = asker.ask(f"{name}_v2")  # before driver 510
            if processes is None:
                return
        for process in (processes or ())[:MOST_PROCESSES]:
            found[process.pid] = process.usedGpuMemory
    values["processes"] = len(found)
    known = [used for used in found.values() if used not in (None, NOT_AVAILABLE)]
    values["processes_memory_bytes"] = sum(known)
    # By the kernel's word, not the user's: a process cannot leave the group of its job.
    outside = [pid for pid in found if is_outside_jobs(host, pid)]
    values["processes_outside_jobs"] = len(outside)
    values["process_ids_outside_jobs"] = [str(pid) for pid in sorted(outside)[:16]]


def is_outside_jobs(host: Host, pid: int) -> bool:
    """Tell whether a process lives in a person's session, not in a job and not in a service."""
    text = read_text_or_none(host.root / f"proc/{pid}/cgroup")
    if text is None:  # gone meanwhile, or of another namespace
        return False
    return not parse_cgroup(text).id and "/user.slice/" in text
