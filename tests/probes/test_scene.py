from pathlib import Path

from hpcdoctor.probes import scene
from hpcdoctor.probes.host import Host
from tests.doubles.machines import host_of, written

STAT = "{pid} ({name}) {state} 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 9 4096 {pages} 0"


def process(pid: int, name: str, state: str, ticks: int) -> dict[str, str | bytes]:
    text = STAT.format(pid=pid, name=name, state=state, ticks=ticks, pages=5)
    return {f"proc/{pid}/stat": text, f"proc/{pid}/wchan": "nfs_wait_bit_killable"}


def test_the_ring_comes_as_lines_with_facility_and_level(tmp_path: Path) -> None:
    log = "4,1,2500000,-;NVRM: Xid\\x0a 79\n SUBSYSTEM=pci\n30,2,2600000,-;systemd[1]: hello\n"
    (seen,) = scene.read(host_of(written(tmp_path, {"dev/kmsg": log})))
    assert seen.kernel_log == [
        "0,4 [2.500000] NVRM: Xid\\x0a 79",
        "3,6 [2.600000] systemd[1]: hello",
    ]


def test_what_waits_comes_first_and_then_what_was_busiest(tmp_path: Path) -> None:
    files = process(10, "slurmd", "S", 500) | process(11, "kworker) x", "D", 0)
    files |= process(12, "init", "S", 900)
    (seen,) = scene.read(host_of(written(tmp_path, files)))
    names = [line.split(":")[0].split(" ", 5)[-1] for line in seen.processes]
    assert [name.rsplit(" ", 1)[-1] for name in names] == ["x", "init", "slurmd"]
    assert "state D in nfs_wait_bit_killable" in seen.processes[0]


def test_an_empty_machine_is_an_empty_scene(tmp_path: Path) -> None:
    (seen,) = scene.read(host_of(tmp_path))
    assert (seen.kernel_log, seen.processes, seen.load) == ([], [], "")


def test_this_machine_has_one_and_names_no_users_process() -> None:
    (seen,) = scene.read(Host.this_machine())
    assert any(line.startswith("pid 1 uid 0 ") for line in seen.processes) or seen.processes
    for line in seen.processes:
        user = int(line.split()[3])
        assert user < scene.FIRST_USER or "(of a user)" in line
