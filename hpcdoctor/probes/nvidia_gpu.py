"""What does one NVIDIA GPU say of itself through NVML? One reading a GPU, each in its own child.

Source:  libnvidia-ml.so.1 through NVIDIA's own binding; which GPUs there are comes from PCI
Units:   degrees Celsius, watts, lanes; error totals since the driver was loaded (volatile) or over
         the life of the board (aggregate)
Cost:    some milliseconds with a persistent driver; seconds without; without limit on a sick GPU
Absent:  where no NVIDIA GPU is on the PCI bus, and in recordings
"""

from collections.abc import Callable
from ctypes import byref
from types import ModuleType
from typing import Any

from hpcdoctor.model.reading import Absent, Reading, Unavailable
from hpcdoctor.probes.files import list_names, read_text_or_none
from hpcdoctor.probes.host import Host

SUBJECT = "pci_address"

SUBJECT = "pci_address"  # the field that names what one child looks at
NVIDIA = "0x10de"
DISPLAY_CLASSES = ("0x0300", "0x0302")

# The source is not on this GPU, or the driver is older or newer than the call: the value is None.
NO_VALUE = frozenset({2, 3, 6, 13, 21, 25})
# The handle is dead: every further call would say the same.
GONE = frozenset({15, 16, 28})
STATES = {
    4: "no permission",
    8: "insufficient power",
    10: "timeout",
    11: "interrupt issue",
    14: "InfoROM corrupt",
    15: "lost",
    16: "reset required",
    17: "blocked by the operating system",
    19: "in use",
    20: "out of memory",
    27: "not ready",
    28: "not found",
    999: "unknown error",
}
FIELD_MEMORY_TEMPERATURE = 82
FIELD_RECOVERY_ACTION = 230
FIELD_MEMBERS = ["dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal"]
RECOVERY_ACTIONS = [
    "none",
    "GPU reset",
    "node reboot",
    "drain P2P",
    "drain and reset",
    "recover IMEX domain",
    "bus reset",
    "system reboot",
]
CORRECTED, UNCORRECTED = 0, 1
VOLATILE, AGGREGATE = 0, 1


class Gpu(Reading, frozen=True):
    """`None`: this GPU or its driver does not offer the value."""

    pci_address: str  # "0000:3b:00", as the kernel log writes it
    gpu: str  # "GPU3"
    state: str  # "ok", "lost", "reset required", ...: what NVML answers for it
    name: str | None = None
    uuid: str | None = None
    serial: str | None = None
    index: int | None = None  # changes when another GPU falls off
    minor: int | None = None
    persistence: bool | None = None
    mig: bool | None = None
    ecc: bool | None = None
    corrected_errors_volatile_total: int | None = None
    uncorrected_errors_volatile_total: int | None = None
    corrected_errors_aggregate_total: int | None = None
    uncorrected_errors_aggregate_total: int | None = None
    sram_uncorrected_errors_volatile_total: int | None = None
    sram_uncorrected_errors_aggregate_total: int | None = None
    sram_threshold_exceeded: bool | None = None
    rows_remapped_corrected: int | None = None
    rows_remapped_uncorrected: int | None = None
    row_remap_pending: bool | None = None
    row_remap_failed: bool | None = None
    retired_pages_pending: bool | None = None  # before Ampere
    idle: bool | None = None
    hw_slowdown: bool | None = None  # the sum of the next but one and of the power brake
    sw_thermal_slowdown: bool | None = None
    hw_thermal_slowdown: bool | None = None
    hw_power_brake: bool | None = None
    sw_power_cap: bool | None = None  # normal under load, and no heat
    temperature_celsius: int | None = None
    memory_temperature_celsius: int | None = None
    margin_celsius: int | None = None  # signed distance from the point where it slows down
    power_watts: float | None = None
    power_limit_watts: float | None = None
    pcie_link_width: int | None = None
    pcie_link_width_max: int | None = None
    pcie_replays_total: int | None = None
    recovery_action: int | None = None  # the driver's own verdict, since driver 550
    recovery_action_name: str = ""


def subjects(host: Host) -> list[str]:
    """Return the PCI addresses of the NVIDIA GPUs, from sysfs: also of one that hangs.

    Without the function, which is always 0 for a GPU: other functions are its sound, or virtual.
    """
    folder = host.root / "sys/bus/pci/devices"
    found = [
        name.removesuffix(".0")
        for name in list_names(folder)
        if name.endswith(".0")
        and read_text_or_none(folder / name / "vendor") == NVIDIA
        and (read_text_or_none(folder / name / "class") or "").startswith(DISPLAY_CLASSES)
    ]
    if not found:
        raise Absent("no NVIDIA GPU is on the PCI bus")
    return found


