"""Is the job of a process found in every form of cgroup path, and never one that a user made up?"""

import pytest

from hpcdoctor.model.job import (
    NO_JOB,
    Job,
    job_of_environment,
    parse_cgroup,
    parse_environment,
    parse_path,
    rank_of_environment,
    spans_nodes,
)

POD = "0f2e1a34-5b6c-4d7e-8f90-a1b2c3d4e5f6"
POD_IN_SLICE = POD.replace("-", "_")
CONTAINER = "c" * 64


@pytest.mark.parametrize(
    ("path", "scheduler", "job", "step", "task"),
    [
        ("/slurm/uid_1000/job_42/step_0/task_3", "slurm", "42", "0", "3"),
        ("/slurm_n017/uid_1000/job_42/step_batch/task_0", "slurm", "42", "batch", "0"),
        ("/slurm/uid_1000/job_42", "slurm", "42", "", ""),
        (
            "/system.slice/slurmstepd.scope/job_42/step_interactive/user/task_1",
            "slurm",
            "42",
            "interactive",
            "1",
        ),
        (
            "/system.slice/n017_slurmstepd.scope/job_42/step_0/user/task_special",
            "slurm",
            "42",
            "0",
            "special",
        ),
        ("/docker/abc/slurm/uid_7/job_8/step_0/task_0", "slurm", "8", "0", "0"),
        ("/pbs_jobs.service/jobid/1234.server", "pbs", "1234.server", "", ""),
        ("/pbs_jobs.service/jobs/1234[7].server.site", "pbs", "1234[7].server.site", "", ""),
        ("/pbspro.service/jobid/9.head", "pbs", "9.head", "", ""),
        ("/batch.slice/jobid/9.head", "pbs", "9.head", "", ""),
        ("/site/jobs/12[3].head", "pbs", "12[3].head", "", ""),
        ("/slurm/uid_0/job_42/step_0+1/task_0", "slurm", "42", "0+1", "0"),
        ("/slurm/uid_0/job_42/step_extern/task_0", "slurm", "42", "extern", "0"),
        ("/pbspro.slice/pbspro-9\\x2ehead.slice", "pbs", "9.head", "", ""),
        ("/torque/1182724.batch", "torque", "1182724.batch", "", ""),
        (f"/kubepods/burstable/pod{POD}/{CONTAINER}", "kubernetes", POD, "", ""),
        (f"/kubepods/pod{POD}/{CONTAINER}", "kubernetes", POD, "", ""),
        (
            "/kubepods.slice/kubepods-burstable.slice/"
            f"kubepods-burstable-pod{POD_IN_SLICE}.slice/cri-containerd-{CONTAINER}.scope",
            "kubernetes",
            POD,
            "",
            "",
        ),
        (
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
            f"kubelet-kubepods-besteffort-pod{POD_IN_SLICE}.slice/crio-{CONTAINER}.scope",
            "kubernetes",
            POD,
            "",
            "",
        ),
        (
            "/kind/9f/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
            f"kubelet-kubepods-burstable-pod{POD_IN_SLICE}.slice/docker-{CONTAINER}.scope/init",
            "kubernetes",
            POD,
            "",
            "",
        ),
        (
            f"/kubepods/besteffort/pod{'0123456789abcdef' * 2}/x",
            "kubernetes",
            "0123456789abcdef" * 2,
            "",
            "",
        ),
        (
            "/system.slice/slurmstepd.scope/job_42/step_0/user/task_1/libpod-9a.scope/container",
            "slurm",
            "42",
            "0",
            "1",
        ),
        ("/lsf/cluster1/job.4711.2.1", "lsf", "4711", "", ""),
        ("/lsf/cluster1/job.4711[3].1", "lsf", "4711[3]", "", ""),
    ],
)
def test_each_batch_systems_path_names_the_job(
    path: str, scheduler: str, job: str, step: str, task: str
) -> None:
    found = parse_path(path)
    assert (found.scheduler, found.id, found.step, found.task) == (scheduler, job, step, task)
    assert not found.service


def test_the_jobs_own_folder_is_where_its_cpuset_is() -> None:
    assert parse_path("/slurm/uid_1/job_2/step_0/task_1", "cpuset") == Job(
        scheduler="slurm",
        id="2",
        step="0",
        task="1",
        folder="/slurm/uid_1/job_2",
        step_folder="/slurm/uid_1/job_2/step_0",
        controller="cpuset",
    )


@pytest.mark.parametrize(
    "path",
    [
        "/user.slice/user-1000.slice/user@1000.service/slurm/uid_1000/job_1/step_0/task_0",
        "/user.slice/user-1000.slice/session-4.scope",
        "/",
        "",
        "/slurm/uid_1000",
        "/slurm/uid_x/job_1",
        "/myslurmstepd.scope/job_1",
        "/slurm/uid_1/job_1x;rm",
        "/kubepods/podgroup/x",
        "/torque/abc",
        "/backup/jobs/12",
        "/site/jobs/nightly.timer",
    ],
)
def test_what_no_batch_system_made_is_no_job(path: str) -> None:
    assert parse_path(path) == NO_JOB


