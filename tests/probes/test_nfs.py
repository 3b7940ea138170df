from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import nfs
from hpcdoctor.probes.host import Host
from tests.doubles.machines import host_of, written

BLOCK = """device {source} mounted on {point} with fstype {type} statvers=1.1
\topts:\trw,vers=4.2,rsize=1048576,{how},proto=tcp,port=0,timeo=600,retrans=2,sec=sys
\tage:\t13968
\tevents:\t52 226 0 0 1 13 398 0 0 331 0 47 0 0 77 0 0 77 0 0 0 0 0 0 0 0 0
\tbytes:\t1207640230 0 0 0 1210214218 0 295483 0
\tRPC iostats version: 1.1  p/v: 100003/4 (nfs)
{xprt}\tper-op statistics
\t        NULL: 1 1 0 44 24 0 0 0 0
\t        READ: 100 103 2 20800 1048576 500 2000 2600 1
\t       WRITE: 10 10 0 2080 1048 18446743919241604546 300 400 0
\t     GETATTR: 200 200 0 2080 1048 5 100 120 0
\t      LOOKUP: 300 300 0 2080 1048 5 200 220 3
"""
TCP = "\txprt:\ttcp 832 0 2 0 11 6430 6428 1 12154 0 24 26 5726\n"


def block(source: str, point: str, how: str = "hard", xprt: str = TCP, type_: str = "nfs4") -> str:
    return BLOCK.format(source=source, point=point, how=how, xprt=xprt, type=type_)


def host_with(tmp_path: Path, *blocks: str, mountinfo: str = "") -> Host:
    others = "device /dev/sda1 mounted on / with fstype ext4\n"
    files: dict[str, str | bytes] = {"proc/self/mountstats": others + "\n".join(blocks)}
    if mountinfo:
        files["proc/self/mountinfo"] = mountinfo
    return host_of(written(tmp_path, files))


def test_each_kind_of_request_is_counted_with_its_waits(tmp_path: Path) -> None:
    (mount,) = nfs.read(host_with(tmp_path, block("filer1:/home", "/home")))
    assert (mount.server, mount.export, mount.version) == ("filer1", "/home", "4.2")
    assert (mount.transport, mount.hard, mount.mounts) == ("tcp", True, 1)
    assert (mount.operations_total, mount.transmissions_total) == (611, 614)
    assert (mount.retransmissions_total, mount.major_timeouts_total) == (3, 2)
    assert mount.errors_total == 4
    assert mount.metadata_total == 500
    assert mount.metadata_round_trip_seconds_total == pytest.approx(0.3)
    assert (mount.read_total, mount.read_round_trip_seconds_total) == (100, 2.0)
    assert (mount.write_total, mount.write_round_trip_seconds_total) == (10, 0.3)
    assert (mount.connects_total, mount.sends_total, mount.receives_total) == (2, 6430, 6428)
    assert mount.bad_replies_total == 1


def test_a_negative_number_that_was_printed_as_a_huge_one_is_left_out(tmp_path: Path) -> None:
    (mount,) = nfs.read(host_with(tmp_path, block("filer1:/home", "/home")))
    assert mount.queue_seconds_total == pytest.approx(0.51)


def test_mounts_of_one_superblock_are_told_once(tmp_path: Path) -> None:
    table = (
        "30 27 0:40 /a /a rw - nfs4 filer1:/x/a rw\n"
        "31 27 0:40 /b /b rw - nfs4 filer1:/x/b rw\n"
        "32 27 0:41 / /c rw - nfs4 filer1:/c rw\n"
    )
    blocks = [block(f"filer1:/{name}", f"/{name}") for name in "abc"]
    first, second = nfs.read(host_with(tmp_path, *blocks, mountinfo=table))
    assert (first.mount_point, first.mounts) == ("/a", 2)
    assert (second.mount_point, second.mounts) == ("/c", 1)


def test_the_connection_is_told_with_the_first_mount_of_each_server(tmp_path: Path) -> None:
    sources = ["filer1:/a", "filer1:/b", "filer2:/c", "[fe80::1]:/d"]
    blocks = [block(source, f"/{source[-1]}") for source in sources]
    mounts = nfs.read(host_with(tmp_path, *blocks))
    assert [mount.connects_total for mount in mounts] == [2, None, 2, 2]
    assert [mount.server for mount in mounts] == ["filer1", "filer1", "filer2", "[fe80::1]"]


def test_several_connections_to_one_server_are_added_up(tmp_path: Path) -> None:
    (mount,) = nfs.read(host_with(tmp_path, block("filer1:/home", "/home", xprt=TCP * 4)))
    assert (mount.connects_total, mount.sends_total) == (8, 25720)


@pytest.mark.parametrize(
    ("line", "transport", "connects", "sends"),
    [
        ("\txprt:\tudp 832 0 6430 6428 1 12154 0\n", "udp", None, 6430),
        ("\txprt:\trdma 0 0 3 0 11 6430 6428 1 0 0 5 6 7 8 9 10 11 12 13\n", "rdma", 3, 6430),
        ("\txprt:\ttcp 832\n", "tcp", None, None),
        ("\txprt:\n", "tcp", None, None),
    ],
)
def test_every_transport_is_read_as_far_as_it_goes(
    tmp_path: Path, line: str, transport: str, connects: int | None, sends: int | None
) -> None:
    (mount,) = nfs.read(host_with(tmp_path, block("filer1:/home", "/home", xprt=line)))
    assert (mount.transport, mount.connects_total, mount.sends_total) == (
        transport,
        connects,
        sends,
    )


def test_a_soft_mount_says_so(tmp_path: Path) -> None:
    (mount,) = nfs.read(host_with(tmp_path, block("filer1:/home", "/home", "softerr")))
    assert mount.hard is False


def test_nonsense_costs_its_own_line_only(tmp_path: Path) -> None:
    nonsense = "device x\n\topts:\nGETATTR: 1 2\n" + block("f:/a", "/a") + "READ: a b c d e f g h\n"
    (mount,) = nfs.read(host_with(tmp_path, nonsense))
    assert mount.mount_point == "/a"
    assert mount.read_total == 100


def test_a_mount_point_with_a_blank_is_read(tmp_path: Path) -> None:
    (mount,) = nfs.read(host_with(tmp_path, block("filer1:/two\\040words", "/two\\040words")))
    assert (mount.mount_point, mount.export) == ("/two words", "/two words")


def test_no_nfs_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no NFS is mounted"):
        nfs.read(host_with(tmp_path))
    with pytest.raises(Absent, match="mountstats"):
        nfs.read(host_of(tmp_path / "nothing"))
