"""Does a finding name the jobs on the very thing, and tell them from those beside it?"""

from msgspec import structs

from hpcdoctor.checks.affected import MOST_TOLD, affected, jobs_of, of_node, refreshed
from hpcdoctor.model.finding import Cause, Evidence, Finding, Verdict
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.job import AffectedJob, JobHere, Place
from hpcdoctor.model.reading import Look, ReadStatus, Value

NOW = Instant("boot", 100.0, 1000.0)
ANNA = JobHere(
    job="1",
    scheduler="slurm",
    user_id=1000,
    user="anna",
    packages=["0"],
    numa_nodes=["node0"],
    gpus=["0000:3b:00"],
    mounts=["/scratch"],
)
BERT = JobHere(
    job="2", scheduler="slurm", packages=["1"], numa_nodes=["node1"], gpus=[], mounts=["/home"]
)
UNSEEN = JobHere(job="3", scheduler="slurm")
HERE = [BERT, UNSEEN, ANNA]


def finding(
    check: str = "some-check", object_: str = "", /, cause: Cause = Cause.NODE, **subject: str
) -> Finding:
    return Finding(
        check=check,
        subject=subject,
        verdict=Verdict.CRITICAL,
        cause=cause,
        summary="It is broken",
        since=NOW,
        object=object_,
    )


def seen(found: Finding, **values: Value) -> Finding:
    return structs.replace(found, evidence=[Evidence(NOW, "line", values)])


def places(found: Finding, here: list[JobHere] | None = None) -> dict[str, str]:
    jobs = affected(found, HERE if here is None else here)
    return {job.job: job.on.value for job in jobs or []}


def test_of_a_gpu_the_jobs_on_it_and_those_of_which_nobody_knows() -> None:
    lost = finding("gpu-lost", "GPU3", pci_address="0000:3b:00")
    assert places(lost) == {"1": "gpu", "3": "node"}
    other = finding("gpu-lost", "GPU4", pci_address="0000:86:00")
    assert places(other, [ANNA, BERT]) == {}


def test_a_gpu_is_known_by_its_pci_address_with_a_function_too() -> None:
    narrow = finding("pcie-width", "slot 5", address="0000:3b:00.0")
    assert places(narrow) == {"1": "gpu", "3": "node"}


def test_of_another_device_every_job_of_the_node() -> None:
    adapter = finding("pcie-width", "mlx5_0", address="0000:5e:00.0")
    assert places(adapter) == {"1": "node", "2": "node", "3": "node"}


def test_of_a_socket_or_a_numa_node_the_jobs_that_may_run_there() -> None:
    for found in (finding(package="1"), finding(node="node1")):
        assert places(found) == {"2": "cpus", "3": "node"}


def test_of_a_mount_those_that_work_there_first_and_then_all_others() -> None:
    stuck = finding(mount_point="/scratch", cause=Cause.SHARED)
    assert list(places(stuck).items()) == [("1", "mount"), ("2", "node"), ("3", "node")]
    assert set(places(finding(mount_point="/")).values()) == {"node"}


def test_what_names_its_job_keeps_it_also_where_no_job_can_be_seen() -> None:
    bound = seen(
        finding("cpu-binding-unbound", cause=Cause.JOB, job="9", pid="4711"),
        scheduler="slurm",
        user_id=1009,
    )
    nine = AffectedJob(job="9", scheduler="slurm", on=Place.JOB, user_id=1009)
    assert affected(bound, None) == affected(bound, []) == [nine]
    assert affected(bound, HERE) == [structs.replace(nine, ended=True)]
    opened = structs.replace(bound, jobs=[nine])
    assert refreshed(opened, []) is opened
    assert refreshed(opened, HERE).jobs == [structs.replace(nine, ended=True)]


def test_the_job_that_ran_out_of_memory_is_read_from_its_cgroup() -> None:
    path = "/slurm/uid_1000/job_1/step_0"
    short = seen(finding(unit="1", cause=Cause.JOB), kind="oom_job", detail=path)
    (one,) = affected(short, HERE) or []
    assert (one.job, one.on, one.user) == ("1", Place.JOB, "anna")
    session = seen(finding(unit="x"), kind="oom_job", detail="/user.slice/job_1")
    assert len(affected(session, HERE) or []) == 3


def test_where_jobs_cannot_be_seen_nothing_is_known_and_where_there_are_none_nobody_is() -> None:
    assert affected(finding(), None) is None
    assert affected(finding(), []) == []


def test_while_it_is_open_who_came_is_added_and_who_ended_stays_marked() -> None:
    opened = structs.replace(finding(), jobs=affected(finding(), [ANNA]))
    later = refreshed(opened, [BERT])
    assert [(job.job, job.ended) for job in later.jobs or []] == [("2", False), ("1", True)]
    assert refreshed(later, None) is later
    assert refreshed(later, [BERT]) is later


def test_who_was_on_the_gpu_was_on_it_also_when_it_has_let_go() -> None:
    lost = finding("gpu-lost", "GPU3", pci_address="0000:3b:00")
    opened = structs.replace(lost, jobs=affected(lost, [ANNA]))
    later = refreshed(opened, [structs.replace(ANNA, gpus=[])])
    assert [(job.job, job.on, job.ended) for job in later.jobs or []] == [("1", Place.GPU, False)]


def test_a_finding_has_so_many_jobs_and_no_more_however_long_it_stands() -> None:
    found = structs.replace(finding(), jobs=[])
    for number in range(200):
        here = [JobHere(job=f"{number}.{n}", scheduler="slurm") for n in range(3)]
        found = refreshed(found, here)
    jobs = found.jobs or []
    assert len(jobs) <= MOST_TOLD
    assert [job.job for job in jobs if not job.ended] == ["199.0", "199.1", "199.2"]
    many = [JobHere(job=str(number), scheduler="slurm") for number in range(100)]
    assert len(affected(finding(), many) or []) == MOST_TOLD


def test_an_incident_has_the_nearest_place_of_each_job_and_where_it_drains_everybody() -> None:
    lost = finding("gpu-lost", "GPU3", pci_address="0000:3b:00")
    hot = finding("gpu-hot", "GPU3", pci_address="0000:3b:00")
    open_ = [structs.replace(each, jobs=affected(each, [ANNA, BERT])) for each in (lost, hot)]
    some = of_node(open_, [ANNA, BERT], everybody=False) or []
    assert [(job.job, job.on) for job in some] == [("1", Place.GPU)]
    every = of_node(open_, [ANNA, BERT], everybody=True) or []
    assert [(job.job, job.on) for job in every] == [("1", Place.GPU), ("2", Place.NODE)]
    assert of_node([finding()], None, everybody=True) is None


def test_a_look_in_a_form_of_another_release_is_not_known_and_an_older_one_is_read() -> None:
    old = Look("jobs", ReadStatus.READ, NOW, readings=[{"job": "1", "scheduler": "slurm"}])
    assert jobs_of(old) == [JobHere(job="1", scheduler="slurm")]
    other = Look("jobs", ReadStatus.READ, NOW, readings=[{"job": 1}])
    assert jobs_of(other) is None
    assert jobs_of(Look("jobs", ReadStatus.ABSENT, NOW)) is None
