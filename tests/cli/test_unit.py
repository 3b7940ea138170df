"""Is a unit file read as systemd reads it, where `hpcdoctor run` takes its privileges from?"""

from pathlib import Path

import pytest

from hpcdoctor.cli.unit import Grant, grant_of, read_grant, setpriv


def unit(folder: Path, text: str) -> Path:
    path = folder / "x.service"
    path.write_text(text)
    return path


def test_only_the_service_section_counts(tmp_path: Path) -> None:
    path = unit(tmp_path, "[Unit]\nUser=a\n[Service]\n# User=b\nUser=c\n[Install]\nUser=d\n")
    assert read_grant(path).user == "c"


def test_a_unit_that_says_nothing_limits_nothing(tmp_path: Path) -> None:
    assert read_grant(unit(tmp_path, "[Service]\n")) == Grant("", None, [], False, 0o022)


def test_an_empty_set_of_capabilities_is_none_of_them_and_not_all(tmp_path: Path) -> None:
    assert read_grant(unit(tmp_path, "[Service]\nCapabilityBoundingSet=\n")).bounding == []


def test_a_second_line_adds_and_an_empty_one_clears(tmp_path: Path) -> None:
    text = "[Service]\nCapabilityBoundingSet=CAP_KILL\nCapabilityBoundingSet=CAP_SYSLOG CAP_CHOWN\n"
    assert read_grant(unit(tmp_path, text)).bounding == ["kill", "syslog", "chown"]
    assert read_grant(unit(tmp_path, text + "CapabilityBoundingSet=\n")).bounding == []


def test_a_set_written_by_exception_is_refused_rather_than_misread(tmp_path: Path) -> None:
    path = unit(tmp_path, "[Service]\nCapabilityBoundingSet=~CAP_KILL\n")
    with pytest.raises(ValueError, match="`~CAP_KILL` is not the name of a capability"):
        read_grant(path)


def test_no_new_privileges_is_off_unless_the_unit_says_yes(tmp_path: Path) -> None:
    assert read_grant(unit(tmp_path, "[Service]\nNoNewPrivileges=yes\n")).no_new_privileges
    assert not read_grant(unit(tmp_path, "[Service]\nNoNewPrivileges=no\n")).no_new_privileges


def test_root_keeps_only_the_listed_capabilities_and_no_group() -> None:
    command = setpriv(Grant("root", ["syslog"], [], True, 0o077), "root")
    assert command[command.index("--bounding-set") + 1] == "-all,+syslog"
    assert command[command.index("--inh-caps") + 1] == "-all"
    assert command[command.index("--ambient-caps") + 1] == "-all"
    assert {"--no-new-privs", "--clear-groups", "--pdeathsig"} <= set(command)


def test_an_ambient_capability_is_inheritable_too_or_it_would_not_last() -> None:
    command = setpriv(Grant("x", None, ["syslog"], False, 0o022), "root")
    assert command[command.index("--inh-caps") + 1] == "-all,+syslog"
    assert "--bounding-set" not in command


def test_somebody_who_may_not_change_user_gives_up_what_he_can() -> None:
    command = setpriv(grant_of("prober"), None)
    assert command == ["setpriv", "--pdeathsig", "KILL", "--no-new-privs"]
