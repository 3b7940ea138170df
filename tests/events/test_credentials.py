"""Does `credential:NAME` find what systemd hands over, and does every refusal say what to do?"""

import os
import subprocess
from pathlib import Path

import pytest

from hpcdoctor.definitions.loader import load_settings
from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.settings import Mqtt
from hpcdoctor.events.credentials import (
    DIRECTORY,
    BadCredentials,
    check_files,
    locate,
    located,
    read_password,
    why_not,
)
from tests.doubles.site import written

NOBODY = 65534


@pytest.fixture
def handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder into which systemd has laid the credential `mqtt-password`."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "mqtt-password").write_text("hunter2\n")
    (folder / "mqtt-password").chmod(0o400)
    monkeypatch.setenv(DIRECTORY, str(folder))
    return folder


def test_a_credential_is_read_from_the_folder_that_systemd_names(handed_over: Path) -> None:
    assert read_password("credential:mqtt-password") == "hunter2"
    files = located(Mqtt(host="b", ca_file="/ca.pem", password_file="credential:mqtt-password"))  # noqa: S106  # a name
    assert files["password_file"] == str(handed_over / "mqtt-password")
    assert files["ca_file"] == "/ca.pem"


def test_a_credential_that_others_may_read_is_refused(handed_over: Path) -> None:
    (handed_over / "mqtt-password").chmod(0o444)
    with pytest.raises(BadCredentials, match="is open to others; chmod 0600"):
        read_password("credential:mqtt-password")


def test_without_systemd_the_refusal_says_which_line_of_the_unit_is_missing() -> None:
    with pytest.raises(BadCredentials) as refused:
        locate("credential:mqtt-password", {})
    said = str(refused.value)
    assert "systemd has handed over no credentials" in said
    assert "LoadCredential=mqtt-password:/etc/hpcdoctor/mqtt-password below [Service]" in said


def test_another_credential_than_the_named_one_does_not_help(handed_over: Path) -> None:
    with pytest.raises(BadCredentials, match="not handed over this one; write LoadCredential=key:"):
        locate("credential:key")
    with pytest.raises(BadCredentials, match="LoadCredential=key:"):
        check_files(Mqtt(host="b", ca_file=str(handed_over), key_file="credential:key"))


def test_a_file_that_is_not_there_says_what_to_mend(tmp_path: Path) -> None:
    with pytest.raises(BadCredentials, match="No such file or directory; write it, or mend"):
        read_password(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password_file: hunter2", "`password_file`: write the whole path of a file"),
        ("password_file: credential:../../etc/shadow", "comes a name of letters"),
        ("password_file: 'credential: x'", "without a space"),
        ("password: hunter2", "there is no key `password` here; did you mean `password_file`?"),
        ("key_file: credential", "or credential:NAME, never the secret itself"),
    ],
)
def test_the_settings_take_a_path_or_a_credential_and_never_echo_a_secret(
    tmp_path: Path, text: str, expected: str
) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": f"mqtt:\n  host: b\n  username: u\n  {text}\n"})
    with pytest.raises(DefinitionError) as refused:
        load_settings(site)
    said = "\n".join(str(problem) for problem in refused.value.every)
    assert expected in said
    assert "hunter2" not in said
    assert "hpcdoctor.yaml:4" in said


def test_a_person_is_told_what_the_daemons_user_will_meet(tmp_path: Path, as_root: None) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o001 == 0:
            closed = f"lies in {parent}, which is closed for the daemon's user"
            break
    else:
        closed = ""
    file = tmp_path / "password"
    file.write_text("x")
    file.chmod(0o600)
    assert why_not(str(file), secret=True, user=0, groups=()) == ""
    cannot = "cannot be read for the daemon's user"
    assert why_not(str(file), secret=True, user=NOBODY, groups=(NOBODY,)) == cannot
    os.chown(file, 0, NOBODY)
    file.chmod(0o640)
    assert why_not(str(file), secret=True, user=NOBODY, groups=(NOBODY,)) == closed
    file.chmod(0o644)
    assert "open to others" in why_not(str(file), secret=True, user=NOBODY, groups=())
    assert why_not(str(file), secret=False, user=NOBODY, groups=()) == closed
    assert "no such file" in why_not(str(tmp_path / "y"), secret=True, user=0, groups=())


@pytest.mark.real
def test_the_unit_with_its_credentials_switched_on_is_understood_by_systemd(tmp_path: Path) -> None:
    checkout = Path(__file__).parents[2]
    unit = (checkout / "systemd/hpcdoctor.service").read_text()
    assert "#LoadCredential=mqtt-password:" in unit
    used = tmp_path / "hpcdoctor.service"
    used.write_text(unit.replace("#LoadCredential=", "LoadCredential="))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(used)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "LoadCredential" not in done.stderr, done.stderr
    assert "Unknown" not in done.stderr, done.stderr
