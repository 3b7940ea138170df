"""What does one NVIDIA GPU say of itself through NVML? One reading a GPU, each in its own child.

Source:  libnvidia-ml.so.1 through NVIDIA's own binding; which GPUs there are comes from PCI
Units:   degrees Celsius, watts, bytes; error totals since the driver was loaded (volatile) or over
         the life of the board (aggregate)
Cost:    h: some tens of milliseconds with a persistent driver; seconds without; without limit on a
         sick GPU. NVML is let go of after each look, so that a GPU can be reset
Absent:  where no NVIDIA GPU is on the PCI bus or no driver is installed, and in recordings
Trust:   processes and memory use are the users' doing; clocks and heat follow their load
"""

import re
from typing import Any

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import read_text_or_none
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.nvidia_files import OTHERS, pci_driver, pci_gpus, pci_switches
from hpcdoctor.probes.nvml import links, memory, performance
from hpcdoctor.probes.nvml.session import (
    Asker,
    Gone,
    NotStarted,
    Values,
    opened,
    why_not_opened,
)

SUBJECT = "pci_address"  # the field that names what one child looks at
COMPUTE_MODES = ["default", "exclusive thread", "prohibited", "exclusive process"]


class Gpu(Reading, frozen=True):
    """`None`: this GPU or its driver does not offer the value."""

    pci_address: str  # "0000:3b:00", as the kernel log writes it
    gpu: str  # "GPU3"
    state: str  # "ok", "lost", "reset required", ...: what NVML answers for it
    cut_short: bool = False  # it died, or was not to be had, before all had been asked
    troubles: list[str] = []  # each call that failed, and how
    # Which one it is, and how it is set up
    name: str | None = None
    uuid: str | None = None
    serial: str | None = None
    index: int | None = None  # changes when another GPU falls off
    minor: int | None = None
    vbios_version: str | None = None
    inforom_version: str | None = None
    persistence: bool | None = None
    mig: bool | None = None
    ecc: bool | None = None
    ecc_pending: bool | None = None  # what it will be after the next reset
    compute_mode: str | None = None
    # Memory
    corrected_errors_volatile_total: int | None = None
    uncorrected_errors_volatile_total: int | None = None
    corrected_errors_aggregate_total: int | None = None
    uncorrected_errors_aggregate_total: int | None = None
    dram_corrected_errors_volatile_total: int | None = None
    dram_uncorrected_errors_volatile_total: int | None = None
    dram_corrected_errors_aggregate_total: int | None = None
    dram_uncorrected_errors_aggregate_total: int | None = None
    sram_corrected_errors_volatile_total: int | None = None
    sram_uncorrected_errors_volatile_total: int | None = None
    sram_corrected_errors_aggregate_total: int | None = None
    sram_uncorrected_errors_aggregate_total: int | None = None
    sram_uncorrected_places: list[str] = []  # "L2 4", over the life of the board
    sram_threshold_exceeded: bool | None = None  # the vendor's own limit
    rows_remapped_corrected: int | None = None
    rows_remapped_uncorrected: int | None = None
    row_remap_pending: bool | None = None
    row_remap_failed: bool | None = None
    memory_banks: int | None = None
    memory_banks_without_spare_rows: int | None = None
    memory_unrepairable: bool | None = None
    repair_pending: bool | None = None
    retired_pages: int | None = None  # before Ampere; at most 64
    retired_pages_corrected: int | None = None
    retired_pages_uncorrected: int | None = None
    retired_pages_pending: bool | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None  # without what the driver keeps, since driver 510
    memory_is_the_systems: bool = False  # a NUMA node of it, as on Grace: pages of any program
    # Who uses it
    processes: int | None = None
    processes_memory_bytes: int | None = None
    processes_outside_jobs: int | None = None  # of a person's session: no job, no service
    process_ids_outside_jobs: list[str] = []
    # Speed
    clock_reasons: int | None = None  # the mask as it is
    idle: bool | None = None
    hw_slowdown: bool | None = None  # the sum of heat and brake of the hardware: never a third one
    sw_thermal_slowdown: bool | None = None
    hw_thermal_slowdown: bool | None = None
    hw_power_brake: bool | None = None
    sw_power_cap: bool | None = None  # normal under load, and no heat
    thermal_violation_seconds_total: float | None = None  # time slowed down by heat
    power_violation_seconds_total: float | None = None  # time slowed down by the power limit
    temperature_celsius: int | None = None
    memory_temperature_celsius: int | None = None
    margin_celsius: int | None = None  # signed distance from the point where it slows down
    margin_at_slowdown_celsius: int | None = None  # where the hardware clamps: -2 on an H100
    margin_at_shutdown_celsius: int | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    power_default_limit_watts: float | None = None
    # Links
    pcie_replays_total: int | None = None
    nvswitches: int | None = None  # on the bus: where there are any, all links are wired
    nvlinks: int | None = None
    nvlinks_active: int | None = None
    nvlinks_down: list[str] = []
    nvlinks_with_errors: list[str] = []  # "link 7: 15", counted since the first look
    nvlink_replays_total: int | None = None
    nvlink_recoveries_total: int | None = None
    nvlink_recoveries_failed_total: int | None = None  # from NVLink 5 on
    nvlink_crc_errors_total: int | None = None
    nvlink_receive_errors_total: int | None = None  # from NVLink 5 on
    nvlink_symbol_errors_total: int | None = None  # from NVLink 5 on
    fabric_state: str | None = None  # "completed", "in progress", "not started", "not supported"
    fabric_status: int | None = None  # an NVML return code: how joining ended
    fabric_health: str | None = None
    fabric_configuration_error: str = ""
    fabric_degraded_bandwidth: bool | None = None
    fabric_route_recovery: bool | None = None
    fabric_route_unhealthy: bool | None = None
    fabric_access_timeout_recovery: bool | None = None
    fabric_partition_assigned: bool | None = None
    fabric_manager_connected: bool | None = None
    # The driver's own verdict
    recovery_action: int | None = None  # since driver 550
    recovery_action_name: str = ""


