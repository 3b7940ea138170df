"""Is a file refused whenever somebody else than root could have written what we read?"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcdoctor.definitions.loader import load_settings
from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.trust import why_not_trusted

NOBODY = 65534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "a.yaml"
    path.parent.mkdir()
    path.write_text("a: 1\n")
    return path


def refused(path: Path) -> str:
    reason = why_not_trusted(path)
    assert reason is not None
    return reason


def test_a_file_of_ours_in_a_folder_of_ours_is_trusted(file: Path) -> None:
    assert why_not_trusted(file) is None


@pytest.mark.parametrize("mode", [0o666, 0o602])
def test_a_file_that_everybody_may_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert refused(file) == f"{file} may be written by others than root; chmod go-w {file}"


def test_so_is_one_in_a_folder_that_everybody_may_write(file: Path) -> None:
    file.parent.chmod(0o777)
    assert refused(file).startswith(f"{file.parent} may be written by others")


def test_a_sticky_folder_is_good_for_everything_that_is_ours_in_it(file: Path) -> None:
    file.parent.chmod(0o1777)
    assert why_not_trusted(file) is None


def test_a_file_that_is_not_there_says_so(file: Path) -> None:
    assert "No such file" in refused(file.parent / "none")
    assert "Not a directory" in refused(file / "none")


def test_a_link_is_judged_by_all_that_it_leads_through(file: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    target = loose / "a.yaml"
    target.write_text("a: 1\n")
    link, hop = file.parent / "link.yaml", tmp_path / "hop"
    hop.symlink_to("loose")  # a relative link, and a link to a folder
    link.symlink_to(hop / "a.yaml")
    assert why_not_trusted(link) is None
    loose.chmod(0o777)
    assert refused(link).startswith(f"{loose} may be written by others")
    loose.chmod(0o755)
    target.chmod(0o666)
    assert refused(link).startswith(f"{target} may be written by others")


def test_a_link_upwards_and_one_in_circles_end(file: Path) -> None:
    up, circle = file.parent / "up.yaml", file.parent / "circle.yaml"
    up.symlink_to("../etc/a.yaml")
    circle.symlink_to("circle.yaml")
    assert why_not_trusted(up) is None
    assert "Too many levels of symbolic links" in refused(circle)


def test_a_link_to_nowhere_is_refused(file: Path) -> None:
    link = file.parent / "gone.yaml"
    link.symlink_to("/nonexistent/x.yaml")
    assert "/nonexistent cannot be looked at" in refused(link)


def test_a_path_is_judged_from_where_we_stand(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert why_not_trusted(Path("a.yaml")) is None
    file.parent.chmod(0o777)
    assert why_not_trusted(Path("a.yaml")) is not None


@pytest.mark.usefixtures("as_root")
class TestOwners:
    def test_another_owner_is_refused(self, file: Path) -> None:
        os.chown(file, NOBODY, 0)
        assert refused(file) == f"{file} belongs to user {NOBODY}, not to root; chown root {file}"

    def test_another_owner_of_a_folder_above_is_refused(self, file: Path) -> None:
        os.chown(file.parent, NOBODY, 0)
        file.parent.chmod(0o1777)
        assert refused(file).startswith(f"{file.parent} belongs to user {NOBODY}")

    def test_a_link_of_another_owner_is_refused_wherever_it_leads(self, file: Path) -> None:
        link = file.parent / "link.yaml"
        link.symlink_to(file)
        os.chown(link, NOBODY, 0, follow_symlinks=False)
        assert refused(link).startswith(f"{link} belongs to user {NOBODY}")

    def test_only_roots_own_group_may_write(self, file: Path) -> None:
        file.chmod(0o664)
        os.chown(file, 0, 0)
        assert why_not_trusted(file) is None
        os.chown(file, 0, NOBODY)
        assert refused(file).startswith(f"{file} may be written by others")


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.chmod(0o666), "is not used: .* may be written by others"),
        (lambda path: (path.unlink(), path.symlink_to("/nonexistent")), "/nonexistent cannot be"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
        (make_pipe, "is not a plain file"),
    ],
    ids=["writable", "link to nowhere", "folder", "pipe"],
)
def test_settings_that_are_there_and_unusable_are_never_the_defaults(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "hpcdoctor.yaml"
    path.write_text("mode: act\n")
    spoil(path)
    with pytest.raises(DefinitionError, match=said):
        load_settings(tmp_path)
