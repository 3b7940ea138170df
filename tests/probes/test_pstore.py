"""Is a crash found in what it left, and is nothing orderly taken for one?"""

import os
from pathlib import Path

import pytest

from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import pstore
from hpcdoctor.probes.host import Host
from hpcdoctor.probes.pstore import Crash
from tests.doubles.machines import written

BOOTED = 1_699_958_000
NOW = Instant("boot", 2_000.0, BOOTED + 2_000.0)
PANIC = "Kernel panic - not syncing: Fatal exception"
OLDER = (
    "Panic#1 Part2\n<1>[  5.000000] BUG: kernel NULL pointer dereference, address: 0\n"
    "<4>[  5.000100] Oops: 0002 [#1] SMP\n"
)
NEWER = f"Panic#1 Part1\n<0>[  9.000000] {PANIC}\n<0>[  9.100000] ---[ end Kernel panic ]---\n"


def crash(folder: Path, files: dict[str, str]) -> Crash:
    [found] = pstore.read(Host.recorded(written(folder, dict(files)), NOW))
    return found


def efi(seconds: int, part: int) -> str:
    return f"sys/fs/pstore/dmesg-efi_pstore-{(seconds * 100 + part) * 1000 + 1}"


def test_the_parts_of_one_dump_are_one_crash_with_its_panic(tmp_path: Path) -> None:
    when = BOOTED - 300
    found = crash(tmp_path, {efi(when, 1): NEWER, efi(when, 2): OLDER})
    assert (found.crashes_count, found.line) == (1, PANIC)
    assert found.before_boot_seconds == 300
    assert found.place.startswith("/sys/fs/pstore/dmesg-efi_pstore-")


def test_an_oops_that_was_survived_by_nobody_is_told_by_its_own_line(tmp_path: Path) -> None:
    found = crash(tmp_path, {"sys/fs/pstore/dmesg-ramoops-0": OLDER.replace("Panic", "Oops")})
    assert found.line == "BUG: kernel NULL pointer dereference, address: 0"


def test_what_systemd_put_away_is_found(tmp_path: Path) -> None:
    text = f"<0>[  9.000000] {PANIC}\n"
    found = crash(tmp_path, {"var/lib/systemd/pstore/1699950000/dmesg.txt": text})
    assert (found.crashes_count, found.line) == (1, PANIC)
    parts = {"var/lib/systemd/pstore/1/001/dmesg-erst-7": NEWER}
    assert crash(tmp_path / "b", parts).line == PANIC


def test_what_kdump_wrote_is_found_with_its_date(tmp_path: Path) -> None:
    folder = "var/crash/127.0.0.1-2023-11-14-10:00:00"
    log = f"[ 4711.000000] {PANIC}\n[ 4711.100000] CPU: 3 PID: 1 Comm: x\n"
    found = crash(tmp_path, {f"{folder}/vmcore": "", f"{folder}/vmcore-dmesg.txt": log})
    assert (found.line, found.place) == (PANIC, f"/{folder}")
    assert found.before_boot_seconds == BOOTED - 1_699_956_000


def test_a_core_without_a_log_is_a_crash_without_words(tmp_path: Path) -> None:
    assert crash(tmp_path, {"var/crash/202311141000/dump.202311141000": ""}).crashes_count == 1
    packed = {"sys/fs/pstore/dmesg-erst-1.enc.z": "x\x9c"}
    assert crash(tmp_path / "b", packed) == Crash(1, "", "/sys/fs/pstore/dmesg-erst-1.enc.z")


@pytest.mark.parametrize(
    "files",
    [
        {efi(BOOTED - 300, 1): "Shutdown#1 Part1\n<6>[ 9.000000] reboot: Restarting system\n"},
        {"sys/fs/pstore/dmesg-ramoops-0": "Restart#2 Part1\n<5>[ 9.000000] Oops: of a user\n"},
        {"sys/fs/pstore/console-ramoops-0": f"[ 9.000000] {PANIC}\n"},
        {"sys/fs/pstore/pmsg-ramoops-0": PANIC},
        {"var/crash/_usr_bin_python3.1000.crash": "ProblemType: Crash\n"},
        {"var/crash/kexec_cmd": "", "var/crash/kdump_lock": ""},
        {"var/crash/202311141000/notes.txt": PANIC},
        {"var/lib/systemd/pstore/.keep": ""},
    ],
)
def test_what_only_lies_there_is_no_crash(tmp_path: Path, files: dict[str, str]) -> None:
    assert crash(tmp_path, files) == Crash(crashes_count=0)


def test_of_several_the_latest_is_told(tmp_path: Path) -> None:
    other = NEWER.replace("Fatal exception", "Fatal machine check")
    found = crash(tmp_path, {efi(BOOTED - 9000, 1): NEWER, efi(BOOTED - 300, 1): other})
    assert (found.crashes_count, found.before_boot_seconds) == (2, 300)
    assert found.line.endswith("Fatal machine check")


def test_a_record_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host.recorded(written(tmp_path, {efi(BOOTED - 300, 1): NEWER}), NOW)
    pstore.read(host)
    monkeypatch.setattr(pstore, "read_bytes", None)
    assert pstore.read(host)[0].line == PANIC


def test_a_machine_without_any_such_place_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no place"):
        pstore.read(Host.recorded(tmp_path, NOW))


def test_what_a_user_left_is_not_believed(tmp_path: Path, as_root: None) -> None:
    folder = written(tmp_path, {"var/crash/202311141000/dmesg.1": f"[ 1.000000] {PANIC}\n"})
    live = Host(folder, live=True, clock=lambda: NOW)
    assert pstore.read(live)[0].crashes_count == 1
    os.chown(folder / "var/crash/202311141000", 65534, 65534)
    live = Host(folder, live=True, clock=lambda: NOW)
    assert pstore.read(live)[0].crashes_count == 0


def test_a_link_out_of_the_tree_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text(NEWER)
    store = tmp_path / "node/sys/fs/pstore"
    store.mkdir(parents=True)
    (store / "dmesg-erst-1").symlink_to(tmp_path / "outside")
    assert pstore.read(Host.recorded(tmp_path / "node", NOW)) == [Crash(crashes_count=0)]
