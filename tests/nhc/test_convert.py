"""What becomes of lines, good and hostile?"""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.nhc.convert import Kind, convert_file
from hpcdoctor.nhc.report import document, render


def kinds(text: str, host: str = "n01", functions: tuple[str, ...] = ()) -> list[str]:
    return [item.kind.value for item in convert_file(text, "f", host, functions).items]


def codes(text: str) -> list[str]:
    return [each.code.value for _, each in convert_file(text, "f", "n01").all_warnings()]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("check_fs_mount_rw -f /", "converted"),
        ("X=5", "variable"),
        ("export A=b C=$(date)", "variable"),
        ("X=5 check_hw_eth lo", "passthrough"),
        ("check_hw_eth lo || true", "passthrough"),
        ("check_hw_eth $UNSET", "passthrough"),
        ("test -e /x", "passthrough"),
        ("/usr/lib/nagios/check_disk -w 1", "passthrough"),
        ("check_mine 1", "unconverted"),
        ("if true; then check_mine; fi", "unconverted"),
        ("check_hw_eth 'lo", "unconverted"),
        ("if true; then", "unconverted"),
        ("test $((1/0)) = 1", "unconverted"),
        ("check_ps_loadavg $((1/0))", "unconverted"),
        ("check_ps_loadavg $((2+))", "unconverted"),
        ("echo $(true", "unconverted"),
        ("check_hw_eth lo ||", "unconverted"),
        ("check_ps_loadavg $((010))", "passthrough"),
        ("check_fs_mount -q /", "unconverted"),
        ("check_fs_mount -f", "unconverted"),
        ("check_fs_free /", "unconverted"),
        ("check_ps_loadavg $((2*HW_CORES))", "converted"),
    ],
)
def test_each_line_becomes_what_it_can(line: str, kind: str) -> None:
    assert kinds(f"* || {line}\n") == [kind]


def test_a_sites_own_function_passes_through_where_its_file_is_given() -> None:
    assert kinds("* || check_mine 1\n", functions=("check_mine",)) == ["passthrough"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("* || check_hw_eth lo\r\n", "crlf"),
        ("# a \\\n* || check_hw_eth lo\n", "comment-continued"),
        ("* || check_hw_eth lo", "last-line-dropped"),
        ("check_hw_eth lo\n", "no-separator"),
        ("* || check_file_contents /f 'a  b'\n", "blanks-collapsed"),
        (r"/n\d/ || true" + "\n", "backslash-lost"),
        ("!{login} || true\n", "bad-range"),
        ("{n[8-12]} || true\n", "range-width"),
        ("* || check_fs_mount -s /dev/ -f /\n", "slash-is-regex"),
        ("/ || true\n", "slash-is-regex"),
        ("* || check_file_stat -m 644 /f\n", "mode-not-octal"),
        ("\ufeff* || true\n", "byte-order-mark"),
        ("\u00ef\u00bb\u00bf* || true\n", "byte-order-mark"),
        ("* || check_fs_free / 1.5%\n", "not-a-number"),
        ("* || check_fs_free / 5XB\n", "not-a-number"),
        ("* || check_fs_ifree / 5kb\n", "not-a-number"),
        ("* || check_ps_loadavg 1.5\n", "not-a-number"),
        ("* || check_ps_mem 50%\n", "not-a-number"),
        ("* || check_ps_time 2h\n", "not-a-number"),
        ("* || check_hw_physmem 1.5gb 2gb\n", "not-a-number"),
        ("* || check_hw_physmem 1gb 2gb x\n", "not-a-number"),
        ("{n1-n3} || true\n", "name-not-range"),
        ("! || true\n", "matches-all"),
        ("// || true\n", "matches-all"),
        ("* || check_hw_physmem 64gb\n", "missing-max"),
        ("* || check_ps_service -u root sshd\n", "sshd-title"),
        ("* || check_ps_unauth_users -u 1000 log\n", "substring-ignore"),
        ("* || check_cmd_dmesg -m '!/x/'\n", "dmesg-no-window"),
        ("* || check_hw_eth lo\n", "link-not-checked"),
        ("* || check_fs_free /scratch 3%\n", "not-measured-passes"),
        ("* || check_hw_mcelog\n", "not-measured-passes"),
        ("* || check_file_contents /f '!/x/'\n", "not-measured-passes"),
        ("* || check_ps_cpu -l 90%\n", "noop-option"),
        ("* || check_ps_cpu -k 90%\n", "destructive"),
        ("* || check_ps_unauth_users kill\n", "destructive"),
        ("* || systemctl restart sssd\n", "destructive"),
        ("* || X=$(reboot)\n", "destructive"),
        ("* || MCELOG=/x/mend\n", "unknown-program"),
        ("* || /opt/site/gpu-count\n", "unknown-program"),
        ("* || TIMEOUT=45\n", "no-effect-here"),
        ("* || check_moab_sched\n", "obsolete"),
        ("* || check_mine\n", "unconverted"),
    ],
)
def test_each_trap_is_told_by_its_code(text: str, code: str) -> None:
    assert code in codes(text)


