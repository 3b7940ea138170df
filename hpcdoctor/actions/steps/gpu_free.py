"""Wait until no process holds the GPU, or any GPU where none is named."""

import time
from collections.abc import Iterator
from pathlib import Path

from hpcdoctor.actions.steps import StepFailed, World
from hpcdoctor.model.text import visible
from hpcdoctor.probes.host import Host

PAUSE_SECONDS = 0.5
SHOWN = 5


def run(world: World) -> None:
    devices = devices_of(world.host, world.subject.get("pci_address"))
    end = time.monotonic() + world.timeout_seconds
    while True:
        holders = sorted(holders_of(world.host.root, devices))
        if not holders:
            return
        if time.monotonic() >= end:
            named = ", ".join(f"{name} (pid {pid})" for pid, name in holders[:SHOWN])
            raise StepFailed(f"still held by {named}")
        time.sleep(PAUSE_SECONDS)


def devices_of(host: Host, pci_address: str | None) -> frozenset[str]:
    """Return /dev/nvidiaN of this GPU; of all, where the driver does not tell which it is."""
    root = host.root
    if pci_address is not None:
        for folder in (root / "proc/driver/nvidia/gpus").glob(f"*{pci_address}*"):
            for line in (folder / "information").read_text(errors="replace").splitlines():
                key, _, value = line.partition(":")
                if key.strip() == "Device Minor" and value.strip().isdigit():
                    return frozenset({f"/dev/nvidia{value.strip()}"})
    return frozenset(f"/dev/{node.name}" for node in (root / "dev").glob("nvidia[0-9]*"))


def holders_of(root: Path, devices: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Yield each process that has one of the devices open."""
    for process in (root / "proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            links = {str(entry.readlink()) for entry in (process / "fd").iterdir()}
            if devices & links:
                yield int(process.name), visible((process / "comm").read_text().strip(), 40)
        except OSError:  # gone meanwhile
            continue
