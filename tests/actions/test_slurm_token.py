"""Can a helper drain with a token alone, and is a token that others can read refused?"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from hpcdoctor.actions.perform import perform
from hpcdoctor.actions.programs import Programs
from hpcdoctor.actions.schedulers import connect
from hpcdoctor.actions.slurm_commands import why_not_secret
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from tests.doubles.slurm_cluster import SlurmCluster, slurm_user

MARK = "hd:k3f9.1"
REASON = "hd:k3f9.1 GPU3 Xid79 off bus; rule gpu-lost"


def drain(settings: Settings) -> ActionResult:
    return perform(Action("k3f9.1.1", Operation.DRAIN, REASON, MARK), connect(settings, Programs()))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    key = Path(f"/var/tmp/hdj-{os.getpid()}")
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(key, slurm_user().pw_uid, -1)
    extra = {"AuthAltTypes": "auth/jwt", "AuthAltParameters": f"jwt_key={key}"}
    try:
        with SlurmCluster(nodes=1, extra=extra) as cluster:
            yield cluster
    finally:
        key.unlink()


def with_token(cluster: SlurmCluster, text: str) -> Settings:
    path = cluster.folder / "token"
    path.write_text(text)
    path.chmod(0o600)
    settings = cluster.settings("n1")
    return structs.replace(settings, slurm=structs.replace(settings.slurm, token_file=str(path)))


@pytest.mark.real
def test_with_a_token_no_munge_is_needed(cluster: SlurmCluster) -> None:
    settings = with_token(cluster, cluster.run(["scontrol", "token", "username=root"]))
    cluster.stop_munge()
    try:
        done = drain(settings)
    finally:
        cluster.start_munge()
    assert done.result is Result.DONE, done.message
    assert cluster.node("n1").reason == REASON


@pytest.mark.real
def test_a_wrong_token_is_no_answer_and_nothing_that_is_no_token_is_sent(
    cluster: SlurmCluster,
) -> None:
    assert drain(with_token(cluster, "SLURM_JWT=a.b.c")).result is Result.NO_ANSWER
    refused = drain(with_token(cluster, "$(reboot)"))
    assert refused.result is Result.REFUSED
    assert "holds no token" in refused.message


def test_a_token_that_others_can_read_or_replace_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    assert "cannot be read" in str(why_not_secret(token))
    token.write_text("a.b.c")
    token.chmod(0o640)
    assert f"chmod 600 {token}" in str(why_not_secret(token))
    token.chmod(stat.S_IRUSR)
    assert why_not_secret(token) is None
    link = tmp_path / "link"
    link.symlink_to(token)
    assert "not a plain file" in str(why_not_secret(link))