def subjects(host: Host) -> list[str]:
    """Return the PCI addresses of the NVIDIA GPUs, from sysfs: also of one that hangs.

    Without the function, which is always 0 for a GPU: other functions are its sound, or virtual.
    Without those that another driver has: a virtual machine's are not ours.
    """
    gpus = [gpu for gpu in pci_gpus(host.root) if gpu.name.endswith(".0")]
    if not gpus:
        raise Absent("no NVIDIA GPU is on the PCI bus")
    ours = [gpu.name.removesuffix(".0") for gpu in gpus if pci_driver(gpu) not in OTHERS]
    if not ours:
        raise Absent("the NVIDIA GPUs of this machine belong to another driver")
    return ours


def read(host: Host, subject: str) -> list[Gpu]:
    if not host.live:
        raise Absent("NVML cannot be recorded; only the files of a recording are judged")
    refusal = why_not_opened(host)
    if refusal is not None:
        raise refusal
    try:
        with opened(host) as nvml:
            return [read_gpu(Asker(nvml), host, subject)]
    except NotStarted as error:
        values = {"cut_short": True, "troubles": [str(error)]}
        return [named(host, subject, error.state, values)]


def read_gpu(asker: Asker, host: Host, subject: str) -> Gpu:
    values: Values = {"cut_short": True}
    if asker.open(nvml_address(subject)):
        try:
            # What says whether the GPU lives comes first; what has been seen to hang comes last.
            identity(asker, values)
            values["nvswitches"] = nvswitches(host)
            performance.fields(asker, values)
            performance.clocks(asker, values)
            performance.heat(asker, values)
            performance.power(asker, values)
            memory.errors(asker, values)
            memory.spare_rows(asker, values)
            memory.retired_pages(asker, values)
            links.pcie(asker, values)
            links.fabric(asker, values)
            links.nvlink(asker, values, host, subject)
            memory.size_and_processes(asker, values, host)
            values["memory_is_the_systems"] = memory_is_the_systems(host, subject)
            values["cut_short"] = False
        except Gone:
            pass  # what was read before stands; the state says the rest
    return named(host, subject, asker.state, {**values, "troubles": asker.troubles})


def named(host: Host, subject: str, state: str, values: Values) -> Gpu:
    """Give the GPU the name that people use, which is the driver's minor number."""
    minor: Any = minor_from_files(host, subject)
    if minor is None:
        minor = values.get("minor")
    name = f"GPU{minor}" if minor is not None else "GPU " + subject.removeprefix("0000:")
    return Gpu(pci_address=subject, gpu=name, state=state, **{**values, "minor": minor})


def identity(asker: Asker, values: Values) -> None:
    values["uuid"] = asker.text("GetUUID")
    values["name"] = asker.text("GetName")
    values["serial"] = asker.text("GetSerial")
    values["index"] = asker.ask("GetIndex")
    values["minor"] = asker.ask("GetMinorNumber")
    values["vbios_version"] = asker.text("GetVbiosVersion")
    values["inforom_version"] = asker.text("GetInforomImageVersion")
    values["persistence"] = asker.flag("GetPersistenceMode")
    mode = asker.ask("GetComputeMode")
    if mode is not None:
        values["compute_mode"] = links.word(COMPUTE_MODES, mode)
    mig = asker.ask("GetMigMode")
    values["mig"] = None if mig is None else bool(mig[0])


def memory_is_the_systems(host: Host, subject: str) -> bool:
    path = host.root / "proc/driver/nvidia/gpus" / f"{subject}.0" / "numa_status"
    return re.search(r"^Status:\s*online", read_text_or_none(path) or "", re.MULTILINE) is not None


def nvswitches(host: Host) -> int:
    """Return how many there are; looked at once, since the bus is long and they do not move."""
    if "nvswitches" not in host.memory:
        host.memory["nvswitches"] = len(pci_switches(host.root))
    number: int = host.memory["nvswitches"]
    return number


def nvml_address(subject: str) -> str:
    """Return "00000000:3B:00.0" for "0000:3b:00"."""
    domain, _, rest = subject.partition(":")
    return f"{int(domain, 16):08X}:{rest.upper()}.0"


def minor_from_files(host: Host, subject: str) -> int | None:
    """Return N of /dev/nvidiaN, which the driver's files tell also when NVML cannot."""
    path = host.root / "proc/driver/nvidia/gpus" / f"{subject}.0" / "information"
    for line in (read_text_or_none(path) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "Device Minor" and value.strip().isdigit():
            return int(value)
    return None
