"""How is NVML opened, asked and let go of again, and what does each of its errors mean?

Opened for one look and closed after it: an open handle keeps the driver from resetting a GPU or
from being unloaded, and goes on telling of a GPU that has been reset since. What that costs depends
on persistence: with it, some milliseconds; without, the driver starts the GPU anew for each look.
"""

import _ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.nvidia_files import (
    current_library,
    loaded_version,
    module_is_loaded,
)

# The source is not on this GPU, or the driver is older or newer than the call: the value is None.
# invalid argument, not supported, not found, insufficient size, function not found, no data,
# vGPU without ECC, argument version mismatch (our struct, not the driver), deprecated, reset type
NO_VALUE = frozenset({2, 3, 6, 7, 13, 21, 22, 25, 26, 30})
# It may be there, and we may not look: the value is None, and the trouble is ours.
REFUSED = frozenset({4})
# It says nothing of the GPU when one sensor answers so, and something when many do.
VAGUE = frozenset({23, 29, 999})
MANY = 3
# The handle is dead: every further call would say the same, or hang.
GONE = frozenset({15, 16, 28})
NOT_FOUND = frozenset({6, 28})
STATES = {
    4: "no permission",
    8: "insufficient power",
    9: "driver not loaded",
    10: "timeout",
    11: "interrupt issue",
    12: "library not found",
    14: "InfoROM corrupt",
    15: "lost",
    16: "reset required",
    17: "blocked by the operating system",
    18: "library and driver do not match",
    19: "in use",
    20: "out of memory",
    23: "insufficient resources",
    25: "library of another age",
    27: "not ready",
    28: "not found",
    29: "invalid state",
    999: "unknown error",
}
REASONS = {
    4: "the NVIDIA driver and library may not be used by this user",
    9: "the NVIDIA driver is not loaded, its library is there",
    12: "the NVIDIA library libnvidia-ml.so.1 is not there; the driver is loaded",
    17: "the operating system does not let the NVIDIA library at the driver",
    18: "the NVIDIA driver that is loaded and the NVIDIA library do not match",
    25: "the NVIDIA library does not know the call: hpcdoctor's binding is of another age",
    8: "a GPU has no external power connected",
    10: "the NVIDIA driver gave its library no answer in time",
    11: "the NVIDIA driver gets no interrupts from a GPU",
    15: "a GPU is lost, and the NVIDIA library does not start with it",
    16: "a GPU needs a reset, and the NVIDIA library does not start with it",
}
# The end of each member's name in a field's value, in the order of NVML's types.
FIELD_MEMBERS = ["dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal"]
NOT_AVAILABLE = 2**64 - 1

Values = dict[str, Any]


class Gone(Exception):
    """The GPU does not answer any more; the state says how."""


