"""Which cpus are near the GPU that a rank was given, or near the machine's only HCA?

CUDA_VISIBLE_DEVICES may count GPUs by their place on the bus, by the driver's own numbers, or anew
inside the job. Where these readings differ, all of them count: far is only what is far in each.
"""

from collections.abc import Iterator, Mapping

import msgspec

from hpcdoctor.model.job import GPU_VARIABLE
from hpcdoctor.probes.binding.cpu_sets import as_bits
from hpcdoctor.probes.files import list_names, read_list_or_none, read_text_or_none
from hpcdoctor.probes.host import Host


class Device(msgspec.Struct, frozen=True):
    """A GPU or an HCA, and the cpus on its side of the machine."""

    name: str  # "GPU 0000:3b:00.0", "HCA mlx5_0"
    cpus: int
    minor: int | None = None
    uuid: str = ""


def read_gpus(host: Host) -> list[Device]:
    """Return the GPUs that NVIDIA's driver has, in the order of the bus."""
    base = host.root / "proc/driver/nvidia/gpus"
    found = []
    for bdf in list_names(base):
        facts = parse_information(read_text_or_none(base / bdf / "information") or "")
        minor = facts.get("Device Minor", "")
        found.append(
            Device(
                name=f"GPU {bdf}",
                cpus=read_cpus(host, f"sys/bus/pci/devices/{bdf}"),
                minor=int(minor) if minor.isdecimal() else None,
                uuid=facts.get("GPU UUID", ""),
            )
        )
    return found


def parse_information(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def read_only_hca(host: Host) -> Device | None:
    """Return the HCA, ports of one card taken together; None where there is none, or a choice."""
    base = "sys/class/infiniband"
    names = list_names(host.root / base)
    sides = {read_cpus(host, f"{base}/{name}/device") for name in names}
    if len(sides) != 1 or 0 in sides:
        return None
    return Device(name=f"HCA {names[0]}", cpus=sides.pop())


def read_cpus(host: Host, folder: str) -> int:
    """Return the cpus near a device as a set; none where the firmware does not say."""
    return as_bits(read_list_or_none(host.root / folder / "local_cpulist") or [])


def gpus_of(scheduler: str, variables: Mapping[str, str], gpus: list[Device]) -> list[list[Device]]:
    """Return what a rank's variables can mean: the GPUs it may use, for each way to read them.

    Numbers are taken from Slurm only, which says beside them what it gave; elsewhere, as in a
    container, they may be counted anew without a trace.
    """
    text = variables.get(GPU_VARIABLE, "")
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    if not wanted:
        return []
    if all(part.isdecimal() for part in wanted):
        if scheduler != "slurm":
            return []
        return list(_by_number([int(part) for part in wanted], variables, gpus))
    named = [_by_uuid(part, gpus) for part in wanted]
    return [[gpu for gpu in named if gpu]] if all(named) else []


def _by_uuid(text: str, gpus: list[Device]) -> Device | None:
    """Return the GPU whose UUID begins so; an older name of a MIG instance holds its GPU's."""
    wanted = text.removeprefix("MIG-").partition("/")[0]
    if not wanted.startswith("GPU-") or len(wanted) < len("GPU-0"):
        return None
    found = [gpu for gpu in gpus if gpu.uuid.startswith(wanted)]
    return found[0] if len(found) == 1 else None


def _by_number(
    numbers: list[int], variables: Mapping[str, str], gpus: list[Device]
) -> Iterator[list[Device]]:
    given = variables.get("SLURM_STEP_GPUS") or variables.get("SLURM_JOB_GPUS") or ""
    parts = given.split(",")
    anew = [int(part) for part in parts] if all(part.isdecimal() for part in parts) else []
    by_minor = {gpu.minor: gpu for gpu in gpus if gpu.minor is not None}
    by_place = dict(enumerate(gpus))
    for order in (by_place, by_minor):
        for mapping in (numbers, [anew[n] for n in numbers if n < len(anew)] if anew else []):
            found = [order[number] for number in mapping if number in order]
            if found and len(found) == len(numbers):
                yield found


def is_far(cpus: int, readings: list[list[Device]]) -> bool | None:
    """Tell whether none of these cpus is near any GPU that is meant; None: it is not known."""
    devices = [device for reading in readings for device in reading]
    if not cpus or not devices or not all(device.cpus for device in devices):
        return None
    return not any(cpus & device.cpus for device in devices)
