from pathlib import Path

import pytest

from hpcdoctor.model.reading import Absent
from hpcdoctor.probes import software_raid
from hpcdoctor.probes.software_raid import Array
from tests.doubles.machines import host_of, written

MDSTAT = """Personalities : [raid1] [raid6] [raid5] [raid4] [raid0]

md0 : active raid1 sdb2[2](F) sdc1[1](S) sda2[0]
      195310144 blocks [2/1] [U_]
      [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min

md11 : active (auto-read-only) raid1 sdb2[0] sdc2[1]
      4190208 blocks super 1.2 [2/2] [UU]
      resync=PENDING

md201 : active raid1 sda3[0] sdb3[1]
      1993728 blocks super 1.2 [2/2] [UU]
      [=>...................]  check =  5.7% (114176/1993728) finish=0.2min speed=114176K/sec

md10 : active raid0 sda1[0] sdb1[1]
       314159265 blocks 64k chunks

md219 : inactive sdb[2](S) sdc[1](S) sda[0](S)
        7932 blocks super external:imsm

md4 : inactive raid1 sda3[0](F) sdb3[1](S)
      4883648 blocks [2/2] [UU]

unused devices: <none>
"""


def by_name(root: Path) -> dict[str, Array]:
    return {array.array: array for array in software_raid.read(host_of(root))}


def test_mdstat_alone_tells_who_is_missing(tmp_path: Path) -> None:
    arrays = by_name(written(tmp_path, {"proc/mdstat": MDSTAT}))
    assert list(arrays) == ["md0", "md11", "md201", "md10", "md219", "md4"]
    md0 = arrays["md0"]
    assert (md0.level, md0.state, md0.members, md0.degraded) == ("raid1", "active", 2, 1)
    assert (md0.missing, md0.faulty, md0.spares) == (["1"], ["sdb2"], ["sdc1"])
    assert md0.sync_action == "recover"


def test_a_check_and_an_array_that_waits_for_its_first_write_are_well(tmp_path: Path) -> None:
    arrays = by_name(written(tmp_path, {"proc/mdstat": MDSTAT}))
    assert (arrays["md11"].state, arrays["md11"].degraded) == ("read-auto", 0)
    assert (arrays["md201"].sync_action, arrays["md201"].degraded) == ("check", 0)


def test_where_nothing_is_stored_twice_nothing_can_be_degraded(tmp_path: Path) -> None:
    arrays = by_name(written(tmp_path, {"proc/mdstat": MDSTAT}))
    assert (arrays["md10"].redundant, arrays["md10"].degraded) == (False, None)
    assert (arrays["md219"].level, arrays["md219"].state) == ("container", "inactive")
    assert (arrays["md4"].level, arrays["md4"].state) == ("raid1", "inactive")


def array(name: str, members: dict[str, tuple[str, str]], **facts: str) -> dict[str, str | bytes]:
    given = {"level": "raid1", "array_state": "active", "raid_disks": "2", "degraded": "0"} | facts
    files: dict[str, str | bytes] = {
        f"sys/block/{name}/md/{key}": f"{text}\n" for key, text in given.items()
    }
    for device, (state, slot) in members.items():
        files[f"sys/block/{name}/md/dev-{device}/state"] = f"{state}\n"
        files[f"sys/block/{name}/md/dev-{device}/slot"] = f"{slot}\n"
    return files


def test_the_missing_place_and_the_device_that_was_thrown_out_are_named(tmp_path: Path) -> None:
    members = {
        "sda1": ("in_sync,write_mostly", "0"),
        "sdb1": ("faulty", "none"),
        "sdc1": ("spare", "none"),
    }
    files = array("md0", members, degraded="1", sync_action="recover", mismatch_cnt="128")
    (seen,) = by_name(written(tmp_path, files)).values()
    assert (seen.degraded, seen.missing) == (1, ["1"])
    assert (seen.faulty, seen.spares) == (["sdb1"], ["sdc1"])
    assert (seen.sync_action, seen.mismatches, seen.redundant) == ("recover", 128, True)


def test_a_kernel_that_does_not_tell_places_names_none(tmp_path: Path) -> None:
    files = array("md0", {"sda1": ("in_sync", "0")}, degraded="1")
    del files["sys/block/md0/md/dev-sda1/slot"]
    (seen,) = by_name(written(tmp_path, files)).values()
    assert (seen.degraded, seen.missing) == (1, [])


def test_a_device_without_an_array_in_it_is_none(tmp_path: Path) -> None:
    files = array("md0", {}, array_state="clear") | {"sys/block/md127/size": "0\n"}
    with pytest.raises(Absent, match="no software RAID"):
        software_raid.read(host_of(written(tmp_path, files)))


def test_numbers_without_sense_are_none(tmp_path: Path) -> None:
    files = array("md0", {"sda1": ("in_sync", "0")}, raid_disks="999999999999", degraded="many")
    (seen,) = by_name(written(tmp_path, files)).values()
    assert (seen.degraded, seen.missing) == (None, [])
