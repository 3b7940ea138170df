"""Does infiniband_counters add up what tells of lost messages, and leave out what does not?"""

from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import infiniband_counters
from hpcdoctor.probes.host import Host
from tests.conftest import recorded
from tests.doubles.machines import copy_of, host_of, written

PORT = "sys/class/infiniband/mlx5_0/ports/1"


def read(folder: Path, files: dict[str, str | bytes]) -> infiniband_counters.Transport:
    node = written(copy_of("fabric-node", folder), files)
    return infiniband_counters.read(host_of(node))[0]


def test_a_node_without_rdma_is_absent() -> None:
    with pytest.raises(Absent, match="no RDMA device counts"):
        infiniband_counters.read(recorded("gpu-node"))


def test_trouble_is_added_up_by_kind(tmp_path: Path) -> None:
    port = read(
        tmp_path,
        {
            f"{PORT}/hw_counters/local_ack_timeout_err": "3\n",
            f"{PORT}/hw_counters/out_of_sequence": "4\n",
            f"{PORT}/hw_counters/packet_seq_err": "5\n",
            f"{PORT}/hw_counters/out_of_buffer": "6\n",
            f"{PORT}/hw_counters/np_cnp_sent": "7000\n",
        },
    )
    assert (port.name, port.received_packets_total) == ("mlx5_0/1", 900_000_000)
    assert (port.timeouts_total, port.sequence_errors_total, port.not_ready_total) == (3, 9, 6)


def test_one_that_cannot_be_read_leaves_its_sum_unknown(tmp_path: Path) -> None:
    port = read(tmp_path, {f"{PORT}/hw_counters/packet_seq_err": "N/A"})
    assert (port.timeouts_total, port.sequence_errors_total) == (0, None)


def test_an_elastic_fabric_adapter_counts_in_its_own_words(tmp_path: Path) -> None:
    port = "sys/class/infiniband/rdmap0s6/ports/1"
    files: dict[str, str | bytes] = {
        f"{port}/link_layer": "Unspecified\n",
        f"{port}/hw_counters/retrans_timeout_events": "2\n",
        f"{port}/hw_counters/unresponsive_remote_events": "1\n",
        f"{port}/hw_counters/rx_drops": "4\n",
        f"{port}/hw_counters/rx_pkts": "500\n",
    }
    (reading,) = infiniband_counters.read(host_of(written(tmp_path, files)))
    assert (reading.timeouts_total, reading.not_ready_total) == (3, 4)
    assert (reading.sequence_errors_total, reading.received_packets_total) == (None, 500)


def test_a_recorded_adapter_is_read(shared: Path, tmp_path: Path) -> None:
    import subprocess  # noqa: PLC0415

    archive = shared / "nodes/mixed-procfs.tar.gz"
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    (port,) = infiniband_counters.read(Host.recorded(tmp_path / "mixed-procfs"))
    assert (port.name, port.timeouts_total, port.sequence_errors_total) == ("mlx5_0/1", 131, 105)
