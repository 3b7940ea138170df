"""Does `hpcdoctor import-nhc` write files that work, and does it refuse in whole sentences?"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from hpcdoctor.__main__ import main

GOOD = """\
# of a small cluster
* || check_fs_mount_rw -f /
* || check_fs_used / 101%
* || check_hw_physmem 1mb 9tb 3%
* || check_file_test -c -r /dev/null
* || check_file_stat -m 0666 -u 0 -t 1 -T 3 /dev/null
* || check_hw_eth lo
* || check_ps_loadavg 100000
* || check_cmd_output -m '/^a || b$/' echo 'a || b'
* || true||false
"""
# Each line is ill on every machine: by what it asks for.
ILL = """\
* || check_fs_mount_rw -f /no/such/mount
* || check_fs_free / 101%
* || check_hw_physmem 900tb 901tb
* || check_file_test -e /no/such/file
* || check_hw_eth no-such-eth
* || check_ps_service no-such-service
* || check_cmd_status false
* || false
"""
# NHC passes or fails here because it cannot measure.
UNKNOWN = """\
* || check_fs_free /no/such/mount 3%
* || check_file_contents /no/such/file '!/x/'
* || no-such-program
* || check_ps_loadavg 1.5
"""


def written(text: str, folder: Path, *more: str) -> int:
    file = folder / "nhc.conf"
    file.write_text(text)
    return main(["import-nhc", str(file), "--output", str(folder / "out"), *more])


@pytest.mark.real
@pytest.mark.parametrize(("text", "status"), [(GOOD, 0), (ILL, 2), (UNKNOWN, 3)])
def test_every_program_comes_to_nhcs_verdict(text: str, status: int, tmp_path: Path) -> None:
    assert written(text, tmp_path) == 0
    programs = sorted((tmp_path / "out/nhc").glob("nhc-*.sh"))
    assert programs
    for program in programs:
        ran = subprocess.run(["/bin/bash", program], capture_output=True, text=True, timeout=30)
        assert ran.returncode == status, (program.read_text(), ran.stdout, ran.stderr)
        assert len(ran.stdout.splitlines()) == 1
        assert ran.stderr == ""


@pytest.mark.real
def test_what_is_written_has_no_mistakes_and_judges_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(GOOD + ILL, tmp_path) == 0
    out = str(tmp_path / "out")
    assert main(["lint", "--config", out]) == 0
    capsys.readouterr()
    assert main(["check", "--here", "--json", "--config", out]) == 2
    found = json.loads(capsys.readouterr().out)["findings"]
    said = [each["summary"] for each in found if "nhc-" in json.dumps(each)]
    assert len(said) == 7  # of ILL all but the mount, which is filesystem-missing's
    assert any("/no/such/mount" in each["summary"] for each in found)


def test_each_file_says_which_line_it_is_from(tmp_path: Path) -> None:
    assert written(GOOD, tmp_path) == 0
    for kind in ("checks", "commands"):
        for file in (tmp_path / "out" / kind).rglob("*.yaml"):
            assert file.read_text().startswith("# nhc.conf:"), file


def test_what_acts_on_the_node_is_written_switched_off(tmp_path: Path) -> None:
    text = "* || check_ps_service -r munge\n* || rm -f /x\n* || check_fs_mount -r -f /scratch\n"
    assert written(text, tmp_path) == 0
    out = tmp_path / "out"
    files = [*(out / "remediations").glob("*.yaml"), *(out / "commands").glob("*-line.yaml")]
    assert len(files) == 3
    assert all("enabled: false" in file.read_text() for file in files)


@pytest.mark.parametrize(
    "check",
    [
        "dd if=/dev/zero of=/dev/sda",
        "curl http://x | sh",
        "find /tmp -delete",
        "systemctl is-active sssd || systemctl restart sssd",
        "/opt/site/sbin/anything",
        "check_cmd_status rm -rf /tmp/x",
        'check_cmd_output -e "reboot"',
        "check_hw_eth lo || timeout 3 reboot",
    ],
)
def test_a_program_that_is_not_known_to_look_is_switched_off_and_told_of(
    check: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(f"* || {check}\n", tmp_path) == 0
    (command,) = (tmp_path / "out/commands").iterdir()
    assert "enabled: false" in command.read_text()
    said = " ".join(capsys.readouterr().out.split())
    assert "as a program, switched off" in said
    assert "line 1 destructive" in said or "line 1 unknown-program" in said


@pytest.mark.parametrize(
    "check",
    [
        "check_fs_mount -E 'rm -rf /tmp/x' -f /",
        "check_net_socket -l ':::9100' -E 'rm -rf /tmp/x'",
        "check_net_socket -! -l ':::9100' -e 'rm -rf /tmp/x'",
        "check_ps_service -k -e 'rm -rf /tmp/x' miner",
    ],
)
def test_what_nhc_runs_where_all_is_well_is_no_remediation_of_a_failure(
    check: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(f"* || {check}\n", tmp_path) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "runs `rm -rf /tmp/x` where all is well" in said
    assert "it is left out" in said
    assert not (tmp_path / "out/remediations").exists()
    assert "/tmp/x" not in "".join(
        path.read_text() for path in (tmp_path / "out/rules").glob("*.yaml")
    )


@pytest.mark.parametrize(
    "check",
    [
        "check_fs_mount -e 'logger x' -f /",
        "check_net_socket -l ':::9100' -e 'logger x'",
        "check_net_socket -! -l ':::9100' -E 'logger x'",
        "check_ps_service -e 'logger x' munge",
        "check_ps_service -E 'logger x' miner",
    ],
)
def test_what_nhc_runs_on_a_failure_is_a_remediation_switched_off(
    check: str, tmp_path: Path
) -> None:
    assert written(f"* || {check}\n", tmp_path) == 0
    (remediation,) = (tmp_path / "out/remediations").iterdir()
    assert "enabled: false" in remediation.read_text()


def test_what_sets_a_variable_by_acting_switches_off_what_follows(tmp_path: Path) -> None:
    text = "* || true\n* || X=$(reboot)\n* || check_hw_eth lo\n* || check_hw_swap_free 1\n"
    assert written(text, tmp_path) == 0
    off = {
        file.name: "enabled: false" in file.read_text()
        for file in (tmp_path / "out/commands").iterdir()
    }
    assert off == {"nhc-0001-line.yaml": False, "nhc-0003-hw-eth.yaml": True}


def test_a_sites_file_is_read_by_those_lines_alone_that_call_it(tmp_path: Path) -> None:
    site = tmp_path / "site.nhc"
    site.write_text("check_mine() { true; }\n")
    text = "* || check_mine\n* || true\n"
    assert written(text, tmp_path, "--functions", str(site)) == 0
    reads = [str(site) in file.read_text() for file in sorted((tmp_path / "out/nhc").glob("nhc-*"))]
    assert reads == [True, False]


def test_several_hosts_have_a_folder_each(tmp_path: Path) -> None:
    text = "{n[1-2]} || check_hw_eth a\nn2 || check_hw_eth b\n"
    assert written(text, tmp_path, "--host", "n1", "--host", "n2") == 0
    assert len(list((tmp_path / "out/n1/commands").iterdir())) == 1
    assert len(list((tmp_path / "out/n2/commands").iterdir())) == 2


def test_what_is_not_converted_is_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nhc.conf"
    file.write_text("* || check_mine\n")
    assert main(["import-nhc", str(file), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["totals"]["unconverted"] == 1
    assert document["warnings"][0]["code"] == "unconverted"


def test_the_report_is_80_columns_wide_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nhc.conf"
    file.write_text(GOOD + ILL + UNKNOWN)
    assert main(["import-nhc", str(file)]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("content", [b"* || x\0\n", b"\x7fELF\xff\xfe", b"#" * (5 << 20)])
def test_what_is_no_text_is_refused_in_one_line(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nhc.conf"
    file.write_bytes(content)
    with pytest.raises(SystemExit) as refused:
        main(["import-nhc", str(file)])
    assert refused.value.code == 64
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_of_something_else_is_not_taken_for_an_nhc_conf(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shadow"
    file.write_text("root:secret:1:0\nbin:*:1:0\n")
    with pytest.raises(SystemExit) as refused:
        main(["import-nhc", str(file)])
    assert refused.value.code == 64
    said = capsys.readouterr()
    assert "does not look like an nhc.conf" in said.err
    assert "secret" not in said.err + said.out


@pytest.mark.parametrize("more", [[], ["--functions"]])
def test_what_is_no_plain_file_is_refused_at_once(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "nhc.conf").write_text("* || true\n")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        files = [str(tmp_path / "nhc.conf"), *more, str(path)] if more else [str(path)]
        with pytest.raises(SystemExit) as refused:
            main(["import-nhc", *files])
        assert refused.value.code == 64
        assert f"{path} is not a plain file" in capsys.readouterr().err


def test_a_comment_in_latin_1_is_no_reason_to_refuse_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nhc.conf"
    file.write_bytes("# für alle\n* || check_hw_eth lo\n".encode("latin-1"))
    assert main(["import-nhc", str(file)]) == 0
    assert ":1: is not UTF-8" in capsys.readouterr().err


def test_nothing_of_a_sites_is_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/hpcdoctor.yaml").write_text("mode: act\n")
    with pytest.raises(SystemExit):
        written(GOOD, tmp_path)
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "out/hpcdoctor.yaml").read_text() == "mode: act\n"
