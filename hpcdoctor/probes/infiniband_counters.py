"""How well do messages arrive over RDMA? One reading for each port that counts it.

Source:  /sys/class/infiniband/*/ports/*/hw_counters/ (kernel: drivers/infiniband/hw/*;
         NVIDIA: "Understanding mlx5 counters"; Linux: drivers/infiniband/{sw/rxe,hw/efa})
Units:   events and packets since the driver was loaded
Cost:    a question to the firmware for each counter (b); those of one port are kept for the
         milliseconds that `lifespan` names, and read together
Absent:  where no RDMA device counts any of these
Trust:   a job that ends badly leaves its peers without an answer: trouble here is often a job's

Of some hundred counters only those are read that tell of lost or late messages. Congestion marks,
errors of programs and what a queue drops when it is taken down are no trouble of the network.
"""

import os

from hpcdoctor.model.reading import Absent, Reading
from hpcdoctor.probes.files import list_names, read_int_or_none, read_text_or_none
from hpcdoctor.probes.host import Host

# No answer in time: the message or the answer was lost, or the peer is dead.
TIMEOUTS = (
    "local_ack_timeout_err",  # mlx5
    "req_transport_retries_exceeded",  # mlx5 since Linux 6.11
    "retry_exceeded_err",  # rxe
    "retrans_timeout_events",  # efa
    "unresponsive_remote_events",  # efa
    "impaired_remote_conn_events",  # efa
)
# Messages that came out of turn or had to be sent again.
SEQUENCE = (
    "out_of_sequence",
    "packet_seq_err",
    "implied_nak_seq_err",
    "roce_adp_retrans",
    "roce_adp_retrans_to",
    "out_of_seq_request",  # rxe
    "rcvd_seq_err",  # rxe
    "retrans_pkts",  # efa
)
# The receiver had no room ready for what came.
NOT_READY = ("rnr_nak_retry_err", "out_of_buffer", "rx_drops", "rcvd_rnr_err")
PACKETS = ("counters/port_rcv_packets", "hw_counters/rcvd_pkts", "hw_counters/rx_pkts")


class Transport(Reading, frozen=True):
    name: str  # "mlx5_0/1"
    device: str
    port: int
    link_layer: str | None
    timeouts_total: int | None
    sequence_errors_total: int | None
    not_ready_total: int | None
    received_packets_total: int | None


def read(host: Host) -> list[Transport]:
    base = str(host.root / "sys/class/infiniband")
    found = []
    for device in list_names(base):
        if os.path.lexists(f"{base}/{device}/device/physfn"):
            continue
        for number in list_names(f"{base}/{device}/ports"):
            port = f"{base}/{device}/ports/{number}"
            names = frozenset(list_names(f"{port}/hw_counters"))
            if number.isdecimal() and not names.isdisjoint((*TIMEOUTS, *SEQUENCE)):
                found.append(read_port(port, device, int(number), names))
    if not found:
        raise Absent("no RDMA device counts messages that were lost or came late")
    return found


def read_port(path: str, device: str, number: int, names: frozenset[str]) -> Transport:
    packets = (read_int_or_none(f"{path}/{name}") for name in PACKETS)
    return Transport(
        name=f"{device}/{number}",
        device=device,
        port=number,
        link_layer=read_text_or_none(f"{path}/link_layer"),
        timeouts_total=add_up(path, names, TIMEOUTS),
        sequence_errors_total=add_up(path, names, SEQUENCE),
        not_ready_total=add_up(path, names, NOT_READY),
        received_packets_total=next((count for count in packets if count is not None), None),
    )


def add_up(path: str, names: frozenset[str], wanted: tuple[str, ...]) -> int | None:
    """Return the sum of those that the driver has; they are reset together, with the driver."""
    values = [read_int_or_none(f"{path}/hw_counters/{name}") for name in wanted if name in names]
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
