"""What sites look at every day: services, processes, the kernel, leftovers, names, settings."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent, Unavailable
from hpcdoctor.probes import (
    configuration,
    kernel_state,
    leftovers,
    munge,
    processes,
    services,
    user_lookup,
)
from hpcdoctor.probes.host import Host
from tests.doubles.machines import host_of, written

UNITS = {"services": {"units": ["slurmd.service", "nosuch.service"]}}
SHOWN = """\
Id=slurmd.service
LoadState=loaded
ActiveState=active
SubState=running
Result=success
NRestarts=2

Id=nosuch.service
LoadState=not-found
ActiveState=inactive
SubState=dead
Result=success
NRestarts=0
"""
ASKED = (
    "systemctl_show_--property_Id_LoadState_ActiveState_SubState_Result_NRestarts"
    "_slurmd.service_nosuch.service"
)


def with_profile(folder: Path, files: Mapping[str, str], profile: Mapping[str, object]) -> Host:
    host = host_of(written(folder, dict(files)))
    host.profile = profile
    return host


def test_each_unit_of_the_profile_has_its_state(tmp_path: Path) -> None:
    host = with_profile(tmp_path, {f"commands/{ASKED}": SHOWN}, UNITS)
    assert services.subjects(host) == ["systemd"]
    one, other = services.read(host, "systemd")
    assert (one.unit, one.active_state, one.restarts_total) == ("slurmd.service", "active", 2)
    assert (other.unit, other.load_state) == ("nosuch.service", "not-found")


def test_a_profile_without_services_asks_for_none(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="names no services"):
        services.subjects(host_of(tmp_path))


def test_what_systemctl_does_not_say_of_every_unit_is_not_known(tmp_path: Path) -> None:
    host = with_profile(tmp_path, {f"commands/{ASKED}": SHOWN.split("\n\n")[0]}, UNITS)
    with pytest.raises(Unavailable, match="systemctl show ended with 0"):
        services.read(host, "systemd")


def stat(pid: int, name: str, state: str, parent: int = 1, started: int = 7) -> dict[str, str]:
    text = f"{pid} ({name}) {state} {parent} 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 {started} 0 5 0"
    return {f"proc/{pid}/stat": text}


def test_waiting_is_counted_only_as_far_as_the_same_process_was_seen(tmp_path: Path) -> None:
    now = [100.0]
    written(tmp_path, {**stat(47, "tar) D", "D"), **stat(48, "top", "S")})
    host = Host(tmp_path, live=False, clock=lambda: Instant("boot", now[0], 1e9))
    assert processes.read(host)[0].waiting_longest_seconds == 0
    now[0] = 400.0
    (seen,) = processes.read(host)
    assert (seen.waiting_count, seen.waiting_longest_seconds) == (1, 300)
    assert seen.waiting == "tar) D (pid 47)"
    written(tmp_path, stat(47, "tar", "D", started=99))
    assert processes.read(host)[0].waiting_longest_seconds == 0, "another under the same number"


def test_zombies_are_laid_at_the_door_of_their_parent(tmp_path: Path) -> None:
    files = stat(12, "slurmstepd", "S") | stat(20, "a", "Z", 12) | stat(21, "b", "Z", 12)
    (seen,) = processes.read(host_of(written(tmp_path, files | stat(22, "c", "Z", 1))))
    assert (seen.zombies_count, seen.zombies_parent) == (3, "slurmstepd (pid 12)")


def test_wanted_and_forbidden_go_by_the_kernels_name(tmp_path: Path) -> None:
    wanted = {"processes": {"wanted": ["slurmd", "a-rather-long-name"], "forbidden": ["top"]}}
    files = stat(5, "a-rather-long-n", "S") | stat(6, "top", "S") | stat(7, "slurmd", "Z")
    (seen,) = processes.read(with_profile(tmp_path, files, wanted))
    assert (seen.missing, seen.forbidden) == (["slurmd"], ["top"])


@pytest.mark.real
def test_a_real_zombie_is_seen() -> None:
    child = subprocess.Popen(["/bin/true"])
    try:
        end = time.monotonic() + 10
        while processes.read(Host.this_machine())[0].zombies_count < 1:
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        child.wait()


@pytest.mark.parametrize(
    ("tainted", "trouble"),
    [
        (0, []),
        (1 | 1 << 12 | 1 << 13, []),  # a vendor's module, out of tree, not signed
        (1 << 9, []),  # a warning
        (1 << 7 | 1 << 14, ["oops", "soft lockup"]),
        (1 << 4 | 1 << 5, ["machine check", "bad page"]),
    ],
)
def test_a_taint_is_trouble_only_where_something_went_wrong(
    tmp_path: Path, tainted: int, trouble: list[str]
) -> None:
    host = host_of(written(tmp_path, {"proc/sys/kernel/tainted": f"{tainted}\n"}))
    assert kernel_state.read(host)[0].trouble == trouble


def test_shares_are_known_only_where_both_numbers_are(tmp_path: Path) -> None:
    files = {
        "proc/sys/fs/file-nr": "800\t0\t1000\n",
        "proc/loadavg": "6.00 1 1 1/2 3\n",
        "proc/sys/net/netfilter/nf_conntrack_count": "5\n",
        "sys/devices/system/cpu/cpu0/x": "",
        "sys/devices/system/cpu/cpu1/x": "",
        "sys/devices/system/cpu/cpuidle/x": "",
    }
    (seen,) = kernel_state.read(host_of(written(tmp_path, files)))
    assert (seen.open_files_ratio, seen.load_per_cpu) == (0.8, 3.0)
    assert (seen.connections_ratio, seen.tainted, seen.hung_tasks_total) == (None, None, None)


USER = 23456
SEGMENTS = f"""\
 key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap
 0 7 1600 4096 11 12 0 {USER} 1 1 1 0 0 0 0 0
 0 8 1600 4096 11 12 1 {USER} 1 1 1 0 0 0 0 0
 0 9 1600 4096 11 12 0 0 1 1 1 0 0 0 0 0
 broken line