def read(host: Host, subject: str) -> list[Gpu]:
    if not host.live:
        raise Absent("NVML cannot be recorded; only the files of a recording are judged")
    import pynvml  # only the children that read a GPU pay for it

    start(pynvml)
    try:
        return [read_gpu(pynvml, host, subject)]
    finally:
        # Closed each time: an open handle would stand in the way of a GPU reset, and would go on
        # telling of a GPU that has been reset or brought back since.
        stop(pynvml)


def start(nvml: ModuleType) -> None:
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        reasons = {
            9: "the NVIDIA driver is not loaded, its library is there",
            12: "the NVIDIA library libnvidia-ml.so.1 is not there; the driver may be",
            18: "the NVIDIA driver that is loaded and the NVIDIA library do not match",
            4: "the NVIDIA driver and library may not be used by this user",
        }
        reason = reasons.get(error.value, f"NVML does not start: {error}")
        raise Unavailable(f"{reason} (NVML error {error.value})") from None


def stop(nvml: ModuleType) -> None:
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError:
        return  # there is nobody to tell, and the next start says it again


class _Gone(Exception):
    """The GPU does not answer any more."""


class _Asker:
    """Asks NVML one thing after the other and keeps the first trouble as the GPU's state."""

    def __init__(self, nvml: ModuleType) -> None:
        self.nvml = nvml
        self.state = "ok"

    def ask(self, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401  # ctypes
        try:
            return call(*arguments)
        except self.nvml.NVMLError as error:
            if error.value in NO_VALUE:
                return None
            if error.value in GONE:
                self.state = STATES[error.value]
                raise _Gone from None
            if self.state == "ok":
                self.state = STATES.get(error.value, f"NVML error {error.value}")
            return None

    def flag(self, call: Callable[..., Any], *arguments: object) -> bool | None:
        value = self.ask(call, *arguments)
        return None if value is None else bool(value)


def read_gpu(nvml: ModuleType, host: Host, subject: str) -> Gpu:
    asker = _Asker(nvml)
    values: dict[str, Any] = {}
    minor = minor_from_files(host, subject)
    try:
        handle = nvml.nvmlDeviceGetHandleByPciBusId(nvml_address(subject))
    except nvml.NVMLError as error:
        asker.state = STATES.get(error.value, f"NVML error {error.value}")
        if error.value in (6, 28):  # on the bus, and the driver does not have it
            asker.state = "not found"
    else:
        try:
            for part in (identity, errors, rows, clocks, heat_and_power, link, fields):
                part(asker, handle, values)
        except _Gone:
            pass  # what was read before stands; the state says the rest
    if minor is None:
        minor = values.get("minor")
    name = f"GPU{minor}" if minor is not None else "GPU " + subject.removeprefix("0000:")
    values["minor"] = minor
    return Gpu(pci_address=subject, gpu=name, state=asker.state, **values)


def identity(asker: _Asker, handle: object, values: dict[str, Any]) -> None:
    nvml = asker.nvml
    values["uuid"] = asker.ask(nvml.nvmlDeviceGetUUID, handle)
    values["name"] = asker.ask(nvml.nvmlDeviceGetName, handle)
    values["serial"] = asker.ask(nvml.nvmlDeviceGetSerial, handle)
    values["index"] = asker.ask(nvml.nvmlDeviceGetIndex, handle)
    values["minor"] = asker.ask(nvml.nvmlDeviceGetMinorNumber, handle)
    values["persistence"] = asker.flag(nvml.nvmlDeviceGetPersistenceMode, handle)
    mig = asker.ask(nvml.nvmlDeviceGetMigMode, handle)
    values["mig"] = None if mig is None else bool(mig[0])


def errors(asker: _Asker, handle: object, values: dict[str, Any]) -> None:
    nvml = asker.nvml
    mode = asker.ask(nvml.nvmlDeviceGetEccMode, handle)
    values["ecc"] = None if mode is None else bool(mode[0])
    for word, kind in (("corrected", CORRECTED), ("uncorrected", UNCORRECTED)):
        for span, counter in (("volatile", VOLATILE), ("aggregate", AGGREGATE)):
            values[f"{word}_errors_{span}_total"] = asker.ask(
                nvml.nvmlDeviceGetTotalEccErrors, handle, kind, counter
            )
    if not hasattr(nvml, "c_nvmlEccSramErrorStatus_v1_t"):
        return
    status = nvml.c_nvmlEccSramErrorStatus_v1_t()
    if asker.ask(nvml.nvmlDeviceGetSramEccErrorStatus, handle, byref(status)) is not None:
        values["sram_uncorrected_errors_volatile_total"] = (
            status.volatileUncParity + status.volatileUncSecDed
        )
        values["sram_uncorrected_errors_aggregate_total"] = (
            status.aggregateUncParity + status.aggregateUncSecDed
        )
        values["sram_threshold_exceeded"] = bool(status.bThresholdExceeded)


def rows(asker: _Asker, handle: object, values: dict[str, Any]) -> None:
    nvml = asker.nvml
    remapped = asker.ask(nvml.nvmlDeviceGetRemappedRows, handle)  # not while MIG is active
    if remapped is not None:
        values["rows_remapped_corrected"], values["rows_remapped_uncorrected"] = remapped[:2]
        values["row_remap_pending"], values["row_remap_failed"] = map(bool, remapped[2:])
    values["retired_pages_pending"] = asker.flag(
        nvml.nvmlDeviceGetRetiredPagesPendingStatus, handle
    )


def clocks(asker: _Asker, handle: object, values: dict[str, Any]) -> None:
    nvml = asker.nvml
    mask = None
    for name in (
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
    ):
        if mask is None and hasattr(nvml, name):  # the second is its name before driver 535
            mask = asker.ask(getattr(nvml, name), handle)
    if mask is None:
        return
    values["idle"] = bool(mask & 0x1)
    values["sw_power_cap"] = bool(mask & 0x4)
    values["hw_slowdown"] = bool(mask & 0x8)
    values["sw_thermal_slowdown"] = bool(mask & 0x20)
    values["hw_thermal_slowdown"] = bool(mask & 0x40)
    values["hw_power_brake"] = bool(mask & 0x80)


def heat_and_power(asker: _Asker, handle: object, values: dict[str, Any]) -> None:
    nvml = asker.nvml
    temperature = None
    for name in ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature"):
        if temperature is None and hasattr(nvml, name):  # the second goes away with CUDA 14
            temperature = asker.ask(getattr(nvml, name), handle, 0)
    values["temperature_celsius"] = temperature
    if hasattr(nvml, "nvmlDeviceGetMarginTemperature"):
        values["margin_celsius"] = asker.ask(nvml.nvmlDeviceGetMarginTemperature, handle)
    for field, call in (
        ("power_watts", nvml.nvmlDeviceGetPowerUsage),
        ("power_limit_watts", nvml.nvmlDeviceGetEnforcedPowerLimit),
    ):
        milliwatts = asker.ask(call, handle)
        values[field] = None if milliwatts is None else milliwatts / 1000


def link(asker: _Asker, handle: object, values: dict[str, Any]) -> None:
    nvml = asker.nvml
    values["pcie_link_width"] = asker.ask(nvml.nvmlDeviceGetCurrPcieLinkWidth, handle)
    values["pcie_link_width_max"] = asker.ask(nvml.nvmlDeviceGetMaxPcieLinkWidth, handle)
    values["pcie_replays_total"] = asker.ask(nvml.nvmlDeviceGetPcieReplayCounter, handle)


def fields(asker: _Asker, handle: object, values: dict[str, Any]) -> None:
    wanted = [FIELD_MEMORY_TEMPERATURE, FIELD_RECOVERY_ACTION]
    for answer in asker.ask(asker.nvml.nvmlDeviceGetFieldValues, handle, wanted) or ():
        if answer.nvmlReturn != 0 or answer.valueType >= len(FIELD_MEMBERS):
            continue
        value = int(getattr(answer.value, FIELD_MEMBERS[answer.valueType]))
        if answer.fieldId == FIELD_MEMORY_TEMPERATURE:
            values["memory_temperature_celsius"] = value
        elif answer.fieldId == FIELD_RECOVERY_ACTION:
            values["recovery_action"] = value
            known = 0 <= value < len(RECOVERY_ACTIONS)
            values["recovery_action_name"] = RECOVERY_ACTIONS[value] if known else f"{value}"


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
