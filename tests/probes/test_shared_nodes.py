"""Are recordings of machines that nobody made for us read without a crash, and read right?"""

import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from hpcdoctor.checks.compiled import compile_check
from hpcdoctor.checks.judge import Judge
from hpcdoctor.definitions.loader import load_definitions
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import (
    Absent,
    Look,
    NeedsSecondReading,
    Reading,
    ReadStatus,
    Unavailable,
)
from hpcdoctor.probes import (
    cpu_binding,
    cpu_frequency,
    ethernet,
    infiniband,
    memory,
    registry,
)
from hpcdoctor.probes.host import Host

PLAIN = [
    "clock",
    "cpu_binding",
    "cpu_frequency",
    "cpu_topology",
    "edac",
    "ethernet",
    "infiniband",
    "infiniband_counters",
    "memory",
    "memory_zones",
    "network_route",
    "pci",
    "pressure",
    "rasdaemon",
]


@pytest.fixture(scope="module")
def nodes(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every shared recording unpacked."""
    folder = tmp_path_factory.mktemp("shared-nodes")
    for archive in sorted((shared / "nodes").glob("*.tar.gz")):
        subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True)
    return folder


def test_every_probe_reads_every_recording_or_says_why_not(nodes: Path) -> None:
    said: dict[str, set[str]] = {name: set() for name in PLAIN}
    for root in [
        *sorted(nodes.iterdir()),
        nodes / "live-binding-a/t0",
        nodes / "live-binding-a/t1",
    ]:
        for name in PLAIN:
            try:
                readings: Sequence[Reading] = registry.find(name).read(Host.recorded(root))
                said[name].add("read" if readings else "nothing")
            except (Absent, NeedsSecondReading) as reason:
                said[name].add(type(reason).__name__)
            except Unavailable as reason:
                pytest.fail(f"{name} on {root.name}: {reason}")
    assert all("Absent" in answers for answers in said.values())


def test_machines_that_worked_when_recorded_are_not_called_critical(nodes: Path) -> None:
    definitions = load_definitions()
    catalogs = {name: defined.value for name, defined in definitions.catalogs.items()}
    checks = {
        name: compile_check(defined, registry.find(defined.value.probe), catalogs)
        for name, defined in definitions.checks.items()
        if defined.value.probe in PLAIN
    }
    for root in sorted(nodes.iterdir()):
        judge = Judge(checks, {}, patient=False)
        for number, name in itertools.product(range(2), PLAIN):
            try:
                readings = registry.find(name).read(Host.recorded(root))
            except (Absent, NeedsSecondReading):
                continue
            taken = Instant("boot", 10_000.0 + 60 * number, 1e9 + 60 * number)
            values = [msgspec.to_builtins(reading) for reading in readings]
            judge.judge(Look(name, ReadStatus.READ, taken, None, values))
        assert judge.findings == {}, root.name


def test_one_core_of_forty_has_throttled(nodes: Path) -> None:
    packages = cpu_frequency.read(Host.recorded(nodes / "xeon40-qib"))
    assert [package.cores for package in packages] == [10, 10, 10, 10]
    assert [package.core_throttle_total for package in packages] == [0, 237, 0, 0]
    assert packages[1].hottest_cpu == "cpu13"
    assert {package.package_throttle_total for package in packages} == {None}


def test_saturated_data_counters_are_no_error(nodes: Path) -> None:
    (port,) = infiniband.read(Host.recorded(nodes / "xeon40-qib"))
    assert (port.name, port.state, port.width) == ("qib0/1", "active", "4X QDR")
    assert (port.pci_address, port.netdev) == ("0000:43:00.0", "ib0")
    assert 4294967295 not in [getattr(port, field) for field in port.__struct_fields__]


def test_unused_ports_are_wanted_by_nobody(nodes: Path) -> None:
    ports = ethernet.read(Host.recorded(nodes / "xeon40-qib"))
    assert {port.interface: port.wanted for port in ports} == {
        "eth0": True,
        "eth1": False,
        "eth2": False,
        "eth3": False,
    }
    assert [port.carrier for port in ports] == [True, None, None, None]


def test_sparse_numa_nodes_are_all_found(nodes: Path) -> None:
    host = Host.recorded(nodes / "power9-v100")
    (reading,) = memory.read(host)
    assert reading.numa_total_bytes == reading.total_bytes
    nodes_of = cpu_binding.cpu_nodes(host)
    assert set(nodes_of.values()) == {0, 8}  # those of the GPUs have memory and no cpus
    assert (nodes_of[15], nodes_of[88]) == (0, 8)


def test_stacked_ranks_are_seen_between_two_snapshots(nodes: Path) -> None:
    before, after = (Host.recorded(nodes / "live-binding-a" / look) for look in ("t0", "t1"))
    with pytest.raises(NeedsSecondReading):
        cpu_binding.read(before)
    after.memory = before.memory
    found = {reading.pid: reading for reading in cpu_binding.read(after)}
    assert sorted(found) == [19807, 19808, 19809]
    for pid in (19807, 19808):
        assert (found[pid].job, found[pid].stacked, found[pid].cpus) == ("1001", True, 1)
        assert found[pid].wait_ratio == pytest.approx(0.755, abs=0.02)
        assert found[pid].migrations_per_second == 0.0
    assert (found[19809].job, found[19809].busy_threads) == ("1002", 6)
    assert found[19809].migrations_per_second is not None
    assert 0.1 <= found[19809].migrations_per_second <= 0.4