def test_the_schedulers_own_processes_are_the_machines() -> None:
    assert parse_cgroup("0::/system.slice/slurmstepd.scope/system\n").service
    assert parse_cgroup("0::/system.slice/slurmstepd.scope/job_4/step_0/slurm\n").service
    assert parse_cgroup("0::/system.slice/sshd.service\n") == Job(service=True)
    assert parse_cgroup("0::/init.scope\n").service
    assert not parse_cgroup("0::/user.slice/user-1.slice/session-1.scope\n").service


def test_version_one_is_asked_in_the_order_of_what_it_can_tell() -> None:
    text = "9:name=systemd:/system.slice/slurmd.service\n4:memory:/slurm/uid_1/job_5\n3:cpuset:/\n"
    job = parse_cgroup(text)
    assert (job.id, job.controller, job.service) == ("5", "memory", False)


def test_several_controllers_share_a_line() -> None:
    assert parse_cgroup("2:cpuset,cpu:/torque/7.head\n").controller == "cpuset"


def test_on_a_hybrid_machine_the_empty_path_loses() -> None:
    assert parse_cgroup("5:freezer:/slurm/uid_1/job_6/step_0\n0::/\n").id == "6"


@pytest.mark.parametrize("text", ["", "\n", "no colons", "1:2", "::", "0::", "\x00" * 50])
def test_a_broken_file_is_no_job(text: str) -> None:
    assert parse_cgroup(text) == NO_JOB


def test_only_the_named_variables_are_taken() -> None:
    environment = b"SECRET=x\0SLURM_JOB_ID=12\0SLURM_PROCID=3\0PATH=/bin\0\0broken\0=\0"
    assert parse_environment(environment) == {"SLURM_JOB_ID": "12", "SLURM_PROCID": "3"}


@pytest.mark.parametrize("value", [b"", b"1\x1b[2J", b"1 2", b"x" * 65, b"\xff"])
def test_a_variable_that_holds_no_id_is_left(value: bytes) -> None:
    assert parse_environment(b"SLURM_JOB_ID=" + value + b"\0") == {}


def test_the_first_of_a_variable_counts_as_for_the_c_library() -> None:
    assert parse_environment(b"PMI_RANK=1\0PMI_RANK=2\0") == {"PMI_RANK": "1"}


def test_the_environment_names_job_and_rank() -> None:
    variables = {"PBS_JOBID": "9.head", "SLURM_PROCID": "0", "OMPI_COMM_WORLD_LOCAL_RANK": "5"}
    assert job_of_environment(variables) == Job(scheduler="pbs", id="9.head")
    assert rank_of_environment(variables) == "local rank 5"
    assert rank_of_environment({"SLURM_PROCID": "3", "SLURM_LOCALID": "1"}) == "rank 3"
    assert job_of_environment({}) == NO_JOB
    assert rank_of_environment({}) == ""


def test_the_environment_tells_the_step_where_the_cgroup_does_not() -> None:
    variables = {"SLURM_JOB_ID": "9", "SLURM_STEP_ID": "2"}
    assert job_of_environment(variables) == Job(scheduler="slurm", id="9", step="2")


@pytest.mark.parametrize("step", ["batch", "extern", "interactive"])
def test_what_the_batch_shell_hands_down_is_no_rank_but_mpiruns_number_is(step: str) -> None:
    assert rank_of_environment({"SLURM_PROCID": "0"}, step) == ""
    assert rank_of_environment({"SLURM_PROCID": "0", "PMI_RANK": "4"}, step) == "rank 4"


def test_a_list_of_gpus_is_taken_and_nothing_else_in_that_place() -> None:
    uuids = ",".join(f"GPU-{number}f2e1a34-5b6c-4d7e-8f90-a1b2c3d4e5f6" for number in range(8))
    assert parse_environment(f"A=1\0CUDA_VISIBLE_DEVICES={uuids}\0".encode()) == {
        "CUDA_VISIBLE_DEVICES": uuids
    }
    assert parse_environment(b"CUDA_VISIBLE_DEVICES=") == {"CUDA_VISIBLE_DEVICES": ""}
    assert parse_environment(b"CUDA_VISIBLE_DEVICES=0 1\0MY_CUDA_VISIBLE_DEVICES=2") == {}


@pytest.mark.parametrize(
    ("variables", "spans"),
    [
        ({"SLURM_NNODES": "4"}, True),
        ({"SLURM_NNODES": "1"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, False),
        ({"PMI_SIZE": "8"}, None),
        ({}, None),
    ],
)
def test_whether_a_program_spans_nodes(variables: dict[str, str], spans: bool | None) -> None:
    assert spans_nodes(variables) is spans
