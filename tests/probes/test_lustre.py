from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import lustre, lustre_client
from hpcdoctor.probes.lustre_tables import parse_stats
from tests.doubles.machines import host_of, written

IMPORT = """import:
    name: {name}
    target: x_UUID
    state: {state}
    connect_flags: [ write_grant, server_lock ]
    connect_data:
       flags: 0x20405af0e3440478
       instance: 3
    connection:
       failover_nids: [ 10.0.0.5@o2ib, 10.0.0.6@o2ib ]
       current_connection: 10.0.0.6@o2ib
       connection_attempts: 7
       generation: 4
       in-progress_invalidations: 1
    rpcs:
       inflight: 8
       timeouts: 2
       avg_waittime: {wait} usec
"""
STATE = """current_state: FULL
state_history:
 - [ 1000000100, CONNECTING ]
 - [ 1000000101, FULL ]
 - [ 1000000500, DISCONN ]
 - [ 1000000501, EVICTED ]
 - [ 1000000502, RECOVER ]
 - [ 1000000503, FULL ]
"""
STATS = """snapshot_time             1000000600.787092770 secs.nsecs
start_time                1000000000.0 secs.nsecs
req_waittime              1000 samples [usec] 69 1348857 2500000 8342874290406023
req_active                1000 samples [reqs] 1 17 83626277 470089669
ost_read                  10 samples [usecs] 1 2 30 40
"""
OLD, SYSFS, DEBUGFS = "proc/fs/lustre", "sys/fs/lustre", "sys/kernel/debug/lustre"
MOUNT = "ffff88105db50000"
NOW = Instant("boot", 5000.0, 1000000601.0)


def device(
    kind: str, target: str, place: str, state: str = "FULL", wait: int = 400
) -> dict[str, str | bytes]:
    name = f"{target}-{kind}-{MOUNT}"
    folder = f"{place}/{kind}/{name}"
    return {
        f"{folder}/import": IMPORT.format(name=name, state=state, wait=wait),
        f"{folder}/state": STATE,
        f"{folder}/stats": STATS,
        f"{folder}/active": "1\n",
    }


@pytest.mark.parametrize("place", [OLD, DEBUGFS])
def test_a_target_is_read_from_where_the_release_keeps_it(tmp_path: Path, place: str) -> None:
    host = host_of(written(tmp_path, device("osc", "work-OST0000", place)), NOW)
    (target,) = lustre.read(host)
    assert (target.target, target.kind, target.file_system) == ("work-OST0000", "osc", "work")
    assert (target.state, target.connected, target.active) == ("FULL", True, True)
    assert target.connection == "10.0.0.6@o2ib"
    assert (target.connection_attempts_total, target.timeouts_total) == (7, 2)
    assert target.invalidations == 1
    assert (target.requests_total, target.request_wait_seconds_total) == (1000, 2.5)
    assert target.average_wait_seconds == pytest.approx(0.0004)


def test_newer_releases_split_one_device_over_sysfs_and_debugfs(tmp_path: Path) -> None:
    files = device("osc", "work-OST0000", DEBUGFS)
    active = next(path for path in files if path.endswith("/active"))
    del files[active]
    files[active.replace(DEBUGFS, SYSFS)] = "0\n"
    (target,) = lustre.read(host_of(written(tmp_path, files), NOW))
    assert (target.active, target.state) == (False, "FULL")


def test_the_last_eviction_is_told_by_its_age(tmp_path: Path) -> None:
    host = host_of(written(tmp_path, device("mdc", "work-MDT0000", OLD)), NOW)
    (target,) = lustre.read(host)
    assert target.since_eviction_seconds == 100.0
    assert target.disconnections_in_history == 1


