from pathlib import Path

import pytest

from hpcdoctor.daemon.durable import why_not_durable

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:25 / {run} rw - tmpfs tmpfs rw
31 30 254:1 / {run}/kept rw - ext4 /dev/vdb rw
"""


@pytest.mark.parametrize(
    ("folder", "durable"), [("", True), ("run", False), ("run/a/b", False), ("run/kept/c", True)]
)
def test_the_file_system_under_the_folder_decides(
    tmp_path: Path, folder: str, durable: bool
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS.format(run=tmp_path / "run"))
    reason = why_not_durable(tmp_path / folder, table)
    assert (reason == "") is durable
    assert durable or "does not survive a reboot" in reason


def test_one_mounted_on_top_of_another_is_what_counts(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    under = f"30 22 0:25 / {tmp_path} rw - ext4 /dev/vdc rw\n"
    table.write_text(under + f"31 30 0:26 / {tmp_path} rw - tmpfs tmpfs rw\n")
    assert "(tmpfs)" in why_not_durable(tmp_path, table)
