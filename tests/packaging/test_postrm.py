"""Does a purge succeed where the state has a file system of its own?

The script itself, in mounts of its own: /var/lib is an empty one there.
"""

import subprocess

import pytest

from tests.conftest import CHECKOUT

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

# Without deb-systemd-helper, which would look at the units of this machine.
PURGE = """
set -e
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/bin /var/lib/hpcdoctor /var/lib/hpcdoctor-helper
for name in find rm mountpoint; do ln -s "$(command -v $name)" /var/lib/bin; done
{before}
touch /var/lib/hpcdoctor/hpcdoctor.db /var/lib/hpcdoctor-helper/journal.sqlite
mkdir -p /var/lib/hpcdoctor/evidence/one
(PATH=/var/lib/bin; . {script}) || exit 1
find /var/lib/hpcdoctor /var/lib/hpcdoctor-helper 2>/dev/null || true
"""
MOUNT = "mount -t tmpfs tmpfs /var/lib/hpcdoctor"


def purge(before: str) -> "subprocess.CompletedProcess[str]":
    text = PURGE.format(before=before, script=CHECKOUT / "packaging/deb/postrm")
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", text, "postrm", "purge"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("before", "left"),
    [
        ("", ""),
        (MOUNT, "/var/lib/hpcdoctor\n"),
        (f"{MOUNT}; mkdir /var/lib/hpcdoctor/lost+found", None),
    ],
    ids=["a folder", "a mount point", "a file system"],
)
def test_a_purge_takes_the_state_and_leaves_a_mount_point(before: str, left: str | None) -> None:
    done = purge(before)
    assert done.returncode == 0, done.stderr
    if left is None:
        left = "/var/lib/hpcdoctor\n/var/lib/hpcdoctor/lost+found\n"
    assert done.stdout == left
    assert ("is a mount point: emptied and left" in done.stderr) == bool(before)