"""


@pytest.mark.usefixtures("as_root")
def test_only_what_users_without_a_process_left_is_counted(tmp_path: Path) -> None:
    files = {
        "dev/shm/left": "x" * 8192,
        "dev/shm/mine": "x",
        "dev/shm/system": "x",
        "proc/sysvipc/shm": SEGMENTS,
        "proc/meminfo": "MemTotal: 1000 kB\n",
        "proc/50/stat": "",
    }
    root = written(tmp_path, dict(files))
    os.chown(root / "dev/shm/left", USER, USER)
    os.chown(root / "dev/shm/mine", USER + 1, 0)
    os.chown(root / "proc/50", USER + 1, 0)
    (root / "dev/shm/link").symlink_to("left")
    os.chown(root / "dev/shm/link", USER, USER, follow_symlinks=False)
    (seen,) = leftovers.read(host_of(root))
    assert (seen.files_count, seen.segments_count, seen.segments_bytes) == (1, 1, 4096)
    assert seen.users == [str(USER)]
    assert seen.memory_ratio is not None
    assert seen.memory_ratio > 0.008


def test_a_machine_without_shared_memory_has_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(Absent):
        leftovers.read(host_of(tmp_path))


def test_munge_says_which_half_failed(tmp_path: Path) -> None:
    host = host_of(written(tmp_path, {"commands/munge_-n": "MUNGE:abc:\n", "commands/unmunge": ""}))
    assert munge.read(host, "munge")[0].works
    written(tmp_path, {"commands/unmunge": "Expired credential\n", "commands/unmunge.status": "15"})
    (seen,) = munge.read(host, "munge")
    assert (seen.works, seen.message) == (False, "unmunge: Expired credential")
    written(tmp_path, {"commands/munge_-n": "", "commands/munge_-n.status": "6"})
    assert munge.read(host, "munge")[0].message == "munge: it said nothing"


def test_a_user_is_looked_up_only_where_the_profile_names_one(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="names no user"):
        user_lookup.subjects(Host.this_machine())
    host = Host.this_machine()
    host.profile = {"names": {"user": "root"}}
    assert user_lookup.subjects(host) == ["root"]
    assert user_lookup.read(host, "root")[0].found
    assert not user_lookup.read(host, "nobody-of-this-name")[0].found


def test_settings_are_held_against_the_profile_word_by_word(tmp_path: Path) -> None:
    system = {
        "sysctl": ["net.ipv4.tcp_rmem=1 2  3", "vm.swappiness = 10", "../../etc/passwd=1"],
        "command_line": ["numa_balancing=disable", "quiet"],
        "modules": ["nvidia-peermem", "lustre", "../x"],
        "release": "rocky 9.4",
    }
    files = {
        "proc/sys/net/ipv4/tcp_rmem": "1\t2\t3\n",
        "proc/sys/vm/swappiness": "60\n",
        "proc/cmdline": 'BOOT_IMAGE=x numa_balancing=enable dyndbg="file a +p" quiet\n',
        "sys/module/nvidia_peermem/x": "",
        "etc/os-release": 'NAME="Rocky Linux"\nID="rocky"\nVERSION_ID="9.4"\n',
    }
    found = configuration.read(with_profile(tmp_path, files, {"system": system}))
    assert {(each.item, each.found, each.fits) for each in found} == {
        ("net.ipv4.tcp_rmem", "1 2 3", True),
        ("vm.swappiness", "60", False),
        ("numa_balancing", "numa_balancing=enable", False),
        ("quiet", "quiet", True),
        ("nvidia-peermem", "loaded", True),
        ("lustre", "", False),
        ("operating system", "rocky 9.4", True),
    }


def test_slurmds_limit_matters_only_beside_an_rdma_device(tmp_path: Path) -> None:
    limits = "Limit  Soft Limit  Hard Limit  Units\nMax locked memory  65536  65536  bytes\n"
    written(tmp_path, {"proc/9/comm": "slurmd\n", "proc/9/limits": limits})
    with pytest.raises(Absent):
        configuration.read(host_of(tmp_path))
    written(tmp_path, {"sys/class/infiniband/mlx5_0/node_type": "1"})
    (seen,) = configuration.read(host_of(tmp_path))
    assert (seen.kind, seen.found, seen.fits) == ("memlock", "65536", False)
