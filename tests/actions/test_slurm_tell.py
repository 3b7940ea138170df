"""Are the owners of a drained node's jobs told why, and is what others wrote left alone?"""

from collections.abc import Iterator, Sequence

import pytest
from msgspec import structs

from hpcdoctor.actions.programs import Finished, NoResult, Programs
from hpcdoctor.actions.schedulers import connect
from hpcdoctor.actions.slurm_commands import Commands
from hpcdoctor.actions.slurm_tell import tell_jobs
from hpcdoctor.definitions.settings import Limit, Slurm, TellJobs
from hpcdoctor.model.action import Result
from tests.doubles.slurm_cluster import SlurmCluster

MARK = "hd:k3f9.2"
REASON = "hd:k3f9.2 GPU3 Xid79 off bus; rule gpu-lost"
OTHER = "hd:aaaa.1 disk sdb offline; rule disk-offline"


class OnPaper:
    """squeue and scontrol of one node, whose jobs are on paper."""

    def __init__(self, comments: dict[str, str], gone: Sequence[str] = ()) -> None:
        self.comments = comments
        self.gone = gone
        self.asked: list[list[str]] = []
        self.away = False

    def run(self, argv: Sequence[str], *, deadline_seconds: float, environment: object) -> Finished:
        self.asked.append(list(argv))
        if self.away:
            raise NoResult("scontrol gave no answer")
        if argv[0] == "squeue":
            return Finished(0, "".join(f"{job}|RUNNING\n" for job in self.comments), "")
        if argv[1] == "show":
            job = argv[3]
            if job in self.gone:
                return Finished(1, "", "slurm_load_jobs error: Invalid job id specified\n")
            return Finished(0, f"JobId={job}\n   JobState=RUNNING\n{self.comments[job]}", "")
        job = argv[2].removeprefix("jobid=")
        self.comments[job] = f"   AdminComment={argv[3].removeprefix('admincomment=')} \n"
        return Finished(0, "", "")

    def commands(self) -> Commands:
        return Commands(Slurm(node_name="n1"), self)  # type: ignore[arg-type]  # runs nothing


def test_a_node_without_jobs_has_nobody_to_tell() -> None:
    assert tell_jobs(OnPaper({}).commands(), REASON) == ""


def test_another_nodes_word_stays_and_the_same_is_not_said_twice() -> None:
    slurm = OnPaper({"7": f"   AdminComment={OTHER}; node n9 \n"})
    assert tell_jobs(slurm.commands(), REASON) == "told 1 job by AdminComment"
    assert slurm.comments["7"] == f"   AdminComment={OTHER}; node n9; {REASON}; node n1 \n"
    before = dict(slurm.comments)
    assert tell_jobs(slurm.commands(), REASON) == "told 1 job by AdminComment"
    assert slurm.comments == before


def test_a_full_comment_is_left_and_a_job_that_has_ended_does_not_count() -> None:
    long = OTHER + " " + "x" * 140
    slurm = OnPaper({"7": f"   AdminComment={long}\n", "8": "", "9": ""}, gone=["8"])
    said = tell_jobs(slurm.commands(), REASON)
    assert said == "told 1 of 2 jobs by AdminComment; not job 7: its AdminComment is full"
    assert long in slurm.comments["7"]


def test_what_an_owner_made_look_like_an_administrators_word_is_left() -> None:
    forged = "   AdminComment=keep me\n   Comment=x\n   AdminComment=\n"
    slurm = OnPaper({"7": forged})
    assert "cannot be told from what its owner wrote" in tell_jobs(slurm.commands(), REASON)
    assert slurm.comments["7"] == forged


def test_a_text_that_is_no_reason_is_not_written_anywhere() -> None:
    slurm = OnPaper({"7": ""})
    said = tell_jobs(slurm.commands(), "hd:k3f9.2 it's \n bad")
    assert said == "no job was told: the reason must be printable ASCII on one line, without quotes"
    assert slurm.asked == []


def test_a_controller_that_is_away_is_asked_once() -> None:
    slurm = OnPaper({"7": ""})
    slurm.away = True
    said = tell_jobs(slurm.commands(), REASON)
    assert said.startswith("no job was told: scontrol gave no answer")
    assert len(slurm.asked) == 1


def test_the_time_for_all_of_them_is_bounded() -> None:
    slurm = OnPaper({str(job): "" for job in range(1, 9)})
    times = iter(range(0, 1000, 10))
    said = tell_jobs(slurm.commands(), REASON, clock=lambda: next(times))
    assert said == "told 2 of 8 jobs by AdminComment; not job 3: no time was left and 5 more"


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=2) as cluster:
        yield cluster
        cluster.run(["scancel", "--user=root"])  # those that wait first would start else


def comment(cluster: SlurmCluster, job: int) -> str:
    shown = cluster.run(["scontrol", "show", "job", str(job)])
    lines = [line.strip() for line in shown.splitlines()]
    return next((line.partition("=")[2] for line in lines if line.startswith("AdminComment=")), "")


@pytest.mark.real
def test_real_jobs_on_this_node_are_told_and_no_others(cluster: SlurmCluster) -> None:
    folder = str(cluster.folder / "jobs")
    array = ["sbatch", "--parsable", "--array=1", "--comment=mine", f"--chdir={folder}"]
    ours = int(cluster.run([*array, "-o/dev/null", "--nodelist=n1", "--wrap=sleep 300"]))
    there = cluster.submit("sleep 300", node="n2")
    kept = cluster.submit("sleep 300", node="n1")
    hold = ["sbatch", "--parsable", "--hold", f"--chdir={folder}", "-o/dev/null", "--nodelist=n1"]
    waiting = int(cluster.run([*hold, "--wrap=sleep 300"]))
    for job in (ours, there, kept):
        cluster.wait_for_job(job, "RUNNING")
    cluster.run(["scontrol", "update", f"jobid={kept}", "admincomment=ticket 12"])
    commands = Commands(Slurm(node_name="n1", conf=str(cluster.conf)), Programs())
    said = tell_jobs(commands, REASON)
    assert said == (
        f"told 1 of 2 jobs by AdminComment; not job {kept}: it has an AdminComment of somebody else"
    )
    assert comment(cluster, ours) == f"{REASON}; node n1"
    assert "Comment=mine" in cluster.run(["scontrol", "show", "job", str(ours)])
    assert (comment(cluster, there), comment(cluster, waiting)) == ("", "")
    assert comment(cluster, kept) == "ticket 12"


@pytest.mark.real
def test_a_drain_tells_the_jobs_only_where_the_site_wants_it(cluster: SlurmCluster) -> None:
    job = cluster.submit("sleep 300", node="n2")
    cluster.wait_for_job(job, "RUNNING")
    settings = cluster.settings("n2", limit=Limit(nodes=2))
    drained = connect(settings, Programs()).drain(REASON, MARK)
    assert (drained.result, comment(cluster, job)) == (Result.DONE, "")
    cluster.resume("n2")
    telling = structs.replace(settings.slurm, tell_jobs=TellJobs.COMMENT)
    drained = connect(structs.replace(settings, slurm=telling), Programs()).drain(REASON, MARK)
    assert drained.result is Result.DONE
    assert " by AdminComment" in drained.message
    assert comment(cluster, job) == f"{REASON}; node n2"
    cluster.resume("n2")
