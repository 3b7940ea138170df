"""Does `record` make what `check --root` reads, bounded, and without what is private?"""

import builtins
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from hpcdoctor.__main__ import main
from hpcdoctor.knowledge import load
from hpcdoctor.model.reading import Reading, ReadStatus, Value
from hpcdoctor.prober import recorded_tree, recorder, tracing
from hpcdoctor.prober.recorded_tree import Link, build, leading_back, node_at, walk
from hpcdoctor.prober.recorder import finish, snapshots
from hpcdoctor.prober.scrub import Scrubber
from hpcdoctor.prober.tracing import Seen
from hpcdoctor.probes import jobs, registry
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.registry import Probe, Shape
from tests.conftest import NODES
from tests.doubles.machines import host_of, written

RECORDED = [
    path
    for path in sorted(NODES.iterdir())
    if path.is_dir() and not path.name.startswith("_") and path.name != "binding"
]


def record(output: Path, *roots: Path, apart: str = "") -> Path:
    arguments = ["record", "--output", str(output), *(["--apart", apart] if apart else [])]
    for root in roots:
        arguments += ["--root", str(root)]
    assert main(arguments) == 0
    return output


def content(folder: Path) -> dict[str, str | bytes]:
    """Return every file and link of a recording but its README."""
    found: dict[str, str | bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file() and name != "README":
            found[name] = path.read_bytes()
        elif path.is_dir():
            found[name + "/"] = b""
    return found


def verdicts(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    capsys.readouterr()
    main(["check", "--json", *arguments])
    checks = json.loads(capsys.readouterr().out)["checks"]
    return {each["check"]: each.get("verdict", "skipped") for each in checks}


def whole_text(folder: Path) -> str:
    return (
        "\n".join(f"{name}\n{data!r}" for name, data in content(folder).items())
        + (folder / "README").read_text()
    )


# --- a recorded machine, recorded anew


@pytest.mark.parametrize("node", RECORDED, ids=lambda node: node.name)
def test_a_recording_of_a_recording_says_the_same_and_is_the_same(
    node: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = record(tmp_path / "first", node)
    assert verdicts(capsys, "--root", str(first)) == verdicts(capsys, "--root", str(node))
    second = record(tmp_path / "second", first)
    assert content(second) == content(first)


def test_two_snapshots_stay_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    roots = [NODES / "binding/before", NODES / "binding/after"]
    asked = [word for root in roots for word in ("--root", str(root))]
    both = record(tmp_path / "both", *roots, apart="10s")
    again = ["--root", str(both / "first"), "--root", str(both / "second")]
    assert verdicts(capsys, *again) == verdicts(capsys, *asked)
    assert "check --root first --root second --apart 10s" in (both / "README").read_text()


def test_only_what_a_probe_reads_is_kept(tmp_path: Path) -> None:
    root = written(
        tmp_path / "node",
        {
            "proc/meminfo": "MemTotal: 1000 kB\n",
            "etc/shadow": "root:$6$x\n",
            "root/.ssh/id_ed25519": "PRIVATE\n",
            "proc/7/environ": "PATH=/bin\0",
        },
    )
    found = content(record(tmp_path / "out", root))
    assert "proc/meminfo" in found
    assert not [name for name in found if name.startswith(("etc/shadow", "root"))]


# --- what is private

SECRETS = {
    "host": "secretnode07",
    "user": "ada.lovelace",
    "token": "hunter2-token",
    "program": "secret_solver",
    "mac": "0c:42:a1:5e:77:31",
    "guid": "b83f:d203:00a1:b2c4",
    "uuid": "4c4c4544-0034-5810-8051-b4c04f395a33",
    "serial": "J4XQ9Z3",
    "address": "10.42.17.201",
}


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """Return a recorded node that holds all of them, where probes find them."""
    s = SECRETS
    mounts = (
        f"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"21 20 0:40 / /home/{s['user']} rw - nfs4 {s['address']}:/home/{s['user']} "
        f"rw,addr={s['address']},password={s['token']}\n"
        f"22 20 0:41 / /data rw - cifs //{s['host']}.site.org/x rw,username={s['user']}\n"
    )
    fstab = f"//{s['host']}/x /data cifs username={s['user']},password={s['token']} 0 0\n"
    fstab += f"UUID={s['uuid']} / ext4 defaults 0 1\n"
    stat = f"4711 ({s['program']}) R 1 " + " ".join(["0"] * 48) + "\n"
    kmsg = (
        f"4,10,86000000000,-;INFO: task {s['program']}:4711 blocked for more than 120 seconds.\n"
        f"4,11,86000100000,-;something else by {s['program']} of {s['user']}\n"
        f"14,12,86000200000,-;{s['token']} by a process\n"
        f"3,13,86000300000,-;EXT4-fs error (device sda1): x:1: comm {s['program']}: bad\n"
    )
    return written(
        tmp_path / "node",
        {
            "proc/sys/kernel/hostname": s["host"] + "\n",
            "proc/sys/kernel/osrelease": "6.1.0\n",
            "proc/1/mountinfo": mounts,
            "etc/fstab": fstab,
            "proc/stat": "cpu 1 2 3 4\n",
            "proc/uptime": "86000.0 1.0\n",
            "proc/4711/stat": stat,
            "proc/4711/environ": f"SLURM_JOB_ID=42\0API_TOKEN={s['token']}\0",
            "proc/4711/cmdline": f"/home/{s['user']}/{s['program']}\0--key={s['token']}\0",
            "dev/kmsg": kmsg,
            "sys/class/nvme/nvme0/serial": s["serial"] + "\n",
            "sys/class/nvme/nvme0/state": "live\n",
            "sys/class/nvme/nvme0/model": f"disk of {s['host']}\n",
            "sys/class/infiniband/mlx5_0/node_desc": f"{s['host']} mlx5_0\n",
            "sys/class/infiniband/mlx5_0/board_id": f"{s['guid']} {s['mac']}\n",
            "sys/class/infiniband/mlx5_0/ports/1/state": "4: ACTIVE\n",
            "readings/nvidia_gpu.json": json.dumps(
                [{"subject": "0000:3b:00", "readings": [gpu_with_names()]}]
            ),
        },
    )


def gpu_with_names() -> dict[str, object]:
    return {
        "pci_address": "0000:3b:00",
        "gpu": "GPU0",
        "state": "ok",
        "uuid": f"GPU-{SECRETS['uuid']}",
        "serial": SECRETS["serial"],
        "troubles": [f"asked by {SECRETS['host']}"],
    }


@pytest.mark.parametrize("what", SECRETS)
def test_nothing_private_is_in_it(what: str, private: Path, tmp_path: Path) -> None:
    assert SECRETS[what] not in whole_text(record(tmp_path / "out", private))


def test_the_private_node_says_the_same_without_names(
    private: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = record(tmp_path / "out", private)
    assert verdicts(capsys, "--root", str(out)) == verdicts(capsys, "--root", str(private))
    log = (out / "dev/kmsg").read_text()
    assert "INFO: task process:4711 blocked for more than 120 seconds." in log
    assert "something else" not in log
    reading = json.loads((out / "readings/nvidia_gpu.json").read_text())[0]["readings"][0]
    assert reading["pci_address"] == "0000:3b:00"


# --- a tree that wants to harm


def test_a_hostile_tree_is_read_and_written_nowhere_else(tmp_path: Path) -> None:
    outside = written(tmp_path / "outside", {"secret": "SECRET\n", "net/eth9/mtu": "1\n"})
    root = written(tmp_path / "node", {"proc/meminfo": "MemTotal: 1000 kB\n"})
    (root / "proc/stat").symlink_to(outside / "secret")
    (root / "proc/cmdline").symlink_to("../../outside/secret")
    (root / "sys/class").mkdir(parents=True)
    (root / "sys/class/net").symlink_to(outside / "net")
    (root / "sys/class/nvme").symlink_to("../../../outside")
    (root / "proc/loadavg").symlink_to("loadavg")
    os.mkfifo(root / "proc/vmstat")
    (root / "commands").symlink_to(outside)
    (root / "readings").mkdir()
    (root / "readings/memory.json").symlink_to(outside / "secret")
    (root / "sys/block").mkdir()
    (root / "sys/block/a\udcff").mkdir()
    (root / "sys/block/up").symlink_to("..")
    before = content(outside)
    out = record(tmp_path / "out", root)
    assert "SECRET" not in whole_text(out)
    assert "eth9" not in whole_text(out)
    assert content(outside) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node", "out", "outside"]


@pytest.mark.parametrize("node", RECORDED, ids=lambda node: node.name)
def test_links_are_relative_lead_inside_and_end(node: Path, tmp_path: Path) -> None:
    out = record(tmp_path / "out", node)
    ends = [1000]
    for path in followed(out, ends):
        assert path.resolve().is_relative_to(out.resolve())
    for path in out.rglob("*"):
        assert path.is_symlink() or path.is_dir() or path.is_file()
        assert not (path.is_symlink() and path.readlink().is_absolute())


def followed(folder: Path, left: list[int], depth: int = 0) -> Iterator[Path]:
    """Yield what is found by one who follows every link, as some tools do."""
    assert depth < 60, f"{folder} has no end"
    for path in folder.iterdir():
        yield path
        if path.is_dir():
            yield from followed(path, left, depth + 1)


def test_links_that_lead_back_keep_their_name_and_what_is_behind_them() -> None:
    tree = build(
        [
            Seen("link", "sys/block/sda", target="sys/devices/pci/host0/block/sda"),
            Seen("link", "sys/block/sda/device", target="sys/devices/pci/host0"),
            Seen("file", "sys/block/sda/device/model", b"PERC\n"),
            Seen("file", "sys/block/sda/size", b"7\n"),
        ],
        [],
    )
    links = {path: node for path, node in walk(tree) if isinstance(node, Link)}
    device = links["sys/devices/pci/host0/block/sda/device"]
    assert device.target.endswith("/host0")
    assert node_at(tree, f"{device.target}/model") == b"PERC\n"
    assert leading_back(tree) == {}


@pytest.mark.parametrize(
    "links",
    [
        {"a": "a"},
        {"a": "b", "b": "a"},
        {"x/a": "y", "y/b": "x"},
        {"x/a": "x"},
        {"x/a": ""},
        {"x/a": "../../.."},
        {"a": "/".join(["b"] * 100)},
    ],
)
def test_no_links_whatever_make_a_circle(links: dict[str, str]) -> None:
    seen = [Seen("link", path, target=target) for path, target in links.items()]
    seen += [Seen("file", f"{path}/file", b"1") for path in links]
    tree = build(seen, [])
    assert leading_back(tree) == {}


def test_what_is_too_much_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(recorded_tree, "MOST_BYTES", 3000)
    files = {f"sys/class/net/e{n}/{name}": "1" * 100 for n in range(9) for name in ("mtu", "flags")}
    types = {f"sys/class/net/e{n}/type": "1\n" for n in range(9)}
    devices = {f"sys/class/net/e{n}/device/x": "1\n" for n in range(9)}
    root = written(tmp_path / "node", {**files, **types, **devices, "dev/kmsg": "x" * 5000})
    out = record(tmp_path / "out", root)
    size = sum(len(data) for data in content(out).values() if isinstance(data, bytes))
    assert size < 20_000
    assert "beyond" in (out / "README").read_text() or not (out / "dev/kmsg").exists()


# --- names and stand-ins


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("sys/x/address", "0c:42:a1:5e:77:31\n", "02:00:00:00:00:01\n"),
        ("sys/x/address", "00:00:00:00:00:00\n", "00:00:00:00:00:00\n"),
        ("sys/x/guid", "b83f:d203:00a1:b2c4\n", "0200:0000:0000:0001\n"),
        ("sys/bus/pci/slots/5/address", "0000:3b:00\n", "0000:3b:00\n"),
        ("sys/x/vbios", "96.00.61.00.01 4.18.0-55.5.1\n", "96.00.61.00.01 4.18.0-55.5.1\n"),
        ("sys/x/version", "2.1.0.4\n", "2.1.0.4\n"),
        ("etc/fstab", "mgs@o2ib:/fs 10.1.2.3@tcp:/fs\n", "mgs@o2ib:/fs 192.0.2.1@tcp:/fs\n"),
        ("etc/fstab", "ada@box:/x /x fuse.sshfs\n", "user@box:/x /x fuse.sshfs\n"),
        ("etc/fstab", "a b cifs user=ada,pass=x,ro\n", "a b cifs user=left-out,pass=left-out,ro\n"),
        ("proc/1/mountinfo", "x rw,user_id=1000\n", "x rw,user_id=1000\n"),
        ("proc/1/mountinfo", "/home/ada /u/bob /home/ada\n", "/home/user1 /u/user2 /home/user1\n"),
        ("sys/x/serial", "J4X\n", "SERIAL1\n"),
        ("commands/ipmitool_fru", "Serial : ABC\nMfg: X\n", "Serial : SERIAL1\nMfg: X\n"),
        ("proc/7/comm", "solver\n", "process\n"),
        ("proc/7/comm", "slurmstepd\n", "slurmstepd\n"),
        ("proc/7/stat", "7 (a) b) R 1 1 1 0 -1 64 0\n", "7 (process) R 1 1 1 0 -1 64 0\n"),
        ("proc/7/stat", "7 (kfoo) S 1 1 1 0 -1 2129984 0\n", "7 (kfoo) S 1 1 1 0 -1 2129984 0\n"),
        ("proc/7/environ", "A=1\0SLURM_PROCID=3\0PASSWORD=x\0", "SLURM_PROCID=3\0"),
        ("proc/7/cgroup", "0::/user@1000.service/app.slice/mine.scope\n",
         "0::/user@1000.service/app.slice/process.scope\n"),
        ("proc/7/numa_maps", "7f default file=/home/a/x N0=1\n", "7f default file=/process N0=1\n"),
        ("proc/version", "Linux n7.site.org n7 n70\n", "Linux node node n70\n"),
        ("dev/kmsg", "4,1,2,-;a invoked oom-killer\n", "4,1,2,-;process invoked oom-killer\n"),
        ("dev/kmsg", "30,1,2,-;systemd[1]: hello\n", ""),
    ],
)  # fmt: skip
def test_a_stand_in_takes_the_place_of_a_name(path: str, before: str, after: str) -> None:
    scrubber = Scrubber(["n7.site.org"])
    assert scrubber.file(path, before.encode()) == after.encode()
    assert scrubber.file(path, after.encode()) == after.encode()
    assert Scrubber().file(path, after.encode()) == after.encode()


def test_a_command_line_is_never_kept() -> None:
    assert Scrubber().file("proc/7/cmdline", b"a\0b\0") is None


def test_the_same_name_gets_the_same_stand_in_everywhere() -> None:
    scrubber = Scrubber()
    uuid = "4c4c4544-0034-5810-8051-b4c04f395a33"
    stand_in = scrubber.text(uuid)
    assert scrubber.reading({"uuid": f"GPU-{uuid}"}) == {"uuid": f"GPU-{stand_in}"}
    assert scrubber.path(f"dev/disk/by-uuid/{uuid}") == f"dev/disk/by-uuid/{stand_in}"


def test_a_users_program_is_in_no_field_of_a_reading() -> None:
    fields: dict[str, Value] = {
        "command": "solver",
        "who": "job 4 (pid 7, solver)",
        "pid": 7,
        "ok": True,
    }
    found = Scrubber().reading(fields)
    assert found == {"command": "process", "who": "job 4 (pid 7, process)", "pid": 7, "ok": True}


# --- this machine


@pytest.mark.real
def test_this_machine_says_the_same_in_a_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = {name for name in registry.names() if registry.find(name).shape is Shape.PLAIN}
    differ: dict[str, tuple[str, str]] = {}
    for attempt in range(3):  # others are at work here, too
        folder = tmp_path / f"out{attempt}"
        archive = record(tmp_path / f"out{attempt}.tar.gz")
        live = verdicts(capsys, "--here")
        with tarfile.open(archive) as tar:
            tar.extractall(tmp_path)  # noqa: S202  # it is our own
        there = verdicts(capsys, "--root", str(folder))
        checks = {name: check.definition.probe for name, check in load().checks.items()}
        ours = [name for name in live if checks[name] in plain]
        assert len(ours) > 50
        differ = {name: (live[name], there[name]) for name in ours if live[name] != there[name]}
        again = record(tmp_path / f"again{attempt}", folder)
        assert content(again) == content(folder)
        if not differ:
            break
    assert differ == {}


@pytest.mark.real
def test_no_secret_of_an_environment_is_in_a_recording_of_this_machine(tmp_path: Path) -> None:
    secret = "hunter2-" + "of-a-process"
    program = [sys.executable, "-c", "import time\nend = time.monotonic() + 8\n"
               "while time.monotonic() < end: pass"]  # fmt: skip
    with subprocess.Popen(
        program, env={"API_TOKEN": secret, "SLURM_JOB_ID": "77"}, user=os.geteuid()
    ) as busy:
        out = record(tmp_path / "out", apart="1s")
        busy.kill()
    for snapshot in ("first", "second"):
        folder = out / snapshot
        (folder / "README").write_text("")
        assert secret not in whole_text(folder)
    readings = json.loads((out / "second/readings/cpu_binding.json").read_text())[0]["readings"]
    assert [reading["who"] for reading in readings if reading["job"] == "77"] == [
        f"job 77 (pid {busy.pid}, process)"
    ]
    assert os.uname().nodename not in (out / "README").read_text().split()


class Slow(Reading, frozen=True):
    it: int


def test_a_probe_that_hangs_does_not_hang_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(host: Host) -> list[Slow]:
        (host.root / "proc/sys/kernel/osrelease").read_text()
        time.sleep(600)
        return []

    def find(name: str) -> Probe:
        module = ModuleType(name)
        vars(module)["read"] = read
        return Probe(name, Shape.PLAIN, Slow, module)

    monkeypatch.setattr(registry, "find", find)
    monkeypatch.setattr(recorder, "DEADLINE_SECONDS", 0.3)
    start = time.monotonic()
    (draft,) = snapshots(["slow"], None, [])
    assert time.monotonic() - start < 5
    (look,) = draft.looks["slow"]
    assert look.status is ReadStatus.STUCK
    # What it read before it hung is there.
    assert node_at(draft.tree, "proc/sys/kernel/osrelease")


def test_what_a_tool_says_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(host: Host, subject: str) -> Sequence[Slow]:
        return [Slow(len(host.run(["uname", subject], 5).out))]

    def find(name: str) -> Probe:
        module = ModuleType(name)
        vars(module).update(read=read, subjects=lambda host: ["-s"], SUBJECT="it")
        return Probe(name, Shape.PER_SUBJECT, Slow, module)

    monkeypatch.setattr(registry, "find", find)
    (done,) = finish(snapshots(["tool"], None, []), Scrubber(), 10.0)
    assert node_at(done.tree, "commands/uname_-s") == b"Linux\n"


def test_who_works_where_leaves_no_trace_and_what_a_job_has_open_is_not_looked_at(
    tmp_path: Path,
) -> None:
    written(
        tmp_path,
        {
            "etc/passwd": "anna:x:1000:1000:Anna Anderson:/home/anna:/bin/sh\n",
            "sys/fs/cgroup/cpuset/slurm/uid_1000/job_7/cgroup.procs": "101\n",
            "proc/1/mountinfo": "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
            "proc/101/status": "Name:\tsolve\nUid:\t1000\t1000\t1000\t1000\n",
            "proc/driver/nvidia/gpus/0000:3b:00.0/information": "Device Minor:\t 0\n",
        },
    )
    (tmp_path / "proc/101/fd").mkdir()
    (tmp_path / "proc/101/fd/3").symlink_to("/home/anna/thesis")
    (tmp_path / "proc/101/cwd").symlink_to("/home/anna/project")
    seen: list[bytes] = []
    with tracing.Trace(tmp_path, seen.append).active():
        (one,) = jobs.read(host_of(tmp_path))
    assert (one.user, one.gpus, one.mounts) == ("anna", [], ["/"])
    assert b"cgroup.procs" in b"".join(seen)
    assert not [line for line in seen if b"nna" in line or b"/fd" in line or b"cwd" in line]


def test_the_calls_are_as_they_were_after_a_trace(tmp_path: Path) -> None:
    before = [os.open, os.read, os.stat, os.listdir, io.open, builtins.open, Host.run]
    with pytest.raises(ZeroDivisionError), tracing.Trace(tmp_path, print).active():
        _ = 1 / 0
    assert before == [os.open, os.read, os.stat, os.listdir, io.open, builtins.open, Host.run]


# --- the command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--apart", "soon"], "--apart"),
        (["--apart", "2h"], "between"),
        (["--root", "/", "--apart", "1s"], "--root twice"),
        (["--root", "/nowhere"], "/nowhere"),
        (["--output", "/etc/passwd"], "is there already"),
        (["--output", "/nowhere/x.tar.gz"], "/nowhere is not a folder"),
    ],
)
def test_wrong_usage_is_told(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["record", *arguments])
    assert ended.value.code == 64
    assert said in capsys.readouterr().err


def test_an_archive_is_its_owners_alone_and_unpacks(tmp_path: Path) -> None:
    archive = record(tmp_path / "node.tar.gz", NODES / "h100x8")
    assert archive.stat().st_mode & 0o777 == 0o600
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path)  # noqa: S202  # it is our own
    folder = record(tmp_path / "folder", NODES / "h100x8")
    assert content(tmp_path / "node") == content(folder)
