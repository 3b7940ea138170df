"""What is a node of this kind made of? The shape of profiles/<name>.yaml."""

import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache

import msgspec

from hpcdoctor.expressions.fields import types_of
from hpcdoctor.expressions.types import PROFILE, Type


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One mapping of the file. What is left out is not expected, and not held against anything."""


class Gpu(_Section, frozen=True, kw_only=True):
    """The GPUs; where this section stands, a node without any is critical."""

    count: int | None = None  # on the PCI bus
    pci_addresses: list[str] | None = None  # "0000:3b:00": the place of each, so that one is named
    memory_bytes: int | None = None  # of each, as NVML has it; 5 % less is tolerated
    nvlinks: int | None = None  # of each, that have to be up
    ecc: bool | None = None  # whether their memory corrects errors
    persistence: bool | None = None  # whether the driver stays loaded when nobody uses them
    mig: bool | None = None  # whether they are cut into instances
    compute_mode: str | None = None  # "default", "exclusive process", "prohibited"
    power_limit_watts: float | None = None  # of each; 2 % less is tolerated
    vbios_versions: list[str] | None = None  # those that are allowed


class Cpu(_Section, frozen=True, kw_only=True):
    """The processors."""

    governor: str | None = None  # of frequency scaling, as in "performance"
    online: int | None = None  # logical cpus that are to be at work
    smt: bool | None = None  # whether cores run more than one thread (hyperthreads)
    turbo: bool | None = None  # whether clocks above the base are allowed
    isolated: str | None = None  # cpus kept from the scheduler, as the kernel lists them: "2-7"
    microcode: str | None = None  # its version, as in "0x2b000603"


class Memory(_Section, frozen=True, kw_only=True):
    """The main memory."""

    total_bytes: int | None = None  # as /proc/meminfo has it; 5 % less is tolerated
    ecc: bool | None = None  # it corrects errors, and so a driver has to count them
    numa_nodes: int | None = None  # that have memory
    huge_pages: int | None = None  # of the default size, set aside at start
    numa_balancing: bool | None = None  # whether the kernel may move pages after their users


class Infiniband(_Section, frozen=True, kw_only=True):
    """The InfiniBand ports; where this section stands, a node without any is critical."""

    ports: list[str] | None = None  # "mlx5_0/1"
    count: int | None = None  # of ports that are to be active
    rate_gigabits_per_second: float | None = None  # of each of them
    link_layer: str | None = None  # of the listed ports, where it is not "InfiniBand": "Ethernet"


class Ethernet(_Section, frozen=True, kw_only=True):
    """The Ethernet interfaces; where this section stands, a node without any is critical."""

    interfaces: list[str] | None = None  # "eno1"
    speed_gigabits_per_second: float | None = None  # of each of them
    mtu_bytes: int | None = None  # of each of them
    default_route: bool | None = None  # there has to be one


class Storage(_Section, frozen=True, kw_only=True):
    """The local drives."""

    nvme_controllers: int | None = None  # behind PCI; those of a fabric are not counted


class Versions(_Section, frozen=True, kw_only=True):
    """Which versions are allowed; what is left out may be any."""

    kernel: list[str] | None = None  # as `uname -r` has it
    nvidia_driver: list[str] | None = None  # "550.90.07"
    network_driver: list[str] | None = None  # of the adapters, where it has a version
    ofed: list[str] | None = None  # "MLNX_OFED_LINUX-23.10-1.1.9.0"
    lustre: list[str] | None = None  # of the client
    hca_firmware: list[str] | None = None  # board and version: "MT_0000000838 28.39.1002"
    bios: list[str] | None = None  # of the board


class Services(_Section, frozen=True, kw_only=True):
    """The services that have to run."""

    units: list[str] | None = None  # systemd units: "slurmd.service"; they may be restarted


class Processes(_Section, frozen=True, kw_only=True):
    """Programs that have to run, or must not."""

    wanted: list[str] | None = None  # by the kernel's name of them: "slurmd", at most 15 letters
    forbidden: list[str] | None = None  # as `wanted`; a warning at most


class Names(_Section, frozen=True, kw_only=True):
    """How people are found by their names."""

    user: str | None = None  # one that only the name service knows, not /etc/passwd


class System(_Section, frozen=True, kw_only=True):
    """How the system is set up."""

    sysctl: list[str] | None = None  # "vm.zone_reclaim_mode=0"; compared word by word
    command_line: list[str] | None = None  # words of the kernel's: "numa_balancing=disable"
    modules: list[str] | None = None  # of the kernel, that have to be loaded: "lustre"
    release: str | None = None  # of the operating system: "debian 12", "rocky 9.4"


Fact = str | bool | int | float | list[str]


class Profile(_Section, frozen=True, kw_only=True):
    """What a node of this kind is made of; every key may be left out."""

    profile: str
    gpu: Gpu | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    infiniband: Infiniband | None = None
    ethernet: Ethernet | None = None
    storage: Storage | None = None
    versions: Versions | None = None
    services: Services | None = None
    processes: Processes | None = None
    names: Names | None = None
    system: System | None = None
    mounts: list[str] = []  # mount points that have to be there, besides those of /etc/fstab
    site: dict[str, Fact] = {}  # for a site's own checks, as `profile.site.NAME`


SITE = f"{PROFILE}.site"


@cache
def names() -> Mapping[str, Type]:
    """Return every name that a condition may use, `profile.gpu.count`, with its type."""
    return types.MappingProxyType(dict(_names()))


def is_name(dotted: str) -> bool:
    """Tell whether a profile may have this name: one of the shape, or of the site's own facts."""
    return dotted in names() or dotted.startswith(SITE + ".")


def sections() -> dict[str, type[msgspec.Struct]]:
    """Return the sections whose names a condition may use."""
    found = {}
    for field, hint in typing.get_type_hints(Profile).items():
        for part in typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,):
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                found[field] = part
    return found


def _names() -> Iterator[tuple[str, Type]]:
    for section, shape in sections().items():
        yield f"{PROFILE}.{section}", Type.ANY  # the section as a whole, for `has()`
        for name, kind in types_of(shape).items():
            yield f"{PROFILE}.{section}.{name}", kind
    yield f"{PROFILE}.mounts", Type.LIST


def mounts_of(profile: Mapping[str, object]) -> list[str]:
    """Return the mount points that a profile, as loaded, names."""
    mounts = profile.get("mounts")
    return [str(mount) for mount in mounts] if isinstance(mounts, list) else []


def list_of(profile: Mapping[str, object], section: str, key: str) -> list[str]:
    """Return a list of texts that a profile, as loaded, has under `section.key`; else none."""
    inside = profile.get(section)
    found = inside.get(key) if isinstance(inside, Mapping) else None
    return [str(each) for each in found] if isinstance(found, list) else []
