"""Does node_exporter find whole numbers, or none, and never half or yesterday's?"""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpcdoctor.daemon import textfile
from hpcdoctor.daemon.textfile import Textfile, write_whole
from tests.daemon.test_web import WELL
from tests.doubles.waiting import wait_for


def test_the_file_is_there_for_everybody_and_gone_at_the_end(tmp_path: Path) -> None:
    file = Textfile(tmp_path / "hpcdoctor.prom", lambda: WELL)
    file.tick()
    wait_for("the file", file.path.exists, 5)
    assert b'hpcdoctor_node_state{state="draining"} 1.0' in file.path.read_bytes()
    assert file.path.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["hpcdoctor.prom"]
    file.close()
    assert not file.path.exists()


def test_a_write_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, answers = threading.Event(), threading.Event()

    def hang(path: Path, data: bytes) -> None:
        started.set()
        answers.wait(60)
        write_whole(path, data)

    monkeypatch.setattr(textfile, "write_whole", hang)
    file = Textfile(tmp_path / "hpcdoctor.prom", lambda: WELL)
    file.tick()
    assert started.wait(10)
    file.close()
    assert not answers.is_set(), "it came back while the folder still hung"
    answers.set()
    file._aside.wait(10)  # noqa: SLF001
    assert not file.path.exists(), "what was written late is taken away, too"


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "hpcdoctor.prom"
    write_whole(path, b"old")
    with path.open("rb") as reader:
        write_whole(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_a_link_that_somebody_left_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    path = tmp_path / "hpcdoctor.prom"
    path.symlink_to(victim)
    path.with_name(f".{path.name}.{os.getpid()}").symlink_to(victim)
    write_whole(path, b"new")
    assert victim.read_text() == "mine"
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()


def test_a_folder_that_is_not_there_is_told_and_used_when_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(textfile, "INTERVAL_SECONDS", 0.0)
    file = Textfile(tmp_path / "later/hpcdoctor.prom", lambda: WELL)
    file.tick()
    wait_for("the trouble", lambda: file.trouble, 5)
    assert "later/hpcdoctor.prom cannot be written: No such file or directory" in file.trouble
    (tmp_path / "later").mkdir()

    def written() -> bool:
        file.tick()
        return file.path.exists() and not file.trouble

    wait_for("the file", written, 5)


def test_no_http_library_is_needed_for_it() -> None:
    program = (
        "import sys, hpcdoctor.daemon.main, hpcdoctor.daemon.textfile\n"
        "assert 'prometheus_client' not in sys.modules, 'only where metrics are on'\n"
        "import prometheus_client\n"
        "assert 'aiohttp' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
