"""Does `profile learn` write down what a node is made of, and `profile diff` find what differs?"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hpcdoctor.__main__ import main
from hpcdoctor.checks.learn import compare, flat, learn
from hpcdoctor.definitions import profile
from hpcdoctor.definitions.convert import convert
from hpcdoctor.definitions.loader import as_plain, data_folder
from hpcdoctor.definitions.profile_sources import NOT_LEARNT, SOURCES
from hpcdoctor.definitions.yamlfile import parse_yaml
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, ReadStatus
from hpcdoctor.probes import registry
from hpcdoctor.report.profile import render, scalar
from tests.conftest import NODES
from tests.doubles.machines import copy_of
from tests.doubles.site import written

NOW = Instant("boot", 1000.0, 0.0)
NODES_TO_LEARN = ["h100x8", "fabric-node", "two-socket-infiniband"]


def seen(probe: str, *readings: dict[str, Any], **more: Any) -> Look:
    status = more.pop("status", ReadStatus.READ)
    return Look(probe, status, NOW, readings=list(readings), **more)


# --- the table beside the shape


def test_every_key_of_a_profile_is_learnt_or_says_why_not() -> None:
    sections = profile.sections()
    keys = {f"{section}.{key}" for section, shape in sections.items() for key in fields(shape)}
    keys |= set(fields(profile.Profile)) - set(sections)
    assert keys == {*SOURCES, *NOT_LEARNT}
    assert not set(SOURCES) & set(NOT_LEARNT)


def fields(shape: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = shape.__struct_fields__
    return found


@pytest.mark.parametrize("key", SOURCES)
def test_every_source_is_a_field_of_a_probe(key: str) -> None:
    source = SOURCES[key]
    names = fields(registry.find(source.probe).reading)
    assert source.field in names
    assert source.name in (*names, "")


# --- learning


def learnt(capsys: pytest.CaptureFixture[str], root: Path, *more: str) -> str:
    assert main(["profile", "learn", "kind", "--force", "--root", str(root), *more]) == 0
    return capsys.readouterr().out


def loaded(text: str) -> dict[str, Any]:
    source = parse_yaml(text.encode(), Path("kind.yaml"))
    convert(source, profile.Profile)
    return as_plain(source)


def test_a_gpu_node_is_learnt_whole(capsys: pytest.CaptureFixture[str]) -> None:
    text = learnt(capsys, NODES / "h100x8")
    found = loaded(text)
    assert found["profile"] == "kind"
    assert found["gpu"]["count"] == 8
    assert len(found["gpu"]["pci_addresses"]) == 8
    assert (found["gpu"]["nvlinks"], found["gpu"]["ecc"]) == (18, True)
    assert found["gpu"]["power_limit_watts"] == 700
    assert found["infiniband"]["rate_gigabits_per_second"] == 400
    assert found["versions"]["nvidia_driver"] == ["570.158.01"]
    assert "  count: 8  # nvidia_driver: gpus_in_pci\n" in text
    assert "#   storage: there is no NVMe controller\n" in text


@pytest.mark.parametrize("node", NODES_TO_LEARN)
def test_the_same_node_gives_the_same_profile(
    node: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learnt(capsys, NODES / node) == learnt(capsys, NODES / node)


def test_nothing_that_names_one_part_or_machine_is_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy_of("h100x8", tmp_path)
    looks = json.loads((root / "readings/nvidia_gpu.json").read_text())
    for number, look in enumerate(looks):
        for reading in look["readings"]:
            reading |= {"serial": f"16505230{number}", "uuid": f"GPU-0a1b2c3d-{number}"}
    secrets = {
        "proc/sys/kernel/hostname": "secretnode07\n",
        "sys/class/dmi/id/product_serial": "J4XQ9Z3\n",
        "sys/class/dmi/id/product_uuid": "4c4c4544-0034-5810-8051-b4c04f395a33\n",
        "sys/class/infiniband/mlx5_0/node_guid": "b83f:d203:00a1:b2c4\n",
        "readings/nvidia_gpu.json": json.dumps(looks),
    }
    written(root, secrets)
    text = learnt(capsys, root)
    for secret in ("16505230", "GPU-0a1b", "secretnode", "J4XQ", "4c4c4544", "b83f:"):
        assert secret not in text


def test_a_port_that_is_down_is_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    text = learnt(capsys, NODES / "two-socket-infiniband")
    found = loaded(text)
    assert found["infiniband"]["ports"] == ["mlx4_0/1", "mlx5_0/1", "mlx5_1/1"]
    assert "# left out: mlx4_0/2 is down" in text
    assert "# left out: mlx5_1/1 runs at 200 Gb/s, others of its board at 400" in text
    assert "eno2" not in found["ethernet"]["interfaces"]


def test_a_node_that_is_not_well_is_refused_and_told_what_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = str(NODES / "two-socket-infiniband")
    assert main(["profile", "learn", "kind", "--root", root]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "critical dimm-uncorrected-errors[dimm=mc1]" in said.err
    assert "--force" in said.err
    assert main(["profile", "learn", "kind", "--root", root, "--force"]) == 0
    assert "#   critical dimm-uncorrected-errors\n" in capsys.readouterr().out


def test_what_differs_between_parts_is_not_learnt() -> None:
    gpus = [{"gpu": f"GPU{n}", "ecc": n != 1, "memory_total_bytes": 80 - n} for n in range(3)]
    looks = [seen("nvidia_gpu", gpu, subject=str(gpu["gpu"])) for gpu in gpus]
    facts = {fact.key: fact for fact in learn(looks)}
    assert facts["gpu.ecc"].value is None
    assert facts["gpu.ecc"].notes == ["they differ: GPU1 false; GPU0, GPU2 true"]
    assert facts["gpu.memory_bytes"].value == 78


@pytest.mark.parametrize(
    ("probe", "reading", "key"),
    [
        ("cpu_topology", {"online": 60, "unexplained": 4, "offline_cpus": "1-4"}, "cpu.online"),
        ("cpu_topology", {"microcode": "0x1", "odd_cpus": "3"}, "cpu.microcode"),
        ("nvidia_gpu", {"gpu": "GPU0", "nvlinks": 18, "nvlinks_active": 17}, "gpu.nvlinks"),
        ("nvidia_gpu", {"gpu": "GPU0", "ecc": True, "ecc_pending": False}, "gpu.ecc"),
        ("memory", {"errors_counted": False}, "memory.ecc"),
        (
            "mounts",
            {"mount_point": "/scratch", "expected_by": "fstab", "mounted": False},
            "mounts",
        ),
        ("ethernet", {"interface": "eno1", "wanted": True, "carrier": False, "hardware": True},
         "ethernet.interfaces"),
    ],
)  # fmt: skip
def test_a_fault_is_never_learnt(probe: str, reading: dict[str, Any], key: str) -> None:
    facts = {fact.key: fact for fact in learn([seen(probe, reading)])}
    assert facts[key].value in (None, [])
    assert facts[key].notes
    assert key.rpartition(".")[2] not in loaded(render("kind", list(facts.values()), []))


def test_nothing_of_something_is_no_expectation() -> None:
    looks = [seen("nvidia_driver", {"gpus_in_pci": 0}), seen("memory", {"huge_pages_total": 0})]
    assert loaded(render("kind", learn(looks), [])) == {"profile": "kind"}


def test_of_the_mounts_those_are_learnt_that_jobs_count_on() -> None:
    rows = [
        {"mount_point": "/", "expected_by": "fstab", "mounted": True, "network": False},
        {"mount_point": "/boot/efi", "expected_by": "fstab", "mounted": True, "network": False},
        {"mount_point": "/home", "expected_by": "systemd", "mounted": True, "network": True},
        {"mount_point": "/scratch", "expected_by": "fstab", "mounted": True, "network": False},
        {"mount_point": "/home/ada", "expected_by": "", "mounted": True, "network": True},
    ]
    facts = {fact.key: fact.value for fact in learn([seen("mounts", *rows)])}
    assert facts["mounts"] == ["/home", "/scratch"]


def test_a_machine_with_roce_alone_has_its_ports_learnt() -> None:
    port = {"name": "mlx5_0/1", "link_layer": "Ethernet", "state": "active"}
    facts = {fact.key: fact.value for fact in learn([seen("infiniband", port)])}
    assert facts["infiniband.ports"] == ["mlx5_0/1"]
    fabric = {**port, "name": "mlx5_1/1", "link_layer": "InfiniBand"}
    facts = {fact.key: fact.value for fact in learn([seen("infiniband", port, fabric)])}
    assert facts["infiniband.ports"] == ["mlx5_1/1"]


@pytest.mark.parametrize(
    "value",
    ["", "no", "On", "0000:3b:00", "6.1", "1:30", "a: b", "2-7", "#x", "é\n\x07", "~", "/x y"],
)
def test_a_text_is_read_back_as_it_was(value: str) -> None:
    text = f"profile: kind\nsite:\n  it: {scalar(value)}\n"
    assert loaded(text)["site"] == {"it": value}


def test_a_file_that_is_there_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kind.yaml"
    root = str(NODES / "h100x8")
    assert main(["profile", "learn", "--root", root, "--output", str(file)]) == 0
    before = file.read_text()
    assert loaded(before)["profile"] == "kind"
    assert main(["profile", "learn", "--root", root, "--output", str(file)]) == 64
    assert "profile diff" in capsys.readouterr().err
    assert file.read_text() == before
    with pytest.raises(SystemExit) as ended:
        main(["profile", "learn", "other", "--output", str(file)])
    assert ended.value.code == 64


# --- comparing


def site_with(tmp_path: Path, text: str) -> Path:
    files = {"profiles/kind.yaml": text, "hpcdoctor.yaml": "profile: kind\n"}
    return written(tmp_path / "etc", files)


def findings(capsys: pytest.CaptureFixture[str], root: Path, *more: str) -> set[str]:
    main(["check", "--json", "--root", str(root), *more])
    found = json.loads(capsys.readouterr().out)["findings"]
    return {f"{each['check']} {each['subject']} {each['verdict']}" for each in found}


@pytest.mark.parametrize("node", NODES_TO_LEARN)
def test_a_node_is_like_the_profile_that_was_learnt_from_it(
    node: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = NODES / node
    site = site_with(tmp_path, learnt(capsys, root))
    assert main(["profile", "diff", "--root", str(root), "--config", str(site)]) == 0
    last = capsys.readouterr().out.splitlines()
    assert len(last) == 1
    assert last[0].endswith("0 differ, 0 could not be read")
    # What the node has is held against it, what it has not is not missed.
    added = findings(capsys, root, "--config", str(site)) - findings(capsys, root)
    assert [one for one in added if not one.startswith("infiniband-rate")] == []


@pytest.mark.parametrize(
    ("path", "content", "key"),
    [
        ("sys/class/dmi/id/bios_version", "9.9.9\n", "versions.bios"),
        ("sys/class/infiniband/mlx5_1/fw_ver", "28.40.1000\n", "versions.hca_firmware"),
    ],
)
def test_one_change_is_one_line(
    path: str, content: str, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = site_with(tmp_path, learnt(capsys, NODES / "h100x8"))
    root = written(copy_of("h100x8", tmp_path), {path: content})
    assert main(["profile", "diff", "kind", "--root", str(root), "--config", str(site)]) == 1
    line, count = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{key}: profile ")
    assert content.strip() in line
    assert ", 1 differ, 0 could not" in count


def test_a_missing_part_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = learnt(capsys, NODES / "two-socket-infiniband")
    more = text.replace("    - mlx5_1/1\n", "    - mlx5_1/1\n    - mlx4_0/2\n")
    file = tmp_path / "kind.yaml"
    file.write_text(more)
    root = str(NODES / "two-socket-infiniband")
    assert main(["profile", "diff", str(file), "--root", root, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "hpcdoctor.profile-diff/1"
    (one,) = found["differences"]
    assert one["key"] == "infiniband.ports"
    assert one["words"] == "missing: mlx4_0/2; mlx4_0/2 is down"


def test_what_cannot_be_read_is_told_and_is_no_agreement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = written(tmp_path / "node", {"proc/meminfo": "nothing\n"})
    file = tmp_path / "kind.yaml"
    file.write_text("profile: kind\nmemory: {total_bytes: 1000}\n")
    assert main(["profile", "diff", str(file), "--root", str(root)]) == 3
    assert "memory.total_bytes: could not be read: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("written_value", "here", "same"), [(1000, 951, True), (1000, 949, False), (1000, 1051, False)]
)
def test_memory_may_be_a_little_less(written_value: int, here: int, same: bool) -> None:
    found = compare(
        {"memory": {"total_bytes": written_value}}, [seen("memory", {"total_bytes": here})]
    )
    assert bool(found.same) is same


def test_an_allowed_version_need_not_be_in_use() -> None:
    wanted = {"versions": {"kernel": ["6.1", "6.2"]}}
    here = seen("versions", {"kind": "kernel", "version": "6.2"})
    assert compare(wanted, [here]).same == ["versions.kernel"]
    here = seen("versions", {"kind": "kernel", "version": "6.3"})
    (one,) = compare(wanted, [here]).differences
    assert one.words == "not allowed: 6.3"


def test_a_part_that_is_not_there_at_all_is_a_difference() -> None:
    look = Look("infiniband", ReadStatus.ABSENT, NOW, reason="no device")
    (one,) = compare({"infiniband": {"ports": ["mlx5_0/1"]}}, [look]).differences
    assert (one.here, one.words) == (None, "no device")


def test_without_a_profile_the_question_is_which(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["profile", "diff", "--config", "/etc/hpcdoctor"])
    assert ended.value.code == 64
    assert "which profile" in capsys.readouterr().err


# --- what is shipped


@pytest.mark.parametrize("name", ["cpu-only", "h100x8"])
def test_a_shipped_profile_has_a_fact_or_a_word_on_every_key(name: str) -> None:
    text = (data_folder("profiles") / f"{name}.yaml").read_text()
    written_keys = flat(loaded(text))
    missing = [
        key for key in SOURCES if key not in written_keys and not has_word(text, key.split(".")[-1])
    ]
    gpu_only = [key for key in missing if not (name == "cpu-only" and key.startswith("gpu."))]
    assert gpu_only == []


def has_word(text: str, key: str) -> bool:
    return re.search(rf"^ *# *{key}:", text, re.MULTILINE) is not None