@pytest.mark.parametrize(
    ("state", "connected"),
    [("FULL", True), ("IDLE", True), ("DISCONN", False), ("EVICTED", False), ("REPLAY", False)],
)
def test_an_idle_target_is_as_good_as_a_full_one(
    tmp_path: Path, state: str, connected: bool
) -> None:
    host = host_of(written(tmp_path, device("osc", "work-OST0000", OLD, state)), NOW)
    assert lustre.read(host)[0].connected is connected


def test_the_servers_own_connections_are_no_client_s(tmp_path: Path) -> None:
    files = device("osc", "work-OST0000", OLD)
    files[f"{OLD}/osc/work-OST0000-osc-MDT0000/import"] = IMPORT.format(name="x", state="X", wait=1)
    assert len(lustre.read(host_of(written(tmp_path, files), NOW))) == 1


def test_each_target_is_held_beside_its_siblings(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {}
    for number, wait in enumerate((6000, 300, 320, 340)):
        files |= device("osc", f"work-OST000{number}", OLD, wait=wait)
    files |= device("mdc", "work-MDT0000", OLD, wait=900)
    targets = {each.target: each for each in lustre.read(host_of(written(tmp_path, files), NOW))}
    assert targets["work-OST0000"].sibling_wait_seconds == pytest.approx(0.00032)
    assert targets["work-MDT0000"].sibling_wait_seconds is None


def test_the_management_server_has_an_import_and_no_file_system(tmp_path: Path) -> None:
    path = f"{OLD}/mgc/MGC10.0.0.1@o2ib/import"
    host = host_of(written(tmp_path, {path: IMPORT.format(name="x", state="FULL", wait=1)}), NOW)
    (target,) = lustre.read(host)
    assert (target.target, target.kind, target.file_system) == ("10.0.0.1@o2ib", "mgc", "")
    assert (target.requests_total, target.since_eviction_seconds) == (None, None)


def test_an_import_without_sense_costs_its_numbers(tmp_path: Path) -> None:
    path = f"{OLD}/osc/work-OST0000-osc-{MOUNT}/import"
    host = host_of(written(tmp_path, {path: "import:\n\x00\n timeouts: many\n: :\n"}), NOW)
    (target,) = lustre.read(host)
    assert (target.state, target.connected, target.timeouts_total) == (None, None, None)


def test_old_statistics_have_counts_and_no_times() -> None:
    old = "open    136 samples [regs]\nread_bytes 1 samples [bytes] 4 4 4\n"
    assert parse_stats(old) == {"open": (136, None), "read_bytes": (1, None)}
    assert parse_stats(STATS)["ost_read"] == (10, 30 / 1e6)


def test_no_lustre_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no Lustre"):
        lustre.read(host_of(tmp_path, NOW))
    with pytest.raises(Absent, match="not loaded"):
        lustre_client.read(host_of(tmp_path, NOW))


@pytest.mark.parametrize(
    ("text", "healthy", "health"),
    [
        ("healthy\n", True, ""),
        (
            "device x reported unhealthy\nNOT HEALTHY\n",
            False,
            "device x reported unhealthy NOT HEALTHY",
        ),
        ("LBUG\n", False, "LBUG"),
    ],
)
def test_the_client_says_how_it_is(tmp_path: Path, text: str, healthy: bool, health: str) -> None:
    files: dict[str, str | bytes] = {
        f"{SYSFS}/health_check": text,
        f"{SYSFS}/version": "2.15.3\n",
        "sys/kernel/debug/lnet/stats": "1 28 3 40 50 0 7 8 9 0 0\n",
        "sys/kernel/debug/lnet/catastrophe": "1\n" if text == "LBUG\n" else "0\n",
    }
    (client,) = lustre_client.read(host_of(written(tmp_path, files), NOW))
    assert (client.version, client.healthy, client.health) == ("2.15.3", healthy, health)
    assert client.lnet_catastrophe is (text == "LBUG\n")
    assert (client.lnet_errors_total, client.lnet_dropped_total) == (3, 7)
    assert (client.lnet_sent_total, client.lnet_received_total) == (40, 50)