class NotStarted(Exception):
    """NVML does not start, and so no GPU can be asked."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.state = state_of(code)


def why_not_opened(host: Host) -> Exception | None:
    """Return why NVML must not even be opened, from files; None where it may be.

    Opened without a driver, the library (535.261 did) starts nvidia-modprobe as root to load one,
    or makes /dev/nvidiactl by itself. And it fails in each case that is told here. What a process
    of ours has mapped may be yet another library: only the files count.
    """
    library = current_library(host.root, "libnvidia-ml")
    if not module_is_loaded(host.root):
        if not library.path:
            return Absent("no NVIDIA driver is installed")
        return Unavailable(f"{REASONS[9]} (NVML is not opened)")
    loaded = loaded_version(host.root)
    if library.size_bytes == 0:
        return Unavailable(f"the NVIDIA library {library.path} is empty (NVML is not opened)")
    if loaded and library.version and loaded != library.version:
        return Unavailable(
            f"the NVIDIA driver {loaded} is loaded and the library is {library.version} "
            "(NVML is not opened)"
        )
    return None


@contextmanager
def opened(host: Host) -> Iterator[ModuleType]:
    """Open NVML and let go of it again; raise NotStarted, with the reason, where it refuses."""
    import pynvml  # noqa: PLC0415 - only the children that read a GPU pay for it

    unload_if_replaced(pynvml, host)
    load(pynvml, host)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        reason = REASONS.get(error.value, f"NVML does not start: {error}")
        raise NotStarted(error.value, f"{reason} (NVML error {error.value})") from None
    try:
        yield pynvml
    finally:
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            host.memory.pop("library", None)  # nobody to tell; the next start says it again


def load(nvml: ModuleType, host: Host) -> None:
    """Load the very library that the files named; the loader's path may lead to another, or none.

    The driver's container keeps it where no loader looks.
    """
    path = current_library(host.root, "libnvidia-ml").path
    if vars(nvml)["nvmlLib"] is not None or not path:
        return  # without a path the binding looks for it, and says that there is none
    try:
        vars(nvml)["nvmlLib"] = nvml.CDLL(str(host.root / path.lstrip("/")))
    except OSError as error:
        reason = f"the NVIDIA library {path} cannot be loaded: {error}"
        raise NotStarted(12, f"{reason} (NVML error 12)") from None


def unload_if_replaced(nvml: ModuleType, host: Host) -> None:
    """Forget a library that has been replaced on disk since this process loaded it.

    Else we ourselves would be the one with the old library when the new driver is loaded.
    """
    path = current_library(host.root, "libnvidia-ml").path
    try:
        state = os.stat(host.root / path.lstrip("/"))  # noqa: PTH116 - the numbers, no path
        now = (path, state.st_dev, state.st_ino, state.st_mtime_ns)
    except OSError:
        return
    before = host.memory.get("library")
    host.memory["library"] = now
    binding = vars(nvml)
    if before in (None, now) or binding["nvmlLib"] is None:
        return
    _ctypes.dlclose(binding["nvmlLib"]._handle)
    binding["nvmlLib"] = None
    binding["_nvmlGetFunctionPointer_cache"].clear()


class Asker:
    """Asks one GPU one thing after the other; remembers the first trouble as the GPU's state."""

    def __init__(self, nvml: ModuleType, handle: object = None) -> None:
        self.nvml = nvml
        self.handle = handle
        self.state = "ok"
        self.troubles: list[str] = []
        self.vague = 0

    def open(self, bus_id: str) -> bool:
        """Take the GPU's handle; False where NVML does not give one, and the state says why."""
        try:
            self.handle = self.nvml.nvmlDeviceGetHandleByPciBusId(bus_id)
        except self.nvml.NVMLError as error:
            self.state = state_of(error.value)
            if error.value in NOT_FOUND:  # on the bus, and the driver does not have it
                self.state = "not found"
            return False
        return True

    def ask(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - ctypes
        """Return what nvmlDevice<name> gives for this GPU, or None; raise Gone where it is dead."""
        call: Callable[..., Any] | None = getattr(self.nvml, f"nvmlDevice{name}", None)
        if call is None:  # the binding is older, or newer, than the call
            return None
        try:
            return call(self.handle, *arguments)
        except self.nvml.NVMLLibraryMismatchError:  # a function that this driver does not have
            return None
        except self.nvml.NVMLError as error:
            code: int = error.value
        if code in NO_VALUE:
            return None
        self.troubles.append(f"{name}: {state_of(code)} ({code})")
        if code in GONE:
            self.state = state_of(code)
            raise Gone
        self.vague += code in VAGUE
        counts = self.vague >= MANY if code in VAGUE else code not in REFUSED
        if self.state == "ok" and counts:
            self.state = state_of(code)
        return None

    def flag(self, name: str, *arguments: object) -> bool | None:
        value = self.ask(name, *arguments)
        return None if value is None else bool(value)

    def text(self, name: str, *arguments: object) -> str | None:
        value = self.ask(name, *arguments)
        if isinstance(value, bytes):
            value = value.decode(errors="backslashreplace")
        return value if isinstance(value, str) and value else None

    def struct(self, name: str, shape: str, size: int = 0) -> Any:  # noqa: ANN401 - ctypes
        """Return the struct that the call fills in, or None; `shape` is its class's name.

        A struct is told to the library by its version, which holds its size. Bindings have been
        wrong about one (12.560 about the fabric), and what such a one holds is no value.
        """
        from ctypes import byref, sizeof  # noqa: PLC0415 - as pynvml

        kind = getattr(self.nvml, shape, None)
        if kind is None:
            return None
        filled = kind()
        if sizeof(filled) != (size or filled.version & 0xFFFFFF):
            return None
        return None if self.ask(name, byref(filled)) is None else filled

    def fields(self, wanted: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
        """Return the values of these (field, scope) that the driver has; the others are missing."""
        answers = self.ask("GetFieldValues", wanted) if wanted else None
        found = {}
        for answer in answers or ():
            key = (answer.fieldId, answer.scopeId)
            code = answer.nvmlReturn
            if code in GONE:
                self.state = state_of(code)
                self.troubles.append(f"field {answer.fieldId}: {self.state} ({code})")
                raise Gone
            if code == 0 and answer.valueType < len(FIELD_MEMBERS):
                value = int(getattr(answer.value, FIELD_MEMBERS[answer.valueType]))
                if value != NOT_AVAILABLE:
                    found[key] = value
        return found


def state_of(code: int) -> str:
    return STATES.get(code, f"NVML error {code}")