def test_a_good_file_warns_of_nothing() -> None:
    text = "# sshd\n* || check_ps_service -u root -d sshd: sshd\n* || check_fs_mount_rw -f /\n"
    assert codes(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "* || check_fs_size /x '' 10TB\n",
        "* || check_ps_loadavg '' '' 64\n",
        "* || check_ps_cpu 95%\n",
        "* || check_ps_time 1m30s\n",
        "{rack1-n3,n[1-3],n4} || true\n",
        "!// || true\n",
    ],
)
def test_what_is_as_it_seems_is_not_warned_of(text: str) -> None:
    assert not {"not-a-number", "name-not-range", "matches-all"} & set(codes(text))


def test_a_byte_order_mark_costs_no_line() -> None:
    (item,) = convert_file("\ufeff* || check_hw_eth lo\n", "f", "n08").items
    assert item.here
    assert item.target == "*"


def test_the_totals_add_up() -> None:
    text = "# c\n* || X=1\n* || true\n* || check_hw_eth lo\n* || check_x\n|| y\nz\n\n"
    totals = document(convert_file(text, "f", "n01"), []).totals
    assert totals.selectable == 4
    assert totals.never_run == 2
    assert totals.comments == 1
    assert totals.physical_lines == 8


def test_each_line_that_is_switched_off_has_its_reason_however_many_there_are() -> None:
    programs = [f"/opt/site/look-{number}" for number in range(20)]
    text = "".join(f"* || {program}\n" for program in programs)
    said = " ".join(render(document(convert_file(text, "f", "n01"), [])).split())
    assert all(f"`{program}` is not known to only look" in said for program in programs)


@pytest.mark.parametrize("width", [80, 60, 132])
def test_no_line_of_the_report_is_wider_than_asked_for(width: int) -> None:
    text = (
        "{n[8-12],n1-n3} || check_hw_physmem 1.5gb\n* || check_mine " + "word " * 40 + "\n"
        "* || check_ps_service -e 'logger it has died' -r sshd\n* || /opt/x/" + "y" * 200 + "\n"
        "* || check_hw_eth lo\n" * 9 + "* || X=1\nno bars at all\n* || true\n"
    )
    said = render(document(convert_file(text, "f" * 100, "n01"), []), width).splitlines()
    assert max(map(len, said)) <= width
    assert max(map(len, said)) > width - 15  # and the room is used


@pytest.mark.parametrize("text", ["", "\n\n", "#", "\\", "||", "* ||\n", "||||\n"])
def test_nearly_nothing_is_no_error(text: str) -> None:
    assert render(document(convert_file(text, "f", "n01"), []))


def test_a_huge_line_is_read_and_told_of_in_few_words() -> None:
    text = "* || check_hw_eth " + "x" * 500_000 + "\n{" + "n1," * 50_000 + "} || true\n"
    assert len(render(document(convert_file(text, "f", "n01"), []))) < 20_000


@given(st.text(max_size=80))
def test_no_text_ends_in_a_traceback(text: str) -> None:
    said = render(document(convert_file(f"* || {text}\n{text}\n", "f", "n01"), []))
    assert "\x1b" not in said


@given(
    st.lists(
        st.sampled_from(
            [
                "check_fs_mount",
                "check_ps_cpu",
                "-f",
                "-s",
                "/",
                "'!",
                "$((",
                "))",
                "{",
                "}",
                "[a",
                "\\",
            ]
        )
    )
)
def test_no_words_end_in_a_traceback(words: list[str]) -> None:
    convert_file(f"{''.join(words)} || {' '.join(words)}\n", "f", "n01")


def test_the_hostile_sample_selects_as_the_original_loader_does(shared: Path) -> None:
    folder = shared / "reference/nhc-samples"
    text = (folder / "nasty.conf").read_text()
    rows = re.findall(
        r"^\| ([a-z]+\S*\d\S*) \| (.*) \|$", (folder / "nasty.expected.md").read_text(), re.M
    )
    assert rows
    for host, labels in rows:
        items = convert_file(text, "nasty.conf", host).items
        found = [
            item.words[1]
            for item in items
            if item.here and item.kind is Kind.CONVERTED and item.words[0] == "check_hw_eth"
        ]
        assert [each for each in found if each not in ("lo", "a")] == labels.split(", "), host
