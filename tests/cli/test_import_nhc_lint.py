"""Does whatever is written for whatever line pass the strict lint?"""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcdoctor.__main__ import main
from hpcdoctor.nhc.options import TAKES

VALUES = """\
0 1 -1 00 50% 0% 100% 101% 1.5% 5XB 64gb 1mb 9tb 99999999999999e x '' "" / /x /a,b /a:b //x /x/ ../x
'/a b' '/a"b' "/a'b" '/{x}' {x} {} '{mount_point}' '$x' $X $((2*3)) $((2*HW_CORES)) /proc /proc/x
-f -F -s -t -o -m -e -E -r -0 -! -q 'reboot now'
ls 'a\\\\b' '!x' '/re/' '!/re/' 'nfs*' rw '%' '#' \u00e4
true ; | || && $(date) `date` > >/dev/null 'a: b' '- a' '&a' '*a' '!!a' '@' 'null' '1:30' 'on'"""
WORDS = [
    *VALUES.replace("\n", " ").replace("'reboot now'", "reboot").split(" "),
    "'reboot now'",
    "'a: b'",
]
ONE_EACH = """\
* || check_hw_swap_free 0
* || check_hw_physmem_free 0
* || check_hw_mem_free 0kb
* || check_hw_physmem 64gb
* || check_hw_physmem 0 0
* || check_hw_swap 0 99999999999999e
* || check_hw_mem 0 0 100%
* || check_hw_physmem 1 2 3%
* || check_fs_mount -f /
* || check_fs_mount -E 'rm -rf /tmp/x' -f /
* || check_fs_mount_rw -r -e 'logger x' -t '{x}' -s '*' -f / -f '/{x}' -f '/a"b'
* || check_fs_mount_ro /x y z
* || check_fs_free / 1.5%
* || check_ps_service -r -e 'logger {x}' munge
* || check_ps_service -S '{x}'
* || echo '{x}' {y} # {z}
* || X='{x}'
* || check_cmd_output -m '{x}' -e 'ls {x}'
* || rm -rf /tmp/x
* || if true; then
* || \u00e4\u2028\u0085
"""


def mistakes(text: str, name: str = "nhc.conf", host: str = "n01") -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_text(text, newline="")
        output = f"{folder}/out"
        assert main(["import-nhc", str(file), "--host", host, "--output", output]) in (0, 1)
        return main(["lint", "--strict", "--config", output])


@pytest.mark.parametrize("name", ["nhc.conf", "{x}: [a, '#.conf", "a b\n\\.conf"])
def test_one_line_of_every_kind_passes_the_strict_lint(name: str) -> None:
    assert mistakes(ONE_EACH, name) == 0


@pytest.mark.parametrize("line", ONE_EACH.splitlines()[:4])
def test_a_line_that_is_alone_in_its_file_passes_as_well(line: str) -> None:
    assert mistakes(line + "\n") == 0


def test_every_check_with_every_value_passes_the_strict_lint() -> None:
    lines = [
        f"* || {check} {' '.join(values)}"
        for check in TAKES
        for values in (["0"], ["0", "0"], ["1", "2"], ["/x", "0"], ["-f", "/x"], ["x"], ["'{x}'"])
    ]
    assert mistakes("\n".join(lines) + "\n") == 0


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.sampled_from([*TAKES, "echo", "X=1"]), st.lists(st.sampled_from(WORDS))).map(
            lambda parts: f"* || {parts[0]} {' '.join(parts[1])}"
        ),
        min_size=1,
        max_size=40,
    )
)
def test_lines_of_any_words_pass_the_strict_lint(lines: list[str]) -> None:
    assert mistakes("\n".join(lines) + "\n") == 0


@pytest.mark.parametrize(
    "check",
    ["check_hw_swap_free 0", "check_hw_mem_free 0kb", "check_fs_free /x 0%", "check_fs_size / 0"],
)
def test_a_line_that_never_fails_is_told_of_and_nothing_is_written_for_it(
    check: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nhc.conf"
    file.write_text(f"* || {check}\n")
    assert main(["import-nhc", str(file), "--output", str(tmp_path / "out")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "never-fails: it passes on every node" in said
    assert "as nothing: it never fails" in said
    assert not list((tmp_path / "out").rglob("nhc-0001*"))
